"""The log: the entries of the chain in order, as a node's disk has them.

Everything that has to know how entries follow each other is here: what a log answers, where an
entry is found among others, how much of a log fits in a frame, and where two logs part.

Each node has five marks on its log, which are sequence numbers::

    1   2   3   4   5   6   7   8   9
            |       |       |       |
            |       |       |       last: numbered by this head, or forwarded to here
            |       |       durable: on this disk
            |       committed: on the disk of every member, as far as known here
            applied: handed to the application

    applied <= committed <= durable <= last
    forwarded <= durable, where forwarded is what the successor was sent last

The replica has the marks, and asserts the order where it moves one. So nothing is told to anybody
that could still be lost (applied <= committed), nothing counts as committed that this disk lacks,
and nothing is forwarded that this node could forget.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol, TypeVar

from chainchat.chain.messages import MAX_FRAME, Entry, EntryId, Submission

FRAME_ENTRIES = 48_000
"""Octets of entries in one frame, by ``size``; leaves room for the frame's other fields."""

assert FRAME_ENTRIES < MAX_FRAME

ENTRY_OVERHEAD = 123
"""Octets that an encoded entry has at most besides its command.

Numbers, an origin of 40 octets, and its digest.
"""

MAX_COMMAND = FRAME_ENTRIES - ENTRY_OVERHEAD
"""Octets of the longest command that the chain carries."""

_seq = attrgetter("seq")


class Log(Protocol):
    """What the protocol reads of the durable log. Writing is an effect."""

    @property
    def last(self) -> EntryId:
        """The newest entry on disk; ``EntryId(0, 0)`` if there is none."""

    @property
    def committed(self) -> int:
        """The sequence number up to which the disk says that the log is committed."""

    def id_of(self, seq: int) -> EntryId | None:
        """The name of the entry that takes ``seq``; ``EntryId()`` for seq 0.

        None if the log does not reach it.
        """

    def end_before(self, seq: int) -> int:
        """The newest seq up to ``seq`` that is an entry's own; 0 if there is none."""

    def read(self, after: int, up_to: int, octets: int) -> list[Entry]:
        """Entries from ``after + 1`` to ``up_to``, both of which are entries' bounds.

        At least one if there is one, no more than fits in ``octets``.
        """


def place_of(seq: int, entries: Sequence[Entry]) -> int:
    """Where in ``entries``, which are in order, the first is that reaches ``seq``."""
    return bisect_left(entries, seq, key=_seq)


def size(entry: Entry) -> int:
    """An upper bound of the entry's encoded length in octets."""
    return len(entry.command) + ENTRY_OVERHEAD


Carried = TypeVar("Carried", Entry, Submission)


def fitting(carried: list[Carried], octets: int) -> list[Carried]:
    """The longest beginning that fits in ``octets``; at least one, if there is one."""
    room = octets
    for count, one in enumerate(carried):
        room -= len(one.command) + ENTRY_OVERHEAD  # ``size``; every entry passes here
        if room < 0 and count:
            return carried[:count]
    return carried


# --- where two logs part


def newest_not_after(log: Log, limit: EntryId) -> EntryId:
    """The log's newest entry whose seq and epoch are both at most those of ``limit``.

    Epochs never fall along a log, so it is found by bisection.
    """
    low, high = 0, min(limit.seq, log.last.seq)
    while low < high:
        middle = (low + high + 1) // 2
        here = log.id_of(middle)
        assert here is not None
        low, high = (middle, high) if here.epoch <= limit.epoch else (low, middle - 1)
    return _held_at(log, log.end_before(low))


def older_than(log: Log, newest: EntryId) -> tuple[EntryId, ...]:
    """Entries before one of the log's, ever further apart: about twice as far each time."""
    found, back = [], 1
    while back < newest.seq:
        found.append(_held_at(log, log.end_before(newest.seq - back)))
        back *= 2
    return tuple(dict.fromkeys(entry for entry in found if entry.seq))


def newest_common(log: Log, theirs: Iterable[EntryId]) -> tuple[EntryId, EntryId | None]:
    """Where another log parts from this one.

    Args:
        log: this one.
        theirs: entries of the other, newest first.

    Returns:
        The newest of them that this log holds, which is common, as is all before it; and the oldest
        that it does not hold, which is not, nor is anything after it. None if it holds them all.
    """
    apart = None
    for entry in theirs:
        if log.id_of(entry.seq) == entry:
            return entry, apart
        apart = entry
    return EntryId(), apart


def _held_at(log: Log, seq: int) -> EntryId:
    held = log.id_of(seq)
    assert held is not None
    return held
