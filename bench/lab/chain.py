"""A chain of three real nodes, and how programs talk to it."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cluster import Cluster  # from tests/end_to_end

from lab.connections import Greeting
from lab.processes import ServerError

ROLES = ("head", "middle", "tail")

PLACES = {
    "head": ("head",),
    "middle": ("middle",),
    "tail": ("tail",),
    "spread": ("tail", "middle", "head"),
}
"""Where connections go, in turn: a single one that is *spread*, as far from the head as can be."""


def where(place: str) -> str:
    """A place in words."""
    return "spread over the nodes" if place == "spread" else f"to the {place}"


class Chain:
    """The nodes, from ``with`` on."""

    name = "chainchat"

    def __init__(
        self,
        folder: Path,
        clients: str = "",
        *,
        sections: str = "",
        tls: bool = False,
        suspect_after: float = 1.0,
        checkout: Path | None = None,
    ) -> None:
        """Prepare.

        Args:
            folder: an empty one.
            clients: lines of the section [clients] of chain.ini.
            sections: further sections.
            suspect_after: seconds; more where disks and processors are kept too busy for it.
            checkout: where the nodes' code is, if not here.
        """
        self.cluster = Cluster(
            folder, ROLES, clients=clients, sections=sections, tls=tls, suspect_after=suspect_after
        )
        if checkout is not None:
            for node in self.cluster.nodes.values():
                node.launcher = ["env", f"PYTHONPATH={checkout.resolve()}"]
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

    def at(self, place: str) -> "Place":
        """The chain as those see it who connect there."""
        return Place(self, place)

    @property
    def pids(self) -> dict[str, int]:
        """The processes, by role."""
        return {role: self.cluster[role].pid for role in ROLES}

    def new_name(self) -> str:
        """An account that nobody had."""
        self._names += 1
        return f"bench{self._names}"


class Place:
    """Where in the chain clients connect: see ``PLACES``."""

    def __init__(self, chain: Chain, place: str) -> None:
        self._chain = chain
        self._roles = PLACES[place]

    @property
    def pids(self) -> dict[str, int]:
        """Of all three nodes, wherever the clients are."""
        return self._chain.pids

    def writers(self, count: int, text: bytes) -> Sequence["ChainWriter"]:
        """Programs that say this, and are told nothing but replies."""
        return [
            ChainWriter(self._address(index), self._chain.new_name(), text)
            for index in range(count)
        ]

    def private(self, text: bytes) -> tuple["ChainReceiver", "ChainWriter"]:
        """Two programs, the second of which says this to the first."""
        name = self._chain.new_name()
        writer = ChainWriter(self._address(0), self._chain.new_name(), text, to=name.encode())
        return ChainReceiver(self._address(0), name), writer

    def receivers(self, count: int) -> Sequence["ChainReceiver"]:
        """Programs that are told everything."""
        return [
            ChainReceiver(self._address(index), self._chain.new_name()) for index in range(count)
        ]

    def idlers(self, count: int) -> Sequence["ChainReceiver"]:
        """Programs that do nothing, though they would be told everything."""
        return self.receivers(count)

    def secure(self, count: int) -> Sequence["ChainReceiver"]:
        """Programs that do nothing, on connections with TLS."""
        cluster = self._chain.cluster
        names = [self._chain.new_name() for _ in range(count)]
        nodes = [cluster[self._roles[index % len(self._roles)]] for index in range(count)]
        trust = cluster.trust
        return [
            ChainReceiver(n.tls_address, name, trust) for n, name in zip(nodes, names, strict=True)
        ]

    def people(self, count: int) -> Sequence["ChainPerson"]:
        """People who do nothing."""
        return [ChainPerson(self._address(index), self._chain.new_name()) for index in range(count)]

    def _address(self, index: int) -> tuple[str, int]:
        return self._chain.cluster[self._roles[index % len(self._roles)]].address


def log_in(name: str, *, quiet: bool = False) -> Greeting:
    """The beginning of a program's conversation."""
    login = f"@login LOGIN {name}{' quiet' if quiet else ''}"
    return Greeting(
        ask=f"/hello chainchat/1 client={name}\n{login}\n".encode(),
        welcome=b"+OK @login ",
        refusal=b"-ERR ",  # with the blank: a token may have the letters
    )


class ChainReceiver:
    """A program that listens; ``tls``: whom it trusts, if it speaks TLS."""

    def __init__(
        self, address: tuple[str, int], name: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.tls = tls
        self.greeting = log_in(name)


class ChainPerson:
    """Somebody in human mode."""

    def __init__(self, address: tuple[str, int], name: str) -> None:
        self.address = address
        self.greeting = Greeting(f"{name}\n".encode(), b"+OK you are ", b"-ERR")


class ChainWriter:
    """A program that says the same again and again, *quiet*: no delivery weighs on the figures."""

    def __init__(
        self, address: tuple[str, int], name: str, text: bytes, *, to: bytes = b"*"
    ) -> None:
        self.address = address
        self.greeting = log_in(name, quiet=True)
        self._form = b"@%d SEND %d " + to + b" :" + text.replace(b"%", b"%%") + b"\n"
        self._asked = 0
        self._answered = 0
        self._newest = 0
        self._rest = b""

    def requests(self, count: int) -> bytes:
        """SENDs, numbered; a number is its tag, too."""
        numbers = range(self._asked + 1, self._asked + 1 + count)
        self._asked += count
        return b"".join([self._form % (number, number) for number in numbers])

    def acknowledged(self, data: bytes) -> int:
        """Count the lines.

        Tags come in order and ids grow, so the last line of each piece vouches for those before.
        """
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._rest += data
            return 0
        whole, self._rest = self._rest + whole, rest
        count = whole.count(b"\n") + 1
        self._answered += count
        last = whole[whole.rfind(b"\n") + 1 :]
        expected = b"+OK @%d id=" % self._answered
        if not last.startswith(expected) or b"-ERR" in whole:
            raise ServerError(f"{expected!r} was expected, not {last!r}")
        newest = int(last[len(expected) :])
        if newest < self._newest + count:
            raise ServerError(f"the id of the {count}th message after {self._newest} is {newest}")
        self._newest = newest
        return count
