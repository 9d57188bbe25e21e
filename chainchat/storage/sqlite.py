"""Storage in one SQLite file with a write-ahead log, locked against a second process.

A commit writes, and ``sync`` syncs: entries are forwarded in between. All else is synced at once.

A row of the log is a batch: the entries of one ``append``, or some if they are large.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from chainchat.chain.checkpoints import INDEX, RECORDS, Offered, Place, Row, Staged
from chainchat.chain.entries import UNDECODABLE, Entry, EntryId, encode_entries
from chainchat.chain.log import fitting, place_of, size
from chainchat.storage import schema, wal
from chainchat.storage.batches import Batches, divided, encoded
from chainchat.storage.checkpoints import Checkpoints
from chainchat.storage.checksums import checked, unchecked
from chainchat.storage.cuts import write_side_file
from chainchat.storage.durable import sync_folder, write_again
from chainchat.storage.indexing import MessageIndex
from chainchat.storage.interface import (
    NO_MORE,
    Checkpoint,
    Indexed,
    Record,
    StorageError,
)
from chainchat.storage.lock import DataLock
from chainchat.storage.private import touch_private
from chainchat.storage.staging import Staging
from chainchat.storage.trimming import Trimming

DATABASE = "chainchat.sqlite"

OLDEST_ROWS = 4_000
"""Rows of the log measured to find what is to go: some milliseconds."""

ROW_OVERHEAD = 40
"""Octets of a checkpoint's row on its way, besides its data."""

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def _loudly(method: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Turn errors of SQLite and the system into a StorageError; keep the first for _check_well."""

    @wraps(method)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        storage = args[0]
        assert isinstance(storage, SQLiteStorage)
        try:
            return method(*args, **kwargs)
        except (sqlite3.Error, OSError, *UNDECODABLE) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            storage.failure = storage.failure or f"{storage}: {said}"
            raise StorageError(f"{storage}: {said}") from error

    return wrapped


class SQLiteStorage:
    """A ``Storage`` in SQLite; ``failure``: the disk's first error, or empty."""

    def __init__(self, data: Path, *, pages: int = wal.PAGES, much: int = wal.MUCH) -> None:
        """Open the folder ``data``, or create it; for the rest see ``WriteAheadLog``.

        Raises:
            LockedError: another process uses it.
            StorageError: it cannot be used.
        """
        self.failure = ""
        self._path = data / DATABASE
        self._lock = DataLock(data)
        try:
            self._open(pages, much)
        except StorageError:
            self._lock.release()
            raise

    def __str__(self) -> str:
        return str(self._path)

    @_loudly
    def _open(self, pages: int, much: int) -> None:
        # *written again*. Whatever was written to the database since its last sync is also in the
        # write-ahead log, and is copied again; only its first page may be older than the log.
        write_again(self._path, wal.PAGE)
        write_again(wal.log_of(self._path))
        # SQLite's own files beside a database get the permissions that this one has.
        touch_private(self._path)
        self._database = sqlite3.connect(self._path, isolation_level=None)
        try:
            self._prepare()
            self._wal = wal.WriteAheadLog(self._path, self._database, pages=pages, much=much)
            self._wal.sync()
            sync_folder(self._path.parent)  # where the database is new, or its write-ahead log
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA synchronous = NORMAL")
        wal.leave_copying(self._database)
        if schema.prepare(self._database, str(self)):
            with self._written_later():
                schema.create(self._database)
        self._checkpoints = Checkpoints(self._database, self._as_written)
        self._batches = Batches(self._database, self._as_written, str(self))
        self._index = MessageIndex(self._database, self._as_written)
        self._trimming = Trimming(self._database, self._batches.ending_with)
        self._staging = Staging(self._database, self._as_written)
        self._read_ends()

    def _read_ends(self) -> None:
        self._last = self._end()
        self._committed = max(
            self._value("SELECT seq FROM committed"),
            self._value("SELECT committed FROM log ORDER BY last DESC LIMIT 1"),
            self.beginning.seq,
        )

    def _check_well(self) -> None:
        """Refuse, after a failure, to write on top of what may be lost."""
        if self.failure:
            raise StorageError(self.failure)

    @contextmanager
    def _written_later(self) -> Iterator[None]:
        """A transaction: written when the block ends, undone if it raises; not synced."""
        self._check_well()
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction that is synced, too."""
        with self._written_later():
            yield
        self._wal.sync()

    def _as_written(self, stored: bytes, what: str) -> bytes:
        """Return what ``checked`` was given; never believe anything else from a disk."""
        data = unchecked(stored)
        if data is None:
            raise StorageError(f"{self}: {what} are not what was written")
        return data

    def _value(self, query: str, *arguments: int) -> int:
        row = self._database.execute(query, arguments).fetchone()
        value: int = row[0] if row and row[0] is not None else 0
        return value

    # --- the log

    @property
    def last(self) -> EntryId:
        return self._last

    @_loudly
    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        self._check_well()
        assert entries[0].first == self._last.seq + 1
        committed = max(self._committed, committed)
        rows = [(part[-1].seq, committed, encoded(part)) for part in divided(entries)]
        if len(rows) == 1:
            self._database.execute("INSERT INTO log VALUES (?, ?, ?)", rows[0])
        else:
            with self._written_later():
                self._database.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
        self._committed = committed
        self._last = entries[-1].id

    @_loudly
    def sync(self) -> None:
        self._check_well()
        self._wal.sync()

    @property
    def committed(self) -> int:
        return self._committed

    @_loudly
    def write_committed(self, seq: int) -> None:
        with self._transaction():
            self._database.execute("REPLACE INTO committed VALUES (1, ?)", (seq,))
        self._committed = seq

    @property
    def beginning(self) -> EntryId:
        return self._trimming.beginning

    def id_of(self, seq: int) -> EntryId | None:
        if seq == 0:
            return EntryId()
        if seq == self._last.seq:
            return self._last
        if seq == self.beginning.seq:
            return self.beginning
        if not self.beginning.seq < seq < self._last.seq:
            return None
        [entry] = self.entries([seq])
        return entry.id

    def end_before(self, seq: int) -> int:
        if not self.beginning.seq < seq < self._last.seq:
            return min(seq, self._last.seq)
        [entry] = self.entries([seq])
        return seq if entry.seq == seq else entry.first - 1

    def read(self, after: int, up_to: int, octets: int) -> Sequence[Entry]:
        found: list[Entry] = []
        room = octets
        while after < min(up_to, self._last.seq) and (room > 0 or not found):
            batch = self._batch_with(after + 1)
            part = batch[place_of(after + 1, batch) : place_of(up_to + 1, batch)]
            room -= sum(map(size, part))
            found += part
            after = part[-1].seq
        return fitting(found, octets)

    def entries(self, seqs: Iterable[int]) -> Iterator[Entry]:
        batch: tuple[Entry, ...] = ()
        for seq in seqs:
            if not batch or not batch[0].first <= seq <= batch[-1].seq:
                batch = self._batch_with(seq)
            yield batch[place_of(seq, batch)]

    @_loudly
    def cut(self, after: int) -> Path | None:
        if after >= self._last.seq:
            return None
        applied = self._checkpoints.begun
        if after < max(applied, self._committed):
            raise StorageError(
                f"{self}: the log cannot be cut after entry {after}: the checkpoint holds what was "
                f"applied up to {applied}, and it is committed up to {self._committed}"
            )
        kept = self._batch_with(after + 1)
        kept = kept[: place_of(after + 1, kept)]
        assert after == self.end_before(after)
        side_file = write_side_file(
            self._path.parent, after + 1, self._last.seq, self._entries_after(after)
        )
        with self._transaction():
            self._database.execute("DELETE FROM log WHERE last > ?", (after,))
            # The row that noted it may be gone.
            self._database.execute("REPLACE INTO committed VALUES (1, ?)", (self._committed,))
            if kept:
                self._database.execute(
                    "INSERT INTO log VALUES (?, ?, ?)",
                    (after, self._committed, checked(encode_entries(kept))),
                )
        self._index.cut(after)
        self._batches.forget()
        self._last = self._end()
        return side_file

    def _end(self) -> EntryId:
        last = self._value("SELECT max(last) FROM log")
        return self._batches.ending_with(last)[-1].id if last else self.beginning

    def _entries_after(self, after: int) -> Iterator[Entry]:
        while after < self._last.seq:
            batch = self._batch_with(after + 1)
            yield from batch[place_of(after + 1, batch) :]
            after = batch[-1].seq

    @_loudly
    def _batch_with(self, seq: int) -> tuple[Entry, ...]:
        batch = self._batches.with_entry(seq)
        if not batch:
            raise StorageError(f"{self}: entry {seq} is missing from the log")
        return batch

    # --- the beginning of the log

    @_loudly
    def remove(self, up_to: int) -> bool:
        needed = min(self._checkpoints.finished, self._committed)
        if up_to > needed:
            raise StorageError(f"{self}: entries after {needed} are needed, and are not removed")
        with self._written_later():
            more = self._trimming.remove(up_to)
        self._batches.forget()
        return more

    @_loudly
    def tidy(self) -> bool:
        if self._trimming.due:
            with self._written_later():
                self._trimming.step()
        return self._trimming.due

    @_loudly
    def octets(self) -> int:
        return self._trimming.octets()

    @_loudly
    def end_of_oldest(self, octets: int) -> int:
        return self._trimming.end_of_oldest(octets, OLDEST_ROWS)

    # --- a checkpoint for others, or from another

    @_loudly
    def offered(self) -> Offered | None:
        found = self.newest_checkpoint()
        if found is None:
            return None
        entry = self.id_of(found.seq)
        assert entry is not None
        return Offered(entry, self.beginning, found.header)

    @_loudly
    def rows(self, after: Place, octets: int) -> tuple[list[Row], bool]:
        rows: list[Row] = []
        for row in self._rows_after(after):
            octets -= len(row.data) + ROW_OVERHEAD
            if octets < 0 and rows:
                return rows, False
            rows.append(row)
        return rows, True

    def _rows_after(self, after: Place) -> Iterator[Row]:
        table, key, second = after
        if table == RECORDS:
            for record, data in self._checkpoints.records_after(key):
                yield Row(RECORDS, record, 0, data)
            key, second = -1, -1
        query = (
            "SELECT reader, last, run FROM messages WHERE (reader, last) > (?, ?) "
            "AND last > ? AND last <= ? ORDER BY reader, last"
        )
        ends = self.beginning.seq, self._checkpoints.finished
        for reader, last, run in self._database.execute(query, (key, second, *ends)):
            yield Row(INDEX, reader, last, self._as_written(run, "the messages of the index"))

    @property
    def staged(self) -> Staged | None:
        return self._staging.staged

    @_loudly
    def stage(self, offered: Offered) -> None:
        with self._written_later():
            self._staging.begin(offered)
        self._trimming.reload()

    @_loudly
    def abandon_staged(self) -> None:
        with self._written_later():
            self._staging.abandon()
        self._trimming.reload()

    @_loudly
    def stage_rows(self, rows: Sequence[Row], *, complete: bool) -> None:
        with self._written_later():
            self._staging.add_rows(rows, complete=complete)

    @_loudly
    def stage_entries(self, entries: Sequence[Entry]) -> None:
        parts = [(part[-1].seq, 0, encoded(part)) for part in divided(entries)]
        with self._written_later():
            self._staging.add_log(parts, entries[-1].id)

    def staged_records(self) -> Iterator[Record]:
        try:
            yield from self._staging.records()
        except sqlite3.Error as error:
            raise StorageError(f"{self}: {error}") from error

    @_loudly
    def install(self) -> None:
        with self._transaction():
            self._trimming.begin_after(self._staging.install())
        self._checkpoints = Checkpoints(self._database, self._as_written)
        self._trimming.reload()
        self._index.forget()
        self._batches.forget()
        self._read_ends()

    # --- membership's record

    @_loudly
    def read_membership(self) -> bytes | None:
        row = self._database.execute("SELECT record FROM membership").fetchone()
        return None if row is None else self._as_written(row[0], "the octets of the record")

    @_loudly
    def write_membership(self, record: bytes) -> None:
        with self._transaction():
            self._database.execute("REPLACE INTO membership VALUES (1, ?)", (checked(record),))

    # --- the index

    def index(self, indexed: Iterable[Indexed]) -> None:
        self._index.add(indexed)

    @_loudly
    def ids_after(
        self, reader: int, after: int, limit: int, *, unless_sender: int, up_to: int = NO_MORE
    ) -> list[int]:
        return self._index.ids_after(reader, after, limit, unless_sender, up_to)

    @_loudly
    def ids_before(
        self, reader: int, before: int, limit: int, *, unless_sender: int, above: int = 0
    ) -> list[int]:
        return self._index.ids_before(reader, before, limit, unless_sender, above)

    # --- checkpoints

    @_loudly
    def newest_checkpoint(self) -> Checkpoint | None:
        found = self._checkpoints.header()
        if found is None:
            return None
        header, digest = found
        seq = self._checkpoints.finished
        if digest != self._digest_of(seq):
            raise StorageError(f"{self}: the checkpoint as of entry {seq} is of another log")
        return Checkpoint(seq, header)

    def records(self) -> Iterator[Record]:
        try:
            yield from self._checkpoints.records()
        except sqlite3.Error as error:
            raise StorageError(f"{self}: {error}") from error

    @_loudly
    def abandon_checkpoint(self) -> None:
        if self._checkpoints.begun == self._checkpoints.finished:
            return
        with self._transaction():
            self._index.abandon(self._checkpoints.finished)
            self._checkpoints.abandon()

    def begin_checkpoint(self, seq: int) -> None:
        assert self._checkpoints.begun == self._checkpoints.finished < seq
        self._checkpoints.begun = seq
        self._index.begin_checkpoint()

    @_loudly
    def write_records(self, records: Sequence[Record]) -> bool:
        with self._written_later():
            self._checkpoints.write(records)
            parts = self._index.write_part()
        return self._index.written(parts)

    @_loudly
    def finish_checkpoint(self, header: bytes) -> None:
        assert not self._index.is_unwritten
        with self._written_later():
            self._checkpoints.finish(header, self._digest_of(self._checkpoints.begun))

    def _digest_of(self, seq: int) -> bytes:
        entry = self.id_of(seq)
        return b"" if entry is None else entry.digest

    @_loudly
    def care(self) -> str:
        return self._wal.care()

    def check_in_place(self) -> None:
        self._lock.check()

    def close(self) -> None:
        copied_well = self._wal.stop()
        keeper = wal.Keeper(self._path) if self.failure or not copied_well else None
        self._database.close()
        self._wal.close()
        if keeper is not None:
            keeper.close()
        self._lock.release()
