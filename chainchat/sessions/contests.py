"""A name that two clients want: is its holder alive?

The holder's node sees the refused login in the log, tells how long the connection was silent
(``commands.Held``), and probes it.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from chainchat.node.budget import Slice
from chainchat.node.interfaces import Clock, Timer
from chainchat.sessions.interfaces import Client, Connection

PROBE_SECONDS = 9.0

HELD_SECONDS = 0.5

MOST_WAITING = 16
"""For one name; more are refused at once, as all are answered in one turn."""


class Waiting(NamedTuple):
    """A refused login.

    Attributes:
        heard: called with the holder's silence in seconds, if known.
        freed: called when the name is free.
    """

    client: Client
    heard: Callable[[int | None], None]
    freed: Callable[[], None]


class Contests:
    """Refused logins that wait up to HELD_SECONDS for the holder's silence, or its end.

    Who hangs up at one node and logs in at another may be there before the end of the first.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        """``wake`` wakes the node for ``let_in``."""
        self._clock = clock
        self._wake = wake
        self._waiting: dict[str, list[Waiting]] = {}
        self._timers: dict[str, Timer] = {}
        self._freed: deque[list[Waiting]] = deque()

    def ask(self, session: str, login: Waiting) -> None:
        """Let a login wait for news of ``session``, which holds its name."""
        waiting = self._waiting.setdefault(session, [])
        if len(waiting) >= MOST_WAITING:
            login.heard(None)
            return
        waiting.append(login)
        if session not in self._timers:
            self._timers[session] = self._clock.callLater(HELD_SECONDS, self.told, session, None)

    def told(self, session: str, silent: int | None) -> None:
        """Answer those who wait; ``silent``: seconds, or unknown if negative or None."""
        for login in self._end(session):
            login.heard(None if silent is None or silent < 0 else silent)

    def left(self, session: str) -> None:
        """Note that a name is free."""
        if session in self._waiting:
            self._freed.append(self._end(session))
            self._wake()

    @property
    def somebody_comes(self) -> bool:
        return bool(self._freed)

    def let_in(self, share: Slice) -> None:
        """Give free names to who has waited longest for each; the others are refused."""
        while self._freed:
            waiting = [login for login in self._freed.popleft() if login.client.is_open]
            for login in waiting[:1]:
                login.freed()
            for login in waiting[1:]:
                login.heard(None)
            if not share.left():
                break
        if self._freed:
            self._wake()

    def _end(self, session: str) -> list[Waiting]:
        timer = self._timers.pop(session, None)
        if timer is not None and timer.active():
            timer.cancel()
        return self._waiting.pop(session, [])

    def stop(self) -> None:
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers, self._waiting, self._freed = {}, {}, deque()


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
