"""Checkpoints in SQLite: records of the state, each at one of two places.

The process may die within a checkpoint. So a record never replaces its version in the newest
finished checkpoint, and a row of a later one does not count.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from chainchat.storage.checksums import AsWritten, checked
from chainchat.storage.interface import Record

GONE_AT_ONCE = 64


class Checkpoints:
    """The two tables; the caller makes the transactions.

    Attributes:
        begun: the entry of the newest checkpoint, finished or not, or 0.
        finished: the entry of the newest finished one.
    """

    def __init__(self, database: sqlite3.Connection, as_written: AsWritten) -> None:
        self._database = database
        self._as_written = as_written
        self._odd: set[int] = set()
        """Keys whose newest version is at the second place."""
        self._gone: set[int] = set()
        """Keys that the finished checkpoint lacks; their rows can go."""
        self._going: set[int] = set()
        """Keys that the begun checkpoint lacks."""
        row = database.execute("SELECT begun, seq FROM checkpoint").fetchone()
        begun, finished = row if row is not None else (0, 0)
        self.begun: int = begun
        self.finished: int = finished

    def header(self) -> tuple[bytes, bytes] | None:
        query = "SELECT head, digest FROM checkpoint WHERE seq > 0"
        row = self._database.execute(query).fetchone()
        if row is None:
            return None
        return self._as_written(row[0], "the octets of the checkpoint"), row[1]

    def records(self) -> Iterator[Record]:
        """Yield the finished checkpoint's records, by key; read them before the next write."""
        self._odd.clear()
        self._gone.clear()
        for key, place, data in self._newest():
            if place % 2:
                self._odd.add(key)
            if data:
                yield key, data
            else:
                self._gone.add(key)

    def records_after(self, after: int) -> Iterator[Record]:
        """Return records above a key, even if another checkpoint has begun."""
        return ((key, data) for key, _, data in self._newest(after + 1) if data)

    def _newest(self, first: int = 0) -> Iterator[tuple[int, int, bytes]]:
        query = "SELECT place, seq, data FROM records WHERE place >= ? ORDER BY place"
        rows = self._database.execute(query, (2 * first,))
        for key, versions in groupby(rows, lambda row: row[0] // 2):
            finished = [(seq, place, data) for place, seq, data in versions if seq <= self.finished]
            if finished:
                _, place, data = max(finished)
                written = self._as_written(data, "the octets of the checkpoint") if data else b""
                yield key, place, written

    def abandon(self) -> None:
        self._database.execute("DELETE FROM records WHERE seq > ?", (self.finished,))
        self._database.execute("UPDATE checkpoint SET begun = seq")
        self.begun = self.finished
        self._going.clear()

    def write(self, records: Iterable[Record]) -> None:
        rows = []
        for key, data in records:
            self._gone.discard(key)
            self._odd ^= {key}
            if not data:
                self._going.add(key)
            place = 2 * key + (key in self._odd)
            rows.append((place, self.begun, checked(data) if data else b""))
        self._database.execute(
            "INSERT INTO checkpoint VALUES (1, ?1, 0, x'', x'') "
            "ON CONFLICT DO UPDATE SET begun = ?1",
            (self.begun,),
        )
        self._database.executemany("REPLACE INTO records VALUES (?, ?, ?)", rows)
        for key in list(islice(self._gone, GONE_AT_ONCE)):
            places = 2 * key, 2 * key + 1
            self._database.execute("DELETE FROM records WHERE place IN (?, ?)", places)
            self._gone.discard(key)
            self._odd.discard(key)

    def finish(self, header: bytes, digest: bytes) -> None:
        update = "UPDATE checkpoint SET seq = begun, digest = ?, head = ?"
        self._database.execute(update, (digest, checked(header)))
        self.finished = self.begun
        self._gone |= self._going
        self._going.clear()
