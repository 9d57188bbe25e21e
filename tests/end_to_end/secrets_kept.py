"""Passwords as people and programs use them with real nodes, and where they must not be found."""

import base64
import shutil
from pathlib import Path

import pexpect
import pyte
import scramp
from cluster import Node
from talking import DEADLINE, HOST, Program, until

from chainchat.chat.scram import ITERATIONS, salted, verifier_of

ROWS, COLUMNS = 30, 120


def words(secret: str) -> str:
    """The arguments of a SECRET that sets this password."""
    salt = b"0123456789abcdef"
    verifier = verifier_of(salted(secret, salt, ITERATIONS), salt, ITERATIONS)
    keys = (verifier.salt, verifier.stored, verifier.server)
    s, stored, server = (base64.b64encode(octets).decode() for octets in keys)
    return f"i={ITERATIONS} s={s} stored={stored} server={server}"


def protect(node: Node, name: str, secret: str) -> None:
    with Program(node.address, name=name) as program:
        assert program.ask(f"SECRET {words(secret)}") == "+OK"
        program.ask("LOGOUT")


def prove(program: Program, name: str, secret: str) -> str:
    """Prove a password; the answer to PROVE."""
    client = scramp.ScramClient(["SCRAM-SHA-256"], name, secret)
    reply = program.ask(f"AUTH {name} SCRAM-SHA-256 :{client.get_client_first()}")
    client.set_server_first(reply.removeprefix("+OK challenge :"))
    reply = program.ask(f"PROVE :{client.get_client_final()}")
    if reply.startswith("+OK :"):
        client.set_server_final(reply.removeprefix("+OK :"))
    return reply


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
