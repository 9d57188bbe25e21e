"""The lines of a client that its session has not heard."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, cast

from chainchat.chat.lines import TOO_LONG, Line, LineSplitter


class InputQueue:
    """Lines that wait for their turn; clients without any share ``NOTHING``."""

    __slots__ = ("_lines", "_looked_at", "_octets", "_splitter", "_taken")

    def __init__(self, splitter: LineSplitter) -> None:
        self._splitter = splitter
        self._lines: list[Line] = []
        self._octets = 0
        """Octets of the lines cut, each with one for its ending."""
        self._taken = 0
        """How many of ``_lines`` had their turn."""
        self._looked_at = 0
        """How many of ``_lines`` had their turn, or must not overtake."""

    def __bool__(self) -> bool:
        return self._splitter.complete != b"" or self._taken < len(self._lines)

    def __len__(self) -> int:
        return len(self._lines) - self._taken + self._splitter.complete.count(b"\n")

    @property
    def octets(self) -> int:
        return self._octets + len(self._splitter.complete)

    def next(self, most: int) -> list[Line]:
        self._cut_to(self._taken + most)
        return self._lines[self._taken : self._taken + most]

    def _cut_to(self, end: int) -> None:
        if end > len(self._lines) and self._splitter.complete:
            self._cut_more(self._splitter.cut(end - len(self._lines)))

    def _cut_more(self, lines: list[Line]) -> None:
        self._lines += lines
        self._octets += _octets(lines)

    def take(self, count: int) -> None:
        end = self._taken + count
        if end == len(self._lines):  # nearly always
            self._lines = []
            self._octets = self._taken = self._looked_at = 0
            return
        self._octets -= _octets(self._lines[self._taken : end])
        self._taken = end
        self._looked_at = max(self._looked_at, end)

    def drop(self) -> bool:
        """Drop the lines that were cut; True if there were any."""
        waited = self._taken < len(self._lines)
        self._lines, self._octets, self._taken, self._looked_at = [], 0, 0, 0
        return waited

    @property
    def has_more_to_look_at(self) -> bool:
        return self._looked_at < len(self._lines) or bool(self._splitter.complete)

    def take_overtaking(self, may_overtake: Callable[[Line], bool], most: int) -> list[Line]:
        """Remove those of the next ``most`` lines that may overtake; each is looked at once."""
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
        """Look once more at all lines: others may overtake now."""
        self._looked_at = self._taken


NOTHING: Final = InputQueue(LineSplitter(0))


def _octets(lines: Sequence[Line]) -> int:
    with suppress(TypeError):  # TOO_LONG has no length: quicker found so than looked for
        return sum(map(len, cast("Sequence[bytes]", lines)), start=len(lines))
    return sum([1 if line is TOO_LONG else len(line) + 1 for line in lines])
