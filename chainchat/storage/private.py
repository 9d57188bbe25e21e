"""Keeps a node's data for its user, whoever starts it and whatever the umask.

Each function raises OSError for what it cannot do.
"""

import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600

OTHERS = 0o077

OURS = ("lock", "room", "control", "chainchat.sqlite*", "cut-*.jsonl")
"""Chainchat's files in a data folder, as patterns."""


def open_private(path: str | Path, flags: int) -> int:
    """An opener for ``open``: a new file is its owner's alone."""
    new = not os.path.lexists(path)
    file = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    if new:  # the umask may have narrowed it too far
        with suppress(PermissionError):  # a file system without permissions
            os.fchmod(file, FILE_MODE)
    return file


def touch_private(path: Path) -> None:
    os.close(open_private(path, os.O_RDWR | os.O_CREAT))


def narrowed(folder: Path) -> list[str]:
    """Keep others from a data folder and its files; return those they could reach."""
    files = {path for pattern in OURS for path in folder.glob(pattern)}
    paths = (folder, *sorted(files)) if folder.exists() else ()
    found = [path for path in paths if _is_open_to_others(path)]
    for path in found:
        path.chmod(FOLDER_MODE if path == folder else FILE_MODE)
    return [path.name for path in found]


def _is_open_to_others(path: Path) -> bool:
    found = path.stat() if path.is_dir() else path.lstat()
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & OTHERS)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
