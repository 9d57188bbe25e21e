"""What a node has counted since its process began, for operators.

It counts once for a turn, a batch or a change, never for each message.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence

from msgspec import Struct

from chainchat.node.write_pause import CompletedChange

CHANGES = 8

TURN_SECONDS = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
SYNC_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
PAUSE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0)
BATCH_ENTRIES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Distribution:
    """How often values fell between growing bounds.

    ``counts``: values up to each bound, above the one before; the last: above all.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)


class NotedChange(Struct, frozen=True):
    """A change, and when its outcome was known, in UTC milliseconds."""

    time: int
    change: CompletedChange


class Tally:
    """The counts of one process, whose node may begin several lives.

    Attributes:
        turns: seconds, syncs aside.
        syncs: seconds of each sync of the log.
        batches: entries of each write to the log.
        commits: seconds from a turn with this node's requests until they are applied.
        pauses: seconds for which writes stood still at a change of configuration.
        kinds: of such changes.
        changes: the newest last.
        refused: requests, by code.
    """

    def __init__(self) -> None:
        self.turns = Distribution(TURN_SECONDS)
        self.syncs = Distribution(SYNC_SECONDS)
        self.batches = Distribution(BATCH_ENTRIES)
        self.commits = Distribution(COMMIT_SECONDS)
        self.pauses = Distribution(PAUSE_SECONDS)
        self.applied = self.said = self.lives = 0
        self.kinds: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.changes: deque[NotedChange] = deque(maxlen=CHANGES)

    def changed(self, change: CompletedChange, now: int) -> None:
        """Count a change; ``now``: UTC milliseconds."""
        self.kinds[change.kind] += 1
        self.changes.append(NotedChange(now, change))
        if change.paused is not None:
            self.pauses.add(change.paused)
