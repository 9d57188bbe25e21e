"""How long a position that keeps falling out of the chain waits before it joins again.

Every departure and join stops writes for a moment. The first departures cost nothing, as when an
operator restarts one node after the other; after each further one the position waits twice as long.
Every member counts what it adopts, so a new head knows what the old one knew.
"""

from collections import deque

WINDOW = 600.0
"""Seconds for which a departure counts."""

FREE = 2
"""After so many, a position still joins at once."""

FIRST_PAUSE = 4.0
"""Seconds after the next departure; doubles after each further one."""

LONGEST_PAUSE = 60.0
"""Seconds at most, unless ``chain.ini`` says otherwise."""

REMEMBERED = 32
"""Of each position: far more than lead to the longest pause."""


class Departures:
    """The departures of the last ten minutes, by position."""

    def __init__(self, longest_pause: float = LONGEST_PAUSE, free: int = FREE) -> None:
        """See the constants above."""
        self._longest_pause = longest_pause
        self._free = free
        self._left: dict[str, deque[float]] = {}

    def left(self, position: str, now: float) -> None:
        """The chain goes on without the member at ``position``."""
        self._left.setdefault(position, deque(maxlen=REMEMBERED)).append(now)

    def count(self, position: str, now: float) -> int:
        """How often ``position`` left within the window."""
        return sum(now - when < WINDOW for when in self._left.get(position, ()))

    def wait(self, position: str, now: float) -> float:
        """Seconds until ``position`` may join; 0 if it may now."""
        count = self.count(position, now)
        if count <= self._free:
            return 0.0
        pause = min(FIRST_PAUSE * 2.0 ** (count - self._free - 1), self._longest_pause)
        return max(0.0, self._left[position][-1] + pause - now)

    def reason(self, position: str, now: float) -> str:
        """Why ``position`` waits, for people; empty if it does not."""
        seconds = self.wait(position, now)
        if not seconds:
            return ""
        count = self.count(position, now)
        return f"waits {seconds:.0f} s before it joins: left out {count} times in ten minutes"
