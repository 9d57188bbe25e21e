"""Planted bugs: the simulator has to catch each of them, or it proves nothing.

Each is a subclass of a class of the product, put in its place for a run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from chainchat.chain.messages import Holding
from chainchat.chain.replica import Effect, Persist, Replica
from chainchat.chat import commands
from chainchat.chat.state import ChatState, Result
from chainchat.server.node import Node


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


class DropsEarlyMessages(Node):
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


PLANTED: dict[str, type] = {
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
    )
}


@contextmanager
def planted(bug: type) -> Iterator[None]:
    """Put ``bug`` in the place of the class that it is a subclass of."""
    if issubclass(bug, Node):
        place = "tests.simulation.scenario.Node"
    else:
        place = f"chainchat.server.node.{bug.__mro__[1].__name__}"
    with patch(place, bug):
        yield
