"""Handshakes that strangers begin, which get a share of a node's time."""

from collections import OrderedDict
from typing import Any, Protocol

from chainchat.node.budget import HANDSHAKE_SHARE, Slice
from chainchat.node.interfaces import Clock
from chainchat.node.share import Share


class Shaking(Protocol):
    """A connection that has not agreed on TLS."""

    transport: Any

    def shake_hands(self, data: bytes) -> None: ...


class Handshakes:
    """One port's handshakes, one step after another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._share = Share(clock, self._go_on, HANDSHAKE_SHARE)
        self._waiting: OrderedDict[Shaking, bytes] = OrderedDict()

    def take(self, connection: Shaking, data: bytes) -> None:
        """Go on with a handshake, now or in turn; until then the connection reads no more."""
        if self._share.is_due and not self._waiting:
            self._step(connection, data)
            return
        connection.transport.pauseProducing()
        self._waiting[connection] = data
        self._share.wake_when_due()

    def forget(self, connection: Shaking) -> None:
        """Leave out a connection that has ended."""
        self._waiting.pop(connection, None)
        if not self._waiting:
            self._share.stop()

    def _go_on(self) -> None:
        while self._waiting and self._share.is_due:
            connection, data = self._waiting.popitem(last=False)
            connection.transport.resumeProducing()
            self._step(connection, data)
        if self._waiting:
            self._share.wake_when_due()

    def _step(self, connection: Shaking, data: bytes) -> None:
        work = Slice(self._clock.seconds, 0.0)
        connection.shake_hands(data)
        self._share.took(work.spent())
