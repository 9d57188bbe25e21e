"""W1: messages written and acknowledged, so many connections, so many in flight on each.

The generator shares the machine with the servers, so it has to be cheap: whole windows are sent and
counted at a time, and the clock is read once for each batch of replies. Replies come in the order
of the requests in every protocol here, so counting them is enough.
"""

import gc
import select
import socket
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Thread
from typing import Protocol, Self

from lab.connections import PATIENCE, Outgoing, Visitor, close, enter
from lab.processes import Meter, ServerError, per_million
from lab.report import Result

CASES = {"a": (1, 1), "b": (1, 512), "c": (16, 64), "d": (16, 1)}
"""Connections, and messages in flight on each."""

TEXT = b"m" * 99 + b"^"
"""What is said, always. Its last octet is nowhere else in what any server here says."""

READ_OCTETS = 1 << 18

SLICE = 0.05
"""Seconds for which a generator in the background works before it tells what came of it."""

PERCENTS = (50, 90, 99, 99.9)

Wait = tuple[float, int]
"""Seconds from the sending to the answer, and how many messages took them."""


class Writer(Visitor, Protocol):
    """A visitor who writes."""

    def requests(self, count: int) -> bytes:
        """The next so many messages, each asking for an acknowledgement."""

    def acknowledged(self, data: bytes) -> int:
        """How many messages this further piece of what the server says acknowledges.

        Raises:
            ServerError: it says anything else.
        """


@dataclass
class Tally:
    """What was answered in an interval.

    Attributes:
        waits: and how long they took.
    """

    messages: int = 0
    waits: list[Wait] = field(default_factory=list)


class Sent:
    """When what is unanswered was sent; oldest first."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, float]] = deque()

    def add(self, count: int) -> None:
        """So many more, now."""
        self._batches.append((count, time.perf_counter()))

    def answered(self, count: int, tally: Tally) -> None:
        """The oldest so many are answered now."""
        now = time.perf_counter()
        tally.messages += count
        while count:
            batch, sent_at = self._batches.popleft()
            done = min(batch, count)
            tally.waits.append((now - sent_at, done))
            if batch > done:
                self._batches.appendleft((batch - done, sent_at))
            count -= done


class _Flow:
    """One connection at work."""

    def __init__(self, writer: Writer, connection: socket.socket, epoll: select.epoll) -> None:
        self.outgoing = Outgoing(connection, epoll)
        self.in_flight = 0
        self._writer = writer
        self._sent = Sent()

    def send(self, count: int) -> None:
        self.in_flight += count
        self._sent.add(count)
        self.outgoing.send(self._writer.requests(count))

    def receive(self, tally: Tally) -> int:
        """Read once; how many messages were acknowledged."""
        data = self.outgoing.socket.recv(READ_OCTETS)
        if not data:
            raise ServerError(f"{self._writer.address} has closed the connection")
        count = self._writer.acknowledged(data)
        self.in_flight -= count
        self._sent.answered(count, tally)
        return count


class Generator:
    """Keeps so many messages in flight on each connection, from ``with`` on."""

    def __init__(self, writers: Sequence[Writer], window: int) -> None:
        """Prepare.

        Args:
            window: messages in flight on each.
        """
        self._writers = writers
        self._window = window
        self._heard_at = 0.0

    def __enter__(self) -> Self:
        self._connections = enter(self._writers)
        self._epoll = select.epoll()
        self._flows: dict[int, _Flow] = {}
        for writer, connection in zip(self._writers, self._connections, strict=True):
            self._flows[connection.fileno()] = _Flow(writer, connection, self._epoll)
        return self

    def __exit__(self, *_: object) -> None:
        self._epoll.close()
        close(self._connections)

    def run(self, seconds: float) -> Tally:
        """Answer every acknowledgement with a new message, for so long."""
        tally = Tally()
        for flow in self._flows.values():
            if missing := self._window - flow.in_flight:
                flow.send(missing)
        self._heard_at = time.perf_counter()
        ends = self._heard_at + seconds
        while time.perf_counter() < ends:
            for flow in self._heard():
                if count := flow.receive(tally):
                    flow.send(count)
        return tally

    def say(self, messages: int) -> None:
        """Write exactly so many, and wait for their acknowledgements."""
        for flow in self._flows.values():
            first = min(self._window, messages)
            messages -= first
            flow.send(first)
        self._heard_at = time.perf_counter()
        while messages:
            for flow in self._heard():
                more = min(flow.receive(Tally()), messages)
                if more:
                    messages -= more
                    flow.send(more)
        self.drain()

    def drain(self) -> None:
        """Wait for the acknowledgement of everything that was sent."""
        self._heard_at = time.perf_counter()
        while any(flow.in_flight for flow in self._flows.values()):
            for flow in self._heard():
                flow.receive(Tally())

    def _heard(self) -> Iterator[_Flow]:
        """Wait a little for the connections; those that have something to read."""
        now = time.perf_counter()
        for number, event in self._epoll.poll(0.1):
            flow = self._flows[number]
            if event & select.EPOLLOUT:
                flow.outgoing.writable()
            if event & ~select.EPOLLOUT:
                self._heard_at = now
                yield flow
        if now - self._heard_at > PATIENCE:
            missing = sum(flow.in_flight for flow in self._flows.values())
            raise ServerError(f"{missing} messages were not acknowledged in {PATIENCE:g} seconds")


@dataclass(frozen=True)
class Side:
    """One of several servers, or sets of them, that are measured side by side.

    Attributes:
        pids: the servers' processes, whose processor time is counted.
    """

    writers: Sequence[Writer]
    pids: Mapping[str, int]


def write(
    writers: Sequence[Writer],
    window: int,
    seconds: float,
    pids: Mapping[str, int],
) -> Result:
    """Measure for so long, after a warm-up of a third of that.

    Args:
        window: messages in flight on each.
        pids: the servers' processes, whose processor time is counted.
    """
    [measured] = side_by_side([Side(writers, pids)], window, seconds, bursts=1)
    return measured


def side_by_side(
    sides: Sequence[Side],
    window: int,
    seconds: float,
    bursts: int,
    *,
    warm_up: float | None = None,
) -> Sequence[Result]:
    """Measure each for so long, in bursts by turns: what disturbs the machine disturbs all alike.

    ``bursts`` of the result has of each burst its rate, median wait, and seconds of processor time.

    Args:
        warm_up: seconds of each before; a third of the others unless given.
    """
    with ExitStack() as stack:
        generators = [stack.enter_context(Generator(side.writers, window)) for side in sides]
        stack.enter_context(no_garbage_collection())
        for generator in generators:
            generator.run(seconds / 3 if warm_up is None else warm_up)
            generator.drain()
        meters = [
            _Bursts(side.pids, generator) for side, generator in zip(sides, generators, strict=True)
        ]
        for number in range(bursts):
            for meter in meters if number % 2 == 0 else reversed(meters):
                meter.measure(seconds / bursts)
    return [meter.result() for meter in meters]


class _Bursts:
    """What the bursts of one side gave."""

    def __init__(self, pids: Mapping[str, int], generator: Generator) -> None:
        self._generator = generator
        self._meter = Meter(pids)
        self._bursts: list[Result] = []
        self._tally = Tally()
        self._took = 0.0
        self._used: Counter[str] = Counter()

    def measure(self, seconds: float) -> None:
        """One burst."""
        self._meter.restart()
        began = time.perf_counter()
        tally = self._generator.run(seconds)
        took, used = time.perf_counter() - began, self._meter.used()
        self._generator.drain()
        self._took += took
        self._used.update(used)
        self._tally.messages += tally.messages
        self._tally.waits += tally.waits
        one = result(tally, took, used)
        self._bursts.append(
            {
                "rate": one["rate"],
                "p50": one["latency"]["p50"],
                "cpu_per_million": one["cpu_per_million"]["servers"],
            }
        )

    def result(self) -> Result:
        """All of them together."""
        return {**result(self._tally, self._took, self._used), "bursts": self._bursts}


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """The generator's pauses would be taken for the servers'."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def result(tally: Tally, took: float, used: Mapping[str, float]) -> Result:
    """What an interval of so many seconds gave, while so much processor time was used."""
    return {
        "messages": tally.messages,
        "rate": tally.messages / took,
        "latency": percentiles(tally.waits),
        "cpu_per_million": per_million(used, tally.messages),
        "busy": {name: each / took for name, each in used.items()},
        "waits": tally.waits,
    }


def percentiles(waits: Sequence[Wait]) -> dict[str, float | None]:
    """Seconds that so many percent of the messages took at most, and the longest."""
    found: dict[str, float | None] = {}
    in_order = sorted(waits)
    total = sum(count for _, count in in_order)
    passed = list(accumulate(count for _, count in in_order))
    for percent in PERCENTS:
        at = bisect_left(passed, total * percent / 100)
        found[f"p{percent:g}"] = in_order[at][0] if in_order else None
    return {**found, "longest": in_order[-1][0] if in_order else None}


class Steady:
    """A generator that works beside something else, in a thread, from ``with`` on."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._tallies: deque[Tally] = deque()
        self._working = True
        self._error: Exception | None = None
        self._thread = Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._working = False
        self._thread.join()

    def _work(self) -> None:
        try:
            while self._working:
                self._tallies.append(self._generator.run(SLICE))
        except Exception as error:
            self._error = error

    def take(self) -> list[Wait]:
        """How long what was answered since the last time has taken."""
        if self._error is not None:
            raise self._error
        waits: list[Wait] = []
        while self._tallies:
            waits += self._tallies.popleft().waits
        return waits
