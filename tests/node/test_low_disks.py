"""A member's disk is nearly full: no node takes anything new, and all else goes on."""

import pytest
from membership_house import active, member
from node_house import STOP, THREE, founded
from sessions_house import House

from chainchat.chain.entries import EntryId
from chainchat.chain.messages import Ping, Pong

FULL = "nearly full: nothing new is taken until there is room; what was said can be read"

# --- in a chain --------------------------------------------------------------------------


def low(house):
    return {position: node.readiness.low for position, node in house.nodes.items()}


@pytest.mark.parametrize("full", THREE)
def test_every_member_hears_of_the_disk_that_is_low_and_of_the_room_that_is_made(full):
    house = founded()
    house.free[full] = STOP - 1
    house.later(0.3)
    assert low(house) == dict.fromkeys(THREE, (full,))
    assert house["head"].view().notes[0] == f"the disk of {full} is {FULL}"
    assert house["head"].readiness.confirms
    house.free[full] = 2 * STOP
    house.later(0.3)
    assert low(house) == dict.fromkeys(THREE, ())


def test_a_chain_with_a_disk_that_is_low_confirms_what_is_on_its_way():
    house = founded()
    house.free["tail"] = 0
    house.later(0.3)
    assert house.say("head") == []
    house.run()
    assert house.committed() == dict.fromkeys(THREE, 2)


def test_two_disks_are_named_in_the_order_of_the_chain():
    house = founded()
    house.free["tail"] = house.free["head"] = 0
    house.later(0.3)
    assert low(house) == dict.fromkeys(THREE, ("head", "tail"))
    assert house["middle"].readiness.reason == f"the disks of head and tail are {FULL}"
    house.free["middle"] = 0
    house.later(0.3)
    assert house["middle"].readiness.reason == f"the disks of head, middle and tail are {FULL}"


def test_a_member_that_is_left_out_takes_its_low_disk_with_it():
    house = founded()
    house.free["middle"] = 0
    house.later(0.3)
    house.kill("middle")
    house.run()
    assert low(house) == {"head": (), "tail": ()}


def test_a_node_whose_disk_is_low_does_not_join_until_there_is_room():
    house = founded()
    house.kill("middle")
    house.run()
    house.free["middle"] = 0
    house.start("middle")
    house.later(3)
    assert house["head"].configuration.positions == ("head", "tail")
    assert low(house)["head"] == ()
    [progress] = [note for note in house["head"].view().notes if note.startswith("middle: ")]
    assert progress.endswith("; it does not join: its disk is nearly full")
    assert house["middle"].readiness.reason == (
        "this node is catching up with the chain (head, tail); it does not join: its disk is "
        "nearly full"
    )
    house.free["middle"] = 2 * STOP
    house.later(3)
    assert house["head"].configuration.positions == ("head", "tail", "middle")


def test_free_disk_is_shown_before_it_is_low():
    house = founded()
    house.free["head"] = 640_000_000
    house.later(0.3)
    assert house["head"].view().notes == ("free disk: 640 MB",)
    assert house["tail"].view().notes == ()
    assert low(house) == dict.fromkeys(THREE, ())


# --- whom a member believes --------------------------------------------------------------


def told(node, position, now, *, low=True, incarnation=1):
    """A life at ``position`` pings and answers."""
    other = member(position, incarnation)
    list(node.receive(position, Ping(other, 1, 1), now))
    pong = Pong(other, 1, node.configuration, True, EntryId(), False, low=low)
    list(node.receive(position, pong, now))


def test_what_was_told_is_old_when_its_teller_is_silent():
    node = active("head")
    told(node, "tail", 10.0)
    assert node.low(10.9) == ("tail",)
    assert node.low(11.1) == ()


def test_the_newest_word_counts():
    node = active("head")
    told(node, "tail", 10.0)
    told(node, "tail", 10.1, low=False)
    assert node.low(10.2) == ()


def test_only_members_count_and_of_them_the_lives_that_are_in_the_chain():
    node = active("head", "head", "tail")
    told(node, "middle", 10.0)
    told(node, "tail", 10.0, incarnation=2)
    assert node.low(10.0) == ()


# --- for its clients ---------------------------------------------------------------------


@pytest.fixture
def house():
    return House()


def fill(house):
    house.free = STOP - 1
    house.clock.advance(1)


def make_room(house):
    house.free = 2 * STOP
    house.clock.advance(1)


REASON = f"the disk of solo is {FULL}"


def test_a_person_is_told_and_refused_and_reads_on(house):
    alice = house.client("alice", "before")
    fill(house)
    assert alice.reads() == [f"* {REASON}"]
    assert alice.says("after", ">> alice: after") == [f"-ERR 453 {REASON}"] * 2
    assert [line.split(": ")[-1] for line in alice.says("/last")[1:]] == ["before", ". 1 message"]
    assert f"| {REASON}" in alice.says("/chain")
    make_room(house)
    alice.reads()
    assert alice.says("again")[0].startswith("+OK ")


def test_a_program_is_refused_in_order_and_no_number_is_consumed(house):
    bot = house.program("bot")
    bot.says("@0 SEND 1 * :one")
    fill(house)
    bot.reads()
    assert bot.says("@1 SEND 2 * :two", "@2 SEND 3 * :three", "@p PING") == [
        f"-ERR 453 @1 {REASON}",
        "-ERR 451 @2 not sent: SEND 2 has to come first",
        "+OK @p",
    ]
    make_room(house)
    bot.reads()
    replies = bot.says("@3 SEND 3 * :three", "@4 SEND 2 * :two", "@5 SEND 3 * :three")
    assert [reply.split(" id=")[0] for reply in replies] == [
        "-ERR 451 @3 not sent: SEND 2 has to come first",
        "+OK @4",
        "+OK @5",
    ]


def test_who_has_an_account_can_log_in_and_nobody_gets_a_new_one(house):
    house.client("alice", "/logout")
    fill(house)
    back, new = house.client("alice"), house.client()
    assert new.says("bob")[-1] == f"-ERR 453 no new account: {REASON}"
    assert back.says("/who") == ["| alice", ". 1 account"]
    make_room(house)
    assert any(line.startswith("+OK ") for line in new.says("bob"))


def test_who_comes_while_the_disk_is_low_is_told(house):
    fill(house)
    assert f"* {REASON}" in house.client().reads()
