"""A sorted list of names that takes one more at a small cost, however long it is."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator


class SortedNames:
    """Distinct strings in ascending order.

    They stand in parts, so a new string moves only those in its part.
    """

    def __init__(self, names: Iterable[str] = (), part: int = 1_000) -> None:
        """A list of these names, in parts of about ``part``; one of twice as many is split."""
        ordered = sorted(names)
        self._parts = [ordered[start : start + part] for start in range(0, len(ordered), part)] or [
            []
        ]
        self._part = part
        self._firsts = [part[0] for part in self._parts[1:]]
        """For every part but the first: at most its first name, and above all names before it."""

    def add(self, name: str) -> None:
        """Add a name that is not in the list."""
        place = bisect_right(self._firsts, name)
        part = self._parts[place]
        insort(part, name)
        if len(part) >= 2 * self._part:
            self._parts.insert(place + 1, part[self._part :])
            self._firsts.insert(place, part[self._part])
            del part[self._part :]

    def remove(self, name: str) -> None:
        """Remove a name that is in the list."""
        place = bisect_right(self._firsts, name)
        part = self._parts[place]
        del part[bisect_left(part, name)]
        if not part and self._firsts:
            del self._parts[place]
            del self._firsts[max(place - 1, 0)]

    def after(self, name: str) -> Iterator[str]:
        """Yield the names above ``name`` in order, as long as nothing changes."""
        place = bisect_right(self._firsts, name)
        part = self._parts[place]
        yield from part[bisect_right(part, name) :]
        for part in self._parts[place + 1 :]:
            yield from part
