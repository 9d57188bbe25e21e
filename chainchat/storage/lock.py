"""The lock of a data folder: one process at a time."""

import fcntl
import os
from pathlib import Path

from chainchat.storage.durable import make_folder
from chainchat.storage.interface import LockedError, StorageError


class DataLock:
    """Holds a data folder for this process. The kernel releases it however the process ends."""

    def __init__(self, data: Path) -> None:
        """Take the lock.

        Raises:
            LockedError: another process holds it.
            StorageError: the folder cannot be created or written.
        """
        try:
            make_folder(data)
            self._file = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{data}: {error.strerror}") from error
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

    def release(self) -> None:
        """Let another process have the folder."""
        os.close(self._file)
