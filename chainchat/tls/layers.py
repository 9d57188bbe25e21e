"""The layers of a connection, with and without TLS.

Under TLS: the protocol, ``Encrypted``, ``Below``, which writes at once, and the TCP connection.
"""

from collections.abc import Callable
from typing import Any, Protocol, cast

from cryptography.x509 import Certificate
from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from chainchat.network.farewell import Farewell
from chainchat.network.sockets import Outlet, Writer
from chainchat.node.interfaces import Clock
from chainchat.tls.handshakes import Handshakes

HANDSHAKE = b"\x16"
"""The first octet of a connection with TLS (RFC 8446, section 5.1)."""

LONGEST_TEXT = 16_384
"""Octets of text in a record (RFC 8446, section 5.1)."""

LONGEST_RECORD = LONGEST_TEXT + 256 + 5
"""Octets of a record (RFC 8446, section 5.2), all of which come before its text is known."""

AROUND_TEXT = 32
"""Octets that a record may have around its text: 22 with TLS 1.3."""


class Secured(Protocol):
    """A protocol that may be told to speak through TLS."""

    def handshakeCompleted(self) -> None: ...

    def writeConnectionLost(self) -> None:
        """Note that everything is sent, after ``half_close``."""

    def spoke_without_tls(self) -> bytes:
        """Return what to say, before the end, to the other side, which began without TLS."""

    def records_came(self, octets: int) -> None:
        """Note octets from the side that dialled, after their text was received."""


class Textless:
    """Counts the octets of records without text on one connection.

    Such records change the keys, for example, and TLS allows any number of them. Each costs a node
    as much as a line.
    """

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = 0
        """Octets not reported, no more than the beginning of a record."""

    def text(self, octets: int) -> None:
        self._octets -= octets + AROUND_TEXT

    def came(self, octets: int) -> int:
        """Note octets of TLS, after their text; return how many more there are without any."""
        self._octets = max(0, self._octets + octets)
        more = max(0, self._octets - LONGEST_RECORD)
        self._octets -= more
        return more


class Below(ProtocolWrapper):
    """The transport of ``Encrypted``, which writes records to the socket at once.

    Attributes:
        shaken: TLS is agreed on, until the connection ends; what was written before is encrypted.
    """

    factory: "BelowFactory"
    outlet: Outlet
    full: Callable[[bool], object] | None = None
    shaken = False
    _begun = False
    _farewell: Farewell | None = None

    def makeConnection(self, transport: Any) -> None:
        self.outlet = Outlet(transport, self._filled)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        self.outlet.write(data)

    def dataReceived(self, data: bytes) -> None:
        if self._farewell is not None:
            self._farewell.drain(data)
            return
        if not self._begun:
            self._begun = True
            if self.factory.handshakes is not None and data[:1] != HANDSHAKE:
                self._refuse()
                return
        if self.shaken:
            protocol: Secured = self.wrappedProtocol.wrappedProtocol
            super().dataReceived(data)  # type: ignore[no-untyped-call]
            if self.factory.handshakes is not None:
                protocol.records_came(len(data))
        elif self.factory.handshakes is None:
            self.shake_hands(data)
        else:
            self.factory.handshakes.take(self, data)

    def shake_hands(self, data: bytes) -> None:
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        handle = self.wrappedProtocol.getHandle()
        self.shaken = handle.get_peer_finished() is not None

    def _refuse(self) -> None:
        protocol: Secured = self.wrappedProtocol.wrappedProtocol
        self.outlet.write(protocol.spoke_without_tls())
        self._farewell = Farewell(tcp(self), self.outlet, self.factory.clock)
        self._farewell.begin()
        self._farewell.sent()  # a line is, at once

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = 1
            self.outlet.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected, self.full, self.shaken = 0, None, False
        if self.factory.handshakes is not None:
            self.factory.handshakes.forget(self)
        if self._farewell is not None:
            self._farewell.over()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _filled(self, full: bool) -> None:
        if self.full is not None:
            self.full(full)


class Encrypted(TLSMemoryBIOProtocol):
    """TLS on one connection.

    Attributes:
        distrust: why the certificate of the other side was refused; empty if it was not.
    """

    distrust = ""

    def abortConnection(self) -> None:
        if self.connected:
            super().abortConnection()  # type: ignore[no-untyped-call]


class EncryptedOutlet:
    """The ``Writer`` of a connection under TLS."""

    def __init__(self, transport: Encrypted, full: Callable[[bool], object]) -> None:
        self._transport: Any = transport
        self._below = cast(Below, transport.transport)
        self._below.full = full

    @property
    def most(self) -> int:
        return self._below.outlet.most

    @most.setter
    def most(self, octets: int) -> None:
        self._below.outlet.most = octets

    @property
    def written(self) -> int:
        """Octets that TLS has made of the text, and its handshake."""
        return self._below.outlet.written

    def write(self, data: bytes) -> None:
        """Write all records of ``data`` to the socket at once; Twisted writes each alone."""
        if not self._below.shaken:
            self._transport.write(data)
        elif data and not self._transport.disconnecting:
            handle: Any = self._transport.getHandle()
            try:
                handle.sendall(data)  # never wants to read: keys are not negotiated again
            except SSL.Error:
                self._transport.write(data)  # fails again: Twisted ends the connection
            else:
                records = len(data) // LONGEST_TEXT + 2  # one may change the keys
                self._below.outlet.write(handle.bio_read(records * LONGEST_RECORD))

    def close(self) -> None:
        """Close, without waiting until the other side says that it has closed, too."""
        self._transport.loseConnection()
        self._below.loseConnection()

    def half_close(self) -> None:
        """Send no more, and read on, though TLS knows no half-closed connection."""
        protocol: Secured = self._transport.wrappedProtocol
        self._transport.loseConnection()
        self._below.outlet.when_sent(protocol.writeConnectionLost)


def writer(transport: Any, full: Callable[[bool], object]) -> Writer:
    """Take over all writing to a new connection; ``full`` is called as by ``Outlet``."""
    if isinstance(transport, Encrypted):
        return EncryptedOutlet(transport, full)
    return Outlet(transport, full)


class EncryptedFactory(TLSMemoryBIOFactory):
    """Makes the layer of TLS, without Twisted's gathering."""

    protocol = Encrypted


class BelowFactory(WrappingFactory):
    """Makes the layer below TLS."""

    noisy = False
    protocol = Below

    def __init__(
        self, layer: EncryptedFactory, clock: Clock, handshakes: Handshakes | None
    ) -> None:
        """``handshakes`` is None if this side connects."""
        super().__init__(layer)  # type: ignore[no-untyped-call]
        self.clock = clock
        self.handshakes = handshakes


def encrypted(factory: Any, creator: Any, reactor: Any, *, dials: bool) -> IProtocolFactory:
    """Put TLS below the protocols of a factory.

    Args:
        factory: makes the protocols, each a ``Secured`` and an ``IHandshakeListener``.
        creator: makes the ``OpenSSL.SSL.Connection`` of each.
        dials: True if this side connects.
    """
    layer = EncryptedFactory(creator, dials, factory, clock=reactor)
    handshakes = None if dials else Handshakes(reactor)
    return cast(IProtocolFactory, BelowFactory(layer, reactor, handshakes))


def tcp(transport: Any) -> Any:
    """The TCP connection below a transport."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def certificate(transport: Any) -> Certificate | None:
    """The certificate that the other side showed, if any.

    Raises:
        ValueError: it cannot be read.
    """
    if not isinstance(transport, Encrypted):
        return None
    handle: Any = transport.getHandle()  # type: ignore[no-untyped-call]
    shown: Certificate | None = handle.get_peer_certificate(as_cryptography=True)
    return shown
