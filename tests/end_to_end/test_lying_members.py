"""Frames that no node sends, from somebody who is linked as one: a line, and a closed link."""

import contextlib
import re
import socket
import time
from pathlib import Path

import pytest
from cluster import Cluster, Node
from conftest import NewCluster
from msgspec import msgpack
from msgspec.structs import replace
from talking import HOST, Person, until
from twisted.protocols.amp import AmpBox

from chainchat.chain.configuration import MOST, Configuration, Member
from chainchat.chain.entries import Entry, EntryId, Submission
from chainchat.chain.messages import (
    Copied,
    Decided,
    Forward,
    Holding,
    Message,
    Ping,
    Pong,
    Submit,
    encode,
)
from chainchat.peers.hello import PROTOCOL_VERSION, Introduction

pytestmark = pytest.mark.plain(
    "strangers speak with the chain port, which hears none of it under TLS"
)

NESTED = b"\x91" * 50_000

MEGABYTES = 60
"""By how many a node may grow, whatever a stranger sends."""


class Impostor:
    """A connection on which somebody has said a node's Hello."""

    def __init__(self, cluster: Cluster, to: Node, position: str) -> None:
        at = cluster[position].chain_port
        self.member = Member(position, "0" * 16, 1, HOST, at)
        identity = Introduction(PROTOCOL_VERSION, "test", tuple(cluster.nodes), 1.0, self.member)
        self._socket = socket.create_connection((to.host, to.chain_port), timeout=10)
        self._say(_command=b"Hello", _ask=b"1", identity=msgpack.encode(identity), lane=b"chain")
        answer = self._socket.recv(1 << 16)
        assert b"_answer" in answer, answer

    def _say(self, **values: bytes) -> None:
        self._socket.sendall(AmpBox({k.encode(): v for k, v in values.items()}).serialize())

    def send(self, kind: str, body: bytes) -> None:
        """One frame; that the other end has closed already is fine."""
        with contextlib.suppress(OSError):
            self._say(_command=kind.encode(), body=body)

    def is_closed(self) -> bool:
        """Wait for the end of the connection."""
        with contextlib.suppress(ConnectionResetError):
            while self._socket.recv(1 << 16):
                pass
        self._socket.close()
        return True


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    """Middle and tail serve; somebody takes the place of the head, which is down."""
    cluster = new_cluster(tls=False).start()
    cluster.kill("head")
    cluster.wait_until_it_serves("middle", "tail")
    return cluster


def resident(node: Node) -> int:
    """Megabytes of memory."""
    status = Path(f"/proc/{node.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1_000


def frames(me: Member, epoch: int) -> list[tuple[str, bytes] | Message]:
    """Some, each of which has to end its connection."""
    far = 2**40
    followers = (Entry(2, epoch, "a.1", 1, 1, b""), Entry(9, epoch, "a.1", 2, 1, b""))
    return [
        ("Forward", NESTED),
        ("Pong", NESTED),
        ("Ack", msgpack.encode({"epoch": 2**63, "seq": 1})),
        ("Ack", msgpack.encode({"epoch": -1, "seq": 1})),
        ("Ack", b"\xc1"),
        Holding(epoch, EntryId(MOST + 1, 2**63)),
        Submit(epoch, "a.1", (Submission(1, b"", MOST),)),
        Forward(epoch, EntryId(epoch, 1), followers, 9),
        Copied(epoch, EntryId(epoch, 1), followers, EntryId(epoch, 9), False),
        Decided(Configuration(far, (me,))),
        Decided(Configuration(epoch + 1, ())),
        Pong(me, 1, Configuration(far, (me,)), True, EntryId(), False),
        Ping(Member("tail", "1" * 16, 1, HOST, 1), 1, epoch),
        Forward(far, EntryId(), (), 0),
    ]


def test_each_is_a_line_and_a_closed_connection(cluster: Cluster) -> None:
    node, epoch = cluster["middle"], cluster.epoch
    me = Member("head", "0" * 16, 1, HOST, cluster["head"].chain_port)
    sent = frames(me, epoch)
    for frame in sent:
        impostor = Impostor(cluster, node, "head")
        kind, body = frame if isinstance(frame, tuple) else encode(frame)
        impostor.send(kind, body)
        assert impostor.is_closed()
    assert node.running
    assert cluster.epoch == epoch
    with Person(node.address, "alice") as person:
        person.ask("still here")
        person.ask("/logout")
    lines = [line for line in node.log_text().splitlines() if "connection closed" in line]
    assert 1 <= len(lines) <= 3, lines  # one of each kind in a minute
    cluster.stop()


def test_what_is_to_come_fills_no_memory(cluster: Cluster) -> None:
    node, epoch = cluster["middle"], cluster.epoch
    before = resident(node)
    kind, body = encode(Submit(epoch + 1, "a.1", (Submission(1, b"x" * 40_000),)))
    for _ in range(3):
        impostor = Impostor(cluster, node, "head")
        for _ in range(400):
            impostor.send(kind, body)
        assert impostor.is_closed()
    assert "too much of an epoch that is still to come: connection closed" in node.log_text()
    assert resident(node) - before < MEGABYTES
    assert cluster.epoch == epoch
    cluster.stop()


def seconds_of_work(node: Node) -> float:
    fields = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_whoever_has_invented_positions_costs_nothing_when_he_is_gone(cluster: Cluster) -> None:
    node, epoch = cluster["tail"], cluster.epoch
    identity = Introduction(PROTOCOL_VERSION, "test", tuple(cluster.nodes), 1.0, Member("", "", 0))
    for number in range(1_188):
        member = Member(f"new-{number}", f"{number:016}", 1, HOST, 1)
        said = replace(identity, member=member)
        box = {b"_command": b"Hello", b"_ask": b"1", b"identity": msgpack.encode(said)}
        with socket.create_connection((node.host, node.chain_port), timeout=10) as stranger:
            stranger.sendall(AmpBox({**box, b"lane": b"chain"}).serialize())
            stranger.recv(1 << 16)
    until(
        lambda: node.log_text().count(": linked with new-") == node.log_text().count(": lost new-"),
        lambda: "the strangers are linked still",
    )
    before, began = seconds_of_work(node), time.monotonic()
    time.sleep(2.0)  # it has nothing to do
    share = (seconds_of_work(node) - before) / (time.monotonic() - began)
    assert share < 0.2
    assert cluster.epoch == epoch
    cluster.stop()
