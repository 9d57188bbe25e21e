"""The client port, between sockets and sessions."""

import socket
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ
from typing import Any, NamedTuple

from msgspec import Struct
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from chainchat.chat.lines import IAC, TelnetFilter
from chainchat.chat.modes import FIRST
from chainchat.chat.refusals import Code, RefusedError
from chainchat.network.farewell import DRAIN_SECONDS, Farewell
from chainchat.network.ports import Shedding, SheddingPort
from chainchat.network.sockets import keep_alive
from chainchat.node.interfaces import Clock, Timer
from chainchat.sessions.admission import MOST_AGREEING, Admission
from chainchat.sessions.session import Session
from chainchat.tls.layers import Encrypted, Textless, tcp, writer

LAST_DATA_OFFSET, LAST_ACK_OFFSET, BYTES_ACKED_OFFSET = 52, 56, 120
"""Offsets in Linux's ``struct tcp_info`` (linux/tcp.h, the last since 4.1).

``tcpi_last_data_recv``, ``tcpi_last_ack_recv`` (milliseconds), ``tcpi_bytes_acked``.
"""

MOST_COMMANDS = 512
"""Commands in one read of the socket; no telnet sends more."""

RECEIVE_OCTETS = 64 * 1024
"""What the kernel keeps of one client unread; by default megabytes."""

WARY_OCTETS = 2 * 1024
"""Read at once before TLS is agreed on, or when no text comes: a turn has to finish it."""

ENCRYPTED_OCTETS = 16 * 1024
"""Read at once with TLS: the longest record, or the first 700 of the shortest."""

RECORDS_AT_ONCE = 32
"""Short TLS records in one read: each takes 10 µs, even with a single octet."""

LEAST_READ = 512

SEND_OCTETS = 64 * 1024
"""What the kernel keeps for one client: by default megabytes, which an answer would follow."""


class Patience(Struct, frozen=True):
    """Seconds that a port waits for its clients.

    Attributes:
        handshake: to agree on TLS.
        refused: the same, for a refused client.
        drain: after the last word; see ``farewell``.
    """

    handshake: float = 10.0
    refused: float = 2.0
    drain: float = DRAIN_SECONDS


USUAL_PATIENCE = Patience()


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class ClientProtocol(Protocol):
    """One client's connection, the session's ``Connection``."""

    factory: "ClientFactory"
    transport: Any

    def __init__(
        self,
        new_session: Callable[["ClientProtocol"], Session],
        address: str,
        owners: Sequence[str],
    ) -> None:
        self.address = address
        self.encrypted = False
        self._telnet = TelnetFilter()
        self._new_session = new_session
        self._session: Session | None = None
        self._held = False
        self._owners = owners
        self._gave_way = False
        self._input_ended = False
        self._waits_for_reader = False
        self._farewell: Farewell | None = None
        self._deadline: Timer | None = None

    # --- from the socket

    def connectionMade(self) -> None:
        self.factory.admission.newcomers.came(self, self._owners)
        self._tcp = tcp(self.transport)
        _keep_alive(self._tcp.getHandle(), PATIENT)
        self.transport.setTcpNoDelay(True)
        self._outlet = writer(self.transport, self._filled)
        self.encrypted = isinstance(self.transport, Encrypted)
        if self.encrypted:
            self._textless = Textless()
            self._records = 0
            self._tcp.bufferSize = WARY_OCTETS
            end = self.transport.abortConnection
            self._deadline = self.factory.clock.callLater(self.factory.patience.handshake, end)
        else:
            self._begin()

    def handshakeCompleted(self) -> None:
        self._stop_deadline()
        self._begin()

    def _begin(self) -> None:
        self._session = self._new_session(self)
        self._session.opened()

    def dataReceived(self, data: bytes) -> None:
        if self.encrypted:
            self._textless.text(len(data))
            self._records += 1
        if self._farewell is not None:
            self._farewell.drain(data)
            return
        if self._session is None:
            return
        octets, telnet_commands = len(data), data.count(IAC)
        if telnet_commands > MOST_COMMANDS:
            self._session.sent_noise()
            return
        data, answer = self._telnet.feed(data)
        if answer:
            self._session.answer_telnet(answer)
        self._session.received(data, octets, telnet_commands)

    def records_came(self, octets: int) -> None:
        records, self._records = self._records, 0
        if records > RECORDS_AT_ONCE:
            self._tcp.bufferSize = max(octets * RECORDS_AT_ONCE // records, LEAST_READ)
        textless = self._textless.came(octets)
        if not textless:
            return
        self._tcp.bufferSize = WARY_OCTETS
        if self._farewell is not None:
            self.transport.pauseProducing()
        elif self._session is not None:
            self._session.received_no_text(textless)

    def readConnectionLost(self) -> None:
        self._input_ended = True
        if self._farewell is not None:
            self._farewell.input_ended()
        elif self._session is not None:
            self._session.input_ended()

    def writeConnectionLost(self) -> None:
        if self._farewell is not None:
            self._farewell.sent()
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._gave_way:
            self.factory.admission.farewells.over(self)
        else:
            self.factory.admission.newcomers.settled(self)
            self.factory.admission.leave(self._owners)
        self._stop_deadline()
        if self._farewell is not None:
            self._farewell.over()
        if self._session is not None:
            self._session.lost()

    def _stop_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def spoke_without_tls(self) -> bytes:
        return _line(Code.NOTHING_READ, NO_TLS)

    def _filled(self, full: bool) -> None:
        if self._session is not None:
            self._session.output_full(full=full)

    # --- for the admission

    def give_way(self) -> bool:
        """Leave the place to a new connection; the last words are said beside it."""
        if self._session is not None and self._session.id:
            return False
        self._gave_way = True
        self.factory.admission.leave(self._owners)
        self.factory.admission.farewells.begins(self, self.abort)
        if self._session is None:
            self.abort()
        else:
            self._session.gives_way()
        return True

    # --- for the session

    def logged_in(self) -> None:
        self.factory.admission.newcomers.settled(self)

    def write(self, data: bytes) -> int:
        self._outlet.write(data)
        return self._outlet.written

    def close(self) -> None:
        self.hold(held=False)
        self._farewell = Farewell(
            self.transport, self._outlet, self.factory.clock, self.factory.patience.drain
        )
        if self._waits_for_reader and not self._input_ended:
            self._farewell.begin_when_taken(lambda: not self._told_by_ioctl(TIOCOUTQ))
        else:
            self._farewell.begin(input_ended=self._input_ended)

    def wait_for_reader(self) -> None:
        self._waits_for_reader = True
        with suppress(OSError):
            _keep_alive(self._tcp.getHandle(), STOPPED)

    def hold(self, *, held: bool) -> None:
        if held != self._held:
            self._held = held
            (self.transport.pauseProducing if held else self.transport.resumeProducing)()

    def expect(self, octets: int) -> None:
        self._outlet.most = octets
        self._tcp.bufferSize = min(octets, ENCRYPTED_OCTETS) if self.encrypted else octets

    def conceal(self) -> bytes:
        return self._telnet.conceal()

    def reveal(self) -> bytes:
        return self._telnet.reveal()

    @property
    def conceals(self) -> bool:
        return self._telnet.conceals

    def acknowledged(self) -> int | None:
        return self._told_by_the_kernel("<Q", BYTES_ACKED_OFFSET)

    def unread(self) -> int:
        return self._told_by_ioctl(FIONREAD)

    def _told_by_ioctl(self, request: int) -> int:
        octets = array("i", [0])
        with suppress(AttributeError, OSError):
            ioctl(self._tcp.getHandle(), request, octets)
        return octets[0]

    def silent(self) -> float | None:
        acknowledged = self._told_by_the_kernel("<I", LAST_ACK_OFFSET)
        sent = self._told_by_the_kernel("<I", LAST_DATA_OFFSET)
        if acknowledged is None or sent is None:
            return None
        return min(acknowledged, sent) / 1_000

    def _told_by_the_kernel(self, form: str, offset: int) -> int | None:
        """A number of Linux's ``struct tcp_info``; None elsewhere, where the struct differs."""
        if sys.platform != "linux":
            return None
        try:
            info = self._tcp.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            number: int = struct.unpack_from(form, info, offset)[0]
        except (AttributeError, OSError, struct.error):
            return None
        return number

    def probe(self, *, probing: bool) -> None:
        with suppress(OSError):
            _keep_alive(self._tcp.getHandle(), PROBING if probing else PATIENT)

    def abort(self) -> None:
        self.transport.abortConnection()


class KeepAlive(NamedTuple):
    """How the kernel notices that a client's machine is gone; seconds, and a number of probes.

    Attributes:
        idle: before the first probe.
        interval: between two probes.
        probes: unanswered ones that end the connection.
        unacknowledged: how long octets may be so.
    """

    idle: int
    interval: int
    probes: int
    unacknowledged: int


PATIENT = KeepAlive(idle=60, interval=15, probes=4, unacknowledged=120)
"""Notices a dead machine within two minutes."""

STOPPED = KeepAlive(idle=60, interval=15, probes=4, unacknowledged=180)
"""For a person who stopped their terminal, to be told so behind what they have not read."""

PROBING = KeepAlive(idle=1, interval=2, probes=3, unacknowledged=120)
"""While its name is wanted; a client that acknowledges keeps it, even if it reads nothing."""


def _keep_alive(handle: socket.socket, how: KeepAlive) -> None:
    options = {
        "TCP_KEEPIDLE": how.idle,
        "TCP_KEEPINTVL": how.interval,
        "TCP_KEEPCNT": how.probes,
        "TCP_USER_TIMEOUT": how.unacknowledged * 1000,
    }
    keep_alive(handle, options)


NO_TLS = "this port takes TLS only: openssl s_client, ncat --ssl, or chainchat-client --tls"


def _line(code: Code, text: str) -> bytes:
    return f"{FIRST.refused('', code, text)}\r\n".encode()


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class RefusedProtocol(Protocol):
    """Tells a refused client why, and closes."""

    factory: "ClientFactory"
    transport: Any
    _deadline: Timer | None = None
    _farewell: Farewell | None = None

    def __init__(self, refusal: RefusedError) -> None:
        self._refusal = refusal
        self._textless = Textless()

    def connectionMade(self) -> None:
        if not isinstance(self.transport, Encrypted):
            self._refuse()
        elif self.factory.listens_to_refused():
            tcp(self.transport).bufferSize = WARY_OCTETS
            end = self.transport.abortConnection
            self._deadline = self.factory.clock.callLater(self.factory.patience.refused, end)
        else:
            self.transport.abortConnection()

    def handshakeCompleted(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._refuse()

    def _refuse(self) -> None:
        outlet = writer(self.transport, lambda _: None)
        outlet.write(_line(self._refusal.code, self._refusal.text))
        self.factory.admission.farewells.begins(self, outlet.close)
        patience = self.factory.patience
        self._farewell = Farewell(self.transport, outlet, self.factory.clock, patience.drain)
        self._farewell.begin()

    def dataReceived(self, data: bytes) -> None:
        if self._farewell is not None:
            self._farewell.drain(data)

    def records_came(self, octets: int) -> None:
        if self._textless.came(octets):  # which counts text, too: nobody asked for it
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        if self._farewell is not None:
            self._farewell.input_ended()

    def writeConnectionLost(self) -> None:
        if self._farewell is not None:
            self._farewell.sent()

    def spoke_without_tls(self) -> bytes:
        return _line(Code.NOTHING_READ, NO_TLS)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.admission.farewells.over(self)
        if self._farewell is not None:
            self._farewell.over()
        if self._deadline is not None:
            self.factory.refused -= 1
            if self._deadline.active():
                self._deadline.cancel()


class ClientFactory(Factory):
    """Makes the protocols; ``refused``: connections that agree on TLS, to be told why."""

    noisy = False

    def __init__(
        self,
        new_session: Callable[[ClientProtocol], Session],
        *,
        admission: Admission,
        clock: Clock,
        patience: Patience = USUAL_PATIENCE,
    ) -> None:
        self.admission = admission
        self.clock = clock
        self.patience = patience
        self.refused = 0
        self._new_session = new_session

    def listens_to_refused(self) -> bool:
        """Count a connection to be told why; False if there are too many."""
        if self.refused >= MOST_AGREEING:
            return False
        self.refused += 1
        return True

    def buildProtocol(self, addr: Any) -> Any:
        host = getattr(addr, "host", "")
        try:
            owners = self.admission.admit(host)
        except RefusedError as refusal:
            protocol: Any = RefusedProtocol(refusal)
        else:
            protocol = ClientProtocol(self._new_session, host, owners)
        protocol.factory = self
        return protocol


class ClientPort(SheddingPort):
    """Accepts clients, at least some hundreds a second."""

    def createInternetSocket(self) -> Shedding:
        listening = super().createInternetSocket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_OCTETS)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_OCTETS)
        return listening
