"""Rounds: whose turn it is among the sessions that have something to do.

In its turn, a session does a bounded piece of work, then goes to the end of its queue.

Every turn of the node serves clients that say or ask something, then programs that say much at
once. Two queues get a share of the node's time (``budget.PATIENT_SHARE``): newcomers; then readers
of the log or of long answers, and people who say much at once.

While somebody says little, programs that say much have as little on its way as people who do: the
others' messages are in short batches.

A client that exceeds its ``pace``, or its account's limit, rests outside all queues. They are woken
one by one, so a hundred are no faster than a few.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable

from chainchat.node.budget import PATIENT_SHARE, Slice
from chainchat.node.interfaces import Clock, Timer
from chainchat.node.share import SHORTEST_REST, Share
from chainchat.sessions.interfaces import Attendee

WAKE_SECONDS = 0.01
"""The least time between waking two clients that rested."""

LITTLE_SECONDS = 1.0
"""For so long after somebody said little, those who say much wait for room."""

FORGOTTEN_RESTS = 100
"""Rests of departed sessions in the heap before it is swept."""


class Rounds:
    """The queues of one node."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        # Not plain dicts: they are slow to find their first item after many removals.
        self._speaking: OrderedDict[Attendee, None] = OrderedDict()
        self._saying_much: OrderedDict[Attendee, None] = OrderedDict()
        self._arriving: OrderedDict[Attendee, None] = OrderedDict()
        self._patient: OrderedDict[Attendee, None] = OrderedDict()
        self._patience = Share(clock, wake, PATIENT_SHARE)
        self._resting: dict[Attendee, int] = {}
        self._ends: list[tuple[float, int, Attendee]] = []
        """A heap of rests: end, number, session, which may be over."""
        self._rests = 0
        self._woken_last = 0.0
        self._rest_timer: Timer | None = None
        self._little_until = 0.0

    def speaks(self, session: Attendee, *, first: bool = False) -> None:
        """Queue a session that has lines to hear; ``first``: before all others."""
        self._speaking[session] = None
        if first:
            self._speaking.move_to_end(session, last=False)
        self._wake()

    def says_much(self, session: Attendee, *, first: bool = False) -> None:
        """Queue a session that has more lines than a turn can hear."""
        _put(self._saying_much, session, first=first)
        self._wake()

    def says_little(self) -> None:
        """Note that a session waits for an answer that others must not delay."""
        self._little_until = self._clock.seconds() + LITTLE_SECONDS

    @property
    def somebody_says_little(self) -> bool:
        return self._clock.seconds() < self._little_until

    def arrives(self, session: Attendee) -> None:
        """Queue a session that is not logged in."""
        self._arriving[session] = None
        self._patience.wake_when_due()

    def waits(self, session: Attendee, *, first: bool = False) -> None:
        """Queue a session whose work can wait."""
        _put(self._patient, session, first=first)
        self._patience.wake_when_due()

    def rests(self, session: Attendee, seconds: float) -> None:
        """Let a session rest that has sent too much."""
        self._rests += 1
        self._resting[session] = self._rests
        heapq.heappush(self._ends, (self._clock.seconds() + seconds, self._rests, session))
        self._set_rest_timer()

    @property
    def resting(self) -> int:
        return len(self._resting)

    def forget(self, session: Attendee) -> None:
        for queue in (self._speaking, self._saying_much, self._arriving, self._patient):
            queue.pop(session, None)
        self._resting.pop(session, None)
        if len(self._ends) > 2 * len(self._resting) + FORGOTTEN_RESTS:
            self._ends = [end for end in self._ends if self._resting.get(end[2]) == end[1]]
            heapq.heapify(self._ends)

    def stop(self) -> None:
        self._patience.stop()
        if self._rest_timer is not None and self._rest_timer.active():
            self._rest_timer.cancel()

    # --- turns

    @property
    def somebody_speaks(self) -> bool:
        return bool(self._speaking or self._saying_much)

    @property
    def somebody_waits(self) -> bool:
        return bool(self._arriving or self._patient)

    def serve_speaking(self, share: Slice) -> None:
        """Serve each session once, as far as there is time."""
        for queue in (self._speaking, self._saying_much):
            if queue:
                self._serve(queue, share, lambda session: session.hear(share))
        if self._speaking or self._saying_much:
            self._wake()

    def serve_patient(self, share: Slice) -> None:
        """Serve each session once, within their share of time."""
        if self._patience.is_due:
            for queue in (self._arriving, self._patient):
                self._serve(queue, share, lambda session: session.go_on(share))
            self._patience.took(share.spent())
        if self.somebody_waits:
            self._patience.wake_when_due()

    @staticmethod
    def _serve(
        queue: OrderedDict[Attendee, None], share: Slice, serve: Callable[[Attendee], bool]
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
        while self._ends and self._ends[0][0] <= self._clock.seconds():
            _, number, session = heapq.heappop(self._ends)
            if self._resting.get(session) == number:
                del self._resting[session]
                self._woken_last = self._clock.seconds()
                session.rested()
                break
        if self._ends:
            self._set_rest_timer()


def _put(queue: OrderedDict[Attendee, None], session: Attendee, *, first: bool) -> None:
    queue[session] = None
    if first:
        queue.move_to_end(session, last=False)
