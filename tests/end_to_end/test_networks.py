"""Networks that lose packets without a word to anybody: silent machines, one-way and split ones.

Every node is on a machine of its own (``networks``), with programs and a person who talk to it;
what they were told is held against what every node has.
"""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator

import pytest
from cluster import Cluster, wait_for_log
from commands import run
from load import History, Load, histories, settle
from networks import Networks
from talking import DEADLINE, Person

NewCluster = Callable[..., Cluster]

POSITIONS = ("head", "middle", "tail")

SUSPECT_AFTER = 0.5

CALM = SUSPECT_AFTER
"""Seconds in which those who wait are seen to do nothing else."""

SAID = 20
"""Texts that have to be acknowledged at a node between two events."""

PAUSE = 0.1
"""Seconds that a program waits after each answer: a busy machine must not pass for a silent one."""

DARK = "said in the dark"


@pytest.fixture
def cluster(networks: Networks, new_cluster: NewCluster) -> Cluster:
    """A chain of three machines, which serves."""
    return new_cluster(POSITIONS, suspect_after=SUSPECT_AFTER, networks=networks).start()


class Crowd:
    """At each node those who talk to it, and to no other until it sends them there.

    Attributes:
        loads: programs, by position.
        people: somebody who says what the test says, by position.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.loads: dict[str, Load] = {}
        self.people: dict[str, Person] = {}

    def talks(self, *positions: str) -> None:
        """Wait until more was acknowledged at each of these nodes."""
        for position in positions:
            self.loads[position].wait_for(SAID)

    def acknowledged(self, *positions: str) -> list[int]:
        """How much was, so far, at these nodes."""
        return [self.loads[position].acknowledged for position in positions]

    def say_in_the_dark(self, *positions: str) -> None:
        for position in positions:
            self.people[position].say(f"{DARK} at {position}")

    def told(self, position: str, *missing: str) -> None:
        """Wait until somebody is told for whom or for what the chain waits."""
        whom = ", ".join(missing)
        told = rf"^\* the chain cannot confirm: waiting for {whom}\. What you say is not confirmed"
        self.people[position].hear(told)

    def sent_elsewhere(self, position: str) -> None:
        """Wait until a node drops out; it leaves nobody guessing what has become of their words."""
        self.people[position].end()
        heard = self.people[position].heard
        assert "the chain goes on without this node; go on at" in heard[-1], heard
        unconfirmed = f"not confirmed, it may or may not have been said: {DARK} at {position}"
        assert (unconfirmed in heard[-2]) == (not self.confirmed(position)), heard

    def confirmed(self, position: str) -> list[int]:
        answers = (re.match(r"\+OK (\d+)$", line) for line in self.people[position].heard)
        return [int(answer[1]) for answer in answers if answer]

    def settle(self) -> dict[str, History]:
        """Wait until everything is acknowledged, stop all, and check it; what the nodes have."""
        settle(self._cluster, *self.loads.values())
        found = histories(self._cluster.nodes.values())
        for position, history in found.items():
            said = {one.id: one.text for one in history.said}
            for place in POSITIONS:
                texts = [said.get(id_) for id_ in self.confirmed(place)]
                assert texts in ([], [f"{DARK} at {place}"]), f"{place}, at {position}: {texts}"
        return found


@pytest.fixture
def crowd(cluster: Cluster) -> Iterator[Crowd]:
    """Those who talk; they have begun to."""
    everybody = Crowd(cluster)
    with contextlib.ExitStack() as stack:
        for position, node in cluster.nodes.items():
            load = Load([node], 2, pause=PAUSE, name=f"{position}-")
            everybody.loads[position] = stack.enter_context(load)
            person = Person(node.address, f"somebody-{position}")
            everybody.people[position] = stack.enter_context(person)
        everybody.talks(*POSITIONS)
        yield everybody


def others(*positions: str) -> list[str]:
    """The rest of the founders, in order."""
    return [position for position in POSITIONS if position not in positions]


def nobody_is_dead(cluster: Cluster) -> None:
    """Silence has passed for silence, everywhere."""
    for node in cluster.nodes.values():
        assert "is dead" not in node.log_text()


def who_has(text: str, found: dict[str, History]) -> list[str]:
    return [p for p, history in found.items() if text in [one.text for one in history.said]]


def attempt(networks: Networks, here: str, there: str) -> str:
    """How an attempt ends to reach a port, from one machine to another, that nobody listens on."""
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 9), 0.3)"
    command = [*networks.launcher(here), sys.executable, "-c", connect, networks.hosts[there]]
    done = run(*command)
    return done.stderr.splitlines()[-1].partition(":")[0]


def test_what_is_lost_is_lost_in_silence(networks: Networks) -> None:
    networks.part("head", "middle")
    assert attempt(networks, "head", "middle") == "TimeoutError"
    assert attempt(networks, "middle", "head") == "TimeoutError"
    assert attempt(networks, "head", "tail") == "ConnectionRefusedError"
    networks.heal()
    assert attempt(networks, "head", "middle") == "ConnectionRefusedError"


# --- one machine


@pytest.mark.parametrize("silent", POSITIONS)
def test_a_silent_machine_is_left_behind_and_comes_back(
    networks: Networks, cluster: Cluster, crowd: Crowd, silent: str
) -> None:
    rest = others(silent)
    networks.silence(silent)
    crowd.say_in_the_dark(silent)
    crowd.told(silent, *rest)
    assert cluster.members(*rest) == rest
    confirmed = crowd.acknowledged(silent)
    crowd.talks(*rest)
    assert crowd.acknowledged(silent) == confirmed
    networks.heal()
    crowd.sent_elsewhere(silent)
    assert not crowd.confirmed(silent)
    assert cluster.members() == [*rest, silent]
    nobody_is_dead(cluster)
    assert not who_has(f"{DARK} at {silent}", crowd.settle())


def test_a_tail_that_is_cut_off_answers_nothing_from_the_past(
    networks: Networks, cluster: Cluster, crowd: Crowd
) -> None:
    networks.silence("tail")
    assert cluster.members("head", "middle") == ["head", "middle"]
    crowd.talks("head", "middle")
    reader = crowd.people["tail"]
    reader.say("/last 1")
    crowd.told("tail", "head", "middle")
    reader.calm(CALM)
    networks.heal()
    reader.end()
    assert "the chain goes on without this node; go on at" in reader.heard[-1], reader.heard
    assert not [line for line in reader.heard if line.startswith("| ")], reader.heard
    crowd.settle()


@pytest.mark.parametrize("victim", POSITIONS)
@pytest.mark.parametrize("way", ["mute", "deaf"])
def test_a_machine_that_loses_one_way_is_left_behind_and_comes_back(
    networks: Networks, cluster: Cluster, crowd: Crowd, victim: str, way: str
) -> None:
    rest = others(victim)
    lose = {"mute": networks.mute, "deaf": networks.deafen}[way]
    lose(victim)
    crowd.say_in_the_dark(victim)
    # One that still hears the others may hear of its exclusion before it misses anybody.
    crowd.people[victim].hear(r"cannot confirm: waiting for |not confirmed, ")
    assert cluster.members(*rest) == rest
    crowd.talks(*rest)
    networks.heal()
    crowd.sent_elsewhere(victim)
    assert cluster.members() == [*rest, victim]
    nobody_is_dead(cluster)
    crowd.settle()


@pytest.mark.parametrize("victim", ["head", "tail"])
def test_a_process_that_ends_on_a_silent_machine_is_silent_and_no_more(
    networks: Networks, cluster: Cluster, crowd: Crowd, victim: str
) -> None:
    rest = others(victim)
    networks.silence(victim)
    cluster.kill(victim)
    assert cluster.members(*rest) == rest
    crowd.talks(*rest)
    nobody_is_dead(cluster)
    for position in rest:
        wait_for_log(cluster[position], f"without {victim}: silent for ")
    networks.heal()
    cluster.bring_back(victim)
    assert cluster.members() == [*rest, victim]
    crowd.settle()


# --- two machines, one after the other


@pytest.mark.parametrize(
    ("lost", "first", "second"),
    [("tail", "head", "middle"), ("head", "middle", "tail")],  # each: then the middle falls silent
)
def test_of_two_that_lose_each_other_the_first_goes_on_and_the_second_waits(  # noqa: PLR0917 - a table
    networks: Networks, cluster: Cluster, crowd: Crowd, lost: str, first: str, second: str
) -> None:
    networks.silence(lost)
    assert cluster.members(first, second) == [first, second]
    networks.silence("middle")
    crowd.say_in_the_dark(second)
    crowd.told(second, first)
    # As seen from the first, it is the second that has fallen silent.
    assert cluster.members(first) == [first]
    confirmed = crowd.acknowledged(lost, second)
    crowd.talks(first)
    assert crowd.acknowledged(lost, second) == confirmed
    networks.heal()
    crowd.sent_elsewhere(second)
    assert not crowd.confirmed(second)
    assert cluster.members()[0] == first
    nobody_is_dead(cluster)
    crowd.settle()


def test_a_proof_of_death_after_a_silence_lets_nobody_go_on_alone(
    networks: Networks, cluster: Cluster, crowd: Crowd
) -> None:
    networks.silence("head")
    assert cluster.members("middle", "tail") == ["middle", "tail"]
    # It decides nothing more, which its machine would still send after its end.
    cluster["middle"].pause()
    networks.silence("middle")
    cluster.kill("middle")
    crowd.say_in_the_dark("tail")
    crowd.told("tail", "middle")
    confirmed = crowd.acknowledged("tail")
    networks.heal()
    wait_for_log(cluster["tail"], "middle is dead: its port refuses connections")
    crowd.people["tail"].calm(CALM)
    assert crowd.acknowledged("tail") == confirmed
    told = cluster["tail"].chain(DEADLINE)
    assert told is not None
    assert (told["members"], told["away"]) == ("middle,tail", "middle")
    cluster["middle"].start()
    assert sorted(cluster.members()) == sorted(POSITIONS)
    crowd.settle()


# --- networks that split


def test_head_and_tail_need_not_see_each_other(
    networks: Networks, cluster: Cluster, crowd: Crowd
) -> None:
    networks.part("head", "tail")
    crowd.say_in_the_dark("tail")
    crowd.told("tail", "head")
    told = r"^\* lists and old messages have to wait for tail$"
    crowd.people["head"].hear(told)
    # The middle hears both, and what is said at the tail does not reach the head.
    wait_for_log(cluster["middle"], "no vote for epoch 2 (head -> middle): tail lives")
    confirmed = crowd.acknowledged("tail")
    crowd.talks("head", "middle")
    assert crowd.acknowledged("tail") == confirmed
    networks.heal()
    crowd.people["tail"].hear(r"^\+OK \d+")
    assert cluster.members() == list(POSITIONS)
    nobody_is_dead(cluster)
    crowd.settle()


@pytest.mark.parametrize(("one", "other"), [("head", "middle"), ("middle", "tail")])
def test_neighbours_that_lose_each_other_wait_for_the_network(
    networks: Networks, cluster: Cluster, crowd: Crowd, one: str, other: str
) -> None:
    [third] = others(one, other)
    networks.part(one, other)
    crowd.say_in_the_dark(*POSITIONS)
    crowd.told(one, other)
    crowd.told(other, one)
    crowd.told(third, "acknowledgements")
    confirmed = crowd.acknowledged(*POSITIONS)
    crowd.people[third].calm(CALM)
    assert crowd.acknowledged(*POSITIONS) == confirmed
    networks.heal()
    for position in POSITIONS:
        crowd.people[position].hear(r"^\+OK \d+")
        crowd.people[position].hear(r"^\* the chain confirms again")
    assert cluster.members() == list(POSITIONS)
    nobody_is_dead(cluster)
    crowd.settle()


@pytest.mark.parametrize(("stopped", "other"), [("head", "middle"), ("middle", "head")])
def test_of_neighbours_that_lose_each_other_an_operator_may_stop_one(
    networks: Networks, cluster: Cluster, crowd: Crowd, stopped: str, other: str
) -> None:
    rest = others(stopped)
    networks.part(stopped, other)
    crowd.told(other, stopped)
    cluster[stopped].stop()
    assert cluster.members(*rest) == rest
    crowd.talks(*rest)
    cluster[stopped].start()
    wait_for_log(cluster[stopped], "this node is catching up with the chain")
    crowd.talks(*rest)
    assert cluster.members(*rest) == rest
    networks.heal()
    assert cluster.members() == [*rest, stopped]
    crowd.settle()


def test_three_that_lose_each_other_wait_for_the_network(
    networks: Networks, cluster: Cluster, crowd: Crowd
) -> None:
    networks.shatter()
    crowd.say_in_the_dark(*POSITIONS)
    for position in POSITIONS:
        crowd.told(position, *others(position))
    confirmed = crowd.acknowledged(*POSITIONS)
    crowd.people["tail"].calm(CALM)
    assert crowd.acknowledged(*POSITIONS) == confirmed
    # They do not wait for TCP, which tries old connections ever more rarely.
    for node in cluster.nodes.values():
        for other in cluster.others(node.position):
            wait_for_log(node, f"lost {other}")
    networks.heal()
    assert sorted(cluster.members()) == sorted(POSITIONS)
    crowd.talks(*POSITIONS)
    nobody_is_dead(cluster)
    crowd.settle()


def test_each_head_in_turn_is_split_off_while_both_sides_talk(
    networks: Networks, cluster: Cluster
) -> None:
    with contextlib.ExitStack() as stack:
        loads: list[Load] = []
        for turn, _ in enumerate(POSITIONS):
            head, *rest = cluster.members()
            # Those of an earlier turn may all be where they wait now.
            load = Load(list(cluster.nodes.values()), 3, pause=PAUSE / 10, name=f"load{turn}-")
            loads.append(stack.enter_context(load))
            load.wait_for(SAID)
            networks.silence(head)
            assert cluster.members(*rest) == rest
            load.wait_for(10 * SAID)
            networks.heal()
            assert cluster.members() == [*rest, head]
        nobody_is_dead(cluster)
        settle(cluster, *loads)
