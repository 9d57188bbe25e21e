"""The order of replies: each request of a connection is answered in its turn, or overtakes."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct, field

from chainchat.chat.commands import AnyCommand


class Reply(Struct, eq=False):
    """The place of one reply in the order.

    Attributes:
        lines: what to answer, as far as it is known and not said yet.
        complete: whether there is no more to come.
        start: what to do when all earlier replies are complete; None if it was begun at once.
        holds_later: whether later requests have to wait for it.
        make: makes all of it from what the node itself knows, when it is the first.
        command: what was submitted, while the chain has not confirmed it.
    """

    lines: list[str] = field(default_factory=list)
    complete: bool = False
    start: Callable[[], None] | None = None
    holds_later: bool = False
    make: Callable[[], Sequence[str]] | None = None
    command: AnyCommand | None = None


_NOTHING: list[Reply] = []
"""What is owed on a connection that is idle: one for all of them, and never added to."""


class Listener(Protocol):
    """Whoever is replied to."""

    def say(self, lines: Sequence[str]) -> None:
        """Write lines."""


class Replies:
    """The replies that one connection still owes its client."""

    __slots__ = ("_client", "_owed")

    def __init__(self, client: Listener) -> None:
        """Nothing is owed to this client yet."""
        self._client = client
        self._owed = _NOTHING

    def __bool__(self) -> bool:
        return bool(self._owed)

    @property
    def holding_later(self) -> bool:
        """Whether the next request has to wait."""
        return bool(self._owed) and self._owed[-1].holds_later

    @property
    def unconfirmed(self) -> list[AnyCommand]:
        """What was submitted and is not confirmed yet, in order."""
        return [reply.command for reply in self._owed if reply.command is not None]

    def reserve(
        self,
        start: Callable[[], None] | None = None,
        *,
        holds_later: bool = False,
        command: AnyCommand | None = None,
    ) -> Reply:
        """The next place in the order; ``start`` is called when it is the first."""
        assert not self.holding_later
        reply = Reply(start=start, holds_later=holds_later, command=command)
        self._owe(reply)
        self._start_first()
        return reply

    def add(self, reply: Reply, *lines: str) -> None:
        """A part of a reply is known."""
        reply.lines += lines
        if reply is self._owed[0]:
            self._say_first()

    def complete(self, reply: Reply, *lines: str) -> None:
        """The rest of a reply is known."""
        reply.complete = True
        reply.command = None
        self.add(reply, *lines)

    def answer(self, *lines: str) -> None:
        """A whole reply is known, and has to wait only for the earlier ones."""
        self.complete(self.reserve(), *lines)

    def answer_from_here(self, make: Callable[[], Sequence[str]], *, at_once: bool) -> None:
        """A reply that the node makes by itself: in its turn, or before all that are owed."""
        assert at_once or not self.holding_later
        reply = Reply(make=make)
        self._owe(reply, first=at_once)
        self._say_first()

    def overtake(self) -> None:
        """Those that the node makes by itself wait no longer for the others."""
        made_here = [reply for reply in self._owed if reply.make is not None]
        others = [reply for reply in self._owed if reply.make is None]
        self._owed = made_here + others
        self._say_first()

    def _owe(self, reply: Reply, *, first: bool = False) -> None:
        if not self._owed:
            self._owed = []
        self._owed.insert(0 if first else len(self._owed), reply)

    def _say_first(self) -> None:
        while self._owed:
            first = self._owed[0]
            if first.make is not None:
                first.lines, first.complete = [*first.make()], True
            self._client.say(first.lines)
            if not first.complete:
                first.lines = []
                break
            del self._owed[0]
        if not self._owed:
            self._owed = _NOTHING
        self._start_first()

    def _start_first(self) -> None:
        if self._owed and self._owed[0].start is not None:
            start, self._owed[0].start = self._owed[0].start, None
            start()
