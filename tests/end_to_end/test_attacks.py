"""Whoever reaches a chain port, with TLS or without, moves nothing while all members live."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Self

import pytest
from certificates import Authority, written
from cluster import Cluster, Node, wait_for_log
from conftest import NewCluster
from msgspec import msgpack
from msgspec.structs import replace
from talking import HOST, Person
from twisted.protocols.amp import AmpBox, parseString
from users import Users

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.entries import Entry, digest_after
from chainchat.chain.messages import (
    Ack,
    Copied,
    Decided,
    Fetch,
    Forward,
    Message,
    Synced,
    encode,
)
from chainchat.chat import commands
from chainchat.chat.commands import TO_EVERYBODY, Say, Saying
from chainchat.network.addresses import host_port
from chainchat.peers.boxes import boxed
from chainchat.peers.hello import PROTOCOL_VERSION, Introduction

pytestmark = pytest.mark.plain("each test chooses who speaks TLS")

ELSEWHERE = "127.0.0.9"
"""An address of this machine where no node is."""

FORGED = "nobody said this"

ANSWERED_WITHIN = 2.0
"""Seconds that any line of an ordinary user may take meanwhile."""

LANES = ("chain", "membership", "copy")


Certificates = Path | None
"""The folder of those to show, if any."""


class Attacker:
    """A connection to a chain port."""

    def __init__(self, to: Node, certificates: Certificates, source: str, *, tls: bool) -> None:
        """Connect from an address."""
        plain = socket.create_connection((to.host, to.chain_port), 10, (source, 0))
        self._socket = plain
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if certificates is not None:
                context.load_cert_chain(certificates / "node.crt", certificates / "node.key")
            self._socket = context.wrap_socket(plain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hello(self, claim: Introduction, lane: str = "chain") -> bytes:
        """Say who this claims to be; what the node says to that."""
        said = {"_command": b"Hello", "_ask": b"1", "lane": lane.encode(), "key": b"guessed"}
        box = {key.encode(): value for key, value in said.items()}
        return self.ask(AmpBox({**box, b"identity": msgpack.encode(claim)}).serialize())

    def ask(self, data: bytes) -> bytes:
        """Send this, and read an answer; or why there is none."""
        try:
            self._socket.sendall(data)
            return self._socket.recv(1 << 16)
        except (ssl.SSLError, ConnectionError) as error:
            return str(error).encode()

    def send(self, *messages: Message) -> None:
        """Send frames, and wait for the node to hang up, or for nothing more to come."""
        self._socket.settimeout(0.2)
        with contextlib.suppress(OSError):
            self._socket.sendall(b"".join(boxed(*encode(message)) for message in messages))
            while self._socket.recv(1 << 16):
                pass


class Attack:
    """What can be tried on one chain.

    Attributes:
        lives: the members as they introduce themselves.
    """

    def __init__(self, cluster: Cluster, *, tls: bool) -> None:
        self.cluster = cluster
        self.tls = tls
        self._sources = cycle([HOST, ELSEWHERE] if HOST == "127.0.0.1" else [HOST])
        self.lives = {position: self._look_at(position) for position in cluster.nodes}

    def connect(self, target: str, certificates: Certificates) -> Attacker:
        """Connect, now from one address, now from another."""
        return Attacker(self.cluster[target], certificates, next(self._sources), tls=self.tls)

    def of(self, position: str) -> Path:
        """The certificates of a member."""
        return self.cluster.folder / "tls" / position

    def claim(self, member: Member) -> Introduction:
        founding = tuple(self.cluster.nodes)
        return Introduction(PROTOCOL_VERSION, "test", founding, 1.0, member, tls=self.tls)

    def _look_at(self, target: str) -> Introduction:
        other = next(position for position in self.cluster.nodes if position != target)
        me = Member(other, "0" * 16, 1, HOST, self.cluster[other].chain_port)
        with self.connect(target, self.of(other)) as attacker:
            [answer] = parseString(attacker.hello(self.claim(me), "look"))
        return msgpack.decode(answer[b"identity"], type=Introduction)

    def claims(self, victim: str) -> Iterator[Introduction]:
        """To be a member: another life of it, the next one, itself, and somewhere else."""
        member = self.lives[victim].member
        other = replace(member, id="0" * 16, incarnation=2**40)
        yield self.claim(other)
        yield self.claim(replace(member, incarnation=member.incarnation + 1))
        yield self.claim(member)
        yield self.claim(replace(other, chain_port=member.chain_port + 1))
        yield self.claim(replace(other, host=ELSEWHERE))

    def frames(self, target: str, victim: str) -> tuple[Message, ...]:
        """As the victim would send them, if the target took the attacker for it."""
        held = self._look_at(target).held
        seq, epoch, identity = held.committed.seq + 1, held.epoch, held.identity
        saying = Saying(FORGED, TO_EVERYBODY, "*")
        said = commands.encode(Say(f"{'0' * 16}.1.1", 1, "user1", "", (saying,)))
        content = (seq, epoch, f"{'0' * 16}.1", 1, 1, said, 1)
        entry = Entry(*content, digest_after(held.committed.digest, content))
        me = self.lives[victim].member
        others = [life.member for life in self.lives.values() if life.member != me]
        return (
            Fetch(epoch, me, held.committed, identity),
            Copied(epoch, held.committed, (entry,), entry.id, False, False, identity, seq),
            Synced(epoch, me, held.committed, identity),
            Forward(epoch, held.committed, (entry,), seq, identity, seq),
            Ack(epoch, seq + 1_000, identity),
            Decided(Configuration(epoch + 1, tuple(others), "an attack", 1)),
        )

    def on(self, target: str, victim: str, certificates: Certificates) -> list[bytes]:
        """Claim to be the victim in all ways, and speak for it; what the target says to that."""
        answers = []
        for claim in self.claims(victim):
            frames = self.frames(target, victim)
            for lane in LANES:
                with self.connect(target, certificates) as attacker:
                    answers.append(attacker.hello(claim, lane))
                    attacker.send(*frames)
        return answers


@contextlib.contextmanager
def nothing_moves(cluster: Cluster) -> Iterator[None]:
    """Meanwhile ordinary users talk; nobody waits, no link is lost, and the chain is the same."""
    epoch = cluster.epoch
    with Users([node.address for node in cluster.nodes.values()]) as users:
        yield
        users.wait_for(50)
        users.finish()
    waits = users.between(0.0, float("inf"))
    assert waits.unanswered == users.dropped == users.refused == 0
    assert waits.longest < ANSWERED_WITHIN
    assert cluster.epoch == epoch
    for node in cluster.nodes.values():
        assert ": lost " not in node.log_text()
        with Person(node.address, f"witness-{node}") as person:
            assert FORGED not in "".join(person.listed("/last 500"))


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def attack(new_cluster: NewCluster, request: pytest.FixtureRequest) -> Attack:
    return Attack(new_cluster(tls=request.param).start(), tls=request.param)


def test_who_claims_to_be_a_living_member_moves_nothing(attack: Attack) -> None:
    """With TLS: though it has that member's own certificate."""
    cluster = attack.cluster
    with nothing_moves(cluster):
        for target in cluster.nodes:
            for victim in cluster.nodes:
                attack.on(target, victim, attack.of(victim))
    for target, node in cluster.nodes.items():
        wait_for_log(node, f"refused: it is another {target}")
        wait_for_log(node, f"refused: it has a copy of the data of {target}, which this is")
        wait_for_log(node, "sent Forward out of place: connection closed")
        for victim in cluster.nodes:
            second = (
                f"refused: it is a second {victim}: {victim} is linked from {host_port(HOST, 0)}"
            )
            if victim != target:
                wait_for_log(node, second.removesuffix("0"))


def test_nobody_is_a_member_without_its_certificate(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(tls=True).start()
    attack = Attack(cluster, tls=True)
    written(Authority().of("head", HOST), tmp_path)
    owned = {position: attack.of(position) for position in cluster.nodes}
    with nothing_moves(cluster):
        for target in cluster.nodes:
            for owner, certificates in {"nobody": None, "stranger": tmp_path, **owned}.items():
                victim = next(p for p in cluster.nodes if p not in (target, owner))
                answers = attack.on(target, victim, certificates)
                assert b"_answer" not in b"".join(answers)
    for node in cluster.nodes.values():
        wait_for_log(node, "shows no certificate: connection closed")
        wait_for_log(node, "shows a certificate that is of no CA that is trusted here (")
        for position in cluster.nodes:
            wait_for_log(node, f"shows a certificate for {position}.test.chainchat, {HOST}, not")


def test_what_is_no_hello_is_nothing(attack: Attack) -> None:
    """With TLS: from a member."""
    cluster = attack.cluster
    with nothing_moves(cluster):
        frames = boxed(*encode(Ack(cluster.epoch, 9))) * 50
        for target in cluster.nodes:
            for data in (frames, b"\xff" * 70_000):
                with attack.connect(target, attack.of("middle")) as attacker:
                    assert b"_answer" not in attacker.ask(data)
    for node in cluster.nodes.values():
        wait_for_log(node, "sent Ack out of place: connection closed")


def test_frames_without_tls_are_refused_in_words_where_the_nodes_speak_it(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(tls=True).start()
    frames = boxed(*encode(Ack(cluster.epoch, 9))) * 50
    with nothing_moves(cluster):
        for node in cluster.nodes.values():
            with Attacker(node, None, HOST, tls=False) as attacker:
                assert b"speaks TLS, and this node does not" in attacker.ask(frames)
            wait_for_log(node, "does not speak TLS: [tls] chain has to be the same in every")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_replay_of_what_a_member_sent_is_nothing(new_cluster: NewCluster, *, tls: bool) -> None:
    cluster = new_cluster(cabled=True, tls=tls)
    assert cluster.cables is not None
    cluster.cables.recording = True
    cluster.start()
    with Person(cluster["head"].address, "alice") as alice:
        alice.ask("again and again")
    with nothing_moves(cluster):
        for one, other in (("head", "middle"), ("head", "tail"), ("middle", "tail")):
            recorded = bytes(cluster.cable(one, other).recorded["there"])
            for _ in range(3):
                with Attacker(cluster[other], None, HOST, tls=False) as thief:
                    assert b"Hello" not in thief.ask(recorded)
                    thief.send()
    with Person(cluster["tail"].address, "bob") as bob:
        lines = bob.listed("/last 500")
    assert len([line for line in lines if "again and again" in line]) == 1
