"""A node's data: log, message index, checkpoints, membership's record.

``sqlite.SQLiteStorage`` and ``memory.MemoryStorage`` pass the same contract test.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from chainchat.chain.checkpoints import Offered, Row
from chainchat.chain.entries import Entry
from chainchat.chain.log import Log
from chainchat.storage.index import NO_MORE, Indexed

__all__ = [
    "EVERY_READER",
    "NO_MORE",
    "Checkpoint",
    "Indexed",
    "LockedError",
    "Record",
    "Storage",
    "StorageError",
]

EVERY_READER = 0
"""The reader of a broadcast."""


class StorageError(Exception):
    """Why the node must stop, for the operator: the disk failed, or lacks what was written."""


class LockedError(StorageError):
    """Another process uses this data."""


class Checkpoint(NamedTuple):
    """The application's state as of entry ``seq``; its records are read apart."""

    seq: int
    header: bytes


Record = tuple[int, bytes]
"""A key below 2^62, and data; empty: the record is removed."""


class Storage(Log, Protocol):
    """The durable state of one node. Every method may raise StorageError."""

    @property
    def committed(self) -> int:
        """The highest number given to ``append`` or ``write_committed``, or 0."""

    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        """Write the next entries, and what is committed; do not sync yet."""

    def sync(self) -> None:
        """Return when all that was written is on the disk."""

    def write_committed(self, seq: int) -> None:
        """Note that the log is committed so far, and never cut below; on disk when this returns."""

    def cut(self, after: int) -> Path | None:
        """Move the entries above ``after`` to a side file for the operator, out of log and index.

        The side file is on disk before they leave the log.

        Returns:
            The side file, once the shorter log is on disk; None if there was nothing.

        Raises:
            StorageError: some are committed, or applied in the newest checkpoint.
        """

    # --- the beginning of the log

    def remove(self, up_to: int) -> bool:
        """Remove a slice of the entries up to ``up_to``, never the newest; True if more may follow.

        What is stored together goes together: some entries up to ``up_to`` may stay.

        Raises:
            StorageError: the newest checkpoint, or what is known to be committed, ends before.
        """

    def tidy(self) -> bool:
        """Clear a slice of what removals leave: index, free space; True if more is left."""

    def octets(self) -> int: ...

    def end_of_oldest(self, octets: int) -> int:
        """Return up to where entries must go to free ``octets``, or many of them."""

    # --- a checkpoint that is copied from another node

    def stage(self, offered: Offered) -> None:
        """Begin to copy a checkpoint beside these data, in place of any other copy."""

    def abandon_staged(self) -> None: ...

    def stage_rows(self, rows: Sequence[Row], *, complete: bool) -> None:
        """Take in the next rows; ``complete``: these are the last."""

    def stage_entries(self, entries: Sequence[Entry]) -> None: ...

    def staged_records(self) -> Iterator[Record]:
        """Yield the copy's records, by key."""

    def install(self) -> None:
        """Let the copy replace all but membership's record, at once; on disk when this returns.

        From here on this is a storage as if just opened.
        """

    # --- membership's record

    def read_membership(self) -> bytes | None: ...

    def write_membership(self, record: bytes) -> None:
        """Replace membership's record; on disk when this returns."""

    # --- the index

    def index(self, indexed: Iterable[Indexed]) -> None:
        """Add messages, in the order of their ids; known ones change nothing. Queries see them.

        They reach the disk with the next checkpoint: a start indexes the entries after it again.
        """

    def ids_after(
        self, reader: int, after: int, limit: int, *, unless_sender: int, up_to: int = NO_MORE
    ) -> list[int]:
        """Return ids of messages to ``reader`` or all, except one sender's; oldest first.

        What is looked at grows with that sender's messages ``up_to`` the last found.
        """

    def ids_before(
        self, reader: int, before: int, limit: int, *, unless_sender: int, above: int = 0
    ) -> list[int]:
        """Return the same backwards, newest first."""

    def entries(self, seqs: Iterable[int]) -> Iterator[Entry]:
        """Yield entries, which the log has to hold."""

    # --- this node's checkpoints

    def newest_checkpoint(self) -> Checkpoint | None:
        """Return the newest finished checkpoint.

        Raises:
            StorageError: the log has another entry at its ``seq``.
        """

    def records(self) -> Iterator[Record]:
        """Yield the newest checkpoint's records, by key; read them before another begins."""

    def abandon_checkpoint(self) -> None:
        """At a start, forget an unfinished checkpoint, with its index."""

    def begin_checkpoint(self, seq: int) -> None:
        """Begin a checkpoint as of entry ``seq``, with the index as of now."""

    def write_records(self, records: Sequence[Record]) -> bool:
        """Write some records changed since the last checkpoint, and a part of the index.

        True if more of the index remains: call again, even without records.
        """

    def finish_checkpoint(self, header: bytes) -> None:
        """Let the checkpoint take effect, once all its parts are written."""

    def care(self) -> str:
        """Do upkeep after a turn or a tick; return a line for the operator, usually empty."""

    def close(self) -> None: ...
