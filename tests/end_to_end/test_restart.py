"""Nodes that die and come back, and links that break: nothing acknowledged is lost or doubled."""

import itertools
import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from cluster import Cluster, refusal, twistd, wait_for_log, waits_for
from commands import ctl
from load import Load, check, histories, settle
from talking import Person, Program, until

from chainchat.node.budget import USUAL_PACE

NewCluster = Callable[..., Cluster]
POSITIONS = ("head", "middle", "tail")

REPLAYED = 25_000
"""Messages; a replay of so many is told."""

SLOWLY = f"""
import sys, time
from chainchat.node.state_machine import StateMachine
from twisted.scripts.twistd import run

def slowly(machine, entry, apply=StateMachine.apply):
    time.sleep(0.2)
    return apply(machine, entry)

StateMachine.apply = slowly
sys.argv = ["twistd", *sys.argv[{1 + len(twistd())}:]]
run()
"""
"""A node that applies five entries in a second: some fifty hold those messages."""


def test_all_are_killed_under_load_and_start_again_in_any_order(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 24) as load:
        load.wait_for(2_000)
        for order in itertools.permutations(POSITIONS):
            cluster.kill()
            for i, position in enumerate(order[:2], 1):
                cluster[position].start()
                for up in order[:i]:
                    waits_for(cluster[up], *(p for p in POSITIONS if p not in order[:i]))
            cluster[order[2]].start()
            assert cluster.members() == list(POSITIONS)
            load.wait_for(200)
        records = load.finish()
    cluster.stop()
    check(records, histories(cluster.nodes.values()))
    assert len({record.name for record in records if record.acknowledged}) == 24
    assert all(len(record.acknowledged) == len(record.sent) for record in records)


def test_all_are_killed_and_nobody_comes_back_to_ask(new_cluster: NewCluster) -> None:
    # What the clients know at the moment of the crash is all there is: nothing is sent again.
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 24) as load:
        load.wait_for(2_000)
        cluster.kill()
        records = load.abandon()
    cluster.start("tail", "head", "middle")
    with Program(cluster["middle"].address, name="reader") as reader:
        assert reader.ask("PING") == "+OK"
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


@pytest.mark.parametrize("position", POSITIONS)
def test_one_is_killed_and_started_again(new_cluster: NewCluster, position: str) -> None:
    cluster = new_cluster().start()
    one, other = cluster.others(position)
    with (
        Load([one, other], 8) as load,
        Person(one.address, "alice") as alice,
        Person(other.address, "bob") as bob,
        Person(cluster[position].address, "carol") as carol,
    ):
        load.wait_for(200)
        cluster.kill(position)
        assert re.fullmatch(r"\+OK \d+", alice.ask("said at once"))
        carol.end()
        assert cluster.members() == [one.position, other.position]
        with Person(other.address, "carol") as again:  # her session has ended with her node
            assert again.ask("back").startswith("+OK ")
        load.wait_for(200)
        cluster.bring_back(position)
        assert cluster.members() == [one.position, other.position, position]
        with Person(cluster[position].address, "carol") as again:
            assert again.ask("back where I was").startswith("+OK ")
        alice.ask("that is all")
        bob.hear("alice: that is all")
        assert sum("alice: said at once" in line for line in bob.heard) == 1
        for person in (alice, bob):
            assert not [line for line in person.heard if not re.match(r"\+OK|#\d|\* ", line)]
        records = settle(cluster, load)
    assert not [record for record in records if not record.acknowledged]


def test_a_node_that_is_killed_again_and_again(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 12) as load:
        for position in (*POSITIONS, *reversed(POSITIONS)):
            load.wait_for(100)
            cluster.kill(position)
            cluster.start(position)
        load.wait_for(100)
        records = load.finish()
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


def test_a_polite_stop_of_all_under_load(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 12) as load:
        load.wait_for(200)
        cluster.stop()
        cluster.start()
        load.wait_for(200)
        records = load.finish()
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


@pytest.mark.parametrize("link", list(itertools.combinations(POSITIONS, 2)), ids="-".join)
def test_a_link_that_breaks_comes_back(new_cluster: NewCluster, link: tuple[str, str]) -> None:
    cluster = new_cluster(suspect_after=0.5, cabled=True).start()
    cable = cluster.cable(*link)
    with Load(list(cluster.nodes.values()), 12) as load:
        for _ in range(5):
            load.wait_for(200)
            cable.cut()
            cable.mend()
        cable.cut()
        for position in link:
            with Person(cluster[position].address) as person:
                person.hear(
                    r"^\* (the chain cannot confirm: waiting|lists and old messages have to wait)"
                )
        cable.mend()
        cluster.wait_until_it_serves()
        load.wait_for(200)
        records = load.finish()
    cluster.wait_until_it_serves()
    assert cluster.running == [*cluster.nodes.values()]
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


def test_a_link_that_is_silent_for_a_while(new_cluster: NewCluster) -> None:
    cluster = new_cluster(suspect_after=0.5, cabled=True).start()
    with (
        Load(list(cluster.nodes.values()), 12) as load,
        Person(cluster["head"].address, "alice") as alice,
    ):
        for ways in (("there",), ("back",), ("there", "back")):
            load.wait_for(200)
            for cable in cluster.isolate("middle"):
                cable.freeze(*ways)
            alice.hear(r"^\* the chain cannot confirm")
            for cable in cluster.isolate("middle"):
                cable.mend()
            alice.hear(r"^\* the chain confirms again")
        load.wait_for(200)
        records = load.finish()
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


def test_a_long_log_starts_from_its_checkpoint(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    texts = USUAL_PACE.checkpoint_entries + 500
    with (
        Program(cluster["head"].address, "c1", "alice") as program,
        Person(cluster["tail"].address, "bob") as bob,
    ):
        program.ask("SEND 1 bob :for bob")
        bob.hear("for bob")
        bob.ask("/logout")
        for start in range(2, texts, 1000):
            numbers = range(start, start + 1000)
            replies = program.ask_all([f"SEND {n} * :{n}" for n in numbers])
            assert not [reply for reply in replies if not reply.startswith("+OK id=")]
        last = program.ask("SEND 99999 bob :the last for bob")
    cluster.kill()
    cluster.start()
    with Program(cluster["middle"].address, "c1", "alice") as program:
        assert program.ask("SEND 99999 bob :the last for bob") == f"{last} again"
        assert program.ask("SEND 77 * :77").startswith("-ERR 551 ")
        found = program.since("SINCE 0")
        assert [push.message.text for push in found[1:-1]] == [
            str(n) for n in range(2, 2 + len(found) - 2)
        ]
        assert (found[0].message.text, found[-1].message.text) == ("for bob", "the last for bob")
    with Person(cluster["head"].address, "bob") as bob:
        # His mark is in the checkpoint, and so is that he has seen the first one.
        assert re.search(r"you missed more than \d+ messages", bob.welcome)
        assert bob.hear(r"#\d+ \S+ alice(?: >> you)?: (.*)")[1] == "2"
        bob.hear("alice >> you: the last for bob")
    cluster.stop()
    for node in cluster.nodes.values():
        assert b"SQLite format 3" in (node.data / "chainchat.sqlite").read_bytes()[:16]
    seen = histories(cluster.nodes.values())
    assert all(history.entries[-1].seq > USUAL_PACE.checkpoint_entries for history in seen.values())
    check([], seen)


@pytest.mark.parametrize("how", ["chainchatctl", "SIGTERM"])
def test_a_stop_does_not_wait_for_a_long_replay(new_cluster: NewCluster, how: str) -> None:
    cluster = new_cluster(("only",)).start()
    node = cluster["only"]
    with Program(node.address, "c1", "alice") as program:
        for start in range(1, REPLAYED, 1000):
            program.ask_all([f"SEND {n} * :{n}" for n in range(start, start + 1000)])
    node.kill()
    with closing(sqlite3.connect(node.data / "chainchat.sqlite")) as database:
        for table in ("checkpoint", "records", "messages"):  # so that all of it is replayed
            database.execute(f"DELETE FROM {table}")
        database.commit()
    node.launcher = [sys.executable, "-c", SLOWLY]
    node.start()
    wait_for_log(node, "this node replays its log (")
    if how == "chainchatctl":
        done = ctl(cluster, "stop")
        assert (done.returncode, done.stdout) == (0, "only stops\n")
        assert node.wait() == 0
    else:
        assert node.stop() == -signal.SIGTERM
    assert "serving in epoch 2" not in node.log_text()
    node.launcher = []
    node.start()
    cluster.wait_until_it_serves()
    with Program(node.address, "c1", "alice") as program:
        assert program.ask(f"SEND {REPLAYED} * :{REPLAYED}").endswith(" again")
    cluster.stop()


def test_what_was_in_the_mail_outlives_everybody(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Person(cluster["head"].address, "bob") as bob:
        bob.ask("/logout")
    with Person(cluster["tail"].address, "alice") as alice:
        alice.ask(">> bob: for you")
        alice.ask("for all")
    cluster.kill()
    cluster.start()
    with Person(cluster["middle"].address, "bob") as bob:
        assert bob.welcome == "+OK you are bob: you missed 2 messages"
        bob.hear("alice >> you: for you")
        bob.hear("alice: for all")
        assert bob.listed("/list") == ["alice", "bob"]
        assert bob.listed("/who") == ["bob"]


def test_a_restarted_node_alone_says_whom_it_waits_for(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    cluster.kill()
    node = cluster["middle"]
    node.start()
    waits_for(node, "head", "tail")
    elsewhere = " or ".join(other.named for other in cluster.others("middle"))
    until(lambda: refusal(node).endswith(f"; try {elsewhere}"), lambda: refusal(node))
    cluster.start("head", "tail")
