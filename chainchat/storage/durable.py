"""What has to be on the disk, whatever an earlier life was told of it.

When a sync fails, the system says so once. It goes on to show what was written, from its memory,
as if it were on the disk: to this process, to the next one, and to the next sync, which has nothing
left to write and succeeds. So what was written since the last sync that succeeded is not to be
believed by anybody who reads it; and who reads it cannot tell what that is.

Therefore a life begins by writing again, octet by octet, all that the one before may have written
without a sync. After that its own sync counts (*written again*).
"""

import os
from pathlib import Path

AT_ONCE = 1 << 20
"""Octets that are written again in one call."""

ROOM = 256 << 10
"""Octets without which nothing can be begun: the first pages of each file, and some commits."""


def write_again(path: Path, octets: int | None = None, *, at_once: int = AT_ONCE) -> None:
    """Put a file, or its beginning, on the disk as it is read now; nothing if there is none.

    A process that dies meanwhile does no harm: what was on the disk is written over by itself.

    Raises:
        OSError: it cannot be written, or not be synced.
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
        os.fsync(file)
    finally:
        os.close(file)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in; they are on disk under their names afterwards.

    Raises:
        OSError: it cannot be done.
    """
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Put the names of its files on disk.

    Raises:
        OSError: it cannot be done.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_room(folder: Path) -> None:
    """See whether there is room for a beginning: nobody else may tell of quotas and reserves.

    Raises:
        OSError: there is none.
    """
    path = folder / "room"
    try:
        with path.open("wb") as file:
            file.write(bytes(ROOM))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
