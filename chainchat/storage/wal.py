"""SQLite's write-ahead log: copied into the database in small pieces, or by a thread.

Left to itself, SQLite copies all of it inside a commit, once it has some pages. That is quick, as
long as nobody keeps it from it. But while another process holds a read transaction (a backup tool),
nothing newer can be copied; and when it lets go, the next commit copies hundreds of megabytes, for
a second and more. So here the copying is asked for between two turns, and what is too much for one
is copied by a thread (``long_copy``), which holds up no write.
"""

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from chainchat.storage.long_copy import Copied, LongCopy, copy

PAGE = 4_096
FRAME = PAGE + 24
"""Octets of a page of the database, and of one in the write-ahead log."""

PAGES = 500
"""Pages in the log that are worth copying: takes some 4 ms, in which nobody is answered.

With fewer it is quicker, and comes more often. A log that has this size is written over, and a sync
of it takes half as long as while it grows.
"""

MUCH = 1_000
"""Pages that are too much for one turn."""

RETRY_SECONDS = 0.5
"""After a reader was in the way, how long it is left alone."""

LOOK_SECONDS = 0.1
"""Between two looks at the length of the file."""

KEPT_OCTETS = 4 << 20
"""A file that is longer shrinks, a step each time that it is begun anew."""

SHRUNK_OCTETS = 8 << 20
"""The step: to free 300 MB takes 0.1 s, in the midst of a commit."""

NAMED_OCTETS = 64_000_000
"""A log of this length is reported, and again at each doubling."""

READ_LOCKS = range(123, 128)
"""The octets of the ``-shm`` file whose locks keep the log from being copied or begun anew.

See "WAL Locks" in SQLite's description of its WAL-mode file format.
"""


def log_of(database: Path) -> Path:
    """The file of a database's write-ahead log."""
    return Path(f"{database}-wal")


def leave_copying(connection: sqlite3.Connection) -> None:
    """Never copy inside a commit, where SQLite tells nobody of an error."""
    connection.execute("PRAGMA wal_autocheckpoint = 0")


class Keeper:
    """Keeps SQLite from copying the log when the last connection is closed, and removing it.

    After a failed sync that must not be: a sync of the database would succeed without the pages
    that the failed one has lost, and the log, which has them, would be gone. Only who may write can
    copy; so the last connection is one that may not.
    """

    def __init__(self, database: Path) -> None:
        """To be made before the others are closed."""
        self._connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
        with suppress(sqlite3.Error):  # a disk that cannot be read
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def close(self) -> None:
        """To be done after the others were closed."""
        self._connection.close()


class WriteAheadLog:
    """Brings what one process has written into its database."""

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
        """Care for the write-ahead log of ``database``.

        Args:
            database: the file.
            writer: whoever writes to it; leaves the copying to this object from now on.
            clock: monotonic seconds.
            pages: pages that are worth copying.
            much: pages that are too much for one turn.
            named: octets of a log that is reported.
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
        leave_copying(self._copier)
        self._copier.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
        self._length = self._measure()
        """Of the file, when it was last looked at."""
        self._copied = 0
        """Pages in the log that the database has."""
        self._uncopied = self._length // FRAME
        """Those that it does not have; of what was written since the last copying, an estimate."""
        self._next_look = self._left_alone_until = 0.0
        self._pages = pages
        self._much = much
        self._named = self._report_at = named
        self._long_copy: LongCopy | None = None
        self._at_start = 0
        """Pages that were not copied when it began."""

    def wrote(self, octets: int) -> None:
        """A transaction has written this, and what belongs to it."""
        self._uncopied += octets // PAGE + 3

    def care(self) -> str:
        """Copy what is due, or see to it; what the log has to say of it, mostly nothing.

        Raises:
            sqlite3.Error: it could not be copied, now or by the thread.
            OSError: what the thread has copied could not be synced.
        """
        report = ""
        now = self._clock()
        if self._long_copy is not None:
            if self._long_copy.alive:
                return ""
            report = self._end_of_long_copy(self._long_copy, now)
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._note_growth()
        if self._uncopied >= self._pages and now >= self._left_alone_until:
            if self._uncopied > self._much:
                self._writer.execute("PRAGMA journal_size_limit = -1")  # see _begins_anew
                self._at_start = self._uncopied
                self._long_copy = LongCopy(
                    self._database, self._database_file, self._copied, self._pages
                )
            else:
                length = self._measure()
                self._take(copy(self._copier), length, now, meanwhile=0)
        return report

    def stop(self) -> bool:
        """End the thread, if there is one; whether it met no error, even that it was ended."""
        return self._long_copy is None or self._long_copy.stop()

    def close(self) -> None:
        """Let go of the database, after the writer has; what the thread has begun is left."""
        self.stop()
        self._copier.close()
        os.close(self._database_file)

    def _take(self, copied: Copied, length: int, now: float, meanwhile: int) -> None:
        """So much is copied now, so much is not, and so many pages were written meanwhile."""
        self._length, self._copied = length, copied.pages
        self._uncopied = copied.uncopied + meanwhile
        if not self._uncopied:
            self._begins_anew()
        if copied.uncopied:
            self._left_alone_until = now + RETRY_SECONDS

    def _begins_anew(self) -> None:
        """All of it is copied, and nothing written since: it is written over from now on.

        The next commit cuts off what is too long.
        """
        self._copied = 0
        if self._length > KEPT_OCTETS:
            limit = max(self._length - SHRUNK_OCTETS, KEPT_OCTETS)
            self._writer.execute(f"PRAGMA journal_size_limit = {limit}")

    def _end_of_long_copy(self, long_copy: LongCopy, now: float) -> str:
        """Take over what the thread has done; what the log has to say of it."""
        self._long_copy = None
        meanwhile = self._uncopied - self._at_start
        self._take(long_copy.outcome(), self._length, now, meanwhile)
        self._note_growth()
        return self._reported()

    def _measure(self) -> int:
        """Octets of the file."""
        try:
            return self._file.stat().st_size
        except FileNotFoundError:
            return 0

    def _note_growth(self) -> None:
        """If the file has grown, it ends with what was written last: then all of it is in use."""
        length = self._measure()
        if length > self._length:
            self._length = length
            self._uncopied = max(self._uncopied, length // FRAME - self._copied)

    def _reported(self) -> str:
        """Who keeps the log from being copied, if it is so long that this is to be told."""
        uncopied = self._uncopied * FRAME
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
    """Other processes that hold a read transaction on a database, as Linux tells.

    Args:
        shared: the ``-shm`` file of the database.
    """
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
    """The command of a process, as far as it can be told, in printable characters."""
    with suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        text = b" ".join(words).decode("utf-8", "replace").strip()
        return "".join(char if char.isprintable() else "?" for char in text)[:80] or "unknown"
    return "unknown"
