"""Removes the beginning of the log from SQLite, and gives its space back to the system, in slices.

Each slice is a transaction of some milliseconds. Some free pages stay, to be filled again; the rest
leave the file, if the database was made with ``auto_vacuum = INCREMENTAL``.
"""

import sqlite3
from collections.abc import Callable

from chainchat.chain.entries import Entry, EntryId
from chainchat.storage.tables import GONE

ROWS_AT_ONCE = 16
"""Rows of the log: a megabyte at most."""

RUNS_AT_ONCE = 200

PAGES_AT_ONCE = 64
"""Pages that leave the file; each may be moved, so written to the write-ahead log."""

KEPT_PAGES = 1_000
"""Free pages that stay in the file; in a large file a sixteenth."""


class Trimming:
    """The beginning of the log, and what is on its way out; the caller makes the transactions.

    ``due``: ``step`` has something to do.
    """

    def __init__(
        self, database: sqlite3.Connection, batch: Callable[[int], tuple[Entry, ...]]
    ) -> None:
        """``batch`` reads the row that ends with a sequence number."""
        self._database = database
        self._batch = batch
        self._swept: tuple[int, int] | None = None
        """How far a sweep through the index has come: reader, last id."""
        self._gone: list[str] = []
        self.reload()

    def reload(self) -> None:
        row = self._database.execute("SELECT epoch, seq, digest FROM beginning").fetchone()
        self.beginning = EntryId() if row is None else EntryId(*row)
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB ?"
        self._gone = [name for (name,) in self._database.execute(names, (GONE + "*",))]
        self.due = True

    def remove(self, up_to: int) -> bool:
        oldest = "SELECT last FROM log WHERE last <= ? AND last < (SELECT max(last) FROM log) "
        rows = self._database.execute(f"{oldest} ORDER BY last LIMIT ?", (up_to, ROWS_AT_ONCE))
        lasts = [last for (last,) in rows]
        if not lasts:
            return False
        end = self._batch(lasts[-1])[-1].id
        self._database.execute("DELETE FROM log WHERE last <= ?", (end.seq,))
        self.begin_after(end)
        self._swept = (-1, -1)
        self.due = True
        return len(lasts) == ROWS_AT_ONCE

    def begin_after(self, entry: EntryId) -> None:
        place = (entry.epoch, entry.seq, entry.digest)
        self._database.execute("REPLACE INTO beginning VALUES (1, ?, ?, ?)", place)
        self.beginning = entry

    def step(self) -> None:
        """Remove a slice of what nobody needs: tables, the index's old runs, free pages."""
        if self._gone:
            self._empty(self._gone[-1])
        elif self._swept is not None:
            self._sweep(*self._swept)
        else:
            self.due = self._shrink()

    def _empty(self, table: str) -> None:
        key = "reader, last" if table.endswith("messages") else "rowid"
        removed = self._database.execute(
            f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} LIMIT ?)",  # noqa: S608
            (ROWS_AT_ONCE,),
        )
        if removed.rowcount < ROWS_AT_ONCE:
            self._database.execute(f"DROP TABLE {table}")
            self._gone.remove(table)

    def _sweep(self, reader: int, last: int) -> None:
        query = (
            "SELECT reader, last FROM messages WHERE (reader, last) > (?, ?) "
            "ORDER BY reader, last LIMIT ?"
        )
        runs = self._database.execute(query, (reader, last, RUNS_AT_ONCE)).fetchall()
        old = [run for run in runs if run[1] <= self.beginning.seq]
        self._database.executemany("DELETE FROM messages WHERE reader = ? AND last = ?", old)
        self._swept = runs[-1] if len(runs) == RUNS_AT_ONCE else None

    def _shrink(self) -> bool:
        if self._number("PRAGMA auto_vacuum") != 2:  # INCREMENTAL
            return False
        free = self._number("PRAGMA freelist_count")
        kept = max(KEPT_PAGES, self._number("PRAGMA page_count") // 16)
        if free <= kept:
            return False
        pages = min(PAGES_AT_ONCE, free - kept)
        for _ in range(pages):  # Python's sqlite3 goes one step, which is one page, for each call
            self._database.execute("PRAGMA incremental_vacuum(1)").fetchall()
        return free - kept > pages

    def _number(self, query: str) -> int:
        number: int = self._database.execute(query).fetchone()[0]
        return number

    # --- sizes

    def octets(self) -> int:
        """Return the octets of pages in use."""
        used = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return used * self._number("PRAGMA page_size")

    def end_of_oldest(self, octets: int, rows: int) -> int:
        """Return the sequence number that ends the oldest ``octets``, or the oldest ``rows``."""
        end = self.beginning.seq
        query = "SELECT last, length(entries) FROM log ORDER BY last LIMIT ?"
        for last, length in self._database.execute(query, (rows,)):
            if octets <= 0:
                break
            end, octets = last, octets - length
        return end
