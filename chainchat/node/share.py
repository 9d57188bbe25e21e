"""A share of a node's time, for work that can wait."""

from collections.abc import Callable

from chainchat.node.interfaces import Clock, Timer

SHORTEST_REST = 1e-4
"""Seconds; a rounding clock might not move in less."""


class Share:
    """Work that takes at most a ``part`` (0 to 1) of the node's time: after a slice it rests."""

    def __init__(self, clock: Clock, wake: Callable[[], None], part: float) -> None:
        self._clock = clock
        self._wake = wake
        self._rest = 1 / part - 1
        """Seconds of rest per second of work."""
        self._from = 0.0
        self._timer: Timer | None = None

    @property
    def is_due(self) -> bool:
        return self._clock.seconds() >= self._from

    def took(self, seconds: float) -> None:
        self._from = self._clock.seconds() + seconds * self._rest

    def rest(self, seconds: float) -> None:
        """Let nothing be due for so long, at least."""
        self._from = max(self._from, self._clock.seconds() + seconds)

    def wake_when_due(self) -> None:
        """Ask for a turn when the work may go on."""
        if self.is_due:
            self._wake()
        elif self._timer is None or not self._timer.active():
            seconds = max(self._from - self._clock.seconds(), SHORTEST_REST)
            self._timer = self._clock.callLater(seconds, self._wake)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
