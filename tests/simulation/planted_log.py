"""Planted bugs in the log and in the chat; see ``planted``."""

from collections import deque
from collections.abc import Callable, Iterator

from msgspec import structs

from chainchat.chain.effects import Apply, Effect, Sync, Write
from chainchat.chain.engine import Engine
from chainchat.chain.log import DivergenceError
from chainchat.chain.messages import Ack, Forward, Holding
from chainchat.chain.own_requests import OwnRequests
from chainchat.chain.replica import Replica
from chainchat.chat import commands
from chainchat.chat.outcomes import Outcome
from chainchat.chat.programs import Programs
from chainchat.chat.saying import Sayings
from chainchat.chat.state import ChatState

MONTH = 30 * 24 * 3_600_000
"""Milliseconds."""


class TellsBeforeItWrites(Replica):
    """Sends and applies first, and writes afterwards."""

    def turn(self, now: int) -> Iterator[Effect]:
        late = []
        for effect in super().turn(now):
            if isinstance(effect, Write | Sync):
                late.append(effect)
            else:
                yield effect
        yield from late


class TellsBeforeItSyncs(Replica):
    """Writes, tells what it has, and syncs afterwards."""

    def turn(self, now: int) -> Iterator[Effect]:
        late = []
        for effect in super().turn(now):
            if isinstance(effect, Sync):
                late.append(effect)
            else:
                yield effect
        yield from late


class CommitsWithoutTheWord(Replica):
    """A tail takes for committed what its own disk has, though those before it may still sync."""

    @property
    def word(self) -> int:
        return self.synced


class PassesTheWordOn(Replica):
    """A member gives its predecessor's word for its own, and looks at its own disk no more."""

    @property
    def word(self) -> int:
        return self.synced if self._is_head or self._is_tail else self._synced_before


class RepliesBeforeTheTail(Replica):
    """The head takes for committed what its own disk has."""

    def _sync(self) -> Iterator[Effect]:
        yield from super()._sync()
        if self._is_head:
            self._commit(self.synced)


class AppliesBeforeCommit(Replica):
    """Every member applies what its own disk has."""

    def apply(self, go_on: Callable[[], bool]) -> Iterator[Apply]:
        committed, self.committed = self.committed, self.synced
        yield from super().apply(go_on)
        self.committed = committed

    def _check_marks(self) -> None:
        """The harm is to be caught, and not that it shows in the marks."""


class ResumesOneTooLate(Replica):
    """Goes on after the entry that the successor lacks."""

    def _go_on_after(self, last, successor):
        super()._go_on_after(last, successor)
        if self._forwarded is not None and self._forwarded.seq < self.synced:
            skipped = self._entries(self._forwarded.seq, self.synced, octets=1)[0]
            self._forwarded = skipped.id


class ForgetsToSubmitAgain(OwnRequests):
    """What was on its way to the head in one configuration is not submitted in the next."""

    def offer_again(self) -> None:
        self.unoffered = []

    def settle(self, number: int) -> None:
        self._kept = deque(request for request in self._kept if request.number != number)


class NoDeduplicationOfOrigins(ChatState):
    """A request that its origin submits again is applied again."""

    def _in_turn(self, origin: str, number: int) -> bool:
        if origin not in self.origins:
            return False
        self.origins[origin] = max(number, self.origins[origin])
        return True


class NoDeduplicationOfPrograms(Sayings):
    """A SEND that is repeated is said again."""

    def apply(self, say, account, seq, time) -> Outcome:
        return super().apply(structs.replace(say, client=""), account, seq, time)


class ForgetsByTheClock(Sayings):
    """What a program has sent is forgotten after a month, by the times of entries."""

    def apply(self, say, account, seq, time) -> Outcome:
        used = self.__dict__.setdefault("_used", {})
        if time - used.get((account, say.client), time) > MONTH:
            self._programs.finish(account, say.client)
        used[account, say.client] = time
        return super().apply(say, account, seq, time)


class RemembersAllPrograms(Programs):
    """Whatever client IDs there are, each is remembered."""

    def _forget_sends(self, programs, program) -> None:
        pass

    def _outdate(self, program) -> None:
        pass


class KeepsSessionsOfTheDead(ChatState):
    """A new epoch ends nobody's session."""

    def _set_origins(self, command: commands.Origins, events: list) -> None:
        known = {origin: self.origins.get(origin, 0) for origin in command.origins}
        self.origins = self.origins | known


class DropsEarlyMessages(Engine):
    """A message of an epoch that is still to be adopted is thrown away."""

    def note(self, sender, message) -> None:
        if message.epoch <= self.replica.configuration.epoch and self.replica.active:
            super().note(sender, message)


class CopiesOnTopOfWhatItTook(Replica):
    """A locked member keeps what it has taken and not written: what it copies does not follow."""

    def copy(self, entries, *, committed):
        if entries[0].first != self.last.seq + 1:
            raise DivergenceError(f"{entries[0].id} does not follow {self.last}")
        yield from super().copy(entries, committed=committed)


class NeverTellsHolding(Replica):
    """Goes on after a new connection as if nothing had been lost on the old one."""

    def linked(self, position: str, *, older: bool = False) -> None:
        forwarded, told = self._forwarded, self._tell_holding
        super().linked(position, older=older)
        self._forwarded, self._tell_holding = forwarded, told

    def receive(self, sender, message) -> None:
        if not isinstance(message, Holding) or self._forwarded is None:
            super().receive(sender, message)


class ActsOnAnyEpoch(Engine):
    """Believes entries and acknowledgements whatever epoch, and so whatever chain, they are of."""

    def note(self, sender, message) -> None:
        match message:
            case Ack():
                self.replica._commit(message.seq)
            case Forward():
                self.replica._take(message)
            case _:
                super().note(sender, message)
        self.due = True


class IgnoresDigests(Replica):
    """An entry is named by its epoch and number alone, as if no two chains could have them."""

    also = {"chainchat.chain.replica.digest_after": lambda *_: b""}


class IgnoresIdentities(Replica):
    """The number of an epoch is enough to name a configuration, as if no two chains could have it.

    Digests keep two histories apart all the same. So the rule itself is watched.
    """

    also = {"chainchat.chain.configuration.Configuration.is_another": lambda *_: False}


class NotesNothingAsCommitted(Replica):
    """A later life does not know what an earlier one knew to be committed."""

    also = {"chainchat.chain.engine.Engine._mark": lambda _: iter(())}

    def turn(self, now):
        return self._without_marks(super().turn(now))

    def copy(self, entries, *, committed):
        return self._without_marks(super().copy(entries, committed=committed))

    def _without_marks(self, effects):
        for effect in effects:
            marked = isinstance(effect, Write)
            yield structs.replace(effect, committed=0) if marked else effect


class LosesMarks(ChatState):
    """Read marks are acknowledged, and forgotten."""

    def _see(self, number: int, seen: int) -> None:
        pass
