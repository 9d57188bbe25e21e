"""Planted bugs in the storage on files; see ``planted``. Only runs on such disks can catch them."""

import sqlite3
from pathlib import Path
from unittest.mock import patch

from chainchat.storage.checksums import checked
from chainchat.storage.cuts import write_side_file
from chainchat.storage.sqlite import SQLiteStorage
from chainchat.storage.wal import WriteAheadLog


class SyncsEntriesLater(SQLiteStorage):
    """Entries are on disk when something else is synced, and not before."""

    def sync(self) -> None:
        pass


class SyncsRecordsLater(SQLiteStorage):
    """A vote is told, and a configuration, before it is on disk."""

    def write_membership(self, record: bytes) -> None:
        with self._written_later():
            self._database.execute("REPLACE INTO membership VALUES (1, ?)", (checked(record),))


class CopiesWithoutSync(WriteAheadLog):
    """The write-ahead log is written over, though the database may not have on disk what it had."""

    def care(self) -> str:
        self._copier.execute("PRAGMA synchronous = OFF")
        return super().care()


class CutsBeforeItKeeps(SQLiteStorage):
    """The entries leave the log, and then they are written to a side file."""

    def cut(self, after: int) -> Path | None:
        gone = tuple(self._entries_after(after))
        with patch("chainchat.storage.sqlite.write_side_file"):
            super().cut(after)
        return write_side_file(self._path.parent, after + 1, gone[-1].seq, gone) if gone else None


def believes_what_was_read(path: Path, octets: int | None = None) -> None:
    """What an earlier life may have written without a sync is not written again."""


def leaves_side_files_without_names(folder: Path) -> None:
    """The name of a side file is not synced, nor are those of a new disk."""


def copies_inside_commits(connection: sqlite3.Connection) -> None:
    """SQLite copies its log when it likes, and tells nobody of an error."""
    connection.execute("PRAGMA wal_autocheckpoint = 5")
