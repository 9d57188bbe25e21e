"""What an abuse is: something that a client, or a disturbed neighbour, does to the nodes.

``abuses`` has all that are known. An ``Abuser`` does it in a process of its own, which stands back
where processors are short. Tests do it in small, benchmarks in large.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cluster import LIMITLESS, Cluster, Node
from floods import Address, new_tally
from helpers import Helper
from talking import HOST

NICE = 19
"""How far abusers stand back."""


@dataclass(frozen=True)
class Scene:
    """Where it happens.

    Attributes:
        addresses: of all servers, from the head.
        size: how large it is done: messages, accounts, connections.
        cluster: the nodes, for what is done to their processes and files.
    """

    addresses: Sequence[Address]
    size: int
    tally: Any
    cluster: Cluster | None = None

    @property
    def everywhere(self) -> Sequence[Address]:
        return self.addresses

    @property
    def head(self) -> Sequence[Address]:
        return self.addresses[:1]

    @property
    def middle(self) -> Sequence[Address]:
        return self.addresses[:2][-1:]

    @property
    def tail(self) -> Sequence[Address]:
        return self.addresses[-1:]

    def node(self, position: str) -> Node:
        assert self.cluster is not None
        return self.cluster[position]


Act = Callable[[Scene], None]


@dataclass(frozen=True, kw_only=True)
class Abuse:
    """One row.

    Attributes:
        what: what is done, in a line.
        act: does it, until ``SystemExit``.
        prepare: what has to be there first.
        many: it takes a hundred clients, more or less; else one, or a few.
        size, small: how large it is done in benchmarks, and in tests.
        memory: megabytes that a node may grow by meanwhile.
        settings: lines of the section [clients] of chain.ini.
        limits: lines of the section [limits].
        files: descriptors that a node may have; 0: no limit.
        rest: seconds that benchmarks wait after the start: until then some limits do not hold.
        departs: nodes go and come by design.
        tls: the nodes speak it, on ports beside the usual ones.
        host: where the nodes are, if it matters: only of IPv4 has a machine many addresses.
    """

    name: str
    what: str
    act: Act
    prepare: Act | None = None
    many: bool = False
    size: int = 1
    small: int = 1
    memory: int = 64
    bound: str = "the buffers of a few sessions, pages of the log"
    settings: str = ""
    limits: str = LIMITLESS
    files: int = 0
    rest: float = 0.0
    departs: bool = False
    tls: bool = False
    host: str = HOST

    def cluster(self, make: Callable[..., Cluster]) -> Cluster:
        """A cluster with the row's settings, not started."""
        options = {"tls": True} if self.tls else {}  # else as the tests are run
        cluster = make(clients=self.settings, limits=self.limits, host=self.host, **options)
        if self.files:
            for node in cluster.nodes.values():
                node.launcher = ["sh", "-c", f'ulimit -n {self.files}; exec "$@"', "sh"]
        return cluster

    def be_prepared(self, cluster: Cluster, size: int) -> None:
        if self.prepare is not None:
            self.prepare(scene(cluster, size))


def scene(cluster: Cluster, size: int) -> Scene:
    addresses = [node.address for node in cluster.nodes.values()]
    return Scene(addresses, size, new_tally(), cluster)


class Abuser(Helper):
    """A process that does something to servers, from ``with`` on.

    Attributes:
        tally: octets sent and heard, connections opened, and closed by the server.
    """

    def __init__(self, act: Act, scene: Scene) -> None:
        self.tally = scene.tally
        super().__init__(act, scene, nice=NICE)
