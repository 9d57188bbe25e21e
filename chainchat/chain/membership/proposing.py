"""The proposer: finds out which configuration should be next, and asks for the votes."""

from collections.abc import Iterator

from msgspec.structs import replace

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Send, Tell
from chainchat.chain.membership.changes import Change, change
from chainchat.chain.membership.proposals import resumed, shrunk
from chainchat.chain.membership.state import Copy, Output
from chainchat.chain.membership.voting import Voting
from chainchat.chain.messages import Abort, Decided, Propose, Vote, Voted
from chainchat.chain.record import Status


class Proposing(Voting):
    """The proposals of one life, and the count of votes."""

    def _act(self, now: float) -> Iterator[Output]:
        """Complete, withdraw or propose, as things are."""
        if self._set_back:
            return
        yield from self._complete(now)
        if self.record.vote is not None or self._sealing is not None:
            return
        self._withdraw(now)
        proposed = self._wanted(now)
        if proposed is None:
            self._proposal = None  # its voters hear of that when they ask
            return
        held = None if self._proposal is None else self._proposal.configuration
        if held is None or replace(held, identity=0) != replace(proposed, identity=0):
            self._ballots += 1
            self._voters = set()
            ballot = (self.me.incarnation, self._ballots)
            named = replace(proposed, identity=self._new_identity())
            self._proposal = Vote(named, self.me, ballot)
            self._proposed_at = now
            self._whole = self.own_log.last
        self._tried |= set(self.configuration.lives) - set(proposed.lives)  # *tried*
        assert self._proposal is not None
        yield from self._canvass(self._proposal, now)

    def _complete(self, now: float) -> Iterator[Output]:
        """Adopt what this node alone voted for, if the proposer died *clean* (rule 8).

        The proposer had decided, or nobody ever will.
        """
        vote = self.record.vote
        if vote is None or self.status is not Status.ACTIVE:
            return
        if not self.evidence.is_clean(vote.proposer.life):
            return
        if self._electors(vote) == {self.me.position}:
            yield Tell(f"completing what {vote.proposer.position} proposed before it died")
            yield from self._adopt(vote.configuration)
            yield from self._act(now)

    # --- what should be next

    def _wanted(self, now: float) -> Configuration | None:
        return self._shrunk(now) or self._resumed(now) or self._extended(now)

    def _shrunk(self, now: float) -> Configuration | None:
        if self.status is not Status.ACTIVE:
            return None
        wanted, held = shrunk(self.configuration, self.me, self.evidence, now), self._proposal
        if wanted is not None and held is not None and held.configuration.members == wanted.members:
            return held.configuration  # keep the reasons that it began with
        return wanted

    def _resumed(self, now: float) -> Configuration | None:
        if self.status is Status.LEARNER:
            return None
        base = self.configuration
        wanted = resumed(
            base,
            self.founding,
            self.me,
            self._presence.pongs(now),
            lambda old, new: not self._objection_to_life(old, new, now),
        )
        if wanted is None or len(base.members) != 1:
            return wanted
        if base.members[0].address != self.me.address and len(self.founding) > 1:
            return None  # it may be a copy of the member's disk
        return wanted if self._has_looked_around(now) else None

    def _has_looked_around(self, now: float) -> bool:
        """Return whether the others could have said by now that they have gone on.

        Even a spare may have left behind a sole member.
        """
        late = self._began is not None and now - self._began >= self._timing.suspect_after
        return late or self._presence.has_met({*self.founding, *self._known} - {self.me.position})

    # --- the votes

    def _canvass(self, proposal: Vote, now: float) -> Iterator[Output]:
        if self._electors(proposal) <= self._voters:
            if change(self.configuration, proposal.configuration) is Change.JOIN:
                yield from self._seal(proposal, now)  # a chain of one is its own tail
            else:
                yield from self._decide(now)
            return
        for position in proposal.configuration.positions:
            if position in self._electors(proposal) - self._voters:
                yield Send(position, Propose(self.configuration, proposal, self._whole))

    def _count(self, sender: str, voted: Voted, now: float) -> Iterator[Output]:
        if voted.vote != self._proposal:
            # A voter waits for an answer, even from a later life that knows nothing of the vote.
            if self.configuration.epoch >= voted.vote.configuration.epoch:
                yield Send(sender, Decided(self.configuration))
            elif voted.vote.proposer.id == self.me.id and not self._set_back:
                yield Send(sender, Abort(voted.vote))
            return
        if voted.voter not in voted.vote.configuration.members:
            return
        kind, last = change(self.configuration, voted.vote.configuration), self.own_log.last
        if kind is Change.RESUME and voted.last.is_beyond(last):
            yield from self.complain(
                f"the log of {sender} ends with {voted.last}, this one with {last}: copying first"
            )
            if voted.last.is_beyond(self._whole):
                self._whole = voted.last
            self._voters = set()  # they must hold that entry too
            yield Copy(sender)
            return
        if kind is Change.RESUME and self._is_apart(voted.last):
            yield from self.complain(self._alarm_about(sender, voted.last))
            return
        if kind is Change.RESUME and self._whole.is_beyond(voted.last):
            return  # it copies, and then votes again
        self._voters.add(sender)
        if self._electors(voted.vote) <= self._voters:
            yield from self._decide(now)
