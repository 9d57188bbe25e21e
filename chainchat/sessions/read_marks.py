"""Read marks: how much of its messages each account has seen.

A program moves its mark (ACK). A person's follows what their machine acknowledged, when they do
something or the machine shows signs of life some seconds later.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from chainchat.chat import commands
from chainchat.chat.outcomes import Result
from chainchat.node.budget import Slice
from chainchat.node.interfaces import Clock, Timer
from chainchat.node.node import Node
from chainchat.sessions.interfaces import Attendee
from chainchat.sessions.pace import Rate

MARKS_PAUSE = 1.0
"""Seconds over which marks are gathered in one entry."""

ACKNOWLEDGED = Rate(per_second=20, at_once=200)
"""Entries for marks that programs move: else one program could fill a disk with them."""

MARKS_IN_ENTRY = 100
"""Each takes 20 octets at most."""

LOOK_PAUSE = 1.0
"""Seconds between two looks at people's machines."""

SETTLED_SECONDS = 3.0
"""A machine that lives so long after it acknowledged something has shown it."""

STOPPED_SECONDS = 100.0
"""A machine that answers, but takes nothing for so long, was stopped by its person (Ctrl-S).

The kernel cuts such a connection after two minutes, without a word.
"""

ANSWERED_SECONDS = 10.0
"""A machine heard so long after it last took something has answered probes, whose pauses double."""

REMEMBERED_PUSHES = 64
"""The most unseen pushes; beyond, every other is forgotten."""


_NEVER = (0, float("-inf"))


class Reading:
    """How much a person has seen; ``seen`` is the read mark, an id."""

    __slots__ = ("_looked", "_pushes", "_taken", "_written_before", "seen")  # one for each person

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self._pushes: tuple[tuple[int, int], ...] = ()
        """Pushes perhaps unseen: octets written at the end of each, its newest id."""
        self._written_before = 0
        self._looked = _NEVER
        """Octets acknowledged, and when that was looked at."""
        self._taken: tuple[int, float] | None = None
        """Octets acknowledged, and when they last became more."""

    @property
    def may_have_seen_more(self) -> bool:
        return bool(self._pushes)

    def pushed(self, newest: int, written: int) -> None:
        """Note a push up to ``newest``; ``written``: octets so far."""
        if not self._pushes:
            self.begins_to_wait()
        if len(self._pushes) >= REMEMBERED_PUSHES:
            self._pushes = self._pushes[1::2]
        self._pushes = (*self._pushes, (written, newest))

    def did_something(self, acknowledged: int | None, written: int) -> bool:
        """A person who acts has seen what their machine has; True if the read mark moved.

        Args:
            acknowledged: octets; None: unknown, those written before the previous action count.
            written: octets so far.
        """
        octets = self._written_before if acknowledged is None else acknowledged
        self._written_before = written
        return self._has_seen(octets)

    def shows_signs_of_life(self, acknowledged: int | None, alive: float, now: float) -> bool:
        """Count as seen what the machine had some seconds ago; True if the read mark moved.

        But it must have been alive since: one that just died may have shown nothing.

        Args:
            acknowledged: octets, if known.
            alive: when the machine last acknowledged or sent anything, by the clock of ``now``.
            now: seconds.
        """
        if acknowledged is None:
            return False
        octets, since = self._looked
        moved = False
        if alive - since >= SETTLED_SECONDS:
            moved = since > _NEVER[1] and self._has_seen(octets)
            self._looked = acknowledged, now
        return moved

    def begins_to_wait(self) -> None:
        """Note that something is unsent, or unseen, from now on."""
        self._taken = None

    def is_stopped(self, acknowledged: int, alive: float, now: float) -> bool:
        """True if the machine lives, but took nothing for STOPPED_SECONDS; arguments as above."""
        if self._taken is None or self._taken[0] != acknowledged:
            self._taken = acknowledged, now
        since = self._taken[1]
        return now - since >= STOPPED_SECONDS and alive - since >= ANSWERED_SECONDS

    def _has_seen(self, octets: int) -> bool:
        before = self.seen
        seen = bisect_right(self._pushes, octets, key=lambda push: push[0])
        if seen:
            self.seen = max(self.seen, self._pushes[seen - 1][1])
            self._pushes = self._pushes[seen:]
        return self.seen > before


class ReadMarks:
    """One node's read marks, on their way into the log.

    Attributes:
        acknowledged: what to call when a mark has moved, by account.
        moved: what to call of marks that have moved; a program may have a thousand.
        due: people to look at in this turn.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        self.acknowledged: dict[int, list[Callable[[], None]]] = {}
        self.moved: deque[Callable[[], None]] = deque()
        self.due: deque[Attendee] = deque()
        self._node = node
        self._clock = clock
        self._marks: dict[int, int] = {}
        self._sending: Timer | None = None
        self._send_at = self._paid_until = 0.0
        self._watched: dict[Attendee, None] = {}
        self._looking: Timer | None = None

    def stop(self) -> None:
        for timer in (self._sending, self._looking):
            if timer is not None and timer.active():
                timer.cancel()

    # --- moving marks

    def move(self, account: int, newest: int) -> None:
        """Move a mark to ``newest``, within a second."""
        self._gather(account, newest, MARKS_PAUSE)

    def acknowledge(self, account: int, newest: int, done: Callable[[], None]) -> None:
        """Move a mark at once, or within a second if a disk is nearly full; then call ``done``."""
        self.acknowledged.setdefault(account, []).append(done)
        pause = ACKNOWLEDGED.wait(self._paid_until, self._clock.seconds())
        self._gather(account, newest, MARKS_PAUSE if self._node.readiness.low else pause)

    def _gather(self, account: int, newest: int, pause: float) -> None:
        self._marks[account] = max(newest, self._marks.get(account, 0))
        at = self._clock.seconds() + pause
        if self._sending is None:
            self._send_at = at
            self._sending = self._clock.callLater(pause, self._send_when_due)
        elif at < self._send_at:
            self._send_at = at
            self._sending.reset(pause)

    def _send_when_due(self) -> None:
        self._paid_until = ACKNOWLEDGED.pay(self._paid_until, self._clock.seconds(), 1)
        self.send()

    def send(self) -> None:
        """Send all marks, in front of another entry or when it is time."""
        if self._sending is not None and self._sending.active():
            self._sending.cancel()
        self._sending = None
        marks, self._marks = tuple(self._marks.items()), {}
        acknowledged, self.acknowledged = self.acknowledged, {}
        for start in range(0, len(marks), MARKS_IN_ENTRY):
            part = marks[start : start + MARKS_IN_ENTRY]
            done = [call for account, _ in part for call in acknowledged.get(account, ())]
            self._node.submit(commands.Seen(part), partial(self._have_moved, done))

    def _have_moved(self, done: list[Callable[[], None]], _results: Sequence[Result]) -> None:
        self.moved.extend(done)

    def answer(self, share: Slice) -> None:
        """Answer programs whose marks have moved, as far as there is time."""
        while self.moved:
            self.moved.popleft()()
            if not share.left():
                break
        if self.moved:
            self._node.wake()

    # --- looking at people's machines

    def watch(self, session: Attendee) -> None:
        self._watched[session] = None
        if self._looking is None:
            self._looking = self._clock.callLater(LOOK_PAUSE, self._pause_ends)

    def forget(self, session: Attendee) -> None:
        self._watched.pop(session, None)

    def _pause_ends(self) -> None:
        self._looking = None
        self.due.extend(self._watched)
        self._watched = {}
        self._node.wake()

    def look(self, share: Slice) -> None:
        while self.due:
            session = self.due.popleft()
            if session.look():
                self.watch(session)
            if not share.left():
                break
        if self.due:
            self._node.wake()
