"""Copying a write-ahead log that became long, in a thread, and no faster than the disk takes it.

SQLite copies as fast as the system's cache takes pages, and then syncs all of them at once. Sixty
megabytes keep a disk busy for half a second, in which the syncs of what is said wait. Here the
sync comes in pieces, with pauses in which others have the disk.
"""

import ctypes
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

ROUNDS = 100
"""How often it copies what was written meanwhile."""

PIECE_OCTETS = 1 << 20
"""What the disk is given at a time."""

LONGEST_PAUSE_SECONDS = 0.02
"""After a piece, it pauses for as long as that has taken, up to this."""

WHOLE = 0b111
"""Of ``sync_file_range``: wait for what is on its way, begin to write, wait for that."""


class Copied(NamedTuple):
    """What became of copying.

    Attributes:
        pages: in the log, that the database has.
        uncopied: pages that were in the log when it began and are in the way of some reader.
    """

    pages: int
    uncopied: int


def copy(connection: sqlite3.Connection) -> Copied:
    """Copy what no reader needs to stay as it is.

    Raises:
        sqlite3.Error: it could not.
    """
    _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return Copied(copied, pages - copied)


class LongCopy:
    """A thread that copies until little is left, or somebody is in the way.

    *kept until synced*: SQLite writes the log over when all of it is copied, if nobody reads it.
    What is copied here is not on the disk yet, so somebody reads the log until it is.
    """

    def __init__(self, database: Path, file: int, before: int, little: int) -> None:
        """Begin.

        Args:
            database: its path.
            file: it, opened for writing. It must stay open for as long as this process has any
                connection to the database: to close any descriptor of a file gives up all locks
                that the process holds on it, SQLite's too.
            before: pages in the log that the database has.
            little: pages that may be left.
        """
        self._database = database
        self._file = file
        self._before = before
        self._little = little
        self._stopping = Event()
        self._outcome: Copied | Exception = Copied(before, 0)
        self._copier = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def outcome(self) -> Copied:
        """What became of it, once it has ended; to be asked once.

        Raises:
            sqlite3.Error: it could not copy.
            OSError: it could not sync.
        """
        self._copier.close()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def stop(self) -> bool:
        """End it soon; whether it met no error, even that it was ended."""
        self._stopping.set()
        if self.alive:
            self._copier.interrupt()
        self._thread.join()
        self._copier.close()
        return not isinstance(self._outcome, Exception)

    def _run(self) -> None:
        try:
            self._copier.execute("PRAGMA synchronous = OFF")  # see _sync
            for _ in range(ROUNDS):
                before = self._before
                self._outcome = self._round()
                self._before = self._outcome.pages
                if self._before <= before or self._outcome.uncopied < self._little:
                    break
        except Exception as error:
            self._outcome = error

    def _round(self) -> Copied:
        """Copy what there is, and sync it."""
        with self._kept():
            copied = copy(self._copier)
            if copied.pages > self._before:
                self._sync()
        return copied

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """*kept until synced*: nobody writes the log over meanwhile."""
        keeper = sqlite3.connect(self._database, isolation_level=None)
        try:
            keeper.execute("BEGIN")
            keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield
        finally:
            keeper.close()

    def _sync(self) -> None:
        """Sync the database, piece by piece."""
        for offset in range(0, os.fstat(self._file).st_size, PIECE_OCTETS):
            if self._stopping.is_set() or _write_out is None:
                break
            began = time.monotonic()
            _write_out(self._file, offset, PIECE_OCTETS, WHOLE)
            self._stopping.wait(min(time.monotonic() - began, LONGEST_PAUSE_SECONDS))
        os.fsync(self._file)  # whatever the pieces came to, this tells


def _found() -> Callable[[int, int, int, int], int] | None:
    """Linux' ``sync_file_range``; None where there is no such thing."""
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function


_write_out = _found()
