"""W1: messages written and acknowledged, so many connections, so many in flight on each.

One process, one thread, epoll and non-blocking sockets. The generator shares the machine with the
servers, so it has to be cheap: whole windows are sent and counted at a time, and the clock is read
once for each batch of replies. Replies come in the order of the requests in every protocol here, so
counting them is enough to know which message was acknowledged when.
"""

import contextlib
import gc
import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lab.processes import Meter, ServerError, per_million
from lab.report import Result

PATIENCE = 20.0
"""Seconds that any server may take for an answer."""

READ_OCTETS = 1 << 18

PERCENTS = (50, 90, 99, 99.9)


class Writer(Protocol):
    """One connection in the words of one server's protocol: its *dialect*.

    Attributes:
        address: where to connect.
    """

    address: tuple[str, int]

    def greet(self, connection: socket.socket) -> None:
        """Do what comes before the first message; the socket blocks."""

    def requests(self, count: int) -> bytes:
        """The next so many messages, each asking for an acknowledgement."""

    def acknowledged(self, data: bytes) -> int:
        """How many messages this further piece of what the server says acknowledges.

        Raises:
            ServerError: it says anything else.
        """


@dataclass
class Tally:
    """What was acknowledged in an interval.

    Attributes:
        messages: how many.
        waits: seconds from the sending to the acknowledgement, and how many messages took them.
    """

    messages: int = 0
    waits: list[tuple[float, int]] = field(default_factory=list)


class Sent:
    """When what is unanswered was sent; oldest first."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, float]] = deque()

    def add(self, count: int, now: float) -> None:
        """So many more."""
        self._batches.append((count, now))

    def answered(self, count: int, now: float, waits: list[tuple[float, int]]) -> None:
        """The oldest so many were answered; note how long they took."""
        while count:
            batch, sent_at = self._batches.popleft()
            done = min(batch, count)
            waits.append((now - sent_at, done))
            if batch > done:
                self._batches.appendleft((batch - done, sent_at))
            count -= done


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
        self.send_rest()
        if self._unsent:
            self._epoll.modify(self.number, select.EPOLLIN | select.EPOLLOUT)

    def writable(self) -> None:
        """The socket takes more."""
        self.send_rest()
        if not self._unsent:
            self._epoll.modify(self.number, select.EPOLLIN)

    def send_rest(self) -> None:
        """Send what is left."""
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self.socket.send(self._unsent) :]


class _Flow:
    """One connection at work."""

    def __init__(self, writer: Writer, epoll: select.epoll) -> None:
        connection = connected(writer.address)
        writer.greet(connection)
        self.outgoing = Outgoing(connection, epoll)
        self.in_flight = 0
        self._writer = writer
        self._sent = Sent()

    def send(self, count: int) -> None:
        self.in_flight += count
        self._sent.add(count, time.perf_counter())
        self.outgoing.send(self._writer.requests(count))

    def receive(self, tally: Tally) -> int:
        """Read once; how many messages were acknowledged."""
        data = self.outgoing.socket.recv(READ_OCTETS)
        if not data:
            raise ServerError(f"{self._writer.address} has closed the connection")
        count = self._writer.acknowledged(data)
        self.in_flight -= count
        tally.messages += count
        self._sent.answered(count, time.perf_counter(), tally.waits)
        return count


def connected(address: tuple[str, int], source: str = "") -> socket.socket:
    """A connection, without Nagle's delay."""
    connection = socket.create_connection(
        address, PATIENCE, source_address=(source, 0) if source else None
    )
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def write(
    writers: Sequence[Writer], window: int, seconds: float, pids: Mapping[str, int]
) -> Result:
    """Keep so many messages in flight on each connection, for so long after a warm-up.

    Args:
        writers: one for each connection.
        window: messages in flight on each.
        seconds: of the measurement; the warm-up takes a third of that.
        pids: the servers' processes, whose processor time is counted.
    """
    epoll = select.epoll()
    flows = [_Flow(writer, epoll) for writer in writers]
    by_number = {flow.outgoing.number: flow for flow in flows}
    gc.collect()
    gc.disable()  # its pauses would be taken for the servers'
    try:
        for flow in flows:
            flow.send(window)
        _pump(epoll, by_number, Tally(), seconds / 3)
        meter, began, tally = Meter(pids), time.perf_counter(), Tally()
        _pump(epoll, by_number, tally, seconds)
        took, used = time.perf_counter() - began, meter.used()
        _drain(epoll, by_number)
    finally:
        gc.enable()
        for flow in flows:
            flow.outgoing.socket.close()
        epoll.close()
    return {
        "messages": tally.messages,
        "rate": tally.messages / took,
        "latency": percentiles(tally.waits),
        "cpu_per_million": per_million(used, tally.messages),
        "busy": {name: each / took for name, each in used.items()},
        "waits": tally.waits,
    }


def _pump(epoll: select.epoll, flows: Mapping[int, _Flow], tally: Tally, seconds: float) -> None:
    """Answer every acknowledgement with a new message."""
    ends = time.perf_counter() + seconds
    heard = time.perf_counter()
    while (now := time.perf_counter()) < ends:
        for number, event in epoll.poll(0.1):
            flow = flows[number]
            if event & select.EPOLLOUT:
                flow.outgoing.writable()
            if event & ~select.EPOLLOUT:
                heard = now
                if count := flow.receive(tally):
                    flow.send(count)
        if now - heard > PATIENCE:
            raise ServerError(f"nothing was acknowledged for {PATIENCE:g} seconds")


def _drain(epoll: select.epoll, flows: Mapping[int, _Flow]) -> None:
    """Wait for the acknowledgement of everything that was sent."""
    deadline = time.perf_counter() + PATIENCE
    while missing := sum(flow.in_flight for flow in flows.values()):
        if time.perf_counter() > deadline:
            raise ServerError(f"{missing} messages were never acknowledged")
        for number, event in epoll.poll(0.1):
            if event & select.EPOLLOUT:
                flows[number].outgoing.writable()
            if event & ~select.EPOLLOUT:
                flows[number].receive(Tally())


def percentiles(waits: Sequence[tuple[float, int]]) -> dict[str, float]:
    """Seconds that so many percent of the messages took at most, and the longest."""
    found: dict[str, float] = {}
    total = sum(count for _, count in waits)
    passed, wanted = 0, list(PERCENTS)
    wait = 0.0
    for wait, count in sorted(waits):
        passed += count
        while wanted and passed >= total * wanted[0] / 100:
            found[f"p{wanted.pop(0):g}"] = wait
    return {**found, "longest": wait}
