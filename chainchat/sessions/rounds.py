"""Whose turn it is: the sessions of a node that have something to do, served in rounds.

When its turn comes, a session does one piece of work, of a bounded size; if it could go on, it goes
to the end of its queue. So nobody waits longer than one round, whatever the others send or ask.

There are four queues. Those who are logged in and say or ask something are served in every turn of
the node, and after them programs that say much at once. What can wait does: newcomers, who go
first; and whoever reads on from the log, pages of long answers, and people who say much at once.
All of these together get a share of the node's time (``budget.PATIENT_SHARE``), so a thousand who
come back at once are let in at a pace that leaves the others alone.

Whoever has sent more than its ``pace`` allows rests, and is in none of them. Of those who rest one
is woken after another, so a hundred of them together are no faster than a few.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from chainchat.node.budget import PATIENT_SHARE, Slice
from chainchat.node.interfaces import Clock, Timer
from chainchat.node.share import SHORTEST_REST, Share

WAKE_SECONDS = 0.01
"""At least so long after one who rested the next one is woken."""


FORGOTTEN_RESTS = 100
"""Rests of those who are gone that may stand in the heap before it is swept."""


class Speaker(Protocol):
    """What the rounds need of a session."""

    def hear(self) -> bool:
        """Hear some lines. True if it could go on with more of them at once."""

    def go_on(self) -> bool:
        """Do one piece of what can wait. True if it could go on at once."""

    def rested(self) -> None:
        """It may be heard again."""


class Rounds:
    """The queues of one node."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        """Nobody has anything to do.

        Args:
            clock: the node's.
            wake: asks for a turn of the node.
        """
        self._clock = clock
        self._wake = wake
        # Not plain dicts: these take long to find their first item when many before it are gone.
        self._speaking: OrderedDict[Speaker, None] = OrderedDict()
        self._saying_much: OrderedDict[Speaker, None] = OrderedDict()
        self._arriving: OrderedDict[Speaker, None] = OrderedDict()
        self._patient: OrderedDict[Speaker, None] = OrderedDict()
        self._patience = Share(clock, wake, PATIENT_SHARE)
        self._resting: dict[Speaker, int] = {}
        """Those who rest, by the number of their rest."""
        self._ends: list[tuple[float, int, Speaker]] = []
        """A heap: when rests end, their numbers, and whose they are or were."""
        self._rests = 0
        self._woken_last = 0.0
        self._rest_timer: Timer | None = None

    def speaks(self, session: Speaker) -> None:
        """The session has lines to hear."""
        self._speaking[session] = None
        self._wake()

    def says_much(self, session: Speaker) -> None:
        """The session has lines to hear, and more of them than can be heard at once."""
        self._saying_much[session] = None
        self._wake()

    def arrives(self, session: Speaker) -> None:
        """The session is not logged in, and has something to do."""
        self._arriving[session] = None
        self._patience.wake_when_due()

    def waits(self, session: Speaker) -> None:
        """The session has something to do that can wait."""
        self._patient[session] = None
        self._patience.wake_when_due()

    def rests(self, session: Speaker, seconds: float) -> None:
        """The session has sent too much: it has lines to hear, but not before so many seconds."""
        self._rests += 1
        self._resting[session] = self._rests
        heapq.heappush(self._ends, (self._clock.seconds() + seconds, self._rests, session))
        self._set_rest_timer()

    def forget(self, session: Speaker) -> None:
        """The session is over."""
        for queue in (self._speaking, self._saying_much, self._arriving, self._patient):
            queue.pop(session, None)
        self._resting.pop(session, None)
        if len(self._ends) > 2 * len(self._resting) + FORGOTTEN_RESTS:
            self._ends = [end for end in self._ends if self._resting.get(end[2]) == end[1]]
            heapq.heapify(self._ends)

    def stop(self) -> None:
        """No more timers."""
        self._patience.stop()
        if self._rest_timer is not None and self._rest_timer.active():
            self._rest_timer.cancel()

    # --- turns

    @property
    def somebody_speaks(self) -> bool:
        """Whether anybody has lines to hear."""
        return bool(self._speaking or self._saying_much)

    @property
    def somebody_waits(self) -> bool:
        """Whether anybody has something to do that can wait."""
        return bool(self._arriving or self._patient)

    def serve_speaking(self, share: Slice) -> None:
        """One round, or as much of it as there is time for."""
        for queue in (self._speaking, self._saying_much):
            self._serve(queue, share, lambda session: session.hear())
        if self.somebody_speaks:
            self._wake()

    def serve_patient(self, share: Slice) -> None:
        """The same for those who can wait, if it is time."""
        if self._patience.is_due:
            for queue in (self._arriving, self._patient):
                self._serve(queue, share, lambda session: session.go_on())
            self._patience.took(share)
        if self.somebody_waits:
            self._patience.wake_when_due()

    @staticmethod
    def _serve(
        queue: OrderedDict[Speaker, None], share: Slice, serve: Callable[[Speaker], bool]
    ) -> None:
        for _ in range(len(queue)):
            session, _ = queue.popitem(last=False)
            if serve(session):
                queue[session] = None
            if not share.left():
                break

    # --- rest

    def _set_rest_timer(self) -> None:
        timer = self._rest_timer
        due = max(self._ends[0][0], self._woken_last + WAKE_SECONDS)
        seconds = max(due - self._clock.seconds(), SHORTEST_REST)
        if timer is not None and timer.active():
            timer.reset(seconds)
        else:
            self._rest_timer = self._clock.callLater(seconds, self._rested)

    def _rested(self) -> None:
        """Wake the first; those who are gone take nobody's time."""
        while self._ends and self._ends[0][0] <= self._clock.seconds():
            _, number, session = heapq.heappop(self._ends)
            if self._resting.get(session) == number:
                del self._resting[session]
                self._woken_last = self._clock.seconds()
                session.rested()
                break
        if self._ends:
            self._set_rest_timer()
