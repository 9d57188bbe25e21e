"""Two chains that had the same epoch, because an assumption failed: nodes stop, loudly.

The tests make what a machine whose clocks stood still sees: the others take it for dead, go on, and
die; it wakes, finds their ports refused, and believes that they confirmed it a moment ago.
"""

import random
from copy import deepcopy
from functools import partial

import pytest
from node_house import PORTS, SUSPECT_AFTER, House, lines_logged
from twisted.logger import LogLevel

from chainchat.chain.configuration import IDENTITY_BITS
from chainchat.chain.log import DivergenceError


class StoppingHouse(House):
    """Nodes that stop when they fail, as processes do, and say why."""

    def __init__(self, *founding):
        super().__init__(*founding)
        self.critical = []
        self.new_identity = partial(random.Random(7).getrandbits, IDENTITY_BITS)

    def fail(self, error):
        assert isinstance(error, DivergenceError)
        self.critical.append(str(error))

    def bury(self):
        stopped = [position for position, node in self.nodes.items() if not node.running]
        self.kill(*stopped)
        return stopped


def two_chains(alone="head", entries=3):
    """``alone`` stands still while the others go on, and wakes when they are dead."""
    house = StoppingHouse("head", "middle", "tail")
    house.start(*house.founding)
    house.run()
    house.later(0.3)
    others = [position for position in house.founding if position != alone]
    for other in others:  # it stands still: what is sent to it does not come, and it sends nothing
        house.slow |= {(alone, other), (other, alone)}
    paused = house.nodes.pop(alone)
    for other in others:
        house[other].unlinked(alone)
        house[other].refused(alone, "here", PORTS[alone])
    house.run()
    assert house.chains() == dict.fromkeys(others, tuple(others))
    told = [house.say(others[0]) for _ in range(entries)]
    house.later(0.2)
    assert all(told)
    for other in others:
        house.nodes.pop(other).stop()
    house.wires.clear()
    house.slow.clear()
    house.nodes[alone] = paused
    for other in others:
        paused.unlinked(other)
        paused.refused(other, "here", PORTS[other])
    house.run()
    told = [house.say(alone) for _ in range(entries)]
    house.run()
    assert all(told)
    assert house.chains() == {alone: (alone,)}
    ours, theirs = house.log(alone), house.log(others[0])
    assert [(e.seq, e.epoch) for e in ours] == [(e.seq, e.epoch) for e in theirs]
    assert ours != theirs
    return house, others


@pytest.mark.parametrize("alone", ["head", "middle", "tail"])
def test_who_was_paused_does_not_give_up_what_it_confirmed_without_a_word(alone):
    house, others = two_chains(alone)
    before = house.log(alone)
    with lines_logged() as lines:
        house.start(*others)
        house.later(3 * SUSPECT_AFTER)
    [critical] = house.critical
    common = before[-5].seq
    assert f"entries up to {before[-1].seq} were committed here" in critical
    assert f"differs after {common}" in critical
    assert f"the last being {before[-1].id}; at {others[-1]}, {common + 1} to " in critical
    assert "Nothing was changed" in critical
    assert house.bury() == [alone]
    assert house.log(alone) == before
    assert house.chains() == dict.fromkeys(others, tuple(others))
    alarms = [text for level, text in lines if level is LogLevel.warn and "ALARM" in text]
    assert any("has two configurations" in text for text in alarms)
    assert any("have two histories" in text for text in alarms)


def test_the_alarm_names_both_ends_and_what_was_committed_at_each():
    house, others = two_chains("head", entries=2)
    mine, theirs = house.disks["head"].last, house.disks["tail"].last
    with lines_logged() as lines:
        house.start(*others)
        house.run()
    text = next(text for _, text in lines if text.startswith("head: ") and "two histories" in text)
    assert f", {theirs} was committed, and here, in epoch 2 (head), {mine}, " in text
    assert "in epoch 2 (middle -> tail)" in text


def test_a_copy_of_an_old_folder_that_confirmed_something_stops_when_it_meets_the_chain():
    """On the day of the copy it was the only member, so it goes on where it meets nobody."""
    house = StoppingHouse("head", "middle", "tail")
    house.start(*house.founding)
    house.run()
    house.kill("tail")
    house.run()
    house.kill("middle")
    house.run()
    assert house.chains() == {"head": ("head",)}
    old = deepcopy(house.disks["head"])
    house.say("head")
    house.start("middle", "tail")
    house.later(3 * SUSPECT_AFTER)
    assert len(house.chains()) == 3
    house.kill("head")
    house.run()
    house.say("middle")
    house.run()
    apart = StoppingHouse("head", "middle", "tail")
    apart.disks["head"] = old
    apart.start("head")
    apart.later(2 * SUSPECT_AFTER)
    told = apart.say("head")
    apart.run()
    assert told
    before = apart.log("head")
    apart.nodes.pop("head").stop()
    house.disks["head"] = old
    house.start("head")
    house.later(3 * SUSPECT_AFTER)
    [critical] = house.critical
    assert "were committed here, but the chain's log differs" in critical
    assert house.log("head") == before
