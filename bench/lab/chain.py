"""A chain of three real nodes, and how programs talk to it."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cluster import Cluster  # from tests/end_to_end

from lab.processes import ServerError

ROLES = ("head", "middle", "tail")

PLACES = {
    "head": ("head",),
    "middle": ("middle",),
    "tail": ("tail",),
    "spread": ("tail", "middle", "head"),
}
"""Where connections go, in turn: a single one that is *spread*, as far from the head as can be."""


class Chain:
    """The nodes, from ``with`` on."""

    name = "chainchat"

    def __init__(self, folder: Path, clients: str = "") -> None:
        """Prepare.

        Args:
            folder: an empty one.
            clients: lines of the section [clients] of chain.ini.
        """
        self.cluster = Cluster(folder, ROLES, clients=clients)
        self._names = 0

    def __enter__(self) -> Self:
        try:
            self.cluster.start()
        except BaseException:
            self.cluster.close()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.cluster.stop()
        complaints = self.cluster.complaints()
        self.cluster.close()
        if complaints and kind is None:
            raise ServerError("\n".join(complaints))

    @property
    def pids(self) -> dict[str, int]:
        """The processes, by role."""
        return {role: self.cluster[role].pid for role in ROLES}

    def address(self, place: str, index: int = 0) -> tuple[str, int]:
        """Where the connection of this number goes."""
        roles = PLACES[place]
        return self.cluster[roles[index % len(roles)]].address

    def new_name(self) -> str:
        """An account that nobody had."""
        self._names += 1
        return f"bench{self._names}"

    def writers(self, place: str, connections: int, text: bytes) -> Sequence["ChainWriter"]:
        """Connections that say this."""
        return [
            ChainWriter(self.address(place, index), self.new_name(), text)
            for index in range(connections)
        ]


class ChainWriter:
    """A program that says the same again and again; see ``writing.Writer``.

    It logs in *quiet*, so no delivery weighs on the figures.
    """

    def __init__(self, address: tuple[str, int], name: str, text: bytes) -> None:
        self.address = address
        self._name = name
        self._form = b"@%d SEND %d * :" + text.replace(b"%", b"%%") + b"\n"
        self._asked = 0
        self._answered = 0
        self._newest = 0
        self._rest = b""

    def greet(self, connection: socket.socket) -> None:
        """Log in."""
        log_in(connection, self._name, quiet=True)

    def requests(self, count: int) -> bytes:
        """SENDs, numbered; a number is its tag, too."""
        numbers = range(self._asked + 1, self._asked + 1 + count)
        self._asked += count
        return b"".join([self._form % (number, number) for number in numbers])

    def acknowledged(self, data: bytes) -> int:
        """Count the lines; look at the last one.

        Tags have to come in order and ids have to grow, so the last of each piece vouches for those
        before it.
        """
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest
        if not newline:
            return 0
        count = whole.count(b"\n") + 1
        self._answered += count
        last = whole[whole.rfind(b"\n") + 1 :]
        expected = b"+OK @%d id=" % self._answered
        if not last.startswith(expected) or b"-ERR" in whole:
            raise ServerError(f"{self._name} was told {last!r} instead of {expected!r}")
        newest = int(last[len(expected) :])
        if newest < self._newest + count:
            raise ServerError(f"{self._name}: {count} messages after {self._newest}: {newest}")
        self._newest = newest
        return count


def log_in(connection: socket.socket, name: str, *, quiet: bool = False) -> None:
    """Begin as a program; nothing may be pushed before the reply."""
    login = f"LOGIN {name} quiet" if quiet else f"LOGIN {name}"
    connection.sendall(f"/hello chainchat/1 client={name}\n@login {login}\n".encode())
    heard = b""
    while b"@login " not in heard or not heard.endswith(b"\n"):
        piece = connection.recv(4096)
        heard += piece
        if not piece or b"-ERR" in heard:
            raise ServerError(f"{name} cannot log in: {heard!r}")
