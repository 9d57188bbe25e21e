"""Makes sure that data is on the disk, even after a failed sync.

The system says once that a sync failed; then its cache returns what was written as if it were on
the disk, and the next sync succeeds. So a life begins by writing again, octet by octet, all that
the life before may have written without a sync, and syncs it (*written again*).

Each function raises OSError if the disk does not do it.
"""

import errno
import fcntl
import os
from pathlib import Path

from chainchat.storage.private import FOLDER_MODE, open_private

AT_ONCE = 1 << 20
"""Octets written at once."""

ROOM = 256 << 10
"""Octets a start needs: the first pages of each file, and some commits."""


def write_again(path: Path, octets: int | None = None, *, at_once: int = AT_ONCE) -> None:
    """Write a file, or its first ``octets``, to the disk as it reads now, if it exists.

    Dying halfway does no harm: each octet overwrites itself.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        end = os.fstat(file).st_size if octets is None else octets
        place = 0
        while part := os.pread(file, min(at_once, end - place), place):
            written = 0
            while written < len(part):
                written += os.pwrite(file, part[written:], place + written)
            place += len(part)
        sync(file)
    finally:
        os.close(file)


def sync(file: int) -> None:
    if not _flushed(file):
        os.fsync(file)


def sync_data(file: int) -> None:
    """Sync a file's content and length, not its times."""
    if not _flushed(file):
        (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(file)


def _flushed(file: int) -> bool:
    """Sync through the disk's own cache on macOS, where ``fsync`` does not; False elsewhere."""
    command: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if command is None:
        return False
    try:
        fcntl.fcntl(file, command)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):  # by this file system
            return False
        raise
    return True


def make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_parents(folder.parent)
    folder.mkdir(FOLDER_MODE, exist_ok=True)
    folder.chmod(FOLDER_MODE)  # as the umask may have narrowed it too far
    sync_folder(folder.parent)


def _make_parents(folder: Path) -> None:
    if not folder.exists():
        _make_parents(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def try_room(folder: Path) -> None:
    """Check by writing that a start has room: free space does not tell of quotas."""
    path = folder / "room"
    try:
        with open(path, "wb", opener=open_private) as file:
            file.write(bytes(ROOM))
            file.flush()
            sync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
