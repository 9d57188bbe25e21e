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

TELL_SECONDS = 0.008
"""A slice for writing to clients."""

LONG_TURN_SECONDS = 0.05
"""A longer turn, the disk's sync aside, is logged."""


LONG_SYNC_SECONDS = 0.5
"""A turn's longer syncs are logged: ``suspect_after`` is mostly some seconds."""


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


class TurnClock:
    """How long turns take, and their parts: the reactor's time, too.

    ``longest``: in seconds, syncs aside.
    """

    SOCKETS, SYNC = "sockets and timers", "sync"

    def __init__(
        self, clock: WorkClock, tell: Callable[[str], None], tally: Tally | None = None
    ) -> None:
        self._tally = tally or Tally()
        self.longest = 0.0
        self.long_turns = 0
        self._clock = clock
        self._tell = tell
        self._marks: list[tuple[str, float]] = []
        """This turn's parts and their ends; the first ends at ``begin``."""
        self._ended = 0.0
        self._follows = False
        self._syncing = 0.0

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
            self._tell(f"the log's sync took {self._syncing:.2f} s: the disk is slow")
        if total > LONG_TURN_SECONDS:
            self.long_turns += 1
            self._tell(f"a turn took {total:.2f} s: {self._named_parts(began)}")

    def _named_parts(self, began: float) -> str:
        parts: dict[str, float] = {}
        for name, ended in self._marks:
            parts[name] = parts.get(name, 0.0) + ended - began
            began = ended
        sync = parts.pop(self.SYNC, 0.0)
        longest = sorted(parts.items(), key=lambda part: -part[1])[:3]
        return f"{', '.join(f'{name} {took:.3f} s' for name, took in longest)}; sync {sync:.3f} s"
