"""A checkpoint copied from another node, beside the node's own data in SQLite.

``install`` exchanges the tables by their names in one transaction; ``trimming`` empties the old.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import count

from msgspec import msgpack
from msgspec.structs import replace

from chainchat.chain.checkpoints import INDEX, RECORDS, Offered, Row, Staged
from chainchat.chain.entries import EntryId
from chainchat.storage import tables
from chainchat.storage.checksums import AsWritten, checked
from chainchat.storage.index import Run

LogRow = tuple[int, int, bytes]


class Staging:
    """The copied tables, and how far the copy has come; the caller makes the transactions."""

    def __init__(self, database: sqlite3.Connection, as_written: AsWritten) -> None:
        self._database = database
        self._as_written = as_written
        self.reload()

    def reload(self) -> None:
        row = self._database.execute("SELECT note FROM staged").fetchone()
        self.staged: Staged | None = None
        if row is not None:
            note = self._as_written(row[0], "the octets of a copied checkpoint")
            self.staged = msgpack.decode(note, type=Staged)

    def begin(self, offered: Offered) -> None:
        self.abandon()
        tables.create(self._database, tables.COPIED, tables.STAGED)
        self._note(Staged(offered, end=offered.beginning))

    def abandon(self) -> None:
        if self.staged is not None:
            self._set_aside(tables.STAGED)
            self._database.execute("DELETE FROM staged")
            self.staged = None

    def _set_aside(self, prefix: str) -> None:
        names = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
        number = next(n for n in count(1) if f"{tables.GONE}{n}_log" not in names)
        tables.rename(self._database, prefix, f"{tables.GONE}{number}_")

    def _note(self, staged: Staged) -> None:
        self._database.execute(
            "REPLACE INTO staged VALUES (1, ?)", (checked(msgpack.encode(staged)),)
        )
        self.staged = staged

    def add_rows(self, rows: Sequence[Row], *, complete: bool) -> None:
        assert self.staged is not None
        seq = self.staged.offered.checkpoint.seq
        records = [(2 * row.key, seq, checked(row.data)) for row in rows if row.table == RECORDS]
        self._database.executemany("INSERT INTO staged_records VALUES (?, ?, ?)", records)
        self._database.executemany("INSERT INTO staged_messages VALUES (?, ?, ?)", self._runs(rows))
        place = rows[-1].place if rows else self.staged.place
        self._note(replace(self.staged, place=place, complete=complete))

    def _runs(self, rows: Sequence[Row]) -> Iterator[tuple[int, int, bytes]]:
        """Rows of the index, without messages that are here already.

        Rows of another node may divide a reader's messages elsewhere.
        """
        assert self.staged is not None
        table, reader, last = self.staged.place
        for row in rows:
            if row.table == INDEX:
                run = Run(row.data)
                if (table, reader) == (INDEX, row.key):
                    run.forget(last)
                yield row.key, row.second, checked(bytes(run))
                table, reader, last = row.place

    def add_log(self, rows: Sequence[LogRow], end: EntryId) -> None:
        assert self.staged is not None
        self._database.executemany("INSERT INTO staged_log VALUES (?, ?, ?)", rows)
        self._note(replace(self.staged, end=end))

    def records(self) -> Iterator[tuple[int, bytes]]:
        rows = self._database.execute("SELECT place, data FROM staged_records ORDER BY place")
        for place, data in rows:
            yield place // 2, self._as_written(data, "the octets of a copied checkpoint")

    def install(self) -> EntryId:
        """Replace the node's tables; return the beginning, to be noted in the same transaction."""
        staged = self.staged
        assert staged is not None
        offered = staged.offered
        self._set_aside("")
        tables.rename(self._database, tables.STAGED, "")
        seq, digest = offered.checkpoint.seq, offered.checkpoint.digest
        self._database.execute(
            "REPLACE INTO checkpoint VALUES (1, ?, ?, ?, ?)",
            (seq, seq, digest, checked(offered.header)),
        )
        self._database.execute("REPLACE INTO committed VALUES (1, ?)", (seq,))
        self._database.execute("DELETE FROM staged")
        self.staged = None
        return offered.beginning
