"""The budget of a turn: how much of what can wait is done before the reactor goes on.

A turn that does all there is to do lasts as long as somebody else chooses, and while it lasts no
ping is answered. So whatever grows with what clients send, ask, miss or have written is done in
*slices*: at least one piece of work, then more of them while the slice has time left. What is left
over waits for the next turn, and in between the reactor serves sockets, timers and pings.
"""

from collections.abc import Callable

READ_SECONDS = 0.002
"""For the questions that the tail answers."""

PAGE_SECONDS = READ_SECONDS / 2
"""For one page of an answer."""

WorkClock = Callable[[], float]
"""Seconds of work. In a process, monotonic time; where work is simulated, what it has cost."""


class Slice:
    """A share of one turn, for one kind of work."""

    __slots__ = ("_began", "_clock", "_end")

    def __init__(self, clock: WorkClock, seconds: float) -> None:
        """The slice begins now and lasts for so many seconds of work."""
        self._clock = clock
        self._began = clock()
        self._end = self._began + seconds

    def left(self) -> bool:
        """True while there is time for one more piece of work."""
        return self._clock() < self._end

    def spent(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began
