"""The clocks of all machines: whether one stood still, and the time.

A hypervisor can stop a machine with all its clocks; afterwards hours-old evidence looks fresh
there. But the difference of two running clocks does not jump: a node that finds a jump takes
nothing for proved. Until then, harm can be done; ``refusal-is-death = no`` is for those who cannot
accept that.
"""

from collections.abc import Iterable

from msgspec import Struct

from chainchat.chain.configuration import Life
from chainchat.chain.messages import ClockReading

DRIFT = 0.14
"""How much faster one clock may run than another."""

GRAIN = 0.005
"""The most seconds between the readings of two clocks."""

MOST_AHEAD = 60_000
"""Milliseconds that an entry's time may be ahead of most clocks."""


class Difference(Struct):
    """How far one clock is ahead, between ``low`` and ``high`` seconds, by all comparisons.

    ``at``: monotonic seconds of the last comparison.
    """

    low: float
    high: float
    at: float

    def allows(self, low: float, high: float, now: float) -> bool:
        """Compare again; return False if a clock stood still, or was set."""
        slack = DRIFT * max(0.0, now - self.at) + GRAIN
        least, most = self.low - slack, self.high + slack
        allowed = low <= most and high >= least
        if allowed:
            low, high = max(low, least), min(high, most)
        self.low, self.high, self.at = low, high, now
        return allowed


class Clocks:
    """This machine's clocks and, by life, those of others."""

    def __init__(self) -> None:
        self._own: Difference | None = None
        """The wall clock less the monotonic one."""
        self._others: dict[Life, Difference] = {}
        """This machine's monotonic clock less another's."""
        self._walls: dict[Life, tuple[int, float]] = {}

    # --- whether one stood still

    def look(self, now: float, wall: int) -> bool:
        """Compare this machine's clocks; return False after a jump."""
        ahead = wall / 1000 - now
        if not wall:
            return True
        if self._own is None:
            self._own = Difference(ahead, ahead, now)
        return self._own.allows(ahead, ahead, now)

    def heard(self, life: Life, reading: ClockReading, now: float, asked: float | None) -> bool:
        """Compare with another's clock; return False if either machine stood still.

        ``asked``: when this node asked for the message, if it did.
        """
        if reading.wall:
            self._walls[life] = reading.wall, now
        if not reading.monotonic:
            return True
        low = float("-inf") if asked is None else asked - reading.monotonic
        high = now - reading.monotonic
        known = self._others.get(life)
        if known is None:
            self._others[life] = Difference(low, high, now)
            return True
        return known.allows(low, high, now)

    def forget_all_but(self, lives: set[Life]) -> None:
        self._others = {life: one for life, one in self._others.items() if life in lives}
        self._walls = {life: one for life, one in self._walls.items() if life in lives}

    # --- what time it is

    def _told(self, lives: Iterable[Life], now: float, wall: int) -> list[int]:
        told = [wall]
        for life in lives:
            if life in self._walls:
                theirs, at = self._walls[life]
                told.append(int(theirs + 1000 * (now - at)))
        told.sort()
        return told

    def time(self, others: Iterable[Life], now: float, wall: int) -> int:
        """Return an entry's time: this clock's, but at most ``MOST_AHEAD`` ahead of most clocks."""
        told = self._told(others, now, wall)
        return min(wall, told[-(len(told) // 2) - 1] + MOST_AHEAD)

    def ahead(self, others: Iterable[Life], now: float, wall: int) -> int:
        """Return milliseconds ahead of most clocks (< 0: behind); 0 within ``MOST_AHEAD``.

        Of two clocks, nobody can tell which is wrong.
        """
        told = self._told(others, now, wall)
        middle = len(told) // 2
        ahead, behind = wall - told[-middle - 1], told[middle] - wall
        if ahead > MOST_AHEAD:
            return ahead
        return -behind if behind > MOST_AHEAD else 0
