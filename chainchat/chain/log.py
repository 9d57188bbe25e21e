"""The log: the entries of the chain in order, as on a node's disk.

Each node has five marks on its log, which are sequence numbers::

    1   2   3   4   5   6   7   8   9
            |       |       |   |   |
            |       |       |   |   last: numbered by this head, or forwarded to here
            |       |       |   written: in the log, and safe from a death of the process
            |       |       synced: on this disk, and safe from a loss of power
            |       committed: on every member's disk, as far as known here
            applied: handed to the application

    applied <= committed <= synced <= written <= last
    forwarded <= written, where forwarded is the last entry sent to the successor

The replica keeps the marks, and asserts their order where it moves one. Outside a turn, synced and
written are equal.

A log may have lost its beginning, which the application needs no more. Its first entry then follows
``beginning``, whose digest stands for all that is gone.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol, TypeVar

from chainchat.chain.checkpoints import Offered, Place, Row, Staged
from chainchat.chain.entries import Entry, EntryId, Submission
from chainchat.chain.messages import MAX_FRAME

FRAME_ENTRIES = 48_000
"""Octets of entries in a frame, by ``size``."""

assert FRAME_ENTRIES < MAX_FRAME

ENTRY_OVERHEAD = 123
"""The most octets of an encoded entry besides its command."""

MAX_COMMAND = FRAME_ENTRIES - ENTRY_OVERHEAD

_seq = attrgetter("seq")


class DivergenceError(Exception):
    """Two logs that must agree do not."""


class Log(Protocol):
    """The log, for reading; writing is an effect."""

    @property
    def last(self) -> EntryId:
        """The newest entry written, or ``EntryId()``."""

    @property
    def beginning(self) -> EntryId:
        """The entry before the first, or ``EntryId()``."""

    @property
    def committed(self) -> int:
        """How far the log is committed, as the disk has it."""

    @property
    def staged(self) -> Staged | None: ...

    def offered(self) -> Offered | None: ...

    def rows(self, after: Place, octets: int) -> tuple[list[Row], bool]:
        """Return the checkpoint's rows after a place that fit, at least one; True: the last."""

    def id_of(self, seq: int) -> EntryId | None:
        """Return the entry that occupies ``seq``; ``EntryId()`` for 0; None if not held."""

    def end_before(self, seq: int) -> int:
        """Return the newest end of an entry up to ``seq``, not before the beginning; or 0."""

    def read(self, after: int, up_to: int, octets: int) -> Sequence[Entry]:
        """Return entries from ``after + 1`` to ``up_to`` that fit, at least one."""


def place_of(seq: int, entries: Sequence[Entry]) -> int:
    """Return the index of the first entry that reaches ``seq``."""
    return bisect_left(entries, seq, key=_seq)


def size(entry: Entry) -> int:
    """Return at least the encoded length in octets."""
    return len(entry.command) + ENTRY_OVERHEAD


Carried = TypeVar("Carried", Entry, Submission)


def fitting(carried: Sequence[Carried], octets: int) -> Sequence[Carried]:
    """Return the longest beginning that fits, at least one item."""
    room = octets
    for count, one in enumerate(carried):
        room -= len(one.command) + ENTRY_OVERHEAD  # ``size``; every entry passes here
        if room < 0 and count:
            return carried[:count]
    return carried


# --- where two logs part


def newest_not_after(log: Log, limit: EntryId) -> EntryId | None:
    """Return the newest entry that neither in seq nor in epoch exceeds ``limit``.

    None if that is before the beginning.
    """
    if log.beginning.is_beyond(limit) or log.beginning.seq > limit.seq:
        return None
    low, high = log.beginning.seq, min(limit.seq, log.last.seq)
    while low < high:
        middle = (low + high + 1) // 2
        here = log.id_of(middle)
        assert here is not None
        low, high = (middle, high) if here.epoch <= limit.epoch else (low, middle - 1)
    return _held_at(log, log.end_before(low))


def older_than(log: Log, newest: EntryId) -> tuple[EntryId, ...]:
    """Return earlier entries, each about twice as far back."""
    found, back, least = [], 1, log.beginning.seq
    while newest.seq - back > least:
        found.append(_held_at(log, log.end_before(newest.seq - back)))
        back *= 2
    if newest.seq > least:
        found.append(log.beginning)
    return tuple(dict.fromkeys(entry for entry in found if entry.seq))


def newest_common(log: Log, theirs: Iterable[EntryId]) -> tuple[EntryId, EntryId | None]:
    """Return the newest of ``theirs`` that this log holds, and the oldest that it lacks.

    ``theirs``: newest first.
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
