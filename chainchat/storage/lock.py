"""The lock of a data folder: one process at a time."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from chainchat.storage.durable import make_folder
from chainchat.storage.interface import LockedError, StorageError
from chainchat.storage.private import open_private


class DataLock:
    """A lock held until ``release``; the kernel releases it however the process ends."""

    def __init__(self, data: Path) -> None:
        """Take the lock.

        Raises:
            LockedError: another process holds it.
            StorageError: the folder cannot be created or written.
        """
        self._path = data / "lock"
        try:
            make_folder(data)
            self._file = open_private(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            theirs = error.errno == errno.EACCES and os.path.exists(self._path)
            where = self._path if theirs else data
            raise StorageError(f"{where}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 32).decode("ascii", "replace").strip()
            os.close(self._file)
            raise LockedError(f"{data} is in use by process {owner or 'unknown'}") from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._file)
            raise StorageError(f"{data}: {error.strerror}") from error

    def check(self) -> None:
        """Check that the locked folder is still in its place, where the next start finds it.

        Raises:
            StorageError: it, or its lock, was removed, replaced or unmounted.
        """
        with suppress(OSError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._file)):
                return
        raise StorageError(
            f"{self._path.parent}: these are not the files that this node works with: they were "
            "removed, replaced or unmounted"
        )

    def release(self) -> None:
        os.close(self._file)
