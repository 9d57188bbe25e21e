"""What nodes tell operators: each change of configuration, and the progress of a learner."""

import re
from itertools import pairwise

import pytest
from node_house import SUSPECT_AFTER, THREE, founded
from taking_part import takes_part
from twisted.logger import LogLevel

from chainchat.chain.limits import ProtocolLimits
from chainchat.chain.messages import Copied, Decided, Forward
from chainchat.node.limits import NodeLimits
from chainchat.node.lives import begin_life


def changes(logged, position):
    """The epochs in a node's lines about changes of configuration."""
    told = [text.split() for _, text in logged if f"{position}: epoch " in text]
    return [
        (int(words[2]), int(words[words.index("followed") + 3]))
        for words in told
        if "followed" in words
    ]


# --- changes of configuration ------------------------------------------------------------


def test_a_resume_is_told_as_a_change_from_the_configuration_of_the_record(house, logged):
    house.kill(*THREE)
    old = begin_life(house.disks["tail"], lambda: "id-b").configuration
    house.start("tail")
    assert house["tail"].configuration == old
    assert not takes_part(house["tail"])
    house.start("head", "middle")
    house.later(2.0)
    new = house["tail"].configuration
    assert new.epoch == old.epoch + 1
    followed = f"tail: {old} is followed by {new}: {new.why}; writes stood still for "
    assert [level for level, text in logged if text.startswith(followed)] == [LogLevel.info]


def test_writes_stood_still_since_nothing_in_flight_came_any_further(house, logged):
    node = house.nodes.pop("tail")
    results = house.say("head")
    house.later(2 * SUSPECT_AFTER)
    assert len(results) == 1
    [told] = [text for _, text in logged if text.startswith("head: ") and "stood still" in text]
    seconds = float(told.rpartition(" for ")[2].removesuffix(" s"))
    assert seconds == pytest.approx(SUSPECT_AFTER, abs=0.21)
    node.stop()


@pytest.mark.parametrize("dead", THREE)
def test_each_change_is_one_line_on_every_node_that_is_there(house, logged, dead):
    rest = [position for position in THREE if position != dead]
    house.kill(dead)
    house.later(0.5)
    house.start(dead)
    house.later(2.0)
    assert [changes(logged, position) for position in rest] == [[(1, 2), (2, 3)]] * 2
    assert changes(logged, dead) == [(1, 2), (2, 3)]


def test_a_learner_tells_of_a_change_that_does_not_take_it_in(house, logged):
    house.start("newcomer")
    house.later(0.5)
    logged.clear()
    house.kill("tail")
    house.run(2)
    new = house["head"].configuration
    assert new.positions == ("head", "middle")
    house.later(0.1)
    assert changes(logged, "newcomer")[0] == (1, 2)
    [told] = [text for _, text in logged if text.startswith("newcomer: epoch 1 (")]
    assert told == (
        f"newcomer: epoch 1 (head -> middle -> tail) is followed by {new}: {new.why}; "
        "this node is no member, and cannot tell how long writes stood still"
    )


def test_a_node_that_joins_does_not_take_its_own_waiting_for_a_standstill(house, logged):
    house.kill("tail")
    house.later(0.5)
    house.start("tail")
    house.later(2.0)
    told = {
        text.partition(":")[0]: text.rpartition("; ")[2]
        for _, text in logged
        if "is followed by epoch 3 " in text
    }
    assert told["tail"] == "this node is new, and cannot tell how long writes stood still"
    assert told["head"].startswith("writes stood still for 0.")


def test_a_node_that_is_left_out_tells_of_that_change_before_its_life_ends(house, logged):
    node = house.nodes.pop("tail")
    house.later(2 * SUSPECT_AFTER)
    house.nodes["tail"] = node
    house.kept = lambda sender, to, message: (
        "tail" in (sender, to) and not isinstance(message, Decided)
    )
    house.run()
    house.later(0.2)
    assert house.excluded == ["tail"]
    assert changes(logged, "tail") == [(1, 2)]


def test_a_change_that_another_follows_before_it_confirmed_anything_is_told_too(house, logged):
    house.kept = lambda sender, to, message: isinstance(message, Forward)
    house.kill("tail")
    house.later(0.2)
    assert [changes(logged, position) for position in ("head", "middle")] == [[], []]
    house.kill("middle")
    house.run()
    assert changes(logged, "head") == [(1, 2), (2, 3)]
    [superseded] = [text for _, text in logged if "followed by epoch 2" in text]
    assert superseded.endswith("; it confirmed nothing; writes have stood still for 0.200 s")


# --- how far a learner has come ----------------------------------------------------------

PROGRESS = re.compile(
    r"tail: copied (\d+) entries \(\d\.\d MB, \d\.\d MB/s\) from middle, (\d+) to go, (\d+) s left"
)


@pytest.fixture
def slow_learner():
    """A tail that comes back to a chain of two, and gets only a part of the log."""
    house = founded(limits=NodeLimits(protocol=ProtocolLimits(answer_octets=1)))  # one frame
    house.later(0.2)
    house.kill("tail")
    house.run()
    for _ in range(3_000):
        house.say("head")
    house.run()
    del house.disks["tail"]
    house.start("tail")
    passing = iter(range(2))
    house.kept = lambda sender, to, message: (
        isinstance(message, Copied) and next(passing, None) is None
    )
    return house


def test_a_learner_logs_once_a_second_how_far_it_has_come(slow_learner, logged):
    began, told = slow_learner.clock.seconds(), []
    for _ in range(50):
        before = len(logged)
        slow_learner.later(0.1)
        now = slow_learner.clock.seconds()
        told += [(now, text) for _, text in logged[before:] if "tail: copied" in text]
    times = [now for now, _ in told]
    assert len(told) in (4, 5)
    assert all(1.0 < later - now < 1.2 for now, later in pairwise(times))
    copied, missing, left = map(int, PROGRESS.fullmatch(told[-1][1]).groups())
    assert copied + missing == slow_learner.disks["middle"].last.seq
    assert copied == slow_learner.disks["tail"].last.seq > 0
    rate = copied / (times[-1] - began)
    assert left == pytest.approx(missing / rate, rel=0.1)


def test_a_learner_that_has_caught_up_logs_nothing_of_the_kind(house, logged):
    house.start("newcomer")  # it stays one: the chain is full
    for _ in range(30):
        house.say("head")
        house.later(0.1)
    assert house.disks["newcomer"].last == house.disks["tail"].last
    assert not [text for _, text in logged if "copied" in text]
