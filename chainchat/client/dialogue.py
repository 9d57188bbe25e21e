"""What is said on one connection: requests go out, and each reply is paired with its request.

Replies keep the order of the requests, so the oldest request without a reply is always the one that
is answered; the tag is checked, not searched for. The dialogue also knows when silence means death.
"""

from collections import deque
from collections.abc import Iterator

from msgspec import Struct, field

from chainchat.client.wire import (
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
    request_line,
)

PING_AFTER = 5.0
"""Seconds of silence after which we ask whether anybody is there."""

SILENCE = 5.0
"""Seconds of silence with a PING out after which a connection is taken for dead."""

SILENCE_WHILE_WAITING = 30.0
"""The same while the chain has said that it cannot confirm: a PING's reply stands behind those of
earlier SENDs. After this long another node is tried: it may be on the side that goes on."""

ENDING_CODES = frozenset({421, 422, 423, 431, 505})
"""Refusals after which the server closes: not of one request, but of the connection."""

NO_TAG = "-"
"""Stands in the answer to a line without a tag, as ``/hello``, or whose tag was not understood."""


class Asked(Struct):
    """A request under way.

    Attributes:
        tag: ties the reply to it.
        verb: HELLO for the switch to machine mode.
        number: of the SEND, or of the program's request; 0 for what the engine asks for itself.
        arguments: what stands after the verb.
        items: the lines of the list that answers it, as far as they have come.
    """

    tag: str
    verb: str
    number: int = 0
    arguments: tuple[str | int, ...] = ()
    items: list[str] = field(default_factory=list)

    @property
    def of_program(self) -> bool:
        """Whether the program asked for it: not the engine itself, and not a SEND."""
        return self.number > 0 and self.verb != "SEND"


class Reply(Struct, frozen=True):
    """A request and the line that answers it, or ends the list that does."""

    asked: Asked
    line: Done | Refusal | End


class Dialogue:
    """One connection, from ``/hello`` to its end. Times are monotonic seconds.

    Attributes:
        unanswered: the requests whose replies are to come, oldest first.
        waiting: whether the chain has said that it cannot confirm.
    """

    def __init__(self, now: float) -> None:
        self.unanswered: deque[Asked] = deque()
        self.waiting = False
        self._reader = LineReader()
        self._written: list[str] = []
        self._heard_at = now
        self._pinged_at: float | None = None

    def take_bytes(self) -> bytes:
        """What was written since the last call."""
        text = "".join(self._written)
        self._written.clear()
        return text.encode()

    def hello(self, client: str, *, notices: bool) -> None:
        """Ask for machine mode."""
        self.unanswered.append(Asked(NO_TAG, "HELLO"))
        self._written.append(hello_line(client, notices=notices))

    def ask(self, asked: Asked) -> None:
        """Write a request."""
        self.unanswered.append(asked)
        self._written.append(request_line(asked.tag, asked.verb, *asked.arguments))

    def send(self, number: int, line: str) -> None:
        """Write a SEND that ``wire.send_line`` has made."""
        self.unanswered.append(Asked(str(number), "SEND", number))
        self._written.append(line)

    def feed(self, data: bytes, now: float) -> Iterator[Push | Note | Refusal | Reply]:
        """What these bytes say, in order; a Refusal that stands alone ends the connection.

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
                case Refusal(tag="-") if self.unanswered:
                    # Not understood, so answered without its tag; but in its place.
                    yield Reply(self.unanswered.popleft(), line)
                case Done() | Refusal() | End():
                    asked = self._oldest(line.tag)
                    self.unanswered.popleft()
                    if asked.verb == "PING":
                        self._pinged_at = None
                    else:
                        yield Reply(asked, line)
                case Item():
                    self._oldest(line.tag).items.append(line.text)

    def _oldest(self, tag: str) -> Asked:
        if not self.unanswered or self.unanswered[0].tag != tag:
            raise ProtocolError(f"the server answered @{tag}, which is not what was asked for")
        return self.unanswered[0]

    def silence(self, now: float) -> float | None:
        """How many seconds the silence has lasted if that is too long; may write a PING first."""
        if self._pinged_at is None:
            if now - self._heard_at >= PING_AFTER:
                self._pinged_at = now
                self.ask(Asked("ping", "PING"))
            return None
        # A process that was stopped for a while finds old times: it is the silence since our
        # question that counts, not since we last heard something.
        patience = SILENCE_WHILE_WAITING if self.waiting else SILENCE
        too_long = now - max(self._heard_at, self._pinged_at) >= patience
        return now - self._heard_at if too_long else None
