"""Writing to a socket at once.

A Twisted transport sends in the reactor's next round, after two system calls that ask when.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

FULL_OCTETS = 64 * 1024
"""Octets that may stand unsent, as many as with Twisted."""


class Transport(Protocol):
    """The part of Twisted's ``ITCPTransport``, ``IConsumer`` and ``ISystemHandle`` that is used."""

    def write(self, data: bytes) -> None:
        """Send in the reactor's next round, or later."""

    def loseConnection(self) -> None: ...

    def loseWriteConnection(self) -> None:
        """When all is sent, end this direction and call the protocol's ``writeConnectionLost``."""

    def abortConnection(self) -> None: ...

    def pauseProducing(self) -> None: ...

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def getHandle(self) -> socket.socket: ...

    def getPeer(self) -> IPv4Address: ...


class Writer(Protocol):
    """All writing to one connection, in order.

    ``most``: octets that may stand unsent before it is full.
    """

    most: int

    @property
    def written(self) -> int:
        """Octets so far, sent or not, which the kernel counts alike."""

    def write(self, data: bytes) -> None:
        """Send what the socket takes now, and the rest as it takes more."""

    def close(self) -> None:
        """Close when all is sent."""

    def half_close(self) -> None:
        """Say that nothing follows; the protocol is told when all is sent."""


@implementer(IPullProducer, IPushProducer)
class Outlet:
    """A TCP connection's ``Writer``.

    A transport asks a pull producer for more when all is sent: then nothing stands before the next
    octets.
    """

    def __init__(self, transport: Transport, full: Callable[[bool], object]) -> None:
        """Take over a new connection; only plain TCP is written to directly.

        ``full`` hears True when over ``most`` octets stand unsent, and False when none do.
        """
        self.most = FULL_OCTETS
        self.written = 0
        self._transport = transport
        self._tell_full = full
        self._full = False
        plain = isinstance(transport, Connection)
        self._socket = transport.getHandle() if plain else None
        self._at_once = plain
        """True if nothing stands unsent."""
        self._by_transport = not plain
        self._waiting: list[bytes] = []
        self._unsent = 0
        """Octets that the transport has, and those that wait."""
        self._when_sent: Callable[[], object] | None = None
        transport.registerProducer(self, not plain)

    def write(self, data: bytes) -> None:
        self.written += len(data)
        if self._at_once:
            assert self._socket is not None
            try:
                sent = self._socket.send(data)
            except OSError:  # full, or broken: the transport will find out and act
                sent = 0
            if sent == len(data):
                return
            self._at_once = False
            self._give(data[sent:])
        elif self._by_transport:
            self._transport.write(data)
        else:
            self._waiting.append(data)
            self._unsent += len(data)
        if self._unsent > self.most:
            self.pauseProducing()

    def close(self) -> None:
        self._finish()
        self._transport.loseConnection()

    def half_close(self) -> None:
        self._finish()
        self._transport.loseWriteConnection()

    def when_sent(self, call: Callable[[], object]) -> None:
        """Call back when nothing stands unsent; never if the connection ends before."""
        if self._at_once:
            call()
        else:
            self._when_sent = call

    def _finish(self) -> None:
        if not self._by_transport:
            self._give(b"".join(self._waiting))
        self.stopProducing()
        self._transport.unregisterProducer()

    def _give(self, data: bytes) -> None:
        self._waiting.clear()
        self._unsent = len(data)
        self._transport.write(data)

    # --- for the transport

    def pauseProducing(self) -> None:
        if not self._full:
            self._full = True
            self._tell_full(True)

    def resumeProducing(self) -> None:
        if self._waiting:
            self._give(b"".join(self._waiting))
            return
        self._unsent = 0
        self._at_once = not self._by_transport
        if self._full:
            self._full = False
            self._tell_full(False)
        if self._when_sent is not None:
            call, self._when_sent = self._when_sent, None
            call()

    def stopProducing(self) -> None:
        self._at_once, self._by_transport = False, True
        self._waiting.clear()
        self._unsent = 0


def keep_alive(handle: socket.socket, options: Mapping[str, int]) -> None:
    """Let the kernel probe the other machine; ``options``: TCP's, where the system has them."""
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):
            handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
