"""A second process of a position that runs already, and strangers who say a node's Hello."""

import socket
import statistics
import time
from pathlib import Path

import pytest
from cluster import Cluster, Node, copy_data, wait_for_log
from conftest import NewCluster
from msgspec import msgpack, structs
from ports import free_ports
from talking import HOST, Person, until
from twisted.protocols.amp import AmpBox

from chainchat.chain.configuration import Member
from chainchat.network.addresses import host_port
from chainchat.peers.hello import PROTOCOL_VERSION, Introduction

pytestmark = pytest.mark.plain(
    "strangers speak with the chain port, which hears none of it under TLS"
)

CALM = 2.5
"""Seconds for which nothing may happen: the second process has tried more than once by then."""


def second(cluster: Cluster, position: str, folder: Path, *, with_data: bool = False) -> Node:
    """The same chain.ini with other ports and another folder at one position."""
    first = cluster[position]
    client_port, chain_port = free_ports(2)
    node = Node(folder, position, client_port, chain_port)
    text = first.config.read_text()
    text = text.replace(f"client-port = {first.client_port}", f"client-port = {client_port}")
    text = text.replace(f"chain-port = {first.chain_port}", f"chain-port = {chain_port}")
    text = text.replace(f"tls-port = {first.tls_port}\n", "tls-port = none\n")
    node.config.write_text(text)
    if with_data:
        copy_data(first.data, node.data)
    return node


def lost(cluster: Cluster) -> list[str]:
    """What the nodes have logged about links that ended."""
    return [
        line
        for node in cluster.nodes.values()
        for line in node.log_text().splitlines()
        if ": lost " in line
    ]


def usual_wait(person: Person, seconds: float) -> float:
    """The median of the times that the answers take in so many seconds."""
    waits = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        person.ask("still here")
        waits.append(time.monotonic() - began)
    return statistics.median(waits)


@pytest.mark.parametrize("position", ["head", "middle", "tail"])
def test_a_second_process_of_a_position_is_refused_and_told(
    new_cluster: NewCluster, tmp_path: Path, position: str
) -> None:
    cluster = new_cluster().start()
    epoch, at = cluster.epoch, cluster[position].chain_port
    other = second(cluster, position, tmp_path)
    alice = Person(cluster["tail"].address, "alice")
    before = usual_wait(alice, CALM / 5)
    other.start()
    try:
        said = f"it is a second {position}: {position} is linked from {host_port(HOST, at)}"
        wait_for_log(other, f"refuses this node: {'middle' if position == 'head' else 'head'}: ")
        assert said in other.log_text()
        assert usual_wait(alice, CALM) < 2 * before + 0.05
        assert lost(cluster) == []
        assert cluster.epoch == epoch
        refusals = [
            line
            for node in cluster.nodes.values()
            for line in node.log_text().splitlines()
            if f"refused: {said}" in line
        ]
        assert 1 <= len(refusals) <= 2, refusals
        assert "Traceback" not in other.log_text()
    finally:
        alice.close()
        other.kill()
    cluster.stop()


def test_a_node_whose_second_process_was_there_first_comes_back_at_once(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster().start()
    cluster.kill("head")
    cluster.wait_until_it_serves()
    other = second(cluster, "head", tmp_path)
    before = len(cluster["middle"].log_text())
    other.start()
    try:
        until(
            lambda: "linked with head" in cluster["middle"].log_text()[before:],
            lambda: "the second process is not linked",
        )
    finally:
        other.kill()
    cluster.bring_back("head")
    cluster.stop()


def say_hello(to: Node, identity: Introduction) -> bytes:
    """What a node answers to a Hello on a new connection, which then ends."""
    box = AmpBox(
        {
            b"_command": b"Hello",
            b"_ask": b"1",
            b"identity": msgpack.encode(identity),
            b"lane": b"chain",
        }
    )
    with socket.create_connection((to.host, to.chain_port), timeout=10) as stranger:
        stranger.sendall(box.serialize())
        return stranger.recv(1 << 16)


def test_a_strangers_hello_displaces_no_link(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    epoch = cluster.epoch
    identity = Introduction(PROTOCOL_VERSION, "test", tuple(cluster.nodes), 1.0, Member("", "", 0))
    for claimed in cluster.nodes.values():
        member = Member(claimed.position, "0" * 16, 1 << 40, HOST, claimed.chain_port)
        for node in cluster.others(claimed.position):
            for where in (member, structs.replace(member, chain_port=1)):
                answer = say_hello(node, structs.replace(identity, member=where))
                assert b"_error" in answer, answer
    assert lost(cluster) == []
    assert cluster.epoch == epoch
    cluster.stop()


def test_invented_positions_are_few(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    node, epoch = cluster["tail"], cluster.epoch
    identity = Introduction(PROTOCOL_VERSION, "test", tuple(cluster.nodes), 1.0, Member("", "", 0))
    for n in range(100):
        member = Member(f"new-{n}", f"{n:016}", 1, HOST, 1)
        say_hello(node, structs.replace(identity, member=member))
    until(
        lambda: node.log_text().count(": linked with new-") == node.log_text().count(": lost new-"),
        lambda: "the strangers are linked still",
    )
    assert cluster.epoch == epoch
    cluster.stop()


def test_a_node_that_keeps_falling_out_waits_and_everybody_can_see_why(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(rejoin_pause=60.0).start()
    for departure in range(1, 4):
        cluster.kill("tail")
        cluster.wait_until_it_serves("head", "middle")
        cluster["tail"].start()
        if departure < 3:
            cluster.wait_until_it_serves()
    wait_for_log(cluster["head"], "tail waits 4 s before it joins: left out 3 times in ten minutes")
    with Person(cluster["head"].address, "alice") as person:
        until(
            lambda: "left out 3 times in ten minutes" in " ".join(person.listed("/chain")),
            lambda: "/chain does not say why tail waits",
        )
        person.ask("/logout")
    cluster.wait_until_it_serves()
    cluster.stop()
