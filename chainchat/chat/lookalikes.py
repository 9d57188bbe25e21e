"""Names that deceive: those that look like another, or like the server's own word.

Two names look alike if their *skeletons* are the same. A skeleton has no case, no ``-``, ``_`` or
``.``, and one letter for those that many a font shows alike: ``alice``, ``AL1CE`` and ``a-l-i-c-e``
are ``aiice``.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

_SKELETON = str.maketrans("l10", "iio", "-_.")


def skeleton_of(name: str) -> str:
    """The skeleton of a name, which is its own skeleton.

    Every node has to come to the same, today and when it reads an old log again. So this never
    changes; another rule would be another field of ``commands.Login``.
    """
    return name.lower().translate(_SKELETON)


SERVERS_WORDS = frozenset(map(skeleton_of, ("you", "everybody", "server", "system")))
"""Skeletons of what the server says of itself and of those it speaks to."""


def is_servers_word(name: str, positions: Iterable[str]) -> bool:
    """True if a name looks like one of the server's words, or like a position of the chain."""
    skeleton = skeleton_of(name)
    return skeleton in SERVERS_WORDS or skeleton in map(skeleton_of, positions)


class LookAlikes:
    """Finds the names that look like another. Names are in lower case here.

    They stand in the order of their skeletons, which are computed when asked for: so a name takes
    eight octets, since its string is somebody else's. They stand in parts, so a new one moves only
    those in its part.
    """

    def __init__(self, names: Iterable[str] = (), part: int = 1_000) -> None:
        """Begin with these names, in parts of about ``part``; one of twice as many is split."""
        ordered = sorted(names, key=skeleton_of)
        parts = [ordered[start : start + part] for start in range(0, len(ordered), part)]
        self._parts = parts or [[]]
        self._part = part
        self._firsts = [skeleton_of(part[0]) for part in self._parts[1:]]
        """For every part but the first: a skeleton neither above its own nor below earlier ones."""

    def add(self, name: str) -> None:
        """Add a name that is not among them."""
        place = bisect_left(self._firsts, skeleton_of(name))
        part = self._parts[place]
        insort(part, name, key=skeleton_of)
        if len(part) >= 2 * self._part:
            self._parts.insert(place + 1, part[self._part :])
            self._firsts.insert(place, skeleton_of(part[self._part]))
            del part[self._part :]

    def remove(self, name: str) -> None:
        """Remove a name that is among them."""
        place, index = next(where for where in self._where(name) if self._at(*where) == name)
        del self._parts[place][index]
        if not self._parts[place] and self._firsts:
            del self._parts[place]
            del self._firsts[max(place - 1, 0)]

    def of(self, name: str) -> Iterator[str]:
        """Yield the names that look like ``name``, be it one of them or not."""
        return (self._at(*where) for where in self._where(name))

    def _at(self, place: int, index: int) -> str:
        return self._parts[place][index]

    def _where(self, name: str) -> Iterator[tuple[int, int]]:
        """Yield part and index of the names that look like ``name``."""
        skeleton = skeleton_of(name)
        for place in range(bisect_left(self._firsts, skeleton), len(self._parts)):
            part = self._parts[place]
            for index in range(bisect_left(part, skeleton, key=skeleton_of), len(part)):
                if skeleton_of(part[index]) != skeleton:
                    return
                yield place, index
