"""Whatever is done to the nodes, ordinary users are answered, and no node is thought dead.

Each row of ``abuses.ABUSES`` in small. The bound on the waiting is generous, for machines that are
busy; that nothing was expelled is not a matter of degree.
"""

import select
from collections.abc import Callable, Iterator

import pytest
from abuse import Abuse, Abuser, scene
from abuses import ABUSES
from cluster import LIMITLESS, Cluster
from helpers import resident
from talking import HOST
from users import Users

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="abusers need Linux")

ANSWERED_WITHIN = 2.0
"""Seconds that any line of an ordinary user may take."""

STOOD_WITHIN = 4.0
"""The same where a node comes and goes: its clients have to find another one."""

LINES = 150
"""Lines of ordinary users that are answered meanwhile: a second and a half."""

NewCluster = Callable[..., Cluster]


class Wards:
    """A chain for many tests: the next one has a new one if anything has happened to it."""

    def __init__(self, make: NewCluster) -> None:
        self._make = make
        self._cluster: Cluster | None = None
        self._users = 0

    def cluster(self) -> Cluster:
        if self._cluster is None:
            self._cluster = self._make().start()
        return self._cluster

    def names(self) -> str:
        self._users += 1
        return f"user{self._users}x"

    def give_up(self) -> None:
        if self._cluster is not None:
            self._cluster.close()
        self._cluster = None


@pytest.fixture(scope="module")
def wards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wards]:
    made: list[Cluster] = []

    def make(**options: object) -> Cluster:
        made.append(Cluster(tmp_path_factory.mktemp("ward"), **options))
        return made[-1]

    yield Wards(make)
    for cluster in made:
        cluster.close()
    complaints = [line for cluster in made for line in cluster.complaints()]
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def cluster_of(wards: Wards, new_cluster: NewCluster) -> Iterator[Callable[[Abuse], Cluster]]:
    """The chain for a row, shared unless the row needs another kind."""
    used: list[Cluster] = []

    def find(row: Abuse) -> Cluster:
        own = row.settings or row.limits != LIMITLESS or row.files or row.departs or row.tls
        if own or row.host != HOST:
            return row.cluster(new_cluster).start()
        used.append(wards.cluster())
        return used[-1]

    yield find
    if used and not _whole(used[-1]):
        wards.give_up()


def _whole(cluster: Cluster) -> bool:
    chains = [node.chain() for node in cluster.nodes.values()]
    return all(chain is not None and chain["epoch"] == "1" for chain in chains)


@pytest.mark.parametrize("name", [name for name, row in ABUSES.items() if not row.departs])
def test_ordinary_users_notice_nothing(
    name: str, wards: Wards, cluster_of: Callable[[Abuse], Cluster]
) -> None:
    row = ABUSES[name]
    cluster = cluster_of(row)
    row.be_prepared(cluster, row.small)
    nodes = list(cluster.nodes.values())
    before = [resident(node.pid) for node in nodes]
    users = Users([node.address for node in nodes], name=wards.names())
    with users, Abuser(row.act, scene(cluster, row.small)) as abuser:
        users.wait_for(LINES)
        grown = [resident(node.pid) - was for node, was in zip(nodes, before, strict=True)]
        users.finish()
        assert abuser.running
    waits = users.between(0.0, float("inf"))
    assert waits.unanswered == 0
    assert waits.longest < ANSWERED_WITHIN
    assert users.dropped == 0
    assert users.refused == 0
    assert users.newcomers(0.0, float("inf")).unanswered == 0
    assert cluster.epoch == 1
    assert max(grown) < row.memory << 20


def test_a_node_that_comes_and_goes_does_not_stop_the_others(new_cluster: NewCluster) -> None:
    row = ABUSES["flapping"]
    cluster = row.cluster(new_cluster).start()
    head, middle, tail = cluster.nodes.values()
    with (
        Users([head.address, middle.address], name="user") as users,
        Abuser(row.act, scene(cluster, 1)),
    ):
        tail.wait()
        users.wait_for(4 * LINES)
        users.finish()
    waits = users.between(0.0, float("inf"))
    assert waits.unanswered == 0
    assert waits.longest < STOOD_WITHIN
    assert users.dropped == 0
