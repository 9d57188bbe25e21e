"""Reads the files that people write: chain.ini, certificates, keys.

A running node reads them again, and must not wait for a pipe or a device.
"""

import os
import stat
from pathlib import Path

MOST_OCTETS = 1_000_000
"""More than enough: all CAs of a system together have a third of this."""


class NotOrdinaryError(OSError):
    """A file cannot be read at once; ``strerror`` says why."""

    def __init__(self, what: str) -> None:
        super().__init__(0, what)


def read_ordinary(path: Path) -> bytes:
    """The octets of a file.

    Raises:
        NotOrdinaryError: it is a pipe or a device, or too long.
        OSError: it is not there, or cannot be read.
        ValueError: the path has a NUL.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise NotOrdinaryError("this is a pipe or a device; name a file")
        if found.st_size > MOST_OCTETS:
            raise NotOrdinaryError(f"{found.st_size} octets; allowed: {MOST_OCTETS}")
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
