"""The budget of a turn, during which the node answers no ping.

What grows with what clients do is done in *slices* of so many SECONDS: at least one piece of work,
then more while there is time. A SHARE is a part of all time (``share``). The chain's own work has
neither: ``pending`` bounds how much of it clients can cause.
"""

from collections.abc import Callable

from msgspec import Struct

from chainchat.node.tally import Tally

HEAR_SECONDS = 0.002
"""A slice for what logged-in clients say and ask."""

PATIENT_SECONDS = 0.001
"""A slice for newcomers, pages of answers, and readers of the log."""

PATIENT_SHARE = 0.25

ACCEPT_SHARE = 0.05

HANDSHAKE_SHARE = 0.25
"""A share at each port, for agreeing on TLS."""

APPLY_SECONDS = 0.003

READ_SECONDS = 0.002
"""A slice for questions that the tail answers."""

READ_SHARE = 0.25

PAGE_SECONDS = READ_SECONDS / 2

LEND_SECONDS = 0.003

CHECKPOINT_SHARE = 0.25
"""A share for writing a checkpoint, which all nodes do at the same entry."""

TELL_SECONDS = 0.004
"""A slice for writing to clients."""

PUSH_SHARE = 0.2
"""A share for pushing messages to thousands."""

LONG_TURN_SECONDS = 0.02
"""A longer turn, the disk's sync aside, is logged."""

ALARMING_SECONDS = 0.05
"""A longer turn is a warning."""

LONG_SYNC_SECONDS = 0.5
"""A turn's longer syncs are logged: ``suspect_after`` is mostly some seconds."""

TOLD_SECONDS = 60.0
"""A line about turns, or syncs, follows another so soon only if it tells of twice as much."""


class CheckpointPace(Struct, frozen=True):
    """How often checkpoints are written, and how fast.

    Attributes:
        checkpoint_entries: a checkpoint begins at each multiple, so at the same entries everywhere.
        records_at_once: in one transaction: milliseconds.
    """

    checkpoint_entries: int = 20_000
    records_at_once: int = 64
    checkpoint_seconds: float = 0.003


USUAL_PACE = CheckpointPace()

WorkClock = Callable[[], float]
"""Monotonic seconds, or the cost of simulated work."""


class Slice:
    """Part of a turn for one kind of work."""

    __slots__ = ("_began", "_clock", "_end")

    def __init__(self, clock: WorkClock, seconds: float) -> None:
        self._clock = clock
        self._began = clock()
        self._end = self._began + seconds

    def left(self) -> bool:
        return self._clock() < self._end

    def spent(self) -> float:
        return self._clock() - self._began


class Rarely:
    """Which of many things of a kind are told, by the seconds that they took."""

    def __init__(self) -> None:
        self._told_at, self._told, self._untold = -TOLD_SECONDS, 0.0, 0

    def line(self, text: str, seconds: float, now: float) -> str:
        """Return the line, with the number of those before that were not told; empty: nor is this.

        ``now``: seconds of the same clock.
        """
        if now - self._told_at < TOLD_SECONDS and seconds < 2 * self._told:
            self._untold += 1
            return ""
        untold, self._untold = self._untold, 0
        self._told_at, self._told = now, seconds
        return f"{text}; not told before: {untold}" if untold else text


class TurnClock:
    """How long turns take, and their parts: the reactor's time, too.

    ``longest``: in seconds, syncs aside.
    """

    SOCKETS, SYNC = "sockets and timers", "sync"

    def __init__(
        self, clock: WorkClock, tell: Callable[[str, bool], None], tally: Tally | None = None
    ) -> None:
        """``tell`` takes a line of the log, and whether it is a warning."""
        self._tally = tally or Tally()
        self.longest = 0.0
        self._clock = clock
        self._tell = tell
        self._marks: list[tuple[str, float]] = []
        """This turn's parts and their ends; the first ends at ``begin``."""
        self._ended = 0.0
        self._follows = False
        self._syncing = 0.0
        self._long_turns, self._long_syncs = Rarely(), Rarely()

    def begin(self) -> None:
        self._marks = [(self.SOCKETS, self._clock())]
        self._syncing = 0.0

    def part(self, name: str) -> None:
        self._marks.append((name, self._clock()))

    def synced(self) -> None:
        """Count the time since the last mark as the disk's sync."""
        now = self._clock()
        took = now - self._marks[-1][1] if self._marks else 0.0
        self._syncing += took
        self._tally.syncs.add(took)
        self._marks.append((self.SYNC, now))

    def end(self, *, follows: bool) -> None:
        """End the turn; ``follows``: the next comes at once."""
        began = self._ended if self._follows else self._marks[0][1]
        self._follows, self._ended = follows, self._marks[-1][1]
        total = self._ended - began - self._syncing
        self.longest = max(self.longest, total)
        self._tally.turns.add(total)
        if self._syncing > LONG_SYNC_SECONDS:
            text = f"the log's sync took {self._syncing:.2f} s: the disk is slow"
            if line := self._long_syncs.line(text, self._syncing, self._ended):
                self._tell(line, True)
        if total > LONG_TURN_SECONDS:
            text = f"a turn took {total:.2f} s: {self._named_parts(began)}"
            if line := self._long_turns.line(text, total, self._ended):
                self._tell(line, total > ALARMING_SECONDS)

    def _named_parts(self, began: float) -> str:
        parts: dict[str, float] = {}
        for name, ended in self._marks:
            parts[name] = parts.get(name, 0.0) + ended - began
            began = ended
        sync = parts.pop(self.SYNC, 0.0)
        longest = sorted(parts.items(), key=lambda part: -part[1])[:3]
        return f"{', '.join(f'{name} {took:.3f} s' for name, took in longest)}; sync {sync:.3f} s"
