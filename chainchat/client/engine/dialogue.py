"""Requests and replies of one connection: each reply answers the oldest request.

Only CHAIN and PING are answered at once, which tells a waiting node from a dead one.
"""

from collections import deque
from collections.abc import Iterator

from msgspec import Struct, field

from chainchat.client.engine.events import MessageArrived
from chainchat.client.engine.wire import (
    Done,
    End,
    Item,
    LineReader,
    Note,
    ProtocolError,
    Push,
    Refusal,
    hello_line,
    parse_line,
    parse_message,
    request_line,
)

PING_AFTER = 5.0
"""Seconds of silence before a PING is sent."""

PING_UNANSWERED_AFTER = 1.0
"""Seconds of silence before a PING, while a request is unanswered."""

SILENCE = 3.0
"""Seconds of silence, with a PING or CHAIN unanswered, that make a connection dead."""

PATIENCE = 30.0
"""Seconds without other replies until the client leaves a node that answers PINGs.

Such a node cannot confirm, and another may be on the side that goes on.
"""

ANSWERED_AT_ONCE = frozenset({"CHAIN", "PING"})

ENDING_CODES = frozenset({421, 422, 423, 424, 425, 427, 431, 505})
"""Codes after which the server closes the connection."""

LONGEST_LIST = 64 << 20
"""Characters; a longer list counts as endless."""

LEAST_OF_LINE = 32
"""Characters that a line of a list counts as, at least: an empty one takes memory, too."""

NO_TAG = "-"
"""Stands for the tag in the answer to a line without one, like ``/hello``."""


class Asked(Struct):
    """A request that was sent.

    Attributes:
        verb: HELLO for the switch to machine mode.
        number: of the SEND or the program's request; 0 for the engine's own.
        items, messages: listed so far; ``messages`` for SINCE.
    """

    tag: str
    verb: str
    number: int = 0
    arguments: tuple[str | int, ...] = ()
    items: list[str] = field(default_factory=list)
    messages: list[MessageArrived] = field(default_factory=list)
    length: int = 0

    @property
    def of_program(self) -> bool:
        """True for a request of the program, but no SEND."""
        return self.number > 0 and self.verb != "SEND"

    def listed(self, text: str) -> None:
        """Parse a line of the list now: the end of a long list is no long turn.

        Raises:
            ProtocolError: the list is endless, or not what was asked for.
        """
        self.length += max(LEAST_OF_LINE, len(text))
        if self.length > LONGEST_LIST:
            raise ProtocolError("the server sent an endless list")
        if self.verb != "SINCE":
            self.items.append(text)
            return
        try:
            self.messages.append(parse_message(text.removeprefix("MSG ")).message)
        except ValueError as error:
            raise ProtocolError("the server listed something else than messages") from error
        if len(self.arguments) > 1 and len(self.messages) > int(self.arguments[1]):
            raise ProtocolError("the server listed more messages than it was asked for")

    def forget(self) -> None:
        """Drop the list, which will come again."""
        self.items.clear()
        self.messages.clear()
        self.length = 0


class Reply(Struct, frozen=True):
    """A request and the end of its answer."""

    asked: Asked
    line: Done | Refusal | End


class Dialogue:
    """One connection, from ``/hello`` to its end; times are monotonic seconds.

    Call ``trouble`` some ten times a second.
    """

    def __init__(self, now: float) -> None:
        self._in_order: deque[Asked] = deque()
        self._at_once: dict[str, Asked] = {}
        """Requests whose replies may overtake, by tag."""
        self._reader = LineReader()
        self._written: list[str] = []
        self._heard_at = now
        self._pinged_at: float | None = None
        """Since when ``trouble`` saw a request of ``_at_once`` unanswered."""
        self._stuck_since: float | None = None
        """Since when ``trouble`` saw the oldest request in order unanswered."""

    @property
    def unanswered(self) -> list[Asked]:
        return [*self._in_order, *self._at_once.values()]

    def take_bytes(self) -> bytes:
        text = "".join(self._written)
        self._written.clear()
        return text.encode()

    def hello(self, client: str, *, notices: bool) -> None:
        self._in_order.append(Asked(NO_TAG, "HELLO"))
        self._written.append(hello_line(client, notices=notices))

    def ask(self, asked: Asked) -> None:
        if asked.verb in ANSWERED_AT_ONCE:
            self._at_once[asked.tag] = asked
        else:
            self._in_order.append(asked)
        self._written.append(request_line(asked.tag, asked.verb, *asked.arguments))

    def send(self, number: int, line: str) -> None:
        self._in_order.append(Asked(str(number), "SEND", number))
        self._written.append(line)

    def feed(self, data: bytes, now: float) -> Iterator[Push | Note | Refusal | Reply]:
        """Parse octets; a Refusal that stands alone ends the connection.

        Raises:
            ProtocolError: they are not machine mode.
        """
        self._heard_at = now
        for text in self._reader.feed(data):
            line = parse_line(text)
            match line:
                case Push() | Note():
                    yield line
                case Refusal() if line.code in ENDING_CODES:
                    yield line
                case Done() | Refusal() if line.tag in self._at_once:
                    asked = self._at_once.pop(line.tag)
                    self._pinged_at = None
                    if asked.verb != "PING":
                        yield Reply(asked, line)
                case Refusal(tag="-") if self._in_order:
                    # Not understood: answered in its place, but without its tag.
                    self._stuck_since = None
                    yield Reply(self._in_order.popleft(), line)
                case Done() | Refusal() | End():
                    asked = self._oldest(line.tag)
                    self._in_order.popleft()
                    yield Reply(asked, line)
                case Item():
                    self._oldest(line.tag).listed(line.text)

    def _oldest(self, tag: str) -> Asked:
        if not self._in_order or self._in_order[0].tag != tag:
            raise ProtocolError(f"the server answered @{tag}, which is not what was asked for")
        self._stuck_since = None
        return self._in_order[0]

    def deaf(self, now: float) -> None:
        """Count no silence while the program does not read."""
        self._heard_at = now
        self._stuck_since = None
        if self._pinged_at is not None:
            self._pinged_at = now

    def trouble(self, now: float) -> str | None:
        """Why the connection is useless, if it is; may write a PING."""
        if self._pinged_at is None and self._at_once:
            self._pinged_at = now
        if self._stuck_since is None and self._in_order:
            self._stuck_since = now
        # A process that was stopped for a while finds old times. So only the silence since our
        # question counts, and the rest is checked after an answer.
        if self._pinged_at is not None:
            dead = now - max(self._heard_at, self._pinged_at) >= SILENCE
            return f"nothing heard for {now - self._heard_at:.0f} seconds" if dead else None
        if self._stuck_since is None:
            quiet = now - self._heard_at >= PING_AFTER
        else:
            quiet = now - max(self._heard_at, self._stuck_since) >= PING_UNANSWERED_AFTER
        if quiet:
            self._pinged_at = now
            self.ask(Asked("ping", "PING"))
        elif self._stuck_since is not None and now - self._stuck_since >= PATIENCE:
            return f"no answer for {now - self._stuck_since:.0f} seconds"
        return None
