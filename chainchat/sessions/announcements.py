"""Announcements of who came and went: once a second at most, and more rarely to thousands."""

from collections import deque
from collections.abc import Callable, Collection, Iterable

from chainchat.node.budget import Slice
from chainchat.node.interfaces import Clock, Timer
from chainchat.sessions.interfaces import Attendee

NOTICE_PAUSE = 1.0

HEARER_SECONDS = 0.0002
"""The least pause for each hearer, whom to tell takes a tenth of that or more.

Else one client that comes and goes could have thousands written to every second.
"""

NAMED_AT_ONCE = 5
"""The number of names in an announcement; others are counted."""


class Announcements:
    """Names to be announced, and sessions to be told."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._comings: dict[str, int] = {}
        """How often each name came since the last announcement, less how often it went."""
        self._pause: Timer | None = None
        # Not lists: there can be as many names as hearers, who are no news to themselves.
        self._came: dict[str, None] = {}
        self._went: dict[str, None] = {}
        self._hearers: deque[Attendee] = deque()

    def joined(self, name: str) -> None:
        self._comings[name] = self._comings.get(name, 0) + 1

    def left(self, name: str) -> None:
        self._comings[name] = self._comings.get(name, 0) - 1

    def stop(self) -> None:
        if self._pause is not None and self._pause.active():
            self._pause.cancel()

    @property
    def waiting(self) -> bool:
        return bool(self._hearers) or (bool(self._comings) and self._pause is None)

    def tell(self, present: Iterable[Attendee], share: Slice) -> None:
        """Tell some sessions; begin the next announcement when it is due."""
        if self.waiting and not self._hearers:
            self._begin(present)
        while self._hearers:
            hearer = self._hearers.popleft()
            try:
                self._tell(hearer)
            except Exception as error:
                hearer.broke(error)
            if not share.left():
                break
        if self._hearers:
            self._wake()

    def _tell(self, hearer: Attendee) -> None:
        if hearer.takes_notices:
            for code, text, name in _announcements(self._came, self._went, hearer.name):
                hearer.tell(code, text, name=name)

    def _begin(self, present: Iterable[Attendee]) -> None:
        """Begin the next announcement, without those who both came and went."""
        comings, self._comings = self._comings, {}
        self._came = {name: None for name, times in comings.items() if times > 0}
        self._went = {name: None for name, times in comings.items() if times < 0}
        if self._came or self._went:
            self._hearers.extend(present)
            pause = max(NOTICE_PAUSE, HEARER_SECONDS * len(self._hearers))
            self._pause = self._clock.callLater(pause, self._pause_ends)

    def _pause_ends(self) -> None:
        self._pause = None
        if self._comings:
            self._wake()


def _announcements(
    came: Collection[str], went: Collection[str], viewer: str
) -> list[tuple[str, str, str]]:
    return _about("joined", "has joined", came, viewer) + _about("left", "has left", went, viewer)


def _about(code: str, verb: str, names: Collection[str], viewer: str) -> list[tuple[str, str, str]]:
    others = len(names) - (viewer in names)
    if others > NAMED_AT_ONCE:
        return [(code, f"{others} others: each {verb}", "*")]
    return [(code, f"{name} {verb}", name) for name in names if name != viewer]
