"""Sockets of the load generators: opening many, and sending without waiting."""

import contextlib
import errno
import select
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.processes import ServerError

PATIENCE = 20.0
"""Seconds for an answer."""

AT_ONCE = 256
"""Connections that are opened before the first of them is waited for."""

SOURCES = ("", *(f"127.0.0.{number}" for number in range(2, 9)))
"""Addresses to connect from: each has some 28,000 ports. The first is what the system chooses."""

NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""Linux: choose the port at the connection, when it is known which ones will do."""


@dataclass(frozen=True)
class Greeting:
    """What comes before the first message.

    Attributes:
        ask: what to say at once.
        welcome: what is in the line that says that all was done.
        refusal: what is in one that says that something was not; empty if unknown.
        then: what comes next, if that is not all.
        at_once: how many may come before the first is welcome.
    """

    ask: bytes
    welcome: bytes
    refusal: bytes = b""
    then: "Greeting | None" = None
    at_once: int = AT_ONCE


class Visitor(Protocol):
    """One connection in the words of one server's protocol: its *dialect*."""

    address: tuple[str, int]
    greeting: Greeting


def enter(visitors: Sequence[Visitor]) -> list[socket.socket]:
    """Connect them all, and wait until each is welcome. The sockets block."""
    at_once = min(visitor.greeting.at_once for visitor in visitors)
    entered: list[socket.socket] = []
    try:
        for first in range(0, len(visitors), at_once):
            together = visitors[first : first + at_once]
            for visitor in together:
                entered.append(connected(visitor.address))
                tls = getattr(visitor, "tls", None)
                if tls is not None:
                    host, _ = visitor.address
                    entered[-1] = tls.wrap_socket(entered[-1], server_hostname=host)
                entered[-1].sendall(visitor.greeting.ask)
            for visitor, connection in zip(together, entered[first:], strict=True):
                _be_welcome(connection, visitor.greeting)
    except BaseException:
        close(entered)
        raise
    return entered


def connected(address: tuple[str, int]) -> socket.socket:
    """A connection, without Nagle's delay, from an address that has a port left."""
    for source in SOURCES:
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if source:
                connection.setsockopt(socket.IPPROTO_IP, NO_PORT_YET, 1)
                connection.bind((source, 0))
            connection.connect(address)
        except OSError as error:
            connection.close()
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                raise
        else:
            return connection
    raise ServerError(f"this machine has no ports left for more connections to {address}")


def hear(connection: socket.socket, wanted: bytes, refusal: bytes = b"") -> bytes:
    """Wait for whole lines that have in them what is wanted; everything up to their end.

    Raises:
        ServerError: the refusal came, or the end, or nothing in time.
    """
    heard = b""
    while wanted not in heard or not heard.endswith(b"\n"):
        try:
            piece = connection.recv(1 << 16)
        except TimeoutError:
            piece = b""
        heard += piece
        if not piece or (refusal and refusal in heard):
            raise ServerError(f"{wanted!r} was expected, not {heard[-500:]!r}")
    return heard


def _be_welcome(connection: socket.socket, asked: Greeting) -> None:
    hear(connection, asked.welcome, asked.refusal)
    if asked.then is not None:
        connection.sendall(asked.then.ask)
        _be_welcome(connection, asked.then)


def close(connections: Iterable[socket.socket]) -> None:
    """Hang up, all of them."""
    for connection in connections:
        connection.close()


class Outgoing:
    """A non-blocking socket that keeps what it could not send yet."""

    def __init__(self, connection: socket.socket, epoll: select.epoll) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.number = connection.fileno()
        self._epoll = epoll
        self._unsent = b""
        epoll.register(self.number, select.EPOLLIN)

    def send(self, data: bytes) -> None:
        """Send it, or as much as goes."""
        if self._unsent:
            self._unsent += data
            return
        self._unsent = data
        self._send_rest()
        if self._unsent:
            self._epoll.modify(self.number, select.EPOLLIN | select.EPOLLOUT)

    def writable(self) -> None:
        """Send the rest: the socket takes more."""
        self._send_rest()
        if not self._unsent:
            self._epoll.modify(self.number, select.EPOLLIN)

    def _send_rest(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
