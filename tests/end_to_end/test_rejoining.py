"""Nodes that come back, or come new, while the chain serves; and chains that all of it left."""

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster, Node, catches_up_with, wait_for_log, wait_for_refusal, waits_for
from load import History, Load, check, histories, settle
from talking import Person

NewCluster = Callable[..., Cluster]

SAID = 40
"""Texts that have to be acknowledged between two events."""

POSITIONS = ("head", "middle", "tail")

PAUSE = 0.1
"""Seconds that a program waits after each answer: a machine that is busy starts nodes slowly."""

LONG = 10.0
"""A ``suspect-after`` that nothing in a test takes as long as."""

GAP = 3.0
"""A ``suspect-after``, and the seconds between two acknowledgements that a silent node costs.

No join may cost them, nor a polite stop: nobody is to be suspected first. They are more than a busy
machine takes from anybody.
"""


def node_id(node: Node) -> str:
    """The id of the data that the newest life of this node has begun on."""
    return re.findall(r"incarnation \d+ of (\w+), log", node.log_text())[-1]


def side_files(node: Node) -> list[Path]:
    """Where what was never confirmed has gone."""
    return sorted(node.data.glob("**/cut-*.jsonl"))


# --- one comes back, or comes new


def test_a_returning_node_catches_up_while_the_chain_serves(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8) as load:
        load.wait_for(SAID)
        cluster.kill("middle")
        load.wait_for(4_000)
        cluster.bring_back("middle")
        load.wait_for(SAID)
        assert cluster.members() == ["head", "tail", "middle"]
        settle(cluster, load)


def test_a_join_keeps_nobody_waiting(new_cluster: NewCluster) -> None:
    cluster = new_cluster(suspect_after=GAP).start()
    with Load([cluster["head"], cluster["tail"]], 4, pause=PAUSE / 5) as load:
        load.wait_for(500)
        cluster.kill("middle")
        cluster.members()
        load.wait_for(SAID)
        for record in load.records:
            record.longest_wait = 0.0
        cluster.bring_back("middle")
        load.wait_for(SAID)
        assert max(record.longest_wait for record in load.records) < GAP
        settle(cluster, load)


def test_a_wiped_disk_comes_back_as_a_new_node(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        load.wait_for(500)
        old = node_id(cluster["head"])
        cluster.kill("head")
        shutil.rmtree(cluster["head"].data)
        cluster.bring_back("head")
        assert node_id(cluster["head"]) != old
        load.wait_for(SAID)
        assert cluster.members() == ["middle", "tail", "head"]
        settle(cluster, load)


@pytest.mark.parametrize("victim", POSITIONS)
def test_another_disk_at_a_members_address_proves_its_death(
    new_cluster: NewCluster, victim: str
) -> None:
    cluster = new_cluster(suspect_after=LONG).start()
    node, others = cluster[victim], cluster.others(victim)
    names = [other.position for other in others]
    with Load(others, 4, pause=PAUSE) as load:
        load.wait_for(SAID)
        old = node_id(node)
        for other in others:
            other.pause()
        node.kill()
        shutil.rmtree(node.data)
        node.start()
        wait_for_refusal(node, f"the chain is not founded yet: waiting for {', '.join(names)}")
        for other in others:
            other.resume()
        for other in others:  # nobody found its port closed, and nobody waits for its silence
            wait_for_log(other, f"without {victim}: its process is dead; seen by", within=LONG / 2)
            assert "its port refuses connections" not in other.log_text()
        assert cluster.members() == [*names, victim]
        assert node_id(node) != old
        load.wait_for(SAID)
        settle(cluster, load)


def test_a_replacement_outside_the_founding_joins(new_cluster: NewCluster) -> None:
    cluster = new_cluster(spares=["spare"]).start()
    with Load([cluster["head"], cluster["tail"]], 8, pause=PAUSE) as load:
        load.wait_for(500)
        cluster.kill("middle")
        cluster.bring_back("spare")
        assert cluster.members() == ["head", "tail", "spare"]
        load.wait_for(SAID)
        with Person(cluster["spare"].address, "alice") as alice:
            assert re.fullmatch(r"\+OK \d+", alice.ask("hello from the spare"))
        cluster.kill("head", "tail")
        assert cluster.members() == ["spare"]
        records = load.abandon()
        cluster.stop()
        check(records, histories([cluster["spare"]]))


def test_what_was_never_confirmed_goes_into_a_file(new_cluster: NewCluster) -> None:
    cluster = new_cluster(suspect_after=0.5, cabled=True).start()
    with (
        Load([cluster["middle"], cluster["tail"]], 4, pause=PAUSE) as load,
        Person(cluster["head"].address, "alice") as alice,
    ):
        load.wait_for(SAID)
        for cable in cluster.isolate("head"):
            cable.freeze()
        alice.say("said in the dark")
        assert cluster.members("middle", "tail") == ["middle", "tail"]
        load.wait_for(SAID)
        for cable in cluster.isolate("head"):
            cable.mend()
        lines = alice.end()
        assert not [line for line in lines if line.startswith("+OK ")], lines
        told = "not confirmed, it may or may not have been said: said in the dark"
        assert [line for line in lines if told in line], lines
        assert cluster.members() == ["middle", "tail", "head"]
        settle(cluster, load)
    (path,) = side_files(cluster["head"])
    cut = [json.loads(line) for line in path.read_text().splitlines()]
    assert "said in the dark" in " ".join(entry["command"] for entry in cut)
    after = cut[0]["seq"] - 1
    assert [entry["seq"] for entry in cut] == list(range(after + 1, after + 1 + len(cut)))
    logged = f"{len(cut)} entries after {after} are not in the chain's log; they are now in {path}"
    assert f"{logged}\n" in cluster["head"].log_text()
    for position in ("head", "middle"):
        texts = [said.text for said in History(cluster[position]).said]
        assert "said in the dark" not in texts


# --- all were gone


@pytest.mark.parametrize("order", list(itertools.permutations(POSITIONS)), ids=" ".join)
def test_those_who_died_last_resume_and_the_others_wait(
    new_cluster: NewCluster, order: tuple[str, str, str]
) -> None:
    first, second, last = order
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        load.wait_for(200)
        for position in order:
            cluster.kill(position)
            if position != last:
                cluster.members()
                load.wait_for(SAID)
        # Who died first knows only the chain of three, who died second that of two.
        cluster[first].start()
        waits_for(cluster[first], *(p for p in POSITIONS if p != first))
        cluster[second].start()
        waits_for(cluster[second], last)
        catches_up_with(cluster[first], *(p for p in POSITIONS if p != first))
        cluster[last].start()
        assert cluster.members()[0] == last
        load.wait_for(SAID)
        settle(cluster, load)


def test_the_last_one_resumes_alone_and_the_others_rejoin(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        load.wait_for(200)
        cluster.kill("middle")
        cluster.members()
        cluster.kill("head")
        cluster.members()
        load.wait_for(SAID)
        cluster.kill("tail")
        cluster["tail"].start()
        assert cluster.members() == ["tail"]
        load.wait_for(SAID)
        cluster.bring_back("head", "middle")
        settle(cluster, load)


def test_two_that_resume_need_each_other(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        load.wait_for(200)
        cluster.kill("tail")
        assert cluster.members() == ["head", "middle"]
        load.wait_for(SAID)
        cluster.kill()
        cluster["middle"].start()
        waits_for(cluster["middle"], "head")
        cluster["tail"].start()
        catches_up_with(cluster["tail"], "head", "middle")
        waits_for(cluster["middle"], "head")
        cluster["head"].start()
        assert cluster.members() == ["head", "middle", "tail"]
        load.wait_for(SAID)
        settle(cluster, load)


def test_one_after_another_stops_politely_and_is_back_before_the_next(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(suspect_after=GAP).start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        for position in ("head", "middle", "tail"):
            load.wait_for(SAID)
            cluster[position].stop()
            cluster.bring_back(position)
        load.wait_for(SAID)
        assert cluster.members() == ["head", "middle", "tail"]
        records = settle(cluster, load)
    assert max(record.longest_wait for record in records) < GAP


# --- chains of one and two


def test_a_chain_of_one_stops_and_resumes(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    with Load(list(cluster.nodes.values()), 4, pause=PAUSE) as load:
        load.wait_for(SAID)
        cluster.kill()
        cluster.start()
        load.wait_for(SAID)
        settle(cluster, load)


def test_a_chain_of_two_loses_each_and_gets_it_back(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("head", "tail")).start()
    with Load(list(cluster.nodes.values()), 4, pause=PAUSE) as load:
        for position, survivor in itertools.permutations(("head", "tail")):
            load.wait_for(SAID)
            cluster.kill(position)
            assert cluster.members() == [survivor]
            load.wait_for(SAID)
            cluster.bring_back(position)
            assert cluster.members() == [survivor, position]
        cluster.kill()
        cluster.start()
        wait_for_log(cluster["head"], "resumed: ")
        load.wait_for(SAID)
        settle(cluster, load)
