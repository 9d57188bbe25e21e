"""The engine's phases, and how long each may last. Times are monotonic seconds."""

from enum import Enum, auto
from math import inf

CONNECT_WITHIN = 10.0

GREETING_WITHIN = 3.0
"""Seconds for a node that accepted the connection to answer ``/hello``.

They double each time: a client that leaves the queue of a busy node and rejoins it makes it longer.
"""

LONGEST_GREETING = 30.0
"""The longest greeting; also granted to a node that has said anything."""

CLOSING_WITHIN = 2.0
"""Seconds for a closing node's last answers."""

OFFLINE_TOLD_AFTER = 1.0
"""Seconds; most breaks are over before."""


class Phase(Enum):
    """What the engine is doing."""

    NEW = auto()
    PAUSING = auto()  # until the next attempt
    CONNECTING = auto()
    GREETING = auto()  # /hello is on its way
    LOGGING_IN = auto()
    ONLINE = auto()
    ENDED = auto()


class Phases:
    """The present phase.

    Attributes:
        alarm: when the phase has lasted too long, or long enough; None if it may last.
    """

    def __init__(self) -> None:
        self.now = Phase.NEW
        self.alarm: float | None = None
        self._online_since: float | None = None
        self._trouble_since: float | None = None  # until the next login; infinity: it was told
        self._greeting_within = GREETING_WITHIN
        self._connected_at = 0.0

    # --- the next phase

    def pausing(self, until: float) -> None:
        self.now = Phase.PAUSING
        self.alarm = until

    def connecting(self, now: float) -> None:
        self.now = Phase.CONNECTING
        self.alarm = now + CONNECT_WITHIN

    def greeting(self, now: float) -> None:
        self.now = Phase.GREETING
        self._connected_at = now
        self.alarm = now + self._greeting_within

    def logging_in(self) -> None:
        self.now = Phase.LOGGING_IN
        self.alarm = None

    def online(self, now: float) -> None:
        self.now = Phase.ONLINE
        self._online_since = now
        self._trouble_since = None
        self._greeting_within = GREETING_WITHIN

    def ended(self) -> None:
        self.now = Phase.ENDED
        self.alarm = self._trouble_since = None

    # --- within a phase

    def heard(self) -> None:
        if self.now is Phase.GREETING:
            self.alarm = self._connected_at + LONGEST_GREETING  # it is alive

    def deaf(self, now: float) -> None:
        """Count no time in which the program does not read."""
        if self.now is Phase.GREETING:
            self.alarm = now + self._greeting_within

    def no_greeting(self) -> None:
        """Be more patient with the next node."""
        self._greeting_within = min(LONGEST_GREETING, 2 * self._greeting_within)

    def troubled(self, now: float, seconds: float) -> None:
        """Expect no session for the seconds that the server needs."""
        self._note_trouble(now)
        self.alarm = now + seconds

    def is_over(self, now: float) -> bool:
        """True once, when the alarm is due."""
        if self.alarm is None or now < self.alarm:
            return False
        self.alarm = None
        return True

    def broke(self, now: float) -> float | None:
        """Note a break; return the session's seconds, if any."""
        served = None if self._online_since is None else now - self._online_since
        self._online_since = None
        self._note_trouble(now)
        return served

    def _note_trouble(self, now: float) -> None:
        """Note that there is no session, or soon none, until the next login."""
        if self._trouble_since is None:
            self._trouble_since = now

    def trouble_lasts(self, now: float) -> bool:
        """True once, when the trouble is to be told."""
        if self._trouble_since is None or now - self._trouble_since < OFFLINE_TOLD_AFTER:
            return False
        self._trouble_since = inf
        return True
