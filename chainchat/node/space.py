"""Room on a disk: before it is full, no node takes anything new.

Alike disks would fill at the same moment, so a member whose disk is *low* tells the others.
"""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from chainchat.storage.interface import StorageError

WARNED_AT = 10
"""How many times ``stop``: with less, operators are warned."""


SAMPLE_SECONDS = 60.0
SAMPLES = 61
"""An hour tells how fast a disk fills."""

LEAST_SAMPLES = 6

SHOWN_SECONDS = 30 * 86_400.0
"""Longer times until a disk is full are not told."""


def free_octets(folder: Path) -> int:
    """Return the octets free for users who are not root.

    Raises:
        StorageError: the system cannot tell.
    """
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from error
    return status.f_bavail * status.f_frsize


class Filling:
    """How fast a disk fills."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)
        """Monotonic seconds, and free octets."""

    def note(self, free: int, now: float) -> None:
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, free))

    def seconds_to(self, bound: int) -> float | None:
        """Return the seconds until only ``bound`` octets are free; None: not soon, or unknown."""
        if len(self._samples) < LEAST_SAMPLES:
            return None
        (began, before), (now, free) = self._samples[0], self._samples[-1]
        if free >= before:
            return None
        seconds = max(free - bound, 0) * (now - began) / (before - free)
        return seconds if seconds <= SHOWN_SECONDS else None


class Space:
    """The room on a disk when last measured.

    Attributes:
        left: seconds until it is low at the present rate, if it fills.
        low: nothing new is to be taken.
        note: for people; empty while there is plenty.
    """

    def __init__(self, free: Callable[[], int], stop: int) -> None:
        """``free`` measures octets; with fewer than ``stop`` the disk is low (0: never)."""
        self.left: float | None = None
        self.low = False
        self.note = ""
        self._filling = Filling()
        self._free = free
        self._stop = stop
        self._warned = False

    def look(self, now: float) -> str:
        """Measure; return a line for the log, usually empty.

        Raises:
            StorageError: the disk is not there.
        """
        free = self._free()
        if not self._stop:
            return ""
        self._filling.note(free, now)
        self.left = self._filling.seconds_to(self._stop)
        was_low, was_warned = self.low, self._warned
        self.low = free < (_room_again(self._stop) if was_low else self._stop)
        warned_at = WARNED_AT * self._stop
        self._warned = free < (_room_again(warned_at) if was_warned else warned_at)
        left = f", full in {in_hours(self.left)}" if self.left and not self.low else ""
        self.note = f"free disk: {megabytes(free)}{left}" if self._warned else ""
        if self.low and not was_low:
            enough = megabytes(_room_again(self._stop))
            return f"{self.note}: no chain with this node takes anything new until it is {enough}"
        if was_low and not self.low:
            return f"free disk: {megabytes(free)}: room again"
        if self._warned and not was_warned:
            return f"{self.note}; with less than {megabytes(self._stop)} nothing new is taken"
        return ""


PLENTY = Space(lambda: 0, stop=0)


def _room_again(bound: int) -> int:
    """Return a tenth above a bound, so that nothing flaps."""
    return bound + bound // 10


def in_hours(seconds: float) -> str:
    hours = seconds / 3_600
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:.0f} hours"


def megabytes(octets: float) -> str:
    return f"{octets / 1e6:.0f} MB" if octets >= 10e6 else f"{octets / 1e6:.1f} MB"
