"""Passwords as people and programs use them with real nodes, and where they must not be found."""

import shutil
from pathlib import Path

import pexpect
import pyte
from cluster import Node
from talking import DEADLINE, HOST, Program, secret_words, until

ROWS, COLUMNS = 30, 120


def protect(node: Node, name: str, secret: str) -> None:
    with Program(node.address, name=name) as program:
        assert program.ask(f"SECRET {secret_words(secret)}") == "+OK"
        program.ask("LOGOUT")


class Screen:
    """A program on a terminal of its own, and everything that its screen has shown."""

    def __init__(self, command: list[str]) -> None:
        self._child = pexpect.spawn(
            command[0],
            command[1:],
            env={"TERM": "xterm", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"},
            dimensions=(ROWS, COLUMNS),
            timeout=DEADLINE,
        )
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self.octets = b""

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def press(self, keys: str) -> None:
        self._child.send(keys)

    def lines(self) -> list[str]:
        """What the screen shows."""
        try:
            while data := self._child.read_nonblocking(1 << 16, timeout=0):
                self.octets += data
                self._stream.feed(data)
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def see(self, text: str) -> None:
        """Wait until the screen shows this."""
        until(
            lambda: text in "\n".join(self.lines()),
            lambda: f"no {text!r} on the screen:\n" + "\n".join(self.lines()),
        )


def by(client: str, node: Node) -> list[str]:
    """The command line of a client of people; empty if it is not installed."""
    port = str(node.client_port)
    program, *arguments = {
        "telnet": ["telnet", HOST, port],
        "busybox": ["busybox", "telnet", HOST, port],
        "plink": ["plink", "-telnet", "-P", port, HOST],
        "nc": ["nc", HOST, port],
    }[client]
    found = shutil.which(program)
    return [found, *arguments] if found else []


def holding(folder: Path, secret: str) -> list[Path]:
    encoded = secret.encode()
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if encoded in path.read_bytes()]
