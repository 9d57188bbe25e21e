"""A chain on ::1: people talk, nodes die, and every address that is told can be dialled."""

import contextlib
import socket
from collections.abc import Callable
from functools import partial

import pytest
from cluster import Cluster, wait_for_log
from commands import CLIENT, run
from load import Load, settle
from talking import Person, Program

from chainchat.network.addresses import host_port

LOOPBACK = "::1"

SAID = 10
"""Texts that have to be acknowledged between two events."""


def has_ipv6() -> bool:
    """True if this machine has ::1."""
    with contextlib.suppress(OSError), socket.create_server((LOOPBACK, 0), family=socket.AF_INET6):
        return True
    return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@pytest.fixture
def new_cluster(new_cluster: Callable[..., Cluster]) -> Callable[..., Cluster]:
    """Makes clusters on ::1."""
    return partial(new_cluster, host=LOOPBACK)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_any_of_them_dies_and_comes_back(new_cluster: Callable[..., Cluster], tls: bool) -> None:
    cluster = new_cluster(tls=tls).start()
    with Load(list(cluster.nodes.values()), 4, pause=0.05) as load:
        for position in ("head", "middle", "tail"):
            load.wait_for(SAID)
            cluster.kill(position)
            load.wait_for(SAID)
            cluster.bring_back(position)
        settle(cluster, load)
    cluster.stop()


@pytest.mark.plain("the addresses with TLS are told in the same way")
def test_what_is_told_of_addresses_can_be_dialled(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster().start()
    nodes = list(cluster.nodes.values())
    with Program(nodes[0].address) as program:
        told = program.greeting["nodes"]
    assert told == ",".join(host_port(LOOPBACK, node.client_port) for node in nodes)
    command = ["--name", "alice", "--connect", told.partition(",")[0], "--send", "hello"]
    assert run(*CLIENT, *command).returncode == 0
    cluster.kill("head")
    assert cluster.members() == ["middle", "tail"]
    with Person(nodes[1].address, "bob") as bob:
        assert [line.rpartition(": ")[2] for line in bob.listed("/last")] == ["hello"]
        nodes[1].signal(15)
        others = " or ".join(host_port(LOOPBACK, node.client_port) for node in (nodes[0], nodes[2]))
        bob.hear(rf"^\* this node stops; go on at {others.replace('[', '.').replace(']', '.')}$")
    cluster["tail"].stop()
    wait_for_log(cluster["tail"], f"clients at {host_port(LOOPBACK, nodes[2].client_port)}")


def test_clients_and_nodes_can_have_networks_of_their_own(
    new_cluster: Callable[..., Cluster],
) -> None:
    cluster = new_cluster(tls=True)
    config = cluster["head"].config
    text = config.read_text().replace(f"host = {LOOPBACK}", "host = 127.0.0.1\nchain-host = [::1]")
    config.write_text(text)
    cluster.make_certificates("--renew", "head", "--renew", "middle", "--renew", "tail")
    for node in cluster.nodes.values():
        node.host = "127.0.0.1"
    cluster.start()
    with Person(cluster["head"].tls_address, "alice", tls=cluster.trust) as alice:
        assert alice.ask("hello").startswith("+OK ")
    with pytest.raises(ConnectionRefusedError):
        Person((LOOPBACK, cluster["head"].client_port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cluster["head"].chain_port)).close()
    cluster.stop()
