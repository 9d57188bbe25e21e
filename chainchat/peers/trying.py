"""What is tried again and again, for one position or another, until it has come off."""

from collections.abc import Callable

from chainchat.node.interfaces import Clock, Timer


class Trying:
    """Tries after pauses that grow twice as long each time."""

    def __init__(
        self, clock: Clock, attempt: Callable[[str], bool], *, first: float, last: float
    ) -> None:
        """Nothing is tried yet.

        Args:
            clock: for the pauses.
            attempt: one attempt for a position; tells whether there is anything left to try.
            first: seconds of the first pause.
            last: of the longest.
        """
        self._clock = clock
        self._attempt = attempt
        self._first = first
        self._last = last
        self._timers: dict[str, Timer] = {}

    def __len__(self) -> int:
        """How many positions it is still tried for."""
        return len(self._timers)

    def begin(self, position: str) -> None:
        """Try now, and then again, until ``end``."""
        self._try(position, self._first)

    def begin_later(self, position: str) -> None:
        """The same after the longest pause: it had come off, and did not last."""
        self.end(position)
        self._timers[position] = self._clock.callLater(self._last, self.begin, position)

    def end(self, position: str) -> None:
        """It has come off, or nobody wants it any more."""
        timer = self._timers.pop(position, None)
        if timer is not None and timer.active():
            timer.cancel()

    def stop(self) -> None:
        """Nothing is tried any more."""
        for position in list(self._timers):
            self.end(position)

    def _try(self, position: str, pause: float) -> None:
        self.end(position)
        if self._attempt(position):
            self._timers[position] = self._clock.callLater(
                pause, self._try, position, min(2 * pause, self._last)
            )
