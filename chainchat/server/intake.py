"""What one client has sent and nobody has heard yet: lines in order, some of which may overtake."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from chainchat.chat.lines import TOO_LONG, TooLong

Line = bytes | TooLong


class Intake:
    """Lines that wait for their turn.

    Attributes:
        octets: how many there are in them, with one for the ending of each.
    """

    def __init__(self) -> None:
        self.octets = 0
        self._passed_over: deque[Line] = deque()
        """Those that were looked at and must not overtake; all of them are older than the rest."""
        self._fresh: deque[Line] = deque()

    def __bool__(self) -> bool:
        return bool(self._passed_over or self._fresh)

    def __iter__(self) -> Iterator[Line]:
        return itertools.chain(self._passed_over, self._fresh)

    def add(self, lines: Iterable[Line]) -> None:
        """More has come."""
        for line in lines:
            self._fresh.append(line)
            self.octets += _octets(line)

    def take_first(self) -> Line:
        """Take out the line whose turn it is."""
        line = (self._passed_over or self._fresh).popleft()
        self.octets -= _octets(line)
        return line

    def take_overtaking(self, may_overtake: Callable[[Line], bool]) -> Iterator[Line]:
        """Take out those that need not wait for their turn.

        However often that is asked, each line is looked at once, until ``look_again``.
        """
        while self._fresh:
            line = self._fresh.popleft()
            if may_overtake(line):
                self.octets -= _octets(line)
                yield line
            else:
                self._passed_over.append(line)

    def look_again(self) -> None:
        """What may overtake is not what it was."""
        self._fresh.extendleft(reversed(self._passed_over))
        self._passed_over.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.octets = 0
        self._passed_over.clear()
        self._fresh.clear()


def _octets(line: Line) -> int:
    return 1 if line is TOO_LONG else len(line) + 1
