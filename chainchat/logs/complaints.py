"""Complaints about strangers, of which few are logged, and the rest are counted."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import inf
from typing import Generic, TypeVar

PERIOD = 60.0
"""Seconds between two lines about the same subject."""

Subject = TypeVar("Subject", bound=Hashable)


class Complaints(Generic[Subject]):
    """Complaints of one kind, by subject.

    A stranger must not choose any part of a subject, or every complaint would be new.
    """

    def __init__(self, clock: Callable[[], float], most: int) -> None:
        """``clock``: monotonic seconds; ``most``: lines in a period, and subjects remembered."""
        self._clock = clock
        self._most = most
        self._told: OrderedDict[Subject, tuple[float, int]] = OrderedDict()
        """When each subject was logged last, and the complaints since; oldest first."""

    def count(self, about: Subject) -> int:
        """Count a complaint; return how many came since the last line, or 0 if no line is due."""
        now = self._clock()
        last, untold = self._told.get(about, (-inf, 0))
        if now - last < PERIOD:
            self._told[about] = last, untold + 1
            return 0
        if about not in self._told and len(self._told) >= self._most:
            oldest = next(iter(self._told))
            if now - self._told[oldest][0] < PERIOD:
                return 0
            del self._told[oldest]
        self._told[about] = now, 0
        self._told.move_to_end(about)
        return untold + 1
