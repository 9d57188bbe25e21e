"""Lines that wait to be shown."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

MOST_LINES = 200

MOST_CHARACTERS = 16 * 1024
"""The most characters in one turn, before its last line."""


class Backlog:
    """A queue of lines: a long list costs nothing until it is taken, turn by turn."""

    def __init__(self) -> None:
        self._queue: deque[Iterator[str]] = deque()

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def full(self) -> bool:
        """True if more than a turn's worth waits: read no more."""
        return len(self._queue) >= MOST_LINES

    def add(self, lines: Iterable[str]) -> None:
        rest = iter(lines)
        for first in rest:
            self._queue.append(chain((first,), rest))
            return

    def take(self) -> list[str]:
        taken: list[str] = []
        characters = 0
        while self._queue and len(taken) < MOST_LINES and characters < MOST_CHARACTERS:
            if (line := next(self._queue[0], None)) is None:
                self._queue.popleft()
                continue
            taken.append(line)
            characters += len(line) + 1
        return taken
