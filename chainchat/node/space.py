"""Room on a disk: a node takes nothing new before its disk is full.

A full disk stops its node, and alike disks would fill at the same moment. So a member whose disk is
*low* tells the others, and no node takes anything new. Reading and logging in again go on.
"""

import os
from collections.abc import Callable
from pathlib import Path

from chainchat.storage.interface import StorageError

WARNED_AT = 10
"""Times ``stop``: with less free disk, operators are warned."""


def free_octets(folder: Path) -> int:
    """Octets free on the file system of a folder, for users who are not root.

    Raises:
        StorageError: the system cannot tell.
    """
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from error
    return status.f_bavail * status.f_frsize


class Space:
    """The room on a node's disk when last measured.

    Attributes:
        low: nothing new is to be taken.
        note: how much is free, for people; empty while there is plenty.
    """

    def __init__(self, free: Callable[[], int], stop: int) -> None:
        """``free`` measures octets; with fewer than ``stop`` the disk is low (0: never)."""
        self.low = False
        self.note = ""
        self._free = free
        self._stop = stop
        self._warned = False

    def look(self) -> str:
        """Measure; returns a line for the log, mostly empty.

        Raises:
            StorageError: the disk is not there.
        """
        if not self._stop:
            return ""
        free = self._free()
        was_low, was_warned = self.low, self._warned
        self.low = free < (_room_again(self._stop) if was_low else self._stop)
        warned_at = WARNED_AT * self._stop
        self._warned = free < (_room_again(warned_at) if was_warned else warned_at)
        self.note = f"free disk: {megabytes(free)}" if self._warned else ""
        if self.low and not was_low:
            enough = megabytes(_room_again(self._stop))
            return f"{self.note}: nothing new is taken until it is {enough}"
        if was_low and not self.low:
            return f"free disk: {megabytes(free)}: room again"
        if self._warned and not was_warned:
            return f"{self.note}; with less than {megabytes(self._stop)} nothing new is taken"
        return ""


PLENTY = Space(lambda: 0, stop=0)
"""A disk that is never low."""


def _room_again(bound: int) -> int:
    """A tenth more than a bound that was crossed, so that nothing flaps."""
    return bound + bound // 10


def megabytes(octets: float) -> str:
    """Octets for people."""
    return f"{octets / 1e6:.0f} MB" if octets >= 10e6 else f"{octets / 1e6:.1f} MB"
