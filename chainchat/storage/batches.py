"""The log's rows in SQLite: encoded batches of entries, the newest decoded in memory."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise

from chainchat.chain.entries import Entry, decode_entries, encode_entries
from chainchat.chain.log import fitting
from chainchat.storage.checksums import AsWritten, checked
from chainchat.storage.interface import StorageError

CACHED_BATCHES = 16
"""Batches kept decoded; a reader of history mostly stays within one."""

ROW_OCTETS = 64_000
"""Octets of entries, by ``size``: a reader decodes whole rows."""


class Batches:
    """What the rows of the log hold."""

    def __init__(self, database: sqlite3.Connection, as_written: AsWritten, name: str) -> None:
        self._database = database
        self._name = name
        self._as_written = as_written
        self._decoded: dict[int, tuple[Entry, ...]] = {}

    def forget(self) -> None:
        self._decoded.clear()

    def with_entry(self, seq: int) -> tuple[Entry, ...]:
        query = "SELECT min(last) FROM log WHERE last >= ?"
        last = self._database.execute(query, (seq,)).fetchone()[0]
        batch = self.ending_with(last) if last else ()
        return batch if batch and batch[0].first <= seq else ()

    def ending_with(self, last: int) -> tuple[Entry, ...]:
        """Return the batch that ends with entry ``last``.

        Raises:
            StorageError: the row does not hold what was written.
        """
        batch = self._decoded.pop(last, None)
        if batch is None:
            row = self._database.execute("SELECT entries FROM log WHERE last = ?", (last,))
            what = f"the entries up to {last}"
            batch = decode_entries(self._as_written(row.fetchone()[0], what))
            if not _contiguous(batch) or batch[-1].seq != last:
                raise StorageError(f"{self._name}: {what} are not what was written")
            if len(self._decoded) >= CACHED_BATCHES:
                del self._decoded[next(iter(self._decoded))]
        self._decoded[last] = batch
        return batch


def encoded(entries: Sequence[Entry]) -> bytes:
    return checked(encode_entries(tuple(entries)))


def divided(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    while entries:
        row = fitting(entries, ROW_OCTETS)
        yield row
        entries = entries[len(row) :]


def _contiguous(batch: Sequence[Entry]) -> bool:
    return bool(batch) and all(
        entry.seq + 1 == following.first for entry, following in pairwise(batch)
    )
