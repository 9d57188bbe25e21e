"""Refused logins that wait to hear whether the holder of their name is alive.

The node of the holder's session sees the refusal in the log, and says there how long the connection
was silent (``commands.Held``).
"""

from collections.abc import Callable

from chainchat.node.interfaces import Clock, Timer

HELD_SECONDS = 0.5
"""How long a refused login waits to hear."""

Heard = Callable[[int | None], None]
"""Takes the seconds for which a connection was silent; None if unknown."""


class Contests:
    """The refused logins of one node that wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, list[Heard]] = {}
        self._timers: dict[str, Timer] = {}

    def ask(self, session: str, heard: Heard) -> None:
        """Call ``heard`` when the silence of ``session`` is known, or soon without."""
        self._waiting.setdefault(session, []).append(heard)
        if session not in self._timers:
            self._timers[session] = self._clock.callLater(HELD_SECONDS, self.told, session, None)

    def told(self, session: str, silent: int | None) -> None:
        """Tell those who wait how long the connection of ``session`` was silent."""
        timer = self._timers.pop(session, None)
        if timer is not None and timer.active():
            timer.cancel()
        for heard in self._waiting.pop(session, ()):
            heard(None if silent is None or silent < 0 else silent)

    def stop(self) -> None:
        """Tell nobody any more."""
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers, self._waiting = {}, {}
