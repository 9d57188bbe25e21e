"""Ports that accept little at a time."""

import errno
import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.tcp import Port

from chainchat.node.budget import ACCEPT_SHARE, Slice
from chainchat.node.share import Share

ACCEPTS_PER_TURN = 4

SHED_AT_ONCE = 64
"""Connections shed in a turn: 2 to 5 ms."""

SHED_PRICE = 0.2
"""What a second of shedding costs of the port's share: so it takes up to a fifth of all time."""

_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: close with a reset, which leaves nothing behind."""


class PacedPort(Port):
    """Accepts in a share of the node's time.

    Twisted's own port accepts all in each turn, and the more, the more there were before.
    """

    share = ACCEPT_SHARE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._accepting = Share(self.reactor, self.startReading, self.share)

    def doRead(self) -> None:
        work = Slice(self.reactor.seconds, 0.0)
        super().doRead()  # type: ignore[no-untyped-call]
        self._accepting.took(self._price(work.spent()))
        self.stopReading()  # type: ignore[no-untyped-call]
        self._accepting.wake_when_due()

    def _price(self, seconds: float) -> float:
        """What a turn of so many seconds costs of the share."""
        return seconds

    def loseConnection(self, *args: Any) -> Any:
        self._accepting.stop()
        return super().loseConnection(*args)  # type: ignore[no-untyped-call]

    stopListening = loseConnection

    @property
    def numberAccepts(self) -> int:
        return ACCEPTS_PER_TURN

    @numberAccepts.setter
    def numberAccepts(self, _: int) -> None:
        pass


class Shedding(socket.socket):
    """A listening socket that ends connections of hosts that ``sheds`` is true of.

    Attributes:
        left: how many more it may end.
        spent: seconds that this took.
    """

    def __init__(
        self, listening: socket.socket, sheds: Callable[[str], bool], clock: Callable[[], float]
    ) -> None:
        """Take over a socket that will listen."""
        super().__init__(fileno=listening.detach())
        self.setblocking(False)
        self.left, self.spent = 0, 0.0
        self._sheds = sheds
        self._clock = clock

    def accept(self) -> tuple[socket.socket, Any]:
        accepted, address = super().accept()
        if not self._sheds(address[0]):
            return accepted, address
        began = self._clock()
        try:
            while True:
                _reset(accepted)
                self.left -= 1
                if self.left <= 0:
                    raise BlockingIOError(errno.EWOULDBLOCK, "enough for this turn")
                accepted, address = super().accept()
                if not self._sheds(address[0]):
                    return accepted, address
        finally:
            self.spent += self._clock() - began


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()


class SheddingPort(PacedPort):
    """Ends connections of those who connect too often before they cost anything.

    To tell one why it is refused takes ten times as long. One host that connects a thousand times
    a second would take the whole share, and others wait for seconds.

    Attributes:
        sheds: true of hosts whose connections end unheard.
    """

    socket: Shedding
    sheds: Callable[[str], bool] = staticmethod(lambda host: False)  # noqa: ARG005

    def createInternetSocket(self) -> Shedding:
        listening: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        return Shedding(listening, self._sheds_now, self.reactor.seconds)

    def _sheds_now(self, host: str) -> bool:
        return self.sheds(host)

    def doRead(self) -> None:
        self.socket.left, self.socket.spent = SHED_AT_ONCE, 0.0
        super().doRead()

    def _price(self, seconds: float) -> float:
        return seconds - (1 - SHED_PRICE) * self.socket.spent
