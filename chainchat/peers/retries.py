"""Attempts repeated until one succeeds."""

from collections.abc import Callable

from chainchat.node.interfaces import Clock, Timer


class Retries:
    """Repeats attempts, by position, with pauses that double."""

    def __init__(
        self, clock: Clock, attempt: Callable[[str], bool], *, first: float, last: float
    ) -> None:
        """``attempt`` returns False if nothing is left to try; ``first``, ``last``: seconds."""
        self._clock = clock
        self._attempt = attempt
        self._first = first
        self._last = last
        self._timers: dict[str, Timer] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def begin(self, position: str) -> None:
        """Try now, and again until ``end``."""
        self._try(position, self._first)

    def begin_later(self, position: str) -> None:
        """Begin after the longest pause."""
        self.end(position)
        self._timers[position] = self._clock.callLater(self._last, self.begin, position)

    def end(self, position: str) -> None:
        timer = self._timers.pop(position, None)
        if timer is not None and timer.active():
            timer.cancel()

    def stop(self) -> None:
        for position in list(self._timers):
            self.end(position)

    def _try(self, position: str, pause: float) -> None:
        self.end(position)
        if self._attempt(position):
            self._timers[position] = self._clock.callLater(
                pause, self._try, position, min(2 * pause, self._last)
            )
