"""What one client has sent and nobody has heard yet: lines in order, some of which may overtake.

They are cut when it is their turn, and no more than have a turn: to read a socket costs next to
nothing, whatever came.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from chainchat.chat.lines import TOO_LONG, Line, LineSplitter


class InputQueue:
    """Lines that wait for their turn.

    Nearly always there are none, on thousands of connections: then ``NOTHING`` is their place.
    """

    __slots__ = ("_lines", "_looked_at", "_octets", "_splitter", "_taken")

    def __init__(self, splitter: LineSplitter) -> None:
        """What waits is what ``splitter`` has; more comes by it."""
        self._splitter = splitter
        self._lines: list[Line] = []
        self._octets = 0
        """How many there are in those that were cut and wait, with one for the ending of each."""
        self._taken = 0
        """How many of ``_lines`` had their turn."""
        self._looked_at = 0
        """How many of them had it, or were looked at and must not overtake."""

    def __bool__(self) -> bool:
        return self._taken < len(self._lines) or bool(self._splitter.complete)

    def __iter__(self) -> Iterator[Line]:
        self._cut_more(self._splitter.cut())
        return islice(self._lines, self._taken, None)

    @property
    def octets(self) -> int:
        """How many wait, with endings."""
        return self._octets + len(self._splitter.complete)

    def next(self, most: int) -> list[Line]:
        """The lines whose turn it is: one, or more if they are there."""
        self._cut_to(self._taken + most)
        return self._lines[self._taken : self._taken + most]

    def _cut_to(self, end: int) -> None:
        """Cut until so many lines are in ``_lines``, if there are as many."""
        if end > len(self._lines) and self._splitter.complete:
            self._cut_more(self._splitter.cut(end - len(self._lines)))

    def _cut_more(self, lines: list[Line]) -> None:
        self._lines += lines
        self._octets += _octets(lines)

    def take(self, count: int) -> None:
        """Take out so many of those that ``next`` gave last."""
        self._octets -= _octets(self._lines[self._taken : self._taken + count])
        self._taken += count
        self._looked_at = max(self._looked_at, self._taken)
        if self._taken == len(self._lines):
            self._lines = []
            self._taken = self._looked_at = 0

    @property
    def has_more_to_look_at(self) -> bool:
        """Whether there are lines that may overtake, as far as is known."""
        return self._looked_at < len(self._lines) or bool(self._splitter.complete)

    def take_overtaking(self, may_overtake: Callable[[Line], bool], most: int) -> list[Line]:
        """Take out those that need not wait for their turn, of the next ``most`` lines.

        However often that is asked, each line is looked at once, until ``look_again``.
        """
        overtaking: list[Line] = []
        waiting: list[Line] = []
        end = self._looked_at + most
        self._cut_to(end)
        for line in self._lines[self._looked_at : end]:
            (overtaking if may_overtake(line) else waiting).append(line)
        self._lines[self._looked_at : end] = waiting
        self._looked_at += len(waiting)
        self._octets -= _octets(overtaking)
        return overtaking

    def look_again(self) -> None:
        """What may overtake is not what it was."""
        self._looked_at = self._taken


NOTHING: Final = InputQueue(LineSplitter(0))
"""What waits on a connection where nothing does: one for all of them, and never added to."""


def _octets(lines: Iterable[Line]) -> int:
    return sum([1 if line is TOO_LONG else len(line) + 1 for line in lines])
