"""The bundled client in a terminal of its own: what is typed, and what its screen shows."""

import contextlib
import re
import sys
from collections.abc import Mapping

import pexpect
import pyte
from cluster import Cluster, Node, environment
from talking import DEADLINE, until
from two_screens import TwoScreens

from chainchat.network.addresses import host_port

ROWS, COLUMNS = 24, 140


class Terminal:
    """The client in a terminal of its own, with what its screen shows."""

    def __init__(
        self, cluster: Cluster, name: str, node: Node, rows: int = ROWS, columns: int = COLUMNS
    ) -> None:
        """Start the client, and let it connect.

        Args:
            node: where to connect first.
        """
        self.rows, self.columns = rows, columns
        first = ["--connect", host_port(*node.address)]
        kept = {key: value for key, value in environment().items() if key != "NO_COLOR"}
        state = str(cluster.folder / "client-state")
        kept = {"XDG_STATE_HOME": state, "XDG_CONFIG_HOME": state, **kept, "TZ": "UTC"}
        self._child = pexpect.spawn(
            sys.executable,
            [
                "-m",
                "chainchat.client",
                "--name",
                name,
                *first,
                "--config",
                str(cluster.folder / "chain.ini"),
            ],
            env={**kept, "TERM": "xterm", "LC_ALL": "C.UTF-8"},
            dimensions=(rows, columns),
            timeout=DEADLINE,
        )
        self._screen = TwoScreens(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def type(self, line: str) -> None:
        self._child.send(line + "\r")

    def press(self, keys: str) -> None:
        self._child.send(keys)

    def lines(self) -> list[str]:
        self._draw()
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def notices(self) -> list[str]:
        return [line for line in self.lines() if line.startswith("* ")]

    def colour(self, text: str) -> str:
        """That of the line that shows ``text``."""
        rows = [self._screen.buffer[y] for y in range(self.rows)]
        [row] = [row for row in rows if self._text(row).rstrip() == text]
        colour: str = row[0].fg
        return colour

    def picture(self) -> list[list[tuple[str, str, bool]]]:
        """All rows, each as runs of text, with the colour, and whether it is bold."""
        self._draw()
        rows = [self._screen.buffer[y] for y in range(self.rows)]
        return [_runs([row[x] for x in range(self.columns)]) for row in rows]

    def _text(self, row: Mapping[int, pyte.screens.Char]) -> str:
        return "".join(row[x].data for x in range(self.columns))

    def see(self, pattern: str, within: float = DEADLINE) -> str:
        """Wait until a line on the screen matches; the line."""
        found: list[str] = []

        def seen() -> bool:
            found[:] = [line for line in self.lines() if re.search(pattern, line)]
            return bool(found)

        until(seen, lambda: f"no {pattern!r} on the screen:\n" + "\n".join(self.lines()), within)
        return found[-1]

    def end(self) -> int:
        """Wait for the client's end; its exit status."""
        until(self._ended, lambda: "it does not end:\n" + "\n".join(self.lines()))
        self._child.close()
        assert self._child.exitstatus is not None
        return self._child.exitstatus

    def _ended(self) -> bool:
        self._draw()
        return not self._child.isalive()

    def _draw(self) -> None:
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            while data := self._child.read_nonblocking(1 << 16, timeout=0):
                # Questions of the terminal, such as where the cursor is, are answered.
                if b"\x1b[6n" in data:
                    cursor = self._screen.cursor
                    self._child.send(f"\x1b[{cursor.y + 1};{cursor.x + 1}R")
                self._stream.feed(data)


def _runs(cells: list[pyte.screens.Char]) -> list[tuple[str, str, bool]]:
    runs: list[tuple[str, str, bool]] = []
    for cell in cells:
        look = (cell.fg, cell.bold)
        if runs and runs[-1][1:] == look:
            runs[-1] = (runs[-1][0] + cell.data, *look)
        else:
            runs.append((cell.data, *look))
    return runs
