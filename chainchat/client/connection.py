"""The engine on asyncio: owns the socket and the clock, and decides nothing."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import partial

from chainchat.client.engine.engine import Engine
from chainchat.client.engine.events import ConnectTo, Disconnect, Ended, Event

TICK = 0.1
"""Seconds between two looks at the clock."""

READ_OCTETS = 4096
"""Octets read per turn of the event loop; keys and timers get the next."""

_KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
"""Seconds before the first probe and between probes; their number."""


_UNKNOWN_CA = (18, 19, 20, 21)


class _Link(asyncio.BufferedProtocol):
    """Speaks to its owner while it is the current connection."""

    def __init__(self, owner: "Connection") -> None:
        self._owner = owner
        self._buffer = memoryview(bytearray(READ_OCTETS))  # asyncio's TLS writes into slices
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        _keep_alive(transport.get_extra_info("socket"))
        self._owner.link_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the interface
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._owner.link_received(self, bytes(self._buffer[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.link_lost(self, exc)


class Connection:
    """Runs one engine, which has not started yet.

    Args:
        heard: called with each event, in order. It may use the engine without a ``flush``, and
            calls ``behind`` or ``hold`` if it cannot show all at once.
        tls: which CAs to trust; None: the system's.
    """

    def __init__(
        self,
        engine: Engine,
        heard: Callable[[Event], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._engine = engine
        self._heard = heard
        self._tls = tls
        self._link: _Link | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._flushing = False
        self._behind = False
        self._holding = False
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Connect until the engine has ended; raises what ``heard`` raises."""
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_soon(self._turn, self._engine.start, self._loop.time())
        try:
            while not self._over.done():
                await asyncio.wait({self._over}, timeout=TICK)
                self._tick()
            await self._over
        finally:
            timer.cancel()
            if self._timer:
                self._timer.cancel()
            self._hang_up()

    def behind(self) -> None:
        """Move no read mark until ``shown``."""
        self._behind = True

    def hold(self) -> None:
        """Read nothing more until ``shown``."""
        self._behind = True
        if not self._holding:
            self._holding = True
            if self._link and self._link.transport:
                self._link.transport.pause_reading()

    def shown(self) -> None:
        """Acknowledge everything, as it is shown, and read on."""
        self._behind = False
        self._engine.seen()
        if self._holding:
            self._holding = False
            if self._link and self._link.transport:
                self._link.transport.resume_reading()

    def flush(self) -> None:
        """Carry out what the engine wants, after every use of it."""
        if self._flushing:
            return  # called by `heard`: the loop below goes on with what came of it
        self._flushing = True
        try:
            while events := self._engine.take_events():
                for event in events:
                    self._carry_out(event)
            if not self._behind:
                self._engine.seen()
            data = self._engine.take_bytes()
            transport = self._link and self._link.transport
            if data and transport and not transport.is_closing():
                transport.write(data)
        finally:
            self._flushing = False

    def _turn(self, step: Callable[..., None], *arguments: object) -> None:
        """Call the engine; an error ends ``run``."""
        try:
            step(*arguments)
            self.flush()
            self._set_timer()
        except Exception as error:
            if not self._over.done():
                self._over.set_exception(error)

    def _tick(self) -> None:
        self._turn(partial(self._engine.tick, listening=not self._holding), self._loop.time())

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        alarm = self._engine.alarm
        near = alarm is not None and alarm < self._loop.time() + TICK
        self._timer = self._loop.call_at(alarm, self._tick) if alarm and near else None

    def _carry_out(self, event: Event) -> None:
        match event:
            case ConnectTo():
                self._attempt = self._loop.create_task(self._connect(event))
                return
            case Disconnect():
                self._hang_up()
                return
            case Ended() if not self._over.done():
                self._over.set_result(None)
        self._heard(event)

    async def _connect(self, to: ConnectTo) -> None:
        link = self._link = _Link(self)
        if to.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        tls = self._tls if to.tls else None
        try:
            await self._loop.create_connection(lambda: link, to.host, to.port, ssl=tls)
        except (OSError, UnicodeError) as error:  # the latter: no possible host name
            self.link_lost(link, error)

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link and link.transport:
            link.transport.abort()
        if self._attempt and self._attempt is not asyncio.current_task():
            self._attempt.cancel()

    def link_made(self, link: _Link) -> None:
        if link is self._link:
            if self._holding and link.transport:
                link.transport.pause_reading()
            self._turn(self._engine.connected, self._loop.time())
        elif link.transport:
            link.transport.abort()

    def link_received(self, link: _Link, data: bytes) -> None:
        if link is self._link:
            self._turn(self._engine.received, data, self._loop.time())

    def link_lost(self, link: _Link, error: Exception | None) -> None:
        """Tell the engine of the end of a connection, or of an attempt."""
        if link is self._link:
            self._link = None
            reason = _reason(error) if error else "the server closed the connection"
            self._turn(self._engine.lost, self._loop.time(), reason)


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLError):
        return _tls_reason(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        unknown = error.verify_code in _UNKNOWN_CA
        why = "it is of no CA known here (name its file with --ca)" if unknown else ""
        why = why or error.verify_message.rstrip(".")
        return f"its certificate is refused: {why[:1].lower()}{why[1:]}"
    if error.reason == "WRONG_VERSION_NUMBER":
        return "it speaks no TLS at this port"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"TLS failed: {reason}"


def _keep_alive(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
