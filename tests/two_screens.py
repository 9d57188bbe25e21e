"""A terminal with an alternate screen, as xterm has it (private mode 1049), which pyte lacks.

And two that disagree about the width of emoji and marks, as terminals of different age do.
"""

import copy
from typing import Any

import pyte
from wcwidth import iter_graphemes, wcswidth

ALTERNATE = 1049


class TwoScreens(pyte.Screen):
    """Full-screen programs draw on the second screen; the first one comes back when they end."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(columns, lines)
        self.first: Any = None
        """What the first screen shows, while a program draws on the second."""

    def set_mode(self, *modes: int, **options: Any) -> None:
        super().set_mode(*modes, **options)
        if ALTERNATE in modes and options.get("private") and self.first is None:
            self.first = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.erase_in_display(2)
            self.cursor_position()

    def reset_mode(self, *modes: int, **options: Any) -> None:
        super().reset_mode(*modes, **options)
        if ALTERNATE in modes and options.get("private") and self.first is not None:
            self.erase_in_display(2)
            (self.buffer, self.cursor), self.first = self.first, None
            self.dirty.update(range(self.lines))

    @property
    def display(self) -> list[str]:
        """The rows, of which pyte expects fewer kinds of characters."""
        columns, lines = range(self.columns), range(self.lines)
        return ["".join(self.buffer[y][x].data for x in columns) for y in lines]

    def last_cell(self) -> int:
        """The column of the character before the cursor; -1 if there is none."""
        column, line = self.cursor.x - 1, self.buffer[self.cursor.y]
        while column > 0 and line[column].data == "":
            column -= 1  # the second half of a wide one
        return column


class OldScreen(TwoScreens):
    """Knows no emoji of several characters, and none of the newer ones: those take one cell."""

    NEWER = "\U0001f1e6"

    def draw(self, data: str) -> None:
        for character in data:
            line, column = self.buffer[self.cursor.y], self.last_cell()
            if character >= self.NEWER and wcswidth(character) > 0:
                line[min(self.cursor.x, self.columns - 1)] = self.cursor.attrs._replace(
                    data=character
                )
                self.cursor.x = min(self.cursor.x + 1, self.columns)
            elif wcswidth(character) == 0:
                line[column] = line[column]._replace(data=line[column].data + character)
            else:
                super().draw(character)


class JoiningScreen(TwoScreens):
    """Makes one cell, or two, of all that a person sees as one character."""

    def draw(self, data: str) -> None:
        for character in data:
            line, column = self.buffer[self.cursor.y], self.last_cell()
            joined = line[column].data + character
            if column < 0 or joined[0].isspace() or len(list(iter_graphemes(joined))) > 1:
                if column >= 0 and line[self.cursor.x].data == "":
                    line[column] = line[column]._replace(data=" ")  # half of it is gone
                super().draw(character)
                self._blank_half()
                continue
            line[column] = line[column]._replace(data=joined)
            width = min(2, wcswidth(joined))
            if column + width > self.cursor.x and column + width <= self.columns:
                line[self.cursor.x] = line[column]._replace(data="")
                self.cursor.x = column + width
                self._blank_half()

    def _blank_half(self) -> None:
        """Of what was wide, the first half is overwritten."""
        line = self.buffer[self.cursor.y]
        if line[self.cursor.x].data == "":
            line[self.cursor.x] = line[self.cursor.x]._replace(data=" ")
