"""Links of 2 Mbit/s, full of bulk: nobody is taken for silent because its pings wait behind that.

Every node is on a machine of its own (``networks``) that can send no more than that.
"""

import re
from collections.abc import Callable

from cluster import Cluster, Node
from load import Load, settle
from networks import Networks
from talking import Program

NewCluster = Callable[..., Cluster]

KILOBITS = 2_000

QUEUE = "300ms"
"""How long a packet waits at most before it is lost."""

PAUSE = 0.2
"""Seconds that a program waits after each answer."""

SAID = 20
"""Texts that have to be acknowledged between two events."""

LINE = "x" * 900

AT_ONCE = 500


def flood(node: Node, client: str, lines: int, within: float = 60.0) -> None:
    """Say so much, faster than the links carry it; all of it is acknowledged."""
    with Program(node.address, "flood", client, within=within) as flooder:
        for first in range(1, lines, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            replies = flooder.ask_all([f"SEND {n} * :{LINE}" for n in numbers])
            assert all(reply.startswith("+OK") for reply in replies), replies[-1][:200]


def missed(cluster: Cluster) -> list[str]:
    """What the nodes have logged of each other's silence since the founding."""
    lines = []
    for node in cluster.nodes.values():
        since = node.log_text().partition("serving in epoch 1")[2]
        lines += re.findall(
            r".*(?:confirm: waiting for \w*(?:head|middle|tail)|silent for).*", since
        )
    return lines


def test_full_links_make_nobody_silent(networks: Networks, new_cluster: NewCluster) -> None:
    networks.narrow(KILOBITS, QUEUE)
    cluster = new_cluster(networks=networks).start()
    with Load(list(cluster.nodes.values()), 3, pause=PAUSE) as load:
        load.wait_for(SAID)
        flood(cluster["middle"], "first", 3 * AT_ONCE)
        assert cluster.epoch == 1
        cluster.kill("tail")
        load.wait_for(SAID)
        cluster["tail"].start()  # copies on the same narrow links
        flood(cluster["middle"], "second", 3 * AT_ONCE)
        cluster.wait_until_it_serves("head", "middle", "tail")
        assert cluster.epoch == 3
        assert missed(cluster) == []
        settle(cluster, load)
