"""The order of replies: each waits for the earlier ones, or overtakes."""

from collections.abc import Callable, Sequence

from msgspec import Struct, field

from chainchat.chat.commands import AnyCommand
from chainchat.sessions.interfaces import Client

MOST_OWED = 1_024
"""While the chain cannot confirm, a client could ask for any number of replies."""

MOST_MADE_HERE = 16
"""Of these, replies of the node's own, which are made together once the chain confirms."""


class Reply(Struct, eq=False):
    """The place of one reply in the order.

    Attributes:
        lines: known, not said yet.
        start: called when all earlier replies are complete.
        holds_later: later requests wait for it.
        make: makes the lines of the node's own reply in its turn.
        command: until the chain confirms it.
    """

    lines: list[str] = field(default_factory=list)
    complete: bool = False
    start: "Callable[[Reply], None] | None" = None
    holds_later: bool = False
    make: Callable[[], Sequence[str]] | None = None
    command: AnyCommand | None = None


_NOTHING: list[Reply] = []
"""Shared by all clients that are owed nothing; never added to."""


class Replies:
    """What one connection still owes its client."""

    __slots__ = ("_client", "_made_here", "_owed")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made_here = 0
        self._owed = _NOTHING

    def __bool__(self) -> bool:
        return bool(self._owed)

    @property
    def holding_later(self) -> bool:
        """True if the next request has to wait."""
        return bool(self._owed) and self._owed[-1].holds_later

    @property
    def too_many(self) -> bool:
        return len(self._owed) >= MOST_OWED or self._made_here >= MOST_MADE_HERE

    @property
    def unconfirmed(self) -> list[AnyCommand]:
        return [reply.command for reply in self._owed if reply.command is not None]

    def reserve(
        self,
        start: Callable[[Reply], None] | None = None,
        *,
        holds_later: bool = False,
        command: AnyCommand | None = None,
    ) -> Reply:
        assert not self.holding_later
        reply = Reply(start=start, holds_later=holds_later, command=command)
        self._owe(reply)
        self._start_first()
        return reply

    def add(self, reply: Reply, *lines: str) -> None:
        reply.lines += lines
        if reply is self._owed[0]:
            self._say_first()

    def complete(self, reply: Reply, *lines: str) -> None:
        reply.complete = True
        reply.command = None
        self.add(reply, *lines)

    def answer(self, *lines: str) -> None:
        self.complete(self.reserve(), *lines)

    def answer_locally(self, make: Callable[[], Sequence[str]], *, at_once: bool) -> None:
        """Give a reply of the node's own, in turn or first."""
        assert at_once or not self.holding_later
        reply = Reply(make=make)
        self._made_here += 1
        self._owe(reply, first=at_once)
        self._say_first()

    def overtake(self) -> None:
        """Move the node's own replies before all others."""
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
                self._made_here -= 1
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
        if not self._owed:
            return
        first = self._owed[0]
        start, first.start = first.start, None
        if start is not None:
            start(first)
