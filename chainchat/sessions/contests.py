"""Logins that were refused because somebody holds the name, and wait to hear how alive that is.

The node at which the holder's session lives sees the refusal in the log, looks at the connection,
and says in the log for how long it has been silent (``commands.Held``).
"""

from collections.abc import Callable

from chainchat.node.interfaces import Clock, Timer

HELD_SECONDS = 0.5
"""How long a refused login waits for that."""

Heard = Callable[[int | None], None]
"""Takes the seconds for which a connection has been silent; None if nobody can tell."""


class Contests:
    """The refused logins of one node that wait."""

    def __init__(self, clock: Clock) -> None:
        """Nobody waits."""
        self._clock = clock
        self._waiting: dict[str, list[Heard]] = {}
        self._timers: dict[str, Timer] = {}

    def ask(self, session: str, heard: Heard) -> None:
        """``heard`` is called when the silence of ``session`` is known, or soon in any case."""
        self._waiting.setdefault(session, []).append(heard)
        if session not in self._timers:
            self._timers[session] = self._clock.callLater(HELD_SECONDS, self.told, session, None)

    def told(self, session: str, silent: int | None) -> None:
        """The connection of ``session`` has been silent for so many seconds."""
        timer = self._timers.pop(session, None)
        if timer is not None and timer.active():
            timer.cancel()
        for heard in self._waiting.pop(session, ()):
            heard(None if silent is None or silent < 0 else silent)

    def stop(self) -> None:
        """Nobody is told any more."""
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers, self._waiting = {}, {}
