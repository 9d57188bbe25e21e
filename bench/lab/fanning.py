"""W2: one sender, many receivers, and how fast everything reaches the last of them.

The sender is at most so many messages ahead of the slowest receiver, in every system alike, so no
server's queues can grow. Of what comes, the last octet of the text alone is counted.
"""

import select
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Self

from lab.connections import PATIENCE, Outgoing, Visitor, close, enter
from lab.processes import Meter, ServerError, per_million
from lab.report import Result
from lab.writing import READ_OCTETS, Sent, Tally, Writer, no_garbage_collection, result


class Audience:
    """Receivers, from ``with`` on, and the sender."""

    def __init__(self, sender: Writer, receivers: Sequence[Visitor], text: bytes) -> None:
        """``text``: no server says its last octet of its own."""
        self._text = text
        self._sender = sender
        self._receivers = receivers

    def __enter__(self) -> Self:
        *self._sockets, sending = enter([*self._receivers, self._sender])
        self._epoll = select.epoll()
        self._outgoing = Outgoing(sending, self._epoll)
        self._by_number = {each.fileno(): each for each in self._sockets}
        for receiving in self._sockets:
            receiving.setblocking(False)
            self._epoll.register(receiving.fileno(), select.EPOLLIN)
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._epoll.close()
        close([*self._sockets, self._outgoing.socket])

    def _begin(self) -> None:
        """Let everybody hear one message, and forget what came before it: who else came, say."""
        self._outgoing.send(self._sender.requests(1))
        end = self._text + b"\r\n"
        heard = dict.fromkeys(self._by_number, b"")
        missing = set(heard)
        deadline = time.perf_counter() + PATIENCE
        while missing:
            if time.perf_counter() > deadline:
                raise ServerError(f"{len(missing)} receivers never heard the first message")
            for number, event in self._epoll.poll(0.1):
                if number == self._outgoing.number:
                    self._hear_sender(event)
                    continue
                piece = self._by_number[number].recv(READ_OCTETS)
                heard[number] = (heard[number] + piece)[-len(end) :]
                if heard[number] == end:
                    missing.discard(number)
                elif not piece:
                    raise ServerError("a receiver's connection was closed")

    def hear(self, ahead: int, seconds: float, pids: Mapping[str, int]) -> Result:
        """Send for so long, after a warm-up, so far ahead of the slowest receiver.

        The result's ``messages`` are those that reached everybody, its latency is that of the last
        receiver; ``deliveries`` are counted at all.
        """
        run = _Run(self._by_number, self._text[-1:])
        with no_garbage_collection():
            self._send(run, ahead)
            self._pump(run, Tally(), seconds / 3)
            before = run.deliveries
            meter, began, tally = Meter(pids), time.perf_counter(), Tally()
            self._pump(run, tally, seconds)
            took, used = time.perf_counter() - began, meter.used()
            delivered = run.deliveries - before
            self._drain(run)
        return {
            **result(tally, took, used),
            "deliveries": delivered / took,
            "cpu_per_million_deliveries": per_million(used, delivered),
        }

    def _send(self, run: "_Run", count: int) -> None:
        run.sent.add(count)
        run.asked += count
        self._outgoing.send(self._sender.requests(count))

    def _pump(self, run: "_Run", tally: Tally, seconds: float) -> None:
        """Send a new message for each that everybody has."""
        heard = time.perf_counter()
        ends = heard + seconds
        while (now := time.perf_counter()) < ends:
            if reached := self._hear(run, tally):
                heard = now
                self._send(run, reached)
            elif now - heard > PATIENCE:
                raise ServerError(f"a receiver heard nothing for {PATIENCE:g} seconds")

    def _drain(self, run: "_Run") -> None:
        """Wait until everybody has everything, and nobody has more."""
        deadline = time.perf_counter() + PATIENCE
        while run.reached < run.asked:
            self._hear(run, Tally())
            if time.perf_counter() > deadline:
                raise ServerError(f"{run.asked - run.reached} messages never reached everybody")
        run.check()

    def _hear(self, run: "_Run", tally: Tally) -> int:
        """Read from whoever has something; how many more messages have reached everybody."""
        reached = 0
        for number, event in self._epoll.poll(0.1):
            if number == self._outgoing.number:
                self._hear_sender(event)
            elif run.receive(number):
                reached += run.all_have_it(tally)
        return reached

    def _hear_sender(self, event: int) -> None:
        if event & select.EPOLLOUT:
            self._outgoing.writable()
        if event & ~select.EPOLLOUT:
            data = self._outgoing.socket.recv(READ_OCTETS)
            if not data:
                raise ServerError("the sender's connection was closed")
            self._sender.acknowledged(data)


class _Run:
    """How far each receiver has come.

    Attributes:
        sent: when those were sent that not everybody has.
    """

    def __init__(self, sockets: Mapping[int, socket.socket], mark: bytes) -> None:
        """``mark``: the octet that every delivery has once."""
        self.asked = 0
        self.reached = 0
        self.sent = Sent()
        self._mark = mark
        self._receive = {number: each.recv_into for number, each in sockets.items()}
        self._counts = dict.fromkeys(sockets, 0)
        self._behind = len(sockets)  # receivers that have no more than ``reached``
        self._buffer = bytearray(READ_OCTETS)

    @property
    def deliveries(self) -> int:
        """At all receivers together."""
        return sum(self._counts.values())

    def receive(self, number: int) -> bool:
        """Read once; whether now all have a message more."""
        octets = self._receive[number](self._buffer)
        if not octets:
            raise ServerError("a receiver's connection was closed")
        before = self._counts[number]
        now = self._counts[number] = before + self._buffer.count(self._mark, 0, octets)
        if before <= self.reached < now:
            self._behind -= 1
        return not self._behind

    def all_have_it(self, tally: Tally) -> int:
        """Note who is the slowest now; how many messages more than before have reached all."""
        reached = min(self._counts.values())
        more, self.reached = reached - self.reached, reached
        self._behind = list(self._counts.values()).count(reached)
        self.sent.answered(more, tally)
        return more

    def check(self) -> None:
        """Everybody has as much as was sent, no more."""
        most = max(self._counts.values())
        if most != self.asked:
            raise ServerError(f"a receiver heard {most} messages instead of {self.asked}")
