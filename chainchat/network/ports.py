"""Ports that accept little at a time."""

from typing import Any

from twisted.internet.tcp import Port

from chainchat.node.budget import ACCEPT_SHARE, Slice
from chainchat.node.share import Share

ACCEPTS_PER_TURN = 4


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
        self._accepting.took(work.spent())
        self.stopReading()  # type: ignore[no-untyped-call]
        self._accepting.wake_when_due()

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
