"""The client in a terminal of its own, and what its screen shows."""

import os
import pty
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pexpect.fdpexpect
import pyte
from patience import DEADLINE
from two_screens import TwoScreens

ROOT = Path(__file__).parents[2]
ROWS, COLUMNS = 24, 80

LONGEST_LOOK = 5.0
"""Seconds that one look at the screen takes at most."""

PERSONAL = frozenset({"NO_COLOR", "CHAINCHAT_PASSWORD"})
"""Variables with which whoever runs the tests may have chosen something for themselves."""

END = b"\0"
"""Comes behind all that an ended client has written, and shows nothing."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chainchat.client", *arguments]


def environment(**changes: str) -> dict[str, str]:
    """Of a client that knows nothing of what whoever runs the tests has chosen and kept."""
    kept = {name: value for name, value in os.environ.items() if name not in PERSONAL}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
        "TZ": "UTC",
        "LOGNAME": "tester",
        "XDG_CONFIG_HOME": os.devnull,  # no folder, so there is nothing in it
        "XDG_STATE_HOME": os.devnull,
        **changes,
    }


def at(port: int) -> tuple[str, str]:
    return ("--connect", f"127.0.0.1:{port}")


def in_one_line(lines: Iterable[str]) -> list[str]:
    """Lines in which it is told at once where the client went on, however long that took.

    After a second, it tells first that it is trying again.
    """
    told: list[str] = []
    for line in lines:
        if told and told[-1].endswith("; trying again") and line.startswith("* now on "):
            told[-1] = told[-1].removesuffix("trying again") + line.removeprefix("* ")
        else:
            told.append(line)
    return told


class Screen:
    """A client in a terminal that is really there.

    Attributes:
        first_mode: how the terminal was set before the client began.
    """

    def __init__(
        self,
        *arguments: str,
        state: Path | None = None,
        size: tuple[int, int] = (ROWS, COLUMNS),
        shell: bool = False,
        terminal: type[TwoScreens] = TwoScreens,
        **changes: str,
    ) -> None:
        """Start the client.

        Args:
            arguments: of its command line.
            state: the folder in which it remembers things; None: an empty one.
            size: rows and columns of the window.
            shell: True to start it from a shell, which goes on with it after a line.
            terminal: what draws what it writes.
            changes: to the environment.
        """
        started = command(*arguments)
        if shell:
            script = 'set -m; "$@"; echo suspended; read -r _; fg'
            started = ["bash", "-c", script, "bash", *started]
        self._folder = tempfile.TemporaryDirectory()
        base = str(state or self._folder.name)
        changes = {"XDG_STATE_HOME": base, "XDG_CONFIG_HOME": base, **changes}
        self._master, slave = pty.openpty()
        master = self._master
        self.size(*size, slave)
        self.first_mode = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            started,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**changes),
            start_new_session=True,
        )
        self._slave = slave
        self.terminal = pexpect.fdpexpect.fdspawn(master, timeout=DEADLINE)
        self.received = b""
        self._screen = terminal(size[1], size[0])
        self._screen.write_process_input = self.terminal.send
        self._stream = pyte.ByteStream(self._screen)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        self.terminal.close()
        os.close(self._slave)
        self._folder.cleanup()

    def size(self, rows: int, columns: int, slave: int | None = None) -> None:
        """Change the size of the window."""
        termios.tcsetwinsize(self._master if slave is None else slave, (rows, columns))
        if slave is None:
            self._screen.resize(rows, columns)

    def type(self, text: str) -> None:
        self.terminal.send(text)

    @property
    def rows(self) -> list[str]:
        """What stands on the screen, without empty rows."""
        return [row.rstrip() for row in self._screen.display if row.strip()]

    @property
    def cells(self) -> list[list[str]]:
        """What each cell shows."""
        columns, lines = range(self._screen.columns), range(self._screen.lines)
        return [[self._screen.buffer[y][x].data for x in columns] for y in lines]

    @property
    def cursor(self) -> tuple[int, int]:
        """Its row and column."""
        return self._screen.cursor.y, self._screen.cursor.x

    def draws_anew(self) -> None:
        """Have all of it drawn again, and wait for that."""
        before = self.received.count(b"\x1b[2J")
        self.type("\x0c")  # Ctrl-L
        self.shows(lambda _: self.received.count(b"\x1b[2J") > before)

    def colour(self, text: str) -> str:
        """That of the row that shows ``text``."""
        [y] = [y for y, row in enumerate(self._screen.display) if row.rstrip() == text]
        colour: str = self._screen.buffer[y][0].fg
        return colour

    def shows(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the screen is as it should be, whole; its rows.

        When the whole machine stands still for a while, nobody had that time.
        """
        waited, last = 0.0, time.monotonic()
        while self.is_drawing or not condition(self.rows):
            now = time.monotonic()
            waited, last = waited + min(now - last, LONGEST_LOOK), now
            assert waited < DEADLINE, "\n".join(self.rows)
            self.read(0.2)
        return self.rows

    def is_online(self) -> None:
        """Wait until the client is logged in, has an input line, and knows the chain."""
        self.shows(lambda rows: "alice>" in rows and "servers" in rows[-1])

    def read(self, timeout: float) -> bool:
        """Show what has come; whether something had."""
        try:
            data = self.terminal.read_nonblocking(65536, timeout)
        except (pexpect.TIMEOUT, pexpect.EOF, OSError):
            return False
        self.received += data
        self._stream.feed(data)
        return True

    @property
    def mode(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._slave)

    @property
    def is_drawing(self) -> bool:
        """True while a part of a drawing has come: the client hides the cursor meanwhile."""
        return bool(self._screen.cursor.hidden)

    @property
    def drawings(self) -> int:
        """How many have come whole: the cursor is shown behind each."""
        return self.received.count(b"\x1b[?25h")

    @property
    def is_full(self) -> bool:
        """True while a program has the whole screen."""
        return self._screen.first is not None

    def ends(self) -> int:
        """Wait for the end of the process; its exit status."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            self.read(0.05)
            assert time.monotonic() < deadline, "\n".join(self.rows)
        while self.read(0.0):
            pass
        os.write(self._slave, END)
        while not self.received.endswith(END):
            self.read(0.05)
            assert time.monotonic() < deadline, "\n".join(self.rows)
        return self.process.returncode
