"""A sorted list that takes one more name at a small cost."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Container, Iterable, Iterator, Sequence


class SortedNames:
    """Distinct strings in the order of their keys: by default, of themselves.

    A new one moves only those in its part.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        part: int = 1_000,
        *,
        key: Callable[[str], str] | None = None,
    ) -> None:
        """Parts have about ``part`` strings; one of twice as many is split."""
        self._key = key
        self._part = part
        self._divide(sorted(names, key=key))

    def _divide(self, ordered: Sequence[str]) -> None:
        length = self._part
        parts = [[*ordered[start : start + length]] for start in range(0, len(ordered), length)]
        self._parts = parts or [[]]
        self._firsts = [self._key_of(part[0]) for part in self._parts[1:]]
        """For all parts but the first: a key neither above its own nor below earlier ones."""

    def _key_of(self, name: str) -> str:
        return name if self._key is None else self._key(name)

    def add(self, name: str) -> None:
        place = bisect_left(self._firsts, self._key_of(name))
        part = self._parts[place]
        insort(part, name, key=self._key)
        if len(part) >= 2 * self._part:
            self._parts.insert(place + 1, part[self._part :])
            self._firsts.insert(place, self._key_of(part[self._part]))
            del part[self._part :]

    def remove(self, name: str) -> None:
        place, index = next(at for at in self._places(name) if self._parts[at[0]][at[1]] == name)
        del self._parts[place][index]
        if not self._parts[place] and self._firsts:
            del self._parts[place]
            del self._firsts[max(place - 1, 0)]

    def remove_all(self, names: Container[str]) -> None:
        """Remove many names, looking at each that is here once."""
        self._divide([name for part in self._parts for name in part if name not in names])

    def like(self, name: str) -> Iterator[str]:
        return (self._parts[place][index] for place, index in self._places(name))

    def after(self, name: str) -> Iterator[str]:
        """Yield the names whose keys are above that of ``name``; meanwhile, nothing may change."""
        key = self._key_of(name)
        place = bisect_right(self._firsts, key)
        part = self._parts[place]
        yield from part[bisect_right(part, key, key=self._key) :]
        for part in self._parts[place + 1 :]:
            yield from part

    def _places(self, name: str) -> Iterator[tuple[int, int]]:
        key = self._key_of(name)
        for place in range(bisect_left(self._firsts, key), len(self._parts)):
            part = self._parts[place]
            for index in range(bisect_left(part, key, key=self._key), len(part)):
                if self._key_of(part[index]) != key:
                    return
                yield place, index
