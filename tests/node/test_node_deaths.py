"""Whole nodes that die, come back or are left out: who serves, and with what log."""

from copy import deepcopy

import pytest
from msgspec import msgpack
from node_house import SUSPECT_AFTER, THREE, founded
from twisted.logger import LogLevel

from chainchat.chain.log import DivergenceError
from chainchat.chain.messages import Copied
from chainchat.chain.record import forced_alone
from chainchat.node.lives import begin_life
from chainchat.storage.memory import MemoryStorage

# --- one dies, and comes back ------------------------------------------------------------


@pytest.mark.parametrize("dead", THREE)
def test_when_one_dies_the_two_others_serve_at_once(house, dead):
    rest = tuple(position for position in THREE if position != dead)
    results = [house.say(position) for position in rest]
    house.clock.advance(0)
    house.kill(dead)
    house.run()  # no time passes
    assert house.chains() == dict.fromkeys(rest, rest)
    results += [house.say(position) for position in rest]
    house.run()
    assert [len(result) for result in results] == [1] * 4
    assert house.log(rest[0]) == house.log(rest[1])


@pytest.mark.parametrize("last", THREE)
def test_when_two_die_the_last_serves_with_all_that_was_acknowledged(house, last):
    acknowledged = [house.say(position) for position in THREE for _ in range(3)]
    house.run()
    assert all(acknowledged)
    before = house.log("head")
    house.kill(*(position for position in THREE if position != last))
    house.run()
    results = house.say(last)
    house.run()
    assert len(results) == 1
    assert house.log(last)[: len(before)] == before


@pytest.mark.parametrize("last", THREE)
def test_two_may_die_in_the_instant_after_the_founding(last):
    house = founded()  # everything is delivered; no tick since
    house.kill(*(position for position in THREE if position != last))
    house.later(5.0)
    assert house.chains() == {last: (last,)}


@pytest.mark.parametrize("dead", THREE)
def test_a_node_that_comes_back_joins_as_the_tail_and_has_everything(house, dead):
    house.kill(dead)
    house.run()
    rest = tuple(position for position in THREE if position != dead)
    for _ in range(50):
        house.say(rest[0])
    house.run()
    house.start(dead)
    house.later(2.0)
    assert house.chains() == dict.fromkeys(THREE, (*rest, dead))
    assert house.log(dead) == house.log(rest[0])
    assert house[dead].state.image() == house[rest[0]].state.image()
    results = house.say(dead)
    house.run()
    assert len(results) == 1


def test_a_learner_that_comes_while_others_talk_keeps_up_and_joins(house):
    house.kill("tail")
    house.run()
    house.start("tail")
    results = []
    for _ in range(40):
        results += [house.say("head"), house.say("middle")]
        house.later(0.1)
    assert house.chains() == dict.fromkeys(THREE, THREE)
    house.run()
    assert all(len(result) == 1 for result in results)
    assert house.log("tail") == house.log("head")


def test_every_member_shows_how_far_a_learner_has_come(house):
    house.kill("tail")
    house.run()
    house.start("tail")
    house.kept = lambda sender, to, message: isinstance(message, Copied)
    house.later(0.3)
    for position in ("head", "middle"):
        [note] = [n for n in house[position].view().notes if n.startswith("tail: ")]
        assert note.startswith("tail: copied 0 entries (0.0 MB, 0.0 MB/s) from middle, ")
    house.let_go()
    house.later(1.0)
    assert not any("copied" in note for note in house["head"].view().notes)


def test_an_empty_disk_gets_the_whole_log(house):
    house.kill("middle")
    for _ in range(20):
        house.say("head")
    house.run()
    del house.disks["middle"]
    house.disks["middle"] = MemoryStorage()
    begin_life(house.disks["middle"], lambda: "id-empty")
    house.start("middle")
    house.later(2.0)
    assert house.chains() == dict.fromkeys(THREE, ("head", "tail", "middle"))
    assert house.log("middle") == house.log("head")


def test_what_a_node_had_that_the_chain_has_not_is_cut_off_and_kept(house, logged):
    house.slow = {("head", "middle")}
    results = house.say("head")
    house.clock.advance(0)
    assert house.disks["head"].last.seq == 2
    house.kill("head")
    house.slow.clear()
    house.run()
    house.say("middle")
    house.run()
    house.start("head")
    house.later(2.0)
    assert results == []
    assert [entry.seq for entry in house.disks["head"].cuts] == [2]
    told = "head: 1 entries after 1 are not in the chain's log; they are now in "
    assert [level for level, text in logged if text.startswith(told)] == [LogLevel.warn]
    assert house.log("head") == house.log("middle")


def test_nothing_that_was_committed_is_cut_off_whatever_a_forced_chain_says(house):
    old = deepcopy(house.disks["tail"])
    house.say("head")
    house.later(0.2)  # by now it is noted as committed
    house.kill(*THREE)
    house.disks["tail"] = old
    record = begin_life(old, lambda: "")
    forced = forced_alone(record, house.member("tail", record), 1_000, ("head", "middle"))
    old.write_membership(msgpack.encode(forced))
    house.start("tail")
    house.later(2 * SUSPECT_AFTER)
    house.say("tail")
    house.run()
    assert house.chains() == {"tail": ("tail",)}
    before = house.log("head")
    for _ in range(2):  # the data stays as it is, and so does the refusal
        house.start("head")
        with pytest.raises(DivergenceError, match="entries up to 2 were committed here, but the "):
            house.later(1.0)
        assert house.log("head") == before
        house.kill("head")


def test_a_restarted_chain_has_everything(house):
    for position in THREE:
        house.say(position)
    house.run()
    before = house.log("head")
    house.kill(*reversed(THREE))  # the head is the last, and alone; all it has is committed
    house.start(*THREE)
    house.later(2.0)
    assert len(house.chains()) == 3
    assert house.log("tail")[: len(before)] == before
    assert house.log("tail") == house.log("head")


def test_who_waits_to_be_taken_back_shows_what_was_confirmed(house):
    house.say("head")
    house.later(0.2)  # by now it is noted as committed
    before = house["tail"].view().committed
    house.kill(*THREE)
    house.start("tail")
    view = house["tail"].view()
    assert view.committed == before > 0
    assert not [note for note in view.notes if "in flight" in note]


# --- left out ----------------------------------------------------------------------------


@pytest.mark.parametrize(("silent", "here"), [("tail", "head"), ("head", "middle")])
def test_writes_stood_still_since_nothing_that_was_said_came_any_further(
    house, logged, silent, here
):
    node = house.nodes.pop(silent)
    results = house.say(here)
    house.later(2 * SUSPECT_AFTER)
    assert len(results) == 1
    [told] = [text for _, text in logged if text.startswith(f"{here}: ") and "stood still" in text]
    seconds = float(told.rpartition(" for ")[2].removesuffix(" s"))
    assert seconds == pytest.approx(SUSPECT_AFTER, abs=0.21)
    node.stop()


@pytest.mark.parametrize("paused", THREE)
def test_a_node_that_the_chain_goes_on_without_begins_a_new_life(house, paused):
    node = house.nodes.pop(paused)  # it does not hear, nor is it heard; its clock stands still
    house.later(2 * SUSPECT_AFTER)
    rest = tuple(position for position in THREE if position != paused)
    assert house.chains() == dict.fromkeys(rest, rest)
    house.nodes[paused] = node
    house.later(0.1)
    assert house.excluded == [paused]
    assert not node.running
    house.later(2.0)
    assert house[paused].me.incarnation == 2
    assert house.chains() == dict.fromkeys(THREE, (*rest, paused))


@pytest.mark.parametrize("dead", THREE)
def test_a_learner_that_was_killed_comes_again(house, dead):
    rest = tuple(position for position in THREE if position != dead)
    house.kill(dead)
    for _ in range(20):
        house.say(rest[0])
    house.run()
    house.start(dead)
    house.run(1)
    house.kill(dead)
    house.later(0.5)
    assert house.chains() == dict.fromkeys(rest, rest)
    house.start(dead)
    house.later(2.0)
    assert house.chains() == dict.fromkeys(THREE, (*rest, dead))
    assert house.log(dead) == house.log(rest[0])
