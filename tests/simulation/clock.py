"""Virtual time: one clock for the world, and for each host one that is a little fast or slow."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Timer:
    """A call to come."""

    def __init__(self, schedule: Callable[["Timer", float], None], run: Callable[[], Any]) -> None:
        self._schedule = schedule
        self._run: Callable[[], Any] | None = run
        self.due = 0.0

    def active(self) -> bool:
        return self._run is not None

    def cancel(self) -> None:
        self._run = None

    def reset(self, delay: float) -> None:
        self._schedule(self, delay)

    def fire(self, due: float) -> None:
        """Run, unless it was cancelled or moved."""
        run = self._run
        if run is not None and due == self.due:
            self._run = None
            run()


class WorldClock:
    """The calls to come, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Timer]] = []
        self._order = count()

    def push(self, timer: Timer, delay: float) -> None:
        timer.due = self.now + delay
        heapq.heappush(self._calls, (timer.due, next(self._order), timer))

    def after(self, delay: float, run: Callable[[], Any]) -> Timer:
        timer = Timer(self.push, run)
        self.push(timer, delay)
        return timer

    def step(self) -> bool:
        """Run the next call; False if there is none."""
        if not self._calls:
            return False
        due, _, timer = heapq.heappop(self._calls)
        self.now = due
        timer.fire(due)
        return True


class HostClock:
    """The monotonic clock of one host: ``rate`` of its seconds to one of the world's.

    Attributes:
        stalled_until: true time until which the host stands still; what it was in the middle of is
            done then, and reads the clock of then.
        worked: seconds of true time for which it has worked in what it does just now.
        frozen: seconds of true time for which this clock stood still in all.
    """

    def __init__(
        self, world: WorldClock, rate: float, deliver: Callable[[Callable[[], Any]], None]
    ) -> None:
        """``deliver`` runs a call on the host, or keeps it until the host runs again."""
        self.stalled_until = 0.0
        self.worked = 0.0
        self.frozen = 0.0
        self._world = world
        self._rate = rate
        self._deliver = deliver

    def true(self) -> float:
        return max(self._world.now, self.stalled_until) + self.worked

    def seconds(self) -> float:
        return 1_000.0 + (self.true() - self.frozen) * self._rate

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any) -> Timer:  # noqa: N802
        timer = Timer(self._push, lambda: self._deliver(lambda: function(*args)))
        self._push(timer, delay)
        return timer

    def _push(self, timer: Timer, delay: float) -> None:
        self._world.push(timer, self.worked + delay / self._rate)
