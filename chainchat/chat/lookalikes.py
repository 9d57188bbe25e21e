"""Names that deceive: those that look like another, or like the server's own word.

Two names look alike if their *skeletons* are the same. A skeleton has no case, no ``-``, ``_`` or
``.``, and one letter for those that many a font shows alike: ``alice``, ``AL1CE`` and ``a-l-i-c-e``
are ``aiice``.
"""

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
    """Finds the names that look like another.

    Names are keys here, in lower case. A name that is its own skeleton takes no place: whoever asks
    has a table of names already.
    """

    def __init__(self) -> None:
        self._keys: dict[str, str | tuple[str, ...]] = {}
        """By skeleton: the names that are not their own; a tuple if there are several."""

    def add(self, key: str) -> None:
        """Add a name."""
        skeleton = skeleton_of(key)
        if skeleton != key:
            self._put(skeleton, (*self._of(skeleton), key))

    def remove(self, key: str) -> None:
        """Remove a name that was added."""
        skeleton = skeleton_of(key)
        if skeleton != key:
            self._put(skeleton, tuple(other for other in self._of(skeleton) if other != key))

    def of(self, name: str) -> Iterator[str]:
        """Yield the names that may look like ``name``: its skeleton, be it a name or not, first."""
        skeleton = skeleton_of(name)
        yield skeleton
        yield from self._of(skeleton)

    def _of(self, skeleton: str) -> tuple[str, ...]:
        keys = self._keys.get(skeleton, ())
        return (keys,) if isinstance(keys, str) else keys

    def _put(self, skeleton: str, keys: tuple[str, ...]) -> None:
        if keys:
            self._keys[skeleton] = keys if len(keys) > 1 else keys[0]
        else:
            del self._keys[skeleton]
