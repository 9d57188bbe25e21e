"""Planted bugs: the simulator has to catch each of them, or it proves nothing.

Each is a subclass of a class of the product, put in its place for a run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from chainchat.chain.changes import Change, change, may_shrink
from chainchat.chain.configuration import Configuration
from chainchat.chain.evidence import Evidence, Life
from chainchat.chain.membership import Membership
from chainchat.chain.messages import Abort, Ack, Forward, Holding, Ping, Vote
from chainchat.chain.record import Status
from chainchat.chain.replica import Effect, Persist, Replica, Send
from chainchat.chat import commands
from chainchat.chat.state import ChatState, Result
from tests.simulation.world import TracedNode


class AcknowledgesBeforePersisting(Replica):
    """Sends and applies first, and writes to its disk afterwards."""

    def turn(self, now: int) -> Iterator[Effect]:
        late = []
        for effect in super().turn(now):
            if isinstance(effect, Persist):
                late.append(effect)
            else:
                yield effect
        yield from late


class RepliesBeforeTheTail(Replica):
    """The head takes for committed what its own disk has."""

    def _forward(self) -> Iterator[Effect]:
        yield from super()._forward()
        if self.configuration.head == self._position:
            self._commit(self.durable)


class AppliesBeforeCommit(Replica):
    """Every member applies what its own disk has."""

    def _apply(self) -> Iterator[Effect]:
        committed, self.committed = self.committed, self.durable
        yield from super()._apply()
        self.committed = committed


class ResumesOneTooLate(Replica):
    """Goes on after the entry that the successor lacks."""

    def _resume_from(self, last, successor):
        super()._resume_from(last, successor)
        if self._forwarded < self.durable:
            self._forwarded += 1


class ForgetsToSubmitAgain(Replica):
    """What was on its way to the head in one configuration is not submitted in the next."""

    def adopt(self, configuration):
        super().adopt(configuration)
        self._offered = self._numbered

    def _settle(self, number: int) -> None:
        self._pending.pop(number, None)


class NoDeduplicationOfOrigins(ChatState):
    """A request that its origin submits again is applied again."""

    def _in_turn(self, origin: str, number: int) -> bool:
        if origin not in self.origins:
            return False
        self.origins[origin] = max(number, self.origins[origin])
        return True


class NoDeduplicationOfPrograms(ChatState):
    """A SEND that is repeated is said again."""

    def _say(self, say, seq, time, events) -> Result:
        self._holder(say.session)
        return self._said(say, seq, time, events)


class KeepsSessionsOfTheDead(ChatState):
    """A new epoch ends nobody's session."""

    def _set_origins(self, command: commands.Origins, events: list) -> None:
        known = {origin: self.origins.get(origin, 0) for origin in command.origins}
        self.origins = self.origins | known


class DropsEarlyMessages(TracedNode):
    """A message of an epoch that is still to be adopted is thrown away."""

    def _receive_in_epoch(self, sender, message) -> None:
        if message.epoch <= self._replica.configuration.epoch and self._replica.active:
            super()._receive_in_epoch(sender, message)


class NeverTellsHolding(Replica):
    """Goes on after a new connection as if nothing had been lost on the old one."""

    def linked(self, position: str) -> None:
        forwarded, told = self._forwarded, self._tell_holding
        super().linked(position)
        self._forwarded, self._tell_holding = forwarded, told

    def receive(self, sender, message) -> None:
        if not isinstance(message, Holding) or self._forwarded is None:
            super().receive(sender, message)


class ActsOnAnyEpoch(TracedNode):
    """Believes entries and acknowledgements whatever epoch, and so whatever chain, they are of."""

    def _receive_in_epoch(self, sender, message) -> None:
        match message:
            case Ack():
                self._replica._commit(message.seq)
            case Forward():
                self._replica._take(message)
            case _:
                super()._receive_in_epoch(sender, message)
        self._soon()


class LosesMarks(ChatState):
    """Read marks are acknowledged, and forgotten."""

    def _see(self, number: int, seen: int) -> None:
        pass


# --- membership: each row of the table in docs/architecture.md that says what a rule is for


class BelievesStaleProofs(Evidence):
    """A proof of death counts, however long ago the dead node confirmed that it excluded nobody."""

    def is_fresh(self, life: Life, now: float) -> bool:
        known = self._known.get(life)
        return known is not None and known.fresh is not None


class ForgetsWhomItTriedToExclude(Membership):
    """Confirms the pings of those whom it has just tried to exclude."""

    def _confirms(self, ping: Ping) -> bool:
        self._tried = set()
        return super()._confirms(ping)


class VotesOnHearsay(Membership):
    """Votes to exclude whom the proposer suspects, without a judgement of its own."""

    def _objection(self, vote: Vote, kind, now: float) -> str:
        return "" if kind is Change.SHRINK else super()._objection(vote, kind, now)


class ForgetsVotes(Membership):
    """A vote does not survive a restart."""

    def __init__(self, me, record, founding, *, suspect_after: float) -> None:
        super().__init__(me, replace(record, vote=None), founding, suspect_after=suspect_after)


class NeverWedges(Membership):
    """A restarted member goes on as if it had never been away."""

    @property
    def status(self) -> Status:
        status = super().status
        return Status.ACTIVE if status is Status.WEDGED else status


class WorksWhileItVotes(Membership):
    """Takes part in the chain while it holds a vote."""

    @property
    def active(self) -> bool:
        return self.status is Status.ACTIVE and self.sealed is None


class LetsLearnersInTooEarly(Membership):
    """Votes for a join without waiting until the learner has the rest of the log."""

    def _seal(self, vote: Vote, now: float):
        if vote.proposer == self.me:
            yield from self._decide(now)
        else:
            yield from self._vote(vote)


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


class ReadsWithoutLease(Membership):
    """A tail answers, and lets learners copy, whether or not the chain went on without it."""

    def holds_lease(self, now: float) -> bool:
        return self.status is Status.ACTIVE


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


PLANTED: dict[str, Any] = {
    bug.__name__: bug
    for bug in (
        AcknowledgesBeforePersisting,
        RepliesBeforeTheTail,
        AppliesBeforeCommit,
        ResumesOneTooLate,
        ForgetsToSubmitAgain,
        NoDeduplicationOfOrigins,
        NoDeduplicationOfPrograms,
        KeepsSessionsOfTheDead,
        DropsEarlyMessages,
        NeverTellsHolding,
        LosesMarks,
        BelievesStaleProofs,
        NeverWedges,
        WorksWhileItVotes,
        LetsLearnersInTooEarly,
        DecidesWithoutVotes,
        ReadsWithoutLease,
        NeverAborts,
        half_is_enough,
        ActsOnAnyEpoch,
        AdoptsWhenItVotes,
        DropsVotesOfDeadProposers,
    )
}
"""Those that the standing seeds have to catch."""

RARE: dict[str, Any] = {
    bug.__name__: bug
    for bug in (
        VotesOnHearsay,
        ForgetsWhomItTriedToExclude,
        ForgetsVotes,
        VotesTwice,
        KeepsItsProposalWhenItVotes,
    )
}
"""Those that do harm only in a window of milliseconds, after several faults in the right order.

No seed has caught them yet; the unit tests of membership hold the rules that they break.
"""

PLACES = {
    TracedNode: "tests.simulation.scenario.TracedNode",
    Evidence: "chainchat.chain.membership.Evidence",
    Membership: "chainchat.server.node.Membership",
    Replica: "chainchat.server.node.Replica",
    ChatState: "chainchat.server.applying.ChatState",
}


@contextmanager
def planted(bug: Any) -> Iterator[None]:
    """Put ``bug`` in the place of what it is a bad copy of."""
    place = "chainchat.chain.membership.may_shrink"
    if isinstance(bug, type):
        place = next(name for kind, name in PLACES.items() if issubclass(bug, kind))
    with patch(place, bug):
        yield
