"""What one client has sent and nobody has heard yet: lines in order, some of which may overtake."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from chainchat.chat.lines import TOO_LONG, Line


class Intake:
    """Lines that wait for their turn.

    Nearly always there are none, on thousands of connections: then ``NOTHING`` is their place.

    Attributes:
        octets: how many there are in them, with one for the ending of each.
    """

    __slots__ = ("_lines", "_looked_at", "_taken", "octets")

    def __init__(self) -> None:
        self.octets = 0
        self._lines: list[Line] = []
        self._taken = 0
        """How many of ``_lines`` had their turn."""
        self._looked_at = 0
        """How many of them had it, or were looked at and must not overtake."""

    def __bool__(self) -> bool:
        return self._taken < len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return islice(self._lines, self._taken, None)

    def add(self, lines: Sequence[Line]) -> None:
        """More has come."""
        self._lines += lines
        self.octets += _octets(lines)

    def next(self, most: int) -> list[Line]:
        """The lines whose turn it is: one, or more if they are there."""
        return self._lines[self._taken : self._taken + most]

    def take(self, count: int) -> None:
        """Take out so many of them."""
        self.octets -= _octets(self.next(count))
        self._taken += count
        self._looked_at = max(self._looked_at, self._taken)
        if self._taken == len(self._lines):
            self.clear()

    @property
    def has_more_to_look_at(self) -> bool:
        """Whether there are lines that may overtake, as far as is known."""
        return self._looked_at < len(self._lines)

    def take_overtaking(self, may_overtake: Callable[[Line], bool], most: int) -> list[Line]:
        """Take out those that need not wait for their turn, of the next ``most`` lines.

        However often that is asked, each line is looked at once, until ``look_again``.
        """
        overtaking: list[Line] = []
        waiting: list[Line] = []
        end = self._looked_at + most
        for line in self._lines[self._looked_at : end]:
            (overtaking if may_overtake(line) else waiting).append(line)
        self._lines[self._looked_at : end] = waiting
        self._looked_at += len(waiting)
        self.octets -= _octets(overtaking)
        return overtaking

    def look_again(self) -> None:
        """What may overtake is not what it was."""
        self._looked_at = self._taken

    def clear(self) -> None:
        """Forget everything."""
        self._lines = []
        self.octets = self._taken = self._looked_at = 0


NOTHING: Final = Intake()
"""What waits on a connection where nothing does: one for all of them, and never added to."""


def _octets(lines: Iterable[Line]) -> int:
    return sum([1 if line is TOO_LONG else len(line) + 1 for line in lines])
