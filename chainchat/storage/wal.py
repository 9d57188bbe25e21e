"""SQLite's write-ahead log (here: the log): when it is synced, and copied into the database.

After a loss of power, SQLite reads the log up to the first page that is torn or lost.

SQLite itself copies the whole log inside a commit, which can take a second or more. So the log is
copied between two turns, or by a thread (``long_copy``) that delays no write.
"""

import os
import re
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from chainchat.storage.durable import sync_data
from chainchat.storage.long_copy import CopiedPages, LongCopy, copy

PAGE = 4_096
FRAME = PAGE + 24
"""Octets of a page of the database, and of one in the log."""

PAGES = 500
"""Pages worth copying: some 4 ms, in which nobody is answered.

Writing over a log of this size syncs in half the time of letting it grow.
"""

MUCH = 1_000
"""Pages that are too much for one turn."""

WRITTEN_PAGES = 100
"""A turn seldom writes more, and mostly one: it need not look each time."""

RETRY_SECONDS = 0.5
"""How long a reader in the way is left alone."""

KEPT_OCTETS = 4 << 20
"""A longer file shrinks whenever SQLite begins it anew."""

SHRUNK_OCTETS = 8 << 20
"""What such a file loses at once: freeing 300 MB takes 0.1 s, inside a commit."""

NAMED_OCTETS = 64_000_000
"""A length that is reported, like each doubling."""

_STATE = struct.Struct("=16xI76xI")
"""The beginning of the ``-shm`` file: pages in the log, and how many are copied.

See "WAL-Index Format" in SQLite's "WAL-mode File Format".
"""

READ_LOCKS = range(123, 128)
"""Octets of the ``-shm`` file whose locks keep the log from being copied or restarted.

See "WAL Locks" in the same place.
"""


def log_of(database: Path) -> Path:
    return Path(f"{database}-wal")


def leave_copying(connection: sqlite3.Connection) -> None:
    """Turn off copying inside a commit, where SQLite reports no error."""
    connection.execute("PRAGMA wal_autocheckpoint = 0")


class Keeper:
    """Keeps SQLite from copying and removing the log when the last connection closes.

    After a failed sync, the next would succeed without the lost pages, and the log, which has them,
    would be gone. So the last connection may not write: open this one before the others close.
    """

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
        with suppress(sqlite3.Error):  # a disk that cannot be read
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def close(self) -> None:
        self._connection.close()


class WriteAheadLog:
    """Copies what one process has written into its database."""

    def __init__(
        self,
        database: Path,
        writer: sqlite3.Connection,
        clock: Callable[[], float] = time.monotonic,
        *,
        pages: int = PAGES,
        much: int = MUCH,
        named: int = NAMED_OCTETS,
    ) -> None:
        """``writer``: the connection that writes; ``clock``: monotonic seconds.

        For the others see PAGES, MUCH and NAMED_OCTETS.
        """
        leave_copying(writer)
        self._database = database
        self._database_file = os.open(database, os.O_RDWR)
        self._file = log_of(database)
        self._shared = Path(f"{database}-shm")
        self._clock = clock
        self._writer = writer
        self._copier = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._copier.execute("PRAGMA synchronous = FULL")
        self._copier.execute("PRAGMA checkpoint_fullfsync = ON")  # as ``durable.sync``
        leave_copying(self._copier)
        self._copier.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
        # Open as long as SQLite is, whose locks a close would release: see ``LongCopy``.
        self._shared_file = os.open(self._shared, os.O_RDONLY)
        self._log_file = os.open(self._file, os.O_RDWR)
        # The system tells each of a failed write once: neither may hear it in the other's place.
        self._copied_log_file = os.open(self._file, os.O_RDWR)
        self._left_alone_until = 0.0
        self._unlooked = 0
        """Calls of ``care`` until enough can have been written."""
        self._pages = pages
        self._much = much
        self._named = self._report_at = named
        self._long_copy: LongCopy | None = None

    def state(self) -> CopiedPages:
        pages, copied = self._counts()
        return CopiedPages(copied, pages - copied)

    def _counts(self) -> tuple[int, int]:
        return _STATE.unpack(os.pread(self._shared_file, _STATE.size, 0))

    def sync(self) -> None:
        """Return when all commits are on the disk.

        Raises:
            OSError: the sync failed.
        """
        sync_data(self._log_file)

    def care(self) -> str:
        """Copy what is due, perhaps in a thread; return a line for the operator, usually empty.

        Raises:
            sqlite3.Error: copying failed, here or in the thread.
            OSError: the thread could not sync what it copied.
        """
        if self._unlooked > 0:
            self._unlooked -= 1
            return ""
        report = ""
        now = self._clock()
        if self._long_copy is not None:
            if self._long_copy.alive:
                return ""
            report = self._end_of_long_copy(self._long_copy, now)
        pages, copied = self._counts()
        self._unlooked = max(self._pages - (pages - copied), 0) // WRITTEN_PAGES
        if pages - copied >= self._pages and now >= self._left_alone_until:
            if pages - copied > self._much:
                self._writer.execute("PRAGMA journal_size_limit = -1")  # see _begins_anew
                self._long_copy = LongCopy(
                    self._database, self._database_file, self._copied_log_file, copied, self._pages
                )
            else:
                self._take(copy(self._copier), now)
        return report

    def stop(self) -> bool:
        return self._long_copy is None or self._long_copy.stop()

    def close(self) -> None:
        """Close after the writer; the thread leaves its copy unfinished."""
        self.stop()
        self._copier.close()
        os.close(self._database_file)
        os.close(self._shared_file)
        os.close(self._log_file)
        os.close(self._copied_log_file)

    def _take(self, outcome: CopiedPages, now: float) -> None:
        """Leave alone whoever reads what is not copied."""
        if outcome.uncopied:
            self._left_alone_until = now + RETRY_SECONDS
        if not self.state().uncopied:
            self._begins_anew()

    def _begins_anew(self) -> None:
        """Let the next commit, which writes the log over, shorten a long file."""
        length = self._file.stat().st_size
        if length > KEPT_OCTETS:
            limit = max(length - SHRUNK_OCTETS, KEPT_OCTETS)
            self._writer.execute(f"PRAGMA journal_size_limit = {limit}")

    def _end_of_long_copy(self, long_copy: LongCopy, now: float) -> str:
        self._long_copy = None
        self._take(long_copy.outcome(), now)
        return self._reported()

    def _reported(self) -> str:
        uncopied = self.state().uncopied * FRAME
        if uncopied < self._named // 2:
            self._report_at = self._named
        if uncopied < self._report_at:
            return ""
        while uncopied >= self._report_at:
            self._report_at *= 2
        holders = ", ".join(readers(self._shared)) or "nobody whom this process can see"
        return (
            f"{uncopied / 1e6:.0f} MB of the write-ahead log cannot be copied into the database: "
            f"it is read by {holders}"
        )


def readers(shared: Path) -> Iterator[str]:
    """Yield other processes that read the database of a ``-shm`` file, as far as Linux tells."""
    seen = {os.getpid()}
    with suppress(OSError):
        inode = shared.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            lock = re.search(r" READ +(\d+) \S+:(\d+) (\d+) \S+$", line)
            if lock is None or int(lock[2]) != inode or int(lock[3]) not in READ_LOCKS:
                continue
            process = int(lock[1])
            if process not in seen:
                seen.add(process)
                yield f"process {process} ({_command(process)})"


def _command(process: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        text = b" ".join(words).decode("utf-8", "replace").strip()
        return "".join(char if char.isprintable() else "?" for char in text)[:80] or "unknown"
    return "unknown"
