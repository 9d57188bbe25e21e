"""The end of a connection after words: half-close, drain, close.

Closing a socket with unread octets resets the connection, and the other machine may then discard
the words.
"""

from collections.abc import Callable

from chainchat.network.sockets import Transport, Writer
from chainchat.node.interfaces import Clock, Timer

DRAIN_SECONDS = 1.0
"""How long the other side may take to close, once all is sent."""

LOOK_SECONDS = 1.0
"""Seconds between two looks whether a reader that has stopped goes on."""

SHOW_SECONDS = 3.0
"""Seconds for a reader to show what its machine has taken: at the end, telnet drops the rest."""

DRAIN_OCTETS = 256 * 1024


class Farewell:
    """The end of one connection.

    The protocol hands on its ``dataReceived`` and ``…ConnectionLost``.
    """

    def __init__(
        self, transport: Transport, writer: Writer, clock: Clock, seconds: float = DRAIN_SECONDS
    ) -> None:
        self._transport = transport
        self._writer = writer
        self._clock = clock
        self._seconds = seconds
        self._drained = 0
        self._deadline: Timer | None = None

    def begin(self, *, input_ended: bool = False) -> None:
        """Say that nothing follows; ``input_ended``: nor from the other side."""
        if input_ended:
            self._writer.close()
        else:
            self._writer.half_close()

    def begin_when_taken(self, taken: Callable[[], bool]) -> None:
        """Begin when the other machine has ``taken`` all, and could show it."""
        if taken():
            self._deadline = self._clock.callLater(SHOW_SECONDS, self.begin)
        else:
            self._deadline = self._clock.callLater(LOOK_SECONDS, self.begin_when_taken, taken)

    def drain(self, data: bytes) -> None:
        self._drained += len(data)
        if self._drained > DRAIN_OCTETS:
            self._transport.pauseProducing()

    def sent(self) -> None:
        """Give the other side its time, now that everything is sent."""
        self._deadline = self._clock.callLater(self._seconds, self._writer.close)

    def input_ended(self) -> None:
        self._transport.loseConnection()

    def over(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()


class Farewells:
    """The farewells beside the places: of those refused, and of who gave way.

    Of too many, the oldest ends.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[object, Callable[[], object]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begins(self, protocol: object, close: Callable[[], object]) -> None:
        """Count a farewell, which ``close`` ends at once."""
        if len(self._open) >= self._most:
            oldest = next(iter(self._open))
            self._open.pop(oldest)()
        self._open[protocol] = close

    def over(self, protocol: object) -> None:
        self._open.pop(protocol, None)
