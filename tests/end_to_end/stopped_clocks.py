"""Clocks that stand still with their machine, or are set: a library in a node's process.

``stopped_clock.c`` says how it works. The tests make it, once.
"""

import struct
from pathlib import Path


class StoppedClock:
    """The clocks of one machine; they are right at first.

    Attributes:
        environment: what a process needs to follow them, but for the library.
    """

    def __init__(self, path: Path) -> None:
        """Clocks that are driven by a file, which is made."""
        self.environment = {"CLOCKS": str(path)}
        self._path = path
        self._lost = 0.0
        self._wall_lost = 0.0
        self._ahead = 0.0
        path.write_bytes(struct.pack("dd", 0.0, 0.0))

    def stood_still(self, seconds: float, *, wall: bool = False) -> None:
        """Its machine was stopped for so long; the wall clock too, or else it was set since."""
        self._lost += seconds
        if wall:
            self._wall_lost += seconds
        self._write()

    def is_set(self, ahead: float) -> None:
        """Somebody has set the wall clock: so many seconds ahead of what it would show."""
        self._ahead = ahead
        self._write()

    def _write(self) -> None:
        with self._path.open("r+b") as file:
            file.write(struct.pack("dd", self._lost, self._wall_lost - self._ahead))
