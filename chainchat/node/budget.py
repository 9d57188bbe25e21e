"""The budget of a turn: how much of what can wait is done before the reactor goes on.

A turn that does all there is to do lasts as long as somebody else chooses, and while it lasts no
ping is answered. So whatever grows with what clients send, ask, miss or have written is done in
*slices*: at least one piece of work, then more of them while the slice has time left. What is left
over waits for the next turn, and in between the reactor serves sockets, timers and pings.

The chain's own work (numbering, the log, forwards, acknowledgements, membership) has no slice: what
clients can have on their way through it is bounded (``pending``).
"""

from collections.abc import Callable

from msgspec import Struct

HEAR_SECONDS = 0.002
"""For what those who are logged in say and ask."""

PATIENT_SECONDS = 0.001
"""For newcomers, pages of answers, and whoever reads on from the log."""

PATIENT_SHARE = 0.25
"""Of a node's time that such work may take, see ``share``."""

ACCEPT_SHARE = 0.05
"""Of a node's time that accepting connections may take."""

APPLY_SECONDS = 0.003
"""For applying what is committed."""

READ_SECONDS = 0.002
"""For the questions that the tail answers."""

READ_SHARE = 0.25
"""The same for these."""

PAGE_SECONDS = READ_SECONDS / 2
"""For one page of an answer."""

LEND_SECONDS = 0.003
"""For lending the log to learners."""

TELL_SECONDS = 0.008
"""For writing replies, messages and notices to clients."""

LONG_TURN_SECONDS = 0.05
"""A turn that lasts longer than this, the disk's sync not counted, is told in the log."""


class Pace(Struct, frozen=True):
    """How often checkpoints are written, and how fast.

    Attributes:
        checkpoint_entries: a checkpoint is begun at the first entry at or above each multiple of
            this. So they fall on the same entries on every node. A node that has not finished the
            one before by then begins it when it has, and is in step again with the next.
        records_at_once: records that are written in one transaction, which takes milliseconds.
        checkpoint_seconds: the slice of a turn for the checkpoint that is being written.
    """

    checkpoint_entries: int = 20_000
    records_at_once: int = 64
    checkpoint_seconds: float = 0.003


USUAL_PACE = Pace()

WorkClock = Callable[[], float]
"""Seconds of work. In a process, monotonic time; where work is simulated, what it has cost."""


class Slice:
    """A share of one turn, for one kind of work."""

    __slots__ = ("_began", "_clock", "_end")

    def __init__(self, clock: WorkClock, seconds: float) -> None:
        """The slice begins now and lasts for so many seconds of work."""
        self._clock = clock
        self._began = clock()
        self._end = self._began + seconds

    def left(self) -> bool:
        """True while there is time for one more piece of work."""
        return self._clock() < self._end

    def spent(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began


class TurnClock:
    """How long turns take, and which part of them.

    The time between two turns that follow each other at once is a part too: the reactor's, which
    reads sockets and calls timers.

    Attributes:
        longest: seconds of the longest turn so far, the disk's sync not counted.
        long_turns: how many lasted longer than LONG_TURN_SECONDS.
    """

    SOCKETS, SYNC = "sockets and timers", "sync"

    def __init__(self, clock: WorkClock, tell: Callable[[str], None]) -> None:
        """Nothing measured yet; ``tell`` takes a line for the operator."""
        self.longest = 0.0
        self.long_turns = 0
        self._clock = clock
        self._tell = tell
        self._marks: list[tuple[str, float]] = []
        """The parts of this turn, each with when it ended; the first ended when the turn began."""
        self._ended = 0.0
        self._follows = False
        self._syncing = 0.0

    def begin(self) -> None:
        """A turn begins."""
        self._marks = [(self.SOCKETS, self._clock())]
        self._syncing = 0.0

    def part(self, name: str) -> None:
        """What was done since the last mark was this part of the turn."""
        self._marks.append((name, self._clock()))

    def synced(self) -> None:
        """What was done since the last mark was the disk's sync."""
        now = self._clock()
        self._syncing += now - self._marks[-1][1] if self._marks else 0.0
        self._marks.append((self.SYNC, now))

    def end(self, *, follows: bool) -> None:
        """The turn is over; ``follows``: another one is to come as soon as it can."""
        began = self._ended if self._follows else self._marks[0][1]
        self._follows, self._ended = follows, self._marks[-1][1]
        total = self._ended - began - self._syncing
        self.longest = max(self.longest, total)
        if total > LONG_TURN_SECONDS:
            self.long_turns += 1
            self._tell(f"a turn took {total:.2f} s: {self._named_parts(began)}")

    def _named_parts(self, began: float) -> str:
        """The longest parts, and the sync."""
        parts: dict[str, float] = {}
        for name, ended in self._marks:
            parts[name] = parts.get(name, 0.0) + ended - began
            began = ended
        sync = parts.pop(self.SYNC, 0.0)
        longest = sorted(parts.items(), key=lambda part: -part[1])[:3]
        return f"{', '.join(f'{name} {took:.3f} s' for name, took in longest)}; sync {sync:.3f} s"
