"""A terminal with an alternate screen, as xterm has it (private mode 1049), which pyte lacks."""

import copy
from typing import Any

import pyte

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
