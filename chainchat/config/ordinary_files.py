"""Reads the files that people write: chain.ini, certificates, keys.

A running node reads them again, and must not wait for the other end of a pipe, nor for the end of a
device that has none.
"""

import os
import stat
from pathlib import Path

MOST_OCTETS = 4_000_000
"""Octets of a file; all CAs of a system together have a tenth."""


def read_ordinary(path: Path) -> bytes:
    """The octets of a file.

    Raises:
        OSError: it is not there, cannot be read, or is no ordinary file.
        ValueError: the path has a NUL.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(file)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(0, "Is a directory", str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is a pipe or a device, and no file", str(path))
        octets = opened.read(MOST_OCTETS + 1)
    if len(octets) > MOST_OCTETS:
        raise OSError(0, f"it has more than {MOST_OCTETS} octets", str(path))
    return octets
