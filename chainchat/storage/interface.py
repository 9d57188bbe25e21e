"""What a node keeps: the log, the message index, checkpoints and membership's record.

``Storage`` is the whole interface. Two things stand behind it, and pass the same contract test:
``sqlite.SQLiteStorage`` on a disk, and ``memory.MemoryStorage`` for the simulator.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from chainchat.chain.log import Log
from chainchat.chain.messages import Entry
from chainchat.storage.index import Indexed

__all__ = [
    "EVERY_READER",
    "Checkpoint",
    "Indexed",
    "LockedError",
    "Record",
    "Storage",
    "StorageError",
]

EVERY_READER = 0
"""The reader of a broadcast in the index."""


class StorageError(Exception):
    """The disk cannot keep what it was given, or is not what it should be.

    One line, for the operator; the node must stop.
    """


class LockedError(StorageError):
    """Another process uses this data."""


class Checkpoint(NamedTuple):
    """The application's state as of entry ``seq``: a head, beside any number of records."""

    seq: int
    head: bytes


Record = tuple[int, bytes]
"""A part of the state: its key, below 2^62, and its data. Without data it is gone."""


class Storage(Log, Protocol):
    """The durable state of one node. Every method may raise StorageError."""

    @property
    def committed(self) -> int:
        """The most that ``append`` and ``write_committed`` were told; 0 on a new disk."""

    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        """Append the next entries; on disk when it returns.

        With them it is noted that the log is committed up to ``committed``. That costs nothing.
        """

    def write_committed(self, seq: int) -> None:
        """Keep in mind that the log is committed up to ``seq``; on disk when it returns.

        This node may know of more: it is told now and then. A log is never cut below it.
        """

    def cut(self, after: int) -> Path | None:
        """Take the entries above ``after`` out of the log, and their messages out of the index.

        They are kept for the operator in a side file, which is on disk before they leave the log.
        The log is on disk without them when it returns the file's path; None if there were none.

        Raises:
            StorageError: some of them are committed, or the newest checkpoint holds what they did.
        """

    def read_record(self) -> bytes | None:
        """Membership's record, None on a new disk."""

    def write_record(self, record: bytes) -> None:
        """Replace membership's record as a whole; on disk when it returns."""

    def index(self, indexed: Iterable[Indexed]) -> None:
        """Add messages to the index, in the order of their ids; queries see them at once.

        On disk with the next checkpoint, not before: the entries after it are applied, and so
        indexed, again at every start. What is there already changes nothing.
        """

    def ids_after(self, reader: int, after: int, limit: int, *, unless_sender: int) -> list[int]:
        """Ids above ``after``, oldest first: messages to ``reader`` or all, but one sender's."""

    def ids_before(self, reader: int, before: int, limit: int, *, unless_sender: int) -> list[int]:
        """The same backwards: below ``before``, newest first."""

    def entries(self, seqs: Iterable[int]) -> Iterator[Entry]:
        """The entries with these sequence numbers, all of which the log holds.

        Each is read when it is taken: one can lie behind much else.
        """

    def newest_checkpoint(self) -> Checkpoint | None:
        """The newest finished checkpoint, None if there is none.

        Raises:
            StorageError: it is of another log: the entry that it was made at is not the log's.
        """

    def records(self) -> Iterator[Record]:
        """The newest of each record that was written up to then, in the order of their keys.

        To be read to the end, before any other checkpoint is begun.
        """

    def abandon_checkpoint(self) -> None:
        """Forget a checkpoint that was begun and not finished, and its part of the index.

        To be called before anything is applied: after a crash in between, that is all there is
        to do.
        """

    def begin_checkpoint(self, seq: int) -> None:
        """Begin the checkpoint as of entry ``seq``, above the last one's, with the index as of now.

        The state can be written bit by bit while the log goes on.
        """

    def write_records(self, records: Sequence[Record]) -> bool:
        """Write some of the records that have changed since the last one, and some of the index.

        Gives whether more of the index is to be written: call it again then, if need be without
        records.
        """

    def finish_checkpoint(self, head: bytes) -> None:
        """All was written: let this one take the place of the older ones."""

    def care(self) -> str:
        """Do what has to be done now and then, after a turn and in every tick.

        Returns:
            What the operator should know of it; mostly nothing.
        """

    def close(self) -> None:
        """Let go of the data."""
