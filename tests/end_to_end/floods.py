"""What abusers are made of: connections that say something over and over, as fast as it is taken.

A *script* is what one connection says, piece by piece, as each goes out. After the last piece the
connection is kept and read, or, if asked, hung up on and made again. Who is hung up on by the
server calls again in a while.
"""

import contextlib
import itertools
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from helpers import shared
from talking import family_of

Address = tuple[str, int]
Script = Callable[[int], Iterator[bytes]]
"""What the connection with this number says."""

BLOCK = 1 << 16
READ_OCTETS = 1 << 18

AGAIN = 0.2
"""Seconds after which a connection that was ended by the server is made again."""

NAME_IN_USE = b"-ERR 433 "

NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""Linux: choose the port at the connection, when it is known which ones will do."""

AT_ONCE = 64
"""New connections that are begun before the others have their turn again."""

SENT, HEARD, OPENED, CLOSED = range(4)


def new_tally() -> Any:
    return shared(4)


def over_and_over(line: bytes) -> bytes:
    return line * max(1, BLOCK // len(line))


def numbered(text: bytes, number: int) -> bytes:
    """The text with a number for ``{}``, and with what no other process has for ``{own}``."""
    return text.replace(b"{}", b"%d" % number).replace(b"{own}", b"%d" % os.getpid())


def endless(block: bytes, *, first: bytes = b"") -> Script:
    """The script that says a block for ever, after what comes first; see ``numbered``."""

    def script(number: int) -> Iterator[bytes]:
        yield numbered(first, number)
        yield from itertools.repeat(block)

    return script


def once(text: bytes) -> Script:
    """The script that says something once; see ``numbered``."""
    return lambda number: iter([numbered(text, number)])


class _Stream:
    def __init__(self, flood: "Flood", number: int) -> None:
        self.flood = flood
        self.number = number
        self.due = 0.0
        self.finished = False
        self.socket: socket.socket | None = None

    def open(self) -> None:
        """Connect, without waiting for it."""
        flood = self.flood
        self.pieces = flood.script(self.number)
        self.finished = False
        self.unsent = memoryview(b"")
        round_, place = divmod(self.number, len(flood.addresses))
        address = flood.addresses[place]
        self.socket = socket.socket(family_of(address[0]))
        self.socket.setblocking(False)
        if flood.buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, flood.buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if flood.sources:
                self.socket.setsockopt(socket.IPPROTO_IP, NO_PORT_YET, 1)
                self.socket.bind((flood.sources[round_ % len(flood.sources)], 0))
            self.socket.connect(address)
        except BlockingIOError:
            pass
        except OSError:  # no ports left, or nobody there
            self.close(refused=True)
            return
        flood.streams[self.socket.fileno()] = self
        flood.tally[OPENED] += 1
        reading = select.EPOLLIN if flood.reads else 0
        flood.poll.register(self.socket, reading | select.EPOLLOUT)

    def close(self, *, refused: bool) -> None:
        """Hang up, and call again when it is time."""
        assert self.socket is not None
        self.flood.streams.pop(self.socket.fileno(), None)
        self.socket.close()
        self.socket = None
        self.flood.tally[CLOSED] += refused
        self.due = time.monotonic() + AGAIN if refused else 0.0
        if self.flood.loops:
            self.number += self.flood.count
        if self.number < self.flood.most:
            self.flood.waiting.append(self)

    def ready(self, events: int) -> None:
        try:
            if events & select.EPOLLIN and not self.read():
                self.close(refused=not (self.finished and self.flood.loops))
            elif events & (select.EPOLLHUP | select.EPOLLERR):
                self.close(refused=True)
            elif events & select.EPOLLOUT:
                self.write()
        except BlockingIOError:
            pass
        except OSError:
            self.close(refused=True)

    def read(self) -> bool:
        """True if there is more to come: who is told that the name is still held calls again."""
        assert self.socket is not None
        data = self.socket.recv(READ_OCTETS)
        self.flood.tally[HEARD] += len(data)
        return bool(data) and NAME_IN_USE not in data

    def write(self) -> None:
        """Send the next piece, or what is left of one."""
        assert self.socket is not None
        if not self.unsent:
            piece = next(self.pieces, None)
            if piece is None:
                self.finish()
                return
            self.unsent = memoryview(piece)
        sent = self.socket.send(self.unsent)
        self.flood.tally[SENT] += sent
        self.unsent = self.unsent[sent:]

    def finish(self) -> None:
        assert self.socket is not None
        self.finished = True
        if self.flood.again:
            self.close(refused=False)
        else:
            self.flood.poll.modify(self.socket, select.EPOLLIN if self.flood.reads else 0)


class Flood:
    """Many connections of one process."""

    def __init__(
        self,
        tally: Any,
        addresses: Sequence[Address],
        script: Script,
        *,
        count: int = 1,
        reads: bool = True,
        again: bool = False,
        loops: bool = False,
        most: int = 1 << 62,
        sources: Sequence[str] = (),
        buffer: int = 0,
    ) -> None:
        """Prepare.

        Args:
            addresses: where to connect; one after the other.
            reads: they read what they are told.
            again: they hang up at the end of the script, and begin again.
            loops: when the server has hung up at its end, they begin again at once, each time with
                another number.
            most: the number with which nobody begins again.
            sources: the addresses that they come from, if it matters; one after the other.
            buffer: octets that the kernel may take for each; 0: its own rule.
        """
        self.tally = tally
        self.addresses = addresses
        self.script = script
        self.reads = reads
        self.again = again
        self.loops = loops
        self.most = most
        self.sources = sources
        self.buffer = buffer
        self.count = count
        self.poll = select.epoll()
        self.streams: dict[int, _Stream] = {}
        self.waiting = [_Stream(self, number) for number in range(count)]
        self.parts = [self]

    def with_(self, other: "Flood") -> "Flood":
        """Together with another, in turn."""
        other.poll.close()
        other.poll, other.streams = self.poll, self.streams
        self.parts.append(other)
        return self

    def run(self, seconds: float = 1e9) -> None:
        """Do it for so long; then hang up, everybody at once."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.turn()
        finally:
            self.poll.close()
            for stream in self.streams.values():
                assert stream.socket is not None
                stream.socket.close()

    def turn(self) -> None:
        """Call those whose time has come; then let everybody do what goes."""
        now = time.monotonic()
        late = [stream for part in self.parts for stream in part.waiting if stream.due <= now][
            :AT_ONCE
        ]
        for stream in late:
            stream.flood.waiting.remove(stream)
            stream.open()
        for number, events in self.poll.poll(0 if late else 0.02, 1024):
            stream_here = self.streams.get(number)
            if stream_here is not None:
                stream_here.ready(events)


def converse(address: Address, text: bytes, wanted: bytes, within: float = 60.0) -> bytes:
    """Say something, and read until what is wanted came, or the end; all that came."""
    with socket.create_connection(address, within) as connection:
        connection.sendall(text)
        return _read_to(connection, wanted)


def _read_to(connection: socket.socket, wanted: bytes) -> bytes:
    heard = b""
    while wanted not in heard:
        piece = connection.recv(READ_OCTETS)
        if not piece:
            break
        heard += piece
    return heard


def make_accounts(addresses: Sequence[Address], names: Sequence[str]) -> None:
    """Let these be accounts, nobody logged in; a hundred at a time."""
    for first in range(0, len(names), 100):
        with contextlib.ExitStack() as stack:
            calls = []
            for i, name in enumerate(names[first : first + 100]):
                address = addresses[i % len(addresses)]
                calls.append(stack.enter_context(socket.create_connection(address, 60.0)))
                calls[-1].sendall(f"{name}\n/logout\n".encode())
            for call in calls:
                heard = _read_to(call, b"\n+OK you are ")
                assert b"\n+OK you are " in heard, heard


def say_many(address: Address, count: int, text: bytes, *, name: str, to: str = "*") -> None:
    """Say a text so often, from a program that nobody hears but who is there."""
    ahead = 500
    form = b"@t SEND %%d %s :%s\n" % (to.encode(), text.replace(b"%", b"%%"))
    with socket.create_connection(address, 60.0) as connection:
        connection.sendall(f"/hello chainchat/1 client=fill\n@l LOGIN {name} quiet\n".encode())
        heard = _read_to(connection, b"+OK @l session=")
        begin = int(time.time() * 1000)  # numbers grow from one call to the next
        said = answered = 0
        while answered < count:
            if said < count and said - answered <= ahead // 2:
                more = min(ahead, count - said)
                numbers = range(begin + said, begin + said + more)
                connection.sendall(b"".join([form % number for number in numbers]))
                said += more
            heard = connection.recv(READ_OCTETS)
            assert heard, "hung up on while data is prepared"
            assert b"-ERR" not in heard, heard
            answered += heard.count(b"+OK @t")
        connection.sendall(b"@o LOGOUT\n")
        _read_to(connection, b"+OK @o")
