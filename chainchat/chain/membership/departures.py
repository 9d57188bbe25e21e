"""How long a position that keeps falling out of the chain waits before it joins again.

Departures and joins stop writes for a moment. The first are free, as when an operator restarts
nodes one by one. Every member counts, so a new head knows what the old one knew.
"""

from collections import deque

WINDOW = 600.0
"""Seconds for which a departure counts."""

FREE = 2
"""Departures after which a position still joins at once."""

FIRST_PAUSE = 4.0
"""Seconds to wait after the next departure; doubled with each further one."""

LONGEST_PAUSE = 60.0
"""The most seconds to wait, unless ``chain.ini`` says otherwise."""

REMEMBERED = 32
"""Departures kept of a position: far more than the longest pause needs."""


class Departures:
    """The departures within the window, by position."""

    def __init__(self, longest_pause: float = LONGEST_PAUSE, free: int = FREE) -> None:
        self._longest_pause = longest_pause
        self._free = free
        self._left: dict[str, deque[float]] = {}

    def left(self, position: str, now: float) -> None:
        self._left.setdefault(position, deque(maxlen=REMEMBERED)).append(now)

    def count(self, position: str, now: float) -> int:
        return sum(now - when < WINDOW for when in self._left.get(position, ()))

    def wait(self, position: str, now: float) -> float:
        count = self.count(position, now)
        if count <= self._free:
            return 0.0
        pause = min(FIRST_PAUSE * 2.0 ** (count - self._free - 1), self._longest_pause)
        return max(0.0, self._left[position][-1] + pause - now)

    def reason(self, position: str, now: float) -> str:
        seconds = self.wait(position, now)
        if not seconds:
            return ""
        count = self.count(position, now)
        return f"waits {seconds:.0f} s before it joins: left out {count} times in ten minutes"
