"""The voter, and its vote (rule 5: *one vote*, *own judgement*, *locked*)."""

from collections.abc import Iterator

from chainchat.chain.configuration import Member
from chainchat.chain.effects import Send
from chainchat.chain.membership.changes import Change, change
from chainchat.chain.membership.joining import Joining
from chainchat.chain.membership.state import Copy, Output
from chainchat.chain.membership.whereabouts import UNREACHED
from chainchat.chain.messages import Decided, Declined, Propose, Vote, Voted
from chainchat.chain.record import Status

LIVES = "lives, as seen from here"
"""The end of an objection that is soon gone, where one node sees a death before another."""


class Voting(Joining):
    """The judgement of proposals, and the vote."""

    def _consider(self, sender: str, proposal: Propose, now: float) -> Iterator[Output]:
        vote, held = proposal.vote, self.record.vote
        if self._set_back or sender != vote.proposer.position:
            return
        if proposal.base != self.configuration:
            if self.configuration.epoch > proposal.base.epoch:
                yield Send(sender, Decided(self.configuration))
            return
        if held == vote:
            yield from self._send_vote(vote)
            yield from self._copy_for_resume(proposal)
            return
        if held is not None:  # *one vote*
            same_proposer = held.proposer.id == vote.proposer.id
            if not (same_proposer and held.ballot < vote.ballot):
                return
        kind = change(self.configuration, vote.configuration)
        if kind is Change.RESUME and self._is_apart(proposal.last):
            yield from self.complain(self._alarm_about(sender, proposal.last))
            return
        refusal = self._objection(vote, kind, now)
        if refusal and kind is Change.JOIN:
            self._declined = vote
            yield Send(sender, Declined(vote, refusal))
        elif refusal.endswith((UNREACHED, LIVES)) and not self._waits_too_long_for(vote, now):
            return  # probably over soon: the proposal is repeated
        elif refusal:
            yield from self.complain(f"no vote for {vote.configuration}: {refusal}")
        elif kind is Change.JOIN:
            yield from self._seal(vote, now)
        else:
            yield from self._vote(vote)
            yield from self._copy_for_resume(proposal)

    def _copy_for_resume(self, proposal: Propose) -> Iterator[Output]:
        """Copy the end of the log, if this disk lost it: a chain resumes only with whole logs.

        The end comes down the chain (*prefix*): if the resume is given up, a tail that held more
        than its predecessor would commit alone what no other disk may have.
        """
        resume = change(proposal.base, proposal.vote.configuration) is Change.RESUME
        predecessor = self.configuration.predecessor(self.me.position)
        if resume and predecessor is not None and proposal.last.is_beyond(self.own_log.last):
            yield Copy(predecessor)

    # --- the vote

    def _vote(self, vote: Vote) -> Iterator[Output]:
        """*locked*: vote, and never decide this node's own proposal."""
        self._proposal = self._sealing = None
        self._tried |= set(self.configuration.lives) - set(vote.configuration.lives)  # *tried*
        yield self._save(vote=vote)
        yield from self._send_vote(vote)

    def _send_vote(self, vote: Vote) -> Iterator[Output]:
        """*source*: send the vote to the proposer or its later life, not to a copy of its disk."""
        if self._speaks_for(vote.proposer):
            yield Send(vote.proposer.position, Voted(self.me, vote, self.own_log.last))

    def _speaks_for(self, proposer: Member) -> bool:
        linked = self._presence.link(proposer.position)
        # Without a connection nothing is sent.
        return linked is None or self._whereabouts.is_later_life(proposer, linked)

    # --- the judgement

    def _objection(self, vote: Vote, kind: Change | None, now: float) -> str:
        proposed, base = vote.configuration, self.configuration
        if self.me not in proposed.members:
            return "it does not list this life of this node"
        if vote.proposer != proposed.members[0]:
            return "its proposer would not be the head"
        match kind:
            case Change.FOUND:
                if proposed.positions != self.founding:
                    return f"the founding order here is {' '.join(self.founding)}"
            case Change.RESUME:
                for old, new in zip(base.members, proposed.members, strict=True):
                    refusal = "" if new == old else self._objection_to_life(old, new, now)
                    if refusal:
                        return refusal
            case Change.SHRINK:
                if self.status is not Status.ACTIVE:
                    return "this life is no member"
                for member in base.members:  # *own judgement*
                    if member not in proposed.members and not self.evidence.may_exclude(
                        member.life, now
                    ):
                        return f"{member.position} {LIVES}"
            case Change.JOIN:
                return self._objection_to_join(vote)
            case None:
                return "it does not follow from the configuration here"
        return ""

    def _objection_to_join(self, vote: Vote) -> str:
        if self.status is not Status.ACTIVE or self.configuration.tail != self.me.position:
            return "this node is not the tail"
        learner = vote.configuration.members[-1]
        if vote == self._declined:
            return "it was declined already"
        if self.sealed not in (None, learner):
            return "another learner is just being let in"
        if self.sealed is None and learner not in self.own_log.nearby:
            return f"{learner.position} is not near the end of the log"
        # A learner copies on another connection, but a member gets entries on the link.
        # The link may have been made by an earlier life.
        if self._presence.link(learner.position) is None:
            return f"{learner.position} is not linked: writes would wait for that"
        return ""

    def _objection_to_life(self, old: Member, new: Member, now: float) -> str:
        objection = self._whereabouts.objection(old, new)
        if objection or new.life == self.me.life:
            return objection
        unreached = self._whereabouts.unreached(new)
        if unreached:
            return unreached
        if self.status is Status.ACTIVE and not self.evidence.may_exclude(old.life, now):
            return f"{old.position} {LIVES}, and needs no other life"
        return ""

    def _waits_too_long_for(self, vote: Vote, now: float) -> bool:
        if self._not_yet is None or self._not_yet[0] != vote:
            self._not_yet = vote, now
        return now - self._not_yet[1] > self._timing.suspect_after
