"""A name that two clients want: is its holder alive?

The holder's node sees the refused login in the log, tells how long the connection was silent
(``commands.Held``), and probes it.
"""

from collections.abc import Callable

from chainchat.node.interfaces import Clock, Timer
from chainchat.sessions.interfaces import Connection

PROBE_SECONDS = 9.0

HELD_SECONDS = 0.5

Heard = Callable[[int | None], None]
"""Takes a connection's silence in seconds, if known."""


class Contests:
    """Refused logins that wait up to HELD_SECONDS for the holder's silence."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, list[Heard]] = {}
        self._timers: dict[str, Timer] = {}

    def ask(self, session: str, heard: Heard) -> None:
        """Call ``heard`` when the silence of ``session`` is known, or in HELD_SECONDS."""
        self._waiting.setdefault(session, []).append(heard)
        if session not in self._timers:
            self._timers[session] = self._clock.callLater(HELD_SECONDS, self.told, session, None)

    def told(self, session: str, silent: int | None) -> None:
        """Answer those who asked; ``silent``: seconds, or unknown if negative or None."""
        timer = self._timers.pop(session, None)
        if timer is not None and timer.active():
            timer.cancel()
        for heard in self._waiting.pop(session, ()):
            heard(None if silent is None or silent < 0 else silent)

    def stop(self) -> None:
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers, self._waiting = {}, {}


class Probe:
    """Drops a dead machine's connection, which frees its name."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._timer: Timer | None = None

    def begin(self) -> int:
        """Return the seconds of the machine's silence; -1 if unknown, and nothing is begun."""
        silent = self._connection.silent()
        if silent is None:
            return -1
        if self._timer is None:
            self._connection.probe(probing=True)
            self._timer = self._clock.callLater(PROBE_SECONDS, self._over)
        return int(silent)

    def _over(self) -> None:
        self._timer = None
        silent = self._connection.silent()
        if silent is not None and silent >= PROBE_SECONDS - 1:
            self._connection.abort()
        else:
            self._connection.probe(probing=False)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
