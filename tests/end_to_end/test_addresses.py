"""Addresses at which no machine is, or another one than is meant: real nodes refuse them."""

import contextlib
import socket
from collections.abc import Callable

import pytest
from cluster import Cluster, Node, wait_for_log
from conftest import NewCluster
from msgspec import msgpack
from networks import Networks
from talking import HOST, Person, family_of
from twisted.protocols.amp import AmpBox, parseString

from chainchat.chain.configuration import Member
from chainchat.peers.hello import PROTOCOL_VERSION, Introduction

pytestmark = pytest.mark.plain(
    "strangers speak with the chain port, which hears none of it under TLS"
)

POSITIONS = ("head", "middle", "tail")

NO_MACHINES = {
    "0.0.0.0": "0.0.0.0 is every address of the machine that looks at it",
    "::": ":: is every address of the machine that looks at it",
    "somewhere": "it is no IP address",
    "224.0.0.1": "224.0.0.1 is a multicast address, which is no machine's",
    "ff02::1": "ff02::1 is a multicast address, which is no machine's",
    "255.255.255.255": "255.255.255.255 is a broadcast address, which is no machine's",
    "240.0.0.1": "240.0.0.1 is a reserved address, which is no machine's",
    "fe80::1%eth0": "fe80::1 is link-local: another machine may have it on the next link",
    "0:0::1": "this address is written ::1",
}


def claim(node: Node, position: str, host: str, port: int) -> AmpBox:
    """Say at a node to be the next life of a position, there; its answer, after which it closes."""
    member = Member(position, f"id-{position}", 1_000_000, host, port)
    said = msgpack.encode(Introduction(PROTOCOL_VERSION, "test", POSITIONS, 1.0, member))
    box = AmpBox({b"_command": b"Hello", b"_ask": b"1", b"identity": said, b"lane": b"chain"})
    answer = b""
    with socket.create_connection((node.host, node.chain_port), timeout=10) as stranger:
        stranger.sendall(box.serialize())
        with contextlib.suppress(ConnectionResetError):
            while data := stranger.recv(1 << 16):
                answer += data
    return AmpBox(parseString(answer)[0])


def refusals(node: Node) -> list[str]:
    lines = node.log_text().splitlines()
    return [line.partition(" refused: ")[2] for line in lines if " refused: " in line]


def say(node: Node, text: str) -> None:
    with Person(node.address, "alice") as person:
        person.ask(text)
        person.ask("/logout")


def nothing_has_moved(cluster: Cluster, epoch: int) -> None:
    """The chain is the same, and no link was lost since that epoch began to serve."""
    for node in cluster.nodes.values():
        say(node, "still here")
        assert ": lost " not in node.log_text().partition(f"serving in epoch {epoch}")[2]
    assert cluster.epoch == epoch
    assert sorted(cluster.members()) == sorted(cluster.nodes)


def test_who_says_a_members_hello_from_where_no_machine_is_is_told_why(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster().start()
    epoch = cluster.epoch
    objections = {host: f"says it is at {host!r}: {why}" for host, why in NO_MACHINES.items()}
    remote = "10.0.0.1"
    of_remote = f"says it is at {remote!r}, and this node is at {HOST!r}: one of them is loopback"
    objections[remote] = of_remote
    for node in cluster.nodes.values():
        for other in cluster.others(node.position):
            for host, objection in objections.items():
                answer = claim(node, other.position, host, other.chain_port)
                assert answer[b"_error_code"] == b"REFUSED"
                said = answer[b"_error_description"].decode()
                assert said == f"{node.position}: it {objection}"
        first = next(iter(objections.values()))
        assert refusals(node) == [f"it {first}"]  # one line of a kind in a minute
    nothing_has_moved(cluster, epoch)
    cluster.stop()


def test_loopback_among_remote_machines_is_told_why(
    machines: Callable[..., Networks], new_cluster: NewCluster
) -> None:
    networks = machines(*POSITIONS)
    cluster = new_cluster(POSITIONS, networks=networks).start()
    epoch = cluster.epoch
    for node in cluster.nodes.values():
        other = cluster.others(node.position)[0]
        answer = claim(node, other.position, HOST, other.chain_port)
        at = networks.hosts[node.position]
        objection = (
            f"it says it is at {HOST!r}, and this node is at {at!r}: one of them is loopback"
        )
        assert answer[b"_error_description"].decode() == f"{node.position}: {objection}"
        assert refusals(node) == [objection]
    nothing_has_moved(cluster, epoch)
    cluster.stop()


def test_who_answers_from_where_no_machine_is_is_not_linked(new_cluster: NewCluster) -> None:
    """Whoever listens at a member's address: head and middle dial it."""
    cluster, host = new_cluster().start(), "0.0.0.0"
    tail = cluster["tail"]
    cluster.kill("tail")
    cluster.wait_until_it_serves("head", "middle")
    epoch = cluster.epoch
    member = Member("tail", "id-tail", 1_000_000, host, tail.chain_port)
    said = msgpack.encode(Introduction(PROTOCOL_VERSION, "test", POSITIONS, 1.0, member))
    objection = f" refused: it says it is at {host!r}: {NO_MACHINES[host]}"
    with socket.create_server((HOST, tail.chain_port), family=family_of(HOST)) as port:
        port.settimeout(10)
        while any(objection not in node.log_text() for node in cluster.running):
            caller, _ = port.accept()
            with caller, contextlib.suppress(ConnectionResetError):
                caller.settimeout(10)
                box = caller.recv(1 << 16)
                asked = parseString(box)[0] if box else {}
                if asked.get(b"lane") == b"chain":
                    answer = {b"_answer": asked[b"_ask"], b"identity": said, b"key": b"k" * 16}
                    caller.sendall(AmpBox(answer).serialize())
                    caller.recv(1 << 16)
    assert ": linked with tail" not in "".join(
        node.log_text().partition(f"serving in epoch {epoch}")[2] for node in cluster.running
    )
    tail.start()
    assert cluster.members() == ["head", "middle", "tail"]
    assert cluster.epoch == epoch + 1
    wait_for_log(tail, f"serving in epoch {epoch + 1}")
    cluster.stop()
