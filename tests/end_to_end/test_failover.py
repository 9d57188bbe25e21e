"""Nodes die under load, and the chain goes on with those that are left, down to the last one.

With TLS between them, and without.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from cluster import Cluster, wait_for_change, wait_for_log
from load import Load, check, histories, settle
from talking import Person, Program, until

NewCluster = Callable[..., Cluster]

SAID = 40
"""Texts that have to be acknowledged between two events."""

PAUSE = 0.1
"""Seconds that a program waits after each answer: a machine that is busy starts nodes slowly."""


@pytest.fixture(params=[False, True], ids=["plain", "TLS and passwords"])
def new_cluster(request: pytest.FixtureRequest, new_cluster: NewCluster) -> NewCluster:
    """Makes clusters for one test."""

    def make(*arguments: Any, **options: Any) -> Cluster:
        cluster: Cluster = new_cluster(*arguments, tls=request.param, **options)
        if request.param:
            cluster.secure_clients()
        return cluster

    return make


def only_notices(person: Person) -> None:
    """What somebody has seen who only ever talked: answers, messages and notices."""
    strange = [line for line in person.heard if not re.match(r"(\+OK|#\d+|\* )", line)]
    assert not strange, strange


# --- any two of three


def test_any_two_die_one_after_the_other(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        for first, second in itertools.permutations(range(3), 2):
            chain, epoch = cluster.members(), cluster.epoch
            load.wait_for(SAID)
            cluster.kill(chain[first])
            assert cluster.members() == [p for p in chain if p != chain[first]]
            load.wait_for(SAID)
            survivors = cluster.running
            assert [wait_for_change(node, epoch + 1) for node in survivors] == [epoch, epoch]
            cluster.kill(chain[second])
            assert len(cluster.members()) == 1
            load.wait_for(SAID)
            assert [wait_for_change(node, epoch + 2) for node in cluster.running] == [epoch + 1]
            cluster.bring_back(chain[first], chain[second])
        settle(cluster, load)


def test_any_two_die_at_once(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        for pair in itertools.combinations(range(3), 2):
            chain = cluster.members()
            load.wait_for(SAID)
            dead = [chain[i] for i in pair]
            cluster.kill(*dead)
            assert len(cluster.members()) == 1
            load.wait_for(SAID)
            wait_for_change(cluster.running[0], cluster.epoch)
            cluster.bring_back(*dead)
        settle(cluster, load)


def test_the_last_one_has_everything_when_it_ends(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        load.wait_for(SAID)
        cluster.kill("head", "tail")
        load.wait_for(SAID)
        records = load.finish()
    cluster.stop()
    check(records, histories([cluster["middle"]]))


# --- people


@pytest.mark.parametrize(
    ("steps", "last"),
    [
        (("kill head", "kill middle"), "tail"),
        (("kill head", "join", "kill tail", "join"), "middle"),
        (("kill middle", "kill head"), "tail"),
    ],
    ids=["lead, replica", "lead, client, replica, client", "replica, lead"],
)
def test_people_talk_on_while_nodes_die(
    new_cluster: NewCluster, steps: tuple[str, ...], last: str
) -> None:
    cluster = new_cluster().start()
    with (
        Load(list(cluster.nodes.values()), 3, pause=PAUSE) as load,
        Person(cluster[last].address, "alice") as alice,
    ):
        alice.ask("/notices on")
        newcomers = []
        for number, step in enumerate(steps):
            load.wait_for(SAID)
            match step.split():
                case ["kill", position]:
                    cluster.kill(position)
                    assert re.fullmatch(r"\+OK \d+", alice.ask(f"after {step}"))
                case _:
                    newcomer = Person(cluster[last].address, f"newcomer{number}")
                    newcomers.append(newcomer)
                    newcomer.ask("here I am")
                    alice.hear(rf"newcomer{number}: here I am")
                    assert f"newcomer{number}" in newcomer.listed("/list")
        alice.ask("the last word")
        for newcomer in newcomers:
            newcomer.hear("alice: the last word")
            only_notices_but_lists(newcomer)
            newcomer.close()
        only_notices(alice)
        assert cluster.members() == [last]
        settle(cluster, load)


def only_notices_but_lists(person: Person) -> None:
    person.heard = [line for line in person.heard if not re.match(r"[|.] ", line)]
    only_notices(person)


def test_a_client_and_the_lead_are_killed_and_nothing_is_missed(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Person(cluster["head"].address, "alice") as alice:
        assert alice.ask("I was here").startswith("+OK ")
        alice.reset()
    with (
        Load([cluster["middle"], cluster["tail"]], 3, pause=PAUSE) as load,
        Person(cluster["tail"].address, "bob") as bob,
    ):
        texts = [f"missed {n}" for n in range(20)]
        for text in texts[:10]:
            bob.ask(text)
        load.wait_for(SAID)
        cluster.kill("head")
        for text in texts[10:]:
            bob.ask(text)
        bob.ask(">> alice: and this is for you")
        with Person(cluster["middle"].address, "alice") as alice:
            assert re.match(r"\+OK you are alice: you missed .*\d+ messages", alice.welcome)
            lines = alice.lines_to("bob >> you: and this is for you")
            heard = [line.split("bob: ", 1)[1] for line in lines if " bob: " in line]
            assert heard == texts
        settle(cluster, load)


def test_who_is_at_a_survivor_sees_at_most_notices_and_others_move(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with (
        Load(list(cluster.nodes.values()), 3, pause=PAUSE) as load,
        Person(cluster["middle"].address, "alice") as alice,
        Person(cluster["head"].address, "bob") as bob,
    ):
        bob.ask("before")
        alice.hear("bob: before")
        load.wait_for(SAID)
        cluster.kill("head")
        bob.end()
        with Person(cluster["tail"].address, "bob") as bob_again:
            assert bob_again.welcome.startswith("+OK you are bob")
            assert re.fullmatch(r"\+OK \d+", bob_again.ask("I am back"))
            alice.hear("bob: I am back")
            assert re.fullmatch(r"\+OK \d+", alice.ask("welcome back"))
            bob_again.hear("alice: welcome back")
        only_notices(alice)
        settle(cluster, load)


# --- silence


def test_who_stands_still_is_left_behind_and_comes_back(new_cluster: NewCluster) -> None:
    cluster = new_cluster(suspect_after=0.5).start()
    with Load(list(cluster.nodes.values()), 6, pause=PAUSE) as load:
        for role in range(3):
            chain = cluster.members()
            sleeper = cluster[chain[role]]
            others = [position for position in chain if position != sleeper.position]
            with Person(sleeper.address, f"sleepless{role}") as person:
                load.wait_for(SAID)
                epoch = int(cluster.wait_until_it_serves()["epoch"])
                paused_at = len(sleeper.log_text())
                sleeper.pause()
                person.say("is anybody there?")
                person.calm(3.0)
                words = cluster.wait_until_it_serves(*others)
                assert (words["members"].split(","), int(words["epoch"])) == (others, epoch + 1)
                load.wait_for(SAID)
                sleeper.resume()
                # What was said to it may have come into the chain nowhere but here: no +OK.
                lines = person.end()
                assert not [line for line in lines if line.startswith("+OK ")], lines
                assert "the chain goes on without this node; go on at" in lines[-1], lines
                told = "is anybody there|not done: what you sent last, which was not read"
                assert re.search(told, " ".join(lines)), lines
            assert cluster.members() == [*others, sleeper.position]
            said = sleeper.log_text()[paused_at:]
            assert "the chain goes on without this node" in said
            assert int(cluster.wait_until_it_serves()["epoch"]) == epoch + 2
        settle(cluster, load)


def test_a_tail_that_stood_still_answers_nothing_from_the_past(new_cluster: NewCluster) -> None:
    cluster = new_cluster(suspect_after=0.5).start()
    tail = cluster["tail"]
    with Person(tail.address, "alice") as alice, Person(cluster["head"].address, "bob") as bob:
        bob.ask("old news")
        alice.hear("bob: old news")
        assert len(alice.listed("/last 1")) == 1
        tail.pause()
        alice.say("/last 1")
        assert cluster.members("head", "middle") == ["head", "middle"]
        assert re.fullmatch(r"\+OK \d+", bob.ask("news"))
        tail.resume()
        lines = alice.end()
        assert "the chain goes on without this node; go on at" in lines[-1], lines
        assert not [line for line in lines if line.startswith("| ")], lines
    assert cluster.members() == ["head", "middle", "tail"]


def test_a_node_whose_chain_stands_still_answers_what_it_knows_itself(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(("head", "tail"), suspect_after=0.5).start()
    with (
        Person(cluster["tail"].address, "alice") as alice,
        Program(cluster["tail"].address, name="robot") as program,
    ):
        cluster["head"].pause()
        alice.say("is anybody there?", "/who")
        program.say("@1 SEND 1 * :is anybody there?", "@2 WHO", "@3 SEND 2 * :hello?")
        assert program.ask("PING") == "+OK"
        program.note("waiting")  # for acknowledgements, perhaps, before it is for the head
        until(lambda: program.words("CHAIN").get("away") == "head", lambda: "nobody is away")
        alice.hear(r"^\* the chain cannot confirm: waiting for head")
        drawn = alice.listed("/chain")
        assert drawn[0].startswith("epoch 1   head (away) -> [tail]   committed ")


def test_a_link_that_is_cut_proves_nobody_dead(new_cluster: NewCluster) -> None:
    cluster = new_cluster(suspect_after=1.0, cabled=True).start()
    with Load([cluster["middle"], cluster["tail"]], 6, pause=PAUSE) as load:
        load.wait_for(SAID)
        epoch = cluster.wait_until_it_serves()["epoch"]
        for cable in cluster.isolate("head"):
            cable.interrupt()  # shorter than it takes to be suspected
        assert cluster.wait_until_it_serves()["epoch"] == epoch
        load.wait_for(SAID)
        for cable in cluster.isolate("head"):
            cable.cut()
        assert cluster.members("middle", "tail") == ["middle", "tail"]
        load.wait_for(SAID)
        wait_for_log(cluster["middle"], "without head: silent for ")
        for cable in cluster.isolate("head"):
            cable.mend()
        assert cluster.members() == ["middle", "tail", "head"]
        for node in cluster.nodes.values():
            assert "its process is dead" not in node.log_text()
        settle(cluster, load)
