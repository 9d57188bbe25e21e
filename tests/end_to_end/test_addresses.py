"""Addresses at which no machine is, or another one than is meant: real nodes refuse them."""

import contextlib
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster, Node, wait_for_log
from conftest import NewCluster
from disks import is_refused
from msgspec import msgpack
from networks import Networks
from talking import HOST, Person, Program, family_of
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


class Names:
    """The names that nodes know of machines: an /etc/hosts that no other process sees."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def know(self, *lines: str) -> None:
        self._path.write_text("".join(f"{line}\n" for line in lines))

    def given_to(self, node: Node) -> None:
        """Let a node's next processes know these."""
        script = f'mount --bind "{self._path}" /etc/hosts && exec "$@"'
        node.launcher = ["unshare", "--mount", "sh", "-c", script, "sh"]


@pytest.fixture
def named(new_cluster: NewCluster, tmp_path: Path) -> tuple[Cluster, Names]:
    """A chain at names, of which nobody knows any yet."""
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("no process here can have names of its own")
    cluster = new_cluster(host="127.0.0.1")
    text = cluster["head"].config.read_text()
    for position in POSITIONS:
        before = f"[{position}]\nhost = 127.0.0.1\n"
        assert before in text
        text = text.replace(before, f"[{position}]\nhost = {position}.test\n")
    cluster["head"].config.write_text(text)
    names = Names(tmp_path / "hosts")
    for node in cluster.nodes.values():
        names.given_to(node)
    return cluster, names


def test_a_name_that_nobody_knows_yet_is_told_and_a_later_start_finds_it(
    named: tuple[Cluster, Names],
) -> None:
    cluster, names = named
    names.know("127.0.0.1 head.test middle.test")
    is_refused(
        cluster["head"],
        f"{cluster['head'].config}: [tail] host = tail.test: Name or service not known; "
        "name a host or an address",
    )
    names.know("127.0.0.1 head.test middle.test tail.test")
    cluster.start()
    names.know()  # it is asked for at a start alone
    cluster.kill("tail")
    say(cluster["head"], "nobody asks for names")
    names.know("127.0.0.1 head.test middle.test tail.test")
    cluster.bring_back("tail")
    cluster.stop()


def test_of_several_addresses_of_a_name_all_take_the_same(named: tuple[Cluster, Names]) -> None:
    cluster, names = named
    names.know(
        "::1 head.test middle.test tail.test",
        "127.0.0.2 head.test",
        "127.0.0.1 head.test middle.test tail.test",
    )
    cluster.start()
    for node in cluster.nodes.values():
        say(node, "everybody is at 127.0.0.1")
    with Program(cluster["tail"].address) as program:
        places = program.greeting["nodes"].split(",")
    assert places == [f"127.0.0.1:{node.client_port}" for node in cluster.nodes.values()]
    cluster.stop()
