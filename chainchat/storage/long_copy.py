"""Copies a long write-ahead log in a thread, no faster than the disk takes it.

SQLite would sync all pages at once: the log's syncs would wait for half a second.
"""

import ctypes
import errno
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from chainchat.storage.durable import sync, sync_data

ROUNDS = 100
"""The most rounds; each copies what was written during the last."""

PIECE_OCTETS = 1 << 20
"""Octets given to the disk at a time."""

LONGEST_PAUSE_SECONDS = 0.02
"""A pause is as long as the last piece took, up to this."""

WHOLE = 0b111
"""For ``sync_file_range``: wait for writes under way, write the rest, wait for that."""


class CopiedPages(NamedTuple):
    """Pages of the log that the database has, and pages that it lacks."""

    pages: int
    uncopied: int


def copy(connection: sqlite3.Connection) -> CopiedPages:
    """Copy the pages that no reader needs unchanged.

    Raises:
        sqlite3.Error: copying failed.
    """
    _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return CopiedPages(copied, pages - copied)


class LongCopy:
    """A thread that copies until little is left, or a reader is in the way.

    *kept until synced*: SQLite writes the log over once all of it is copied, unless somebody reads
    it. So a connection reads the log until what is copied is on the disk. It also keeps the copy
    from passing what the log had when it began, and the log is synced then: the database never has
    what a loss of power takes from the log.
    """

    def __init__(self, database: Path, file: int, log: int, before: int, little: int) -> None:
        """Begin to copy.

        Args:
            file: ``database``, opened for writing; stays open as long as this process has a
                connection to it: closing any descriptor of a file releases all the process's locks
                on it, SQLite's too.
            log: its write-ahead log, opened for writing.
            before: pages of the log that the database has.
            little: pages that may be left.
        """
        self._database = database
        self._file = file
        self._log = log
        self._before = before
        self._little = little
        self._stopping = Event()
        self._outcome: CopiedPages | Exception = CopiedPages(before, 0)
        self._kept = ExitStack()
        self._copier = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def outcome(self) -> CopiedPages:
        """Return the outcome, once, after the thread has ended.

        Raises:
            sqlite3.Error: copying failed.
            OSError: the sync failed.
        """
        self._close()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def stop(self) -> bool:
        """Stop the thread soon; return False if it met an error, as by being stopped."""
        self._stopping.set()
        if self.alive:
            self._copier.interrupt()
        self._thread.join()
        self._close()
        return not isinstance(self._outcome, Exception)

    def _close(self) -> None:
        self._kept.close()
        self._copier.close()

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

    def _round(self) -> CopiedPages:
        self._keep()
        sync_data(self._log)
        copied = copy(self._copier)
        if copied.pages > self._before:
            self._sync()
        self._kept.close()
        return copied

    def _keep(self) -> None:
        """*kept until synced*: nobody writes the log over until ``_kept`` is closed.

        After an error, that is when the node knows of it and writes no more.
        """
        keeper = sqlite3.connect(self._database, isolation_level=None, check_same_thread=False)
        self._kept.enter_context(closing(keeper))
        keeper.execute("BEGIN")
        keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def _sync(self) -> None:
        for offset in range(0, os.fstat(self._file).st_size, PIECE_OCTETS):
            began = time.monotonic()
            if self._stopping.is_set() or not _synced_piece(self._file, offset):
                break
            self._stopping.wait(min(time.monotonic() - began, LONGEST_PAUSE_SECONDS))
        sync(self._file)


def _found() -> Callable[[int, int, int, int], int] | None:
    """Return Linux' ``sync_file_range``; None on other systems."""
    try:
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (AttributeError, OSError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function


_write_out = _found()


def _synced_piece(file: int, offset: int) -> bool:
    """Give a piece to the disk; return False if the system cannot.

    Raises:
        OSError: the disk failed. The system says so once: the next sync would succeed.
    """
    if _write_out is None:
        return False
    if _write_out(file, offset, PIECE_OCTETS, WHOLE) == 0:
        return True
    error = ctypes.get_errno()
    if error in (errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EPERM):
        return False
    raise OSError(error, os.strerror(error))
