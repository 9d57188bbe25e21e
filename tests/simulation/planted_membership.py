"""Planted bugs in membership; see ``planted``."""

from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Life
from chainchat.chain.effects import Send
from chainchat.chain.membership.changes import Change, change, may_shrink
from chainchat.chain.membership.clocks import Clocks
from chainchat.chain.membership.evidence import Evidence
from chainchat.chain.membership.membership import Copy, Membership
from chainchat.chain.membership.proposals import present_lives
from chainchat.chain.messages import Abort, Ping, Vote
from chainchat.chain.record import Status
from chainchat.node.budget import Slice


class BelievesStaleProofs(Evidence):
    """A proof of death counts, however long ago the dead node confirmed that it excluded nobody."""

    def is_fresh(self, life: Life, now: float) -> bool:
        known = self._known.get(life)
        return known is not None and known.fresh is not None


class CountsFromTheAnswer(Evidence):
    """A confirmation is fresh from when it came, not from when it was asked for."""

    def confirmed(self, life: Life, nonce: int, now: float) -> None:
        super().confirmed(life, nonce, now)
        self.meet(life, now).fresh = now


class ForgetsWhomItTriedToExclude(Membership):
    """Confirms the pings of those whom it has just tried to exclude."""

    def _confirms(self, ping: Ping) -> bool:
        self._tried = set()
        return super()._confirms(ping)


class ForgetsItsOwnTries(Membership):
    """Confirms the pings of those whom it has asked others to exclude, but did not vote against."""

    def _canvass(self, proposal: Vote, now: float):
        self._tried -= set(self.configuration.lives) - set(proposal.configuration.lives)
        yield from super()._canvass(proposal, now)


class VotesOnHearsay(Membership):
    """Votes to exclude whom the proposer suspects, without a judgement of its own."""

    def _objection(self, vote: Vote, kind, now: float) -> str:
        return "" if kind is Change.SHRINK else super()._objection(vote, kind, now)


class ForgetsVotes(Membership):
    """A vote does not survive a restart.

    Nothing is lost by that alone, since a restarted member votes for nothing but a resume, which
    needs the vote of everybody, also of whoever the forgotten vote was for. So the rule itself is
    watched.
    """

    def tick(self, now: float):
        if self._began is None:
            self.record = replace(self.record, vote=None)
        yield from super().tick(now)


class NeverWedges(Membership):
    """A restarted member goes on as if it had never been away."""

    def tick(self, now: float):
        member = self.configuration.member(self.me.position)
        if self._began is None and member is not None and member.id == self.me.id:
            self.me = member
        yield from super().tick(now)


class TakesAnyLifeForTheMember(Membership):
    """A restarted node takes part in a newer configuration that lists an earlier life of it."""

    def _adopt(self, configuration: Configuration):
        yield from super()._adopt(configuration)
        if self.status is Status.WEDGED:
            self.me = configuration.member(self.me.position)


def resumes_with_two(base: Configuration, proposed: Configuration) -> Change | None:
    """Any two of three members may resume."""
    lives = [(member.position, member.id) for member in base.members]
    there = [(member.position, member.id) for member in proposed.members]
    kind = change(base, proposed)
    if kind is None and len(there) == 2 and there == [life for life in lives if life in there]:
        return Change.RESUME
    return kind


class ResumesWithoutOne(Membership):
    """Two of three resume the chain, and do not wait for the third."""

    also = {
        f"chainchat.chain.membership.{part}.change": resumes_with_two
        for part in ("state", "voting", "proposing")
    }

    def _resumed(self, now: float) -> Configuration | None:
        base = self.configuration
        if self.status is Status.LEARNER or len(base.members) < 3:
            return super()._resumed(now)
        present = present_lives(base, self.me, self._presence.pongs(now), lambda *_: True)
        there = tuple(present[position] for position in base.positions if position in present)
        news = any(not base.has(member.life) for member in there)
        if len(there) != 2 or there[0] != self.me or not news:
            return super()._resumed(now)
        return base.followed_by(there, "resumed: two of three are enough")

    def _objection(self, vote: Vote, kind, now: float) -> str:
        if kind is Change.RESUME and len(vote.configuration.members) == 2:
            return "" if self.me in vote.configuration.members else "another life"
        return super()._objection(vote, kind, now)


class ResumesWithoutCopying(Membership):
    """In a resume everybody's log stays as it is, though another's is longer."""

    def _count(self, sender, voted, now):
        whole = self._whole if self._whole.is_beyond(self.own_log.last) else self.own_log.last
        yield from super()._count(sender, replace(voted, last=whole), now)

    def _copy_for_resume(self, proposal):
        return iter(())


class CountsVotesOfThoseThatLack(Membership):
    """When somebody turns out to have a longer log, those who voted before need not copy it, too.

    So two disks have to have lost their ends at once, and not the same.
    """

    def _count(self, sender, voted, now):
        voters = set(self._voters)
        yield from super()._count(sender, voted, now)
        if self._proposal == voted.vote:
            self._voters |= voters


class ResumesWithoutActiveVotes(Membership):
    """A member that has not restarted itself does not vote for a resume."""

    def _objection(self, vote: Vote, kind, now: float) -> str:
        if kind is Change.RESUME and self.status is Status.ACTIVE:
            return "this life is still a member"
        return super()._objection(vote, kind, now)


class CopiesPastItsPredecessor(Membership):
    """Copies before a resume from the proposer, also what its own predecessor lacks."""

    def _consider(self, sender, proposal, now):
        for effect in super()._consider(sender, proposal, now):
            yield Copy(sender) if isinstance(effect, Copy) else effect


class ProvesNothing(Evidence):
    """Counts the dead as it counts the silent."""

    def died(self, life: Life, now: float) -> None:
        super().died(life, now)
        self.meet(life, now).clean = False


class WaitsForDeadProposers(Membership):
    """Never completes what it voted for, though its proposer is dead."""

    def _complete(self, now: float):
        return iter(())


class BlamesOthersForItsPauses(Membership):
    """Takes what it did not hear while it was paused for silence."""

    def _excuse_silence(self, now: float) -> None:
        pass


class BelievesItsOwnClocks(Clocks):
    """Does not wonder why its wall clock went on and the clock of its timeouts did not."""

    def look(self, now: float, wall: int) -> bool:
        return True


class HearsNoClocks(Clocks):
    """Does not wonder why the clocks of all others have jumped."""

    def heard(self, life: Life, reading, now: float, asked) -> bool:
        super().heard(life, reading, now, asked)
        return True


class StampsItsOwnTime(Clocks):
    """A head gives entries the time that its own clock shows, whatever all others show."""

    def time(self, others, now: float, wall: int) -> int:
        return wall


class ProvesDeathsAllTheSame(Evidence):
    """Takes a refusal for a proof, though no clock is to be relied on."""

    def died(self, life: Life, now: float) -> None:
        asked, self.refusal_is_death = self.refusal_is_death, True
        super().died(life, now)
        self.refusal_is_death = asked


class ReadsByTheLeaseAllTheSame(Membership):
    """A tail answers, because others have confirmed it by a clock that is not to be relied on."""

    def holds_lease(self, now: float) -> bool:
        asked, self.evidence.refusal_is_death = self.evidence.refusal_is_death, True
        held = super().holds_lease(now)
        self.evidence.refusal_is_death = asked
        return held


class BelievesRefusalsAnywhere(Membership):
    """A refusal at a member's address is a death, also where the member was never reached."""

    def refused(self, position, host, port, now):
        member = self.configuration.member(position)
        if member is not None:
            self._whereabouts.reached(position, (host, port), member.life)
        yield from super().refused(position, host, port, now)


class BelievesWhatIsSaid(Membership):
    """Who says on a connection that came in that it is a member's next life proves its death."""

    def linked(self, position, member, now, its=None):
        yield from self.reached(position, member.address, member, now)
        yield from super().linked(position, member, now, its)


class TakesCopiesForMembers(Membership):
    """A resume lists whoever has a member's data, wherever it is."""

    def _objection_to_life(self, old, new, now):
        return "" if new.id == old.id else "another disk"


class BelievesCopiesOfProposers(Membership):
    """Tells its vote to whoever has the data of its proposer, and believes what that says."""

    def _speaks_for(self, proposer):
        return True


class TakesAnyDiskForTheNewest(Membership):
    """A member whose disk was set back goes on in the configuration that the others have."""

    def _was_set_back(self, configuration):
        return False


class WorksWhileItVotes(Membership):
    """Takes part in the chain while it holds a vote, but one after which it may have to copy."""

    @property
    def active(self) -> bool:
        return self.status is Status.ACTIVE and self.sealed is None and not self.resuming


class WorksWhileItLetsLearnersIn(Membership):
    """Takes part in the chain while it lets a learner in: neither the seal nor the vote counts."""

    @property
    def active(self) -> bool:
        return super().active or (self.status is Status.ACTIVE and self._joining)

    def holds_lease(self, now: float) -> bool:
        record = self.record
        if self._joining:
            self.record = replace(record, vote=None)
        try:
            return super().holds_lease(now)
        finally:
            self.record = record

    @property
    def _joining(self) -> bool:
        vote = self.record.vote
        if vote is None:
            return self.sealed is not None
        return change(self.configuration, vote.configuration) is Change.JOIN


class NeverWithdraws(Membership):
    """Asks for a join as long as it hears the learner, though nothing comes of it."""

    def _give_up(self, join: Vote, now: float, sealed: float = 0.0) -> None:
        pass


class LetsLearnersInTooEarly(Membership):
    """Votes for a join without waiting until the learner has the rest of the log."""

    def _seal(self, vote: Vote, now: float):
        if vote.proposer == self.me:
            yield from self._decide(now)
        else:
            yield from self._vote(vote)


class GivesNoIdentity(Membership):
    """What it proposes is named by the number of its epoch alone."""

    @property
    def _new_identity(self):
        return lambda: 0

    @_new_identity.setter
    def _new_identity(self, _) -> None:
        pass


class VotesTwice(Membership):
    """Votes for another proposer while it holds a vote."""

    def _consider(self, sender, proposal, now):
        if self.record.vote is not None and proposal.vote != self.record.vote:
            yield self._save(vote=None)
        yield from super()._consider(sender, proposal, now)


class DecidesWithoutVotes(Membership):
    """Takes its own proposal for the decision."""

    def _electors(self, vote: Vote) -> set[str]:
        kind = change(self.configuration, vote.configuration)
        return set() if kind is Change.SHRINK else super()._electors(vote)


class KeepsItsProposalWhenItVotes(Membership):
    """Decides its own proposal after it has voted for another's."""

    def _vote(self, vote: Vote):
        proposal, voters = self._proposal, self._voters
        yield from super()._vote(vote)
        self._proposal, self._voters = proposal, voters


class DropsVotesOfDeadProposers(Membership):
    """Takes for undecided what its dead proposer may have decided."""

    def _complete(self, now: float):
        vote = self.record.vote
        if vote is not None and self.evidence.is_dead(vote.proposer.life):
            yield self._save(vote=None)


class AdoptsWhenItVotes(Membership):
    """Takes its own vote for the decision."""

    def _vote(self, vote: Vote):
        yield from super()._vote(vote)
        yield from self._adopt(vote.configuration)


class WorksWithoutLease(Membership):
    """A tail answers, and lets learners copy, whether or not the chain went on without it."""

    def holds_lease(self, now: float) -> bool:
        return self.status is Status.ACTIVE


class DoesEverythingAtOnce(Slice):
    """A slice never ends: what can wait is done in one go."""

    __slots__ = ()

    def left(self) -> bool:
        return True


class NeverAborts(Membership):
    """Leaves voters waiting for a proposal that it dropped."""

    def _count(self, sender, voted, now):
        for effect in super()._count(sender, voted, now):
            if not (isinstance(effect, Send) and isinstance(effect.message, Abort)):
                yield effect


def half_is_enough(base: Configuration, remaining, clean) -> bool:
    """Either half of a chain of two goes on, without a tie-break."""
    stay = set(remaining)
    return 2 * len(stay) >= len(set(base.lives) - set(clean)) or may_shrink(base, stay, clean)
