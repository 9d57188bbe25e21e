"""Membership: who confirms whom, who is asked and who is silent (rule 1)."""

import pytest
from membership_house import (
    SUSPECT_AFTER,
    THREE,
    active,
    configuration,
    confirm,
    die,
    founded,
    hear,
    life,
    member,
    of_kind,
    propose,
    ticks,
    vote_for,
)
from msgspec.structs import replace

from chainchat.chain.effects import Distrust, Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.messages import (
    Abort,
    ClockReading,
    Decided,
    Newest,
    Ping,
    Pong,
    Propose,
    Voted,
)
from chainchat.chain.record import Record


def test_a_new_connection_is_asked_at_once():
    node = life(member("head"))
    ping = Ping(node.me, 1, 0, ClockReading(5.0))
    assert list(node.linked("tail", member("tail"), 5.0)) == [Send("tail", ping)]


def test_every_tick_asks_the_founders_the_members_and_whoever_has_called():
    node = active("head", founding=("head", "tail"))
    list(node.receive("newcomer", Ping(member("newcomer"), 1, 0), 0.0))
    assert [effect.to for effect in node.tick(0.1)] == ["tail", "middle", "newcomer"]


def confirms(node, asker, epoch=1, now=0.0):
    [answer] = node.receive(asker.position, Ping(asker, 8, epoch), now)
    assert answer.to == asker.position
    assert (answer.message.nonce, answer.message.member) == (8, node.me)
    return answer.message.confirms


def test_a_member_confirms_a_member():
    node = active("middle")
    node.own_log.last = EntryId(1, 7)
    pong = Pong(
        node.me,
        8,
        configuration(1, *THREE),
        True,
        EntryId(1, 7),
        False,
        answers=member("tail").life,
        clocks=ClockReading(5.0),
    )
    assert list(node.receive("tail", Ping(member("tail"), 8, 1), 5.0)) == [Send("tail", pong)]


def test_nobody_of_another_chain_is_confirmed():
    """Epoch and life are the same: neither tells that the pinger is of another chain."""
    node = active("middle")
    ping = Ping(member("tail"), 8, 1, identity=9)
    [answer] = node.receive("tail", ping, 0.0)
    assert not answer.message.confirms
    assert confirms(node, member("tail"))


MINE, THEIRS = EntryId(1, 7, b"mine"), EntryId(1, 7, b"theirs")


def compared(node, committed, configuration=None):
    node.own_log.last = node.own_log.committed = MINE
    there = configuration or node.configuration
    pong = Pong(member("tail"), 8, there, False, committed, False, committed=committed)
    return [
        effect
        for effect in node.receive("tail", pong, 0.0)
        if (isinstance(effect, Distrust) and "two histories" in effect.reason)
        or (isinstance(effect, Tell) and "two histories" in effect.text)
    ]


def test_two_members_that_know_different_entries_to_be_committed_part():
    [parted] = compared(active("middle"), THEIRS)
    assert isinstance(parted, Distrust)
    assert parted.sender == "tail"
    text = "ALARM: tail and this node have two histories: there, in epoch 1 "
    assert parted.reason.startswith(text)
    assert f", {THEIRS} was committed, and here, in epoch 1 " in parted.reason


def test_another_chains_history_is_an_alarm_and_no_reason_to_part():
    other = replace(configuration(1, "tail"), identity=9)
    [alarm] = compared(active("middle"), THEIRS, other)
    assert isinstance(alarm, Tell)
    assert alarm.alarm
    assert alarm.text.startswith("ALARM: ")


def greeted(node, its):
    node.own_log.last = node.own_log.committed = MINE
    alarms = of_kind(node.linked("tail", member("tail"), 0.0, its), Tell | Distrust)
    assert all(isinstance(alarm, Tell) and alarm.alarm for alarm in alarms)
    return [alarm.text for alarm in alarms]


def test_two_that_say_hello_with_different_histories_say_so_at_once():
    """The node asks for the first Pong at that moment, and acts on it."""
    [text] = greeted(active("middle"), Newest(1, 0, THEIRS))
    assert text == (
        f"ALARM: tail and this node have two histories: there, in epoch 1, {THEIRS} was committed, "
        f"and here, in epoch 1 (head -> middle -> tail), {MINE}"
    )


def test_two_that_say_hello_with_different_configurations_of_one_epoch_say_so_at_once():
    [text] = greeted(active("middle"), Newest(1, 9, EntryId(1, 6)))
    assert text == "ALARM: epoch 1 has two configurations: tail has another"


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("committed", [MINE, EntryId(1, 6), EntryId(), EntryId(1, 8, b"theirs")])
def test_nobody_is_suspected_who_says_hello_with_more_or_less_of_the_same(epoch, committed):
    assert greeted(active("middle"), Newest(epoch, 9 * epoch, committed)) == []


def test_a_node_says_hello_with_what_it_holds():
    node = active("middle", epoch=3)
    node.own_log.last, node.own_log.committed = THEIRS, MINE
    assert node.held == Newest(3, 0, MINE)


@pytest.mark.parametrize("committed", [MINE, EntryId(1, 6), EntryId(), EntryId(1, 8, b"theirs")])
def test_one_that_knows_less_or_more_to_be_committed_has_the_same_history(committed):
    assert compared(active("middle"), committed) == []


def test_histories_are_compared_once_on_each_link_and_in_each_configuration():
    node = active("middle", "middle", "tail")
    assert compared(node, MINE) == []
    assert compared(node, THEIRS) == []
    list(node.linked("tail", member("tail"), 0.1))
    assert compared(node, THEIRS) != []
    later = configuration(2, "middle", "tail")
    list(node.receive("tail", Decided(later), 0.2))
    assert compared(node, THEIRS) != []


def test_who_is_no_member_confirms_nobody():
    wedged = life(member("middle", 2), Record("id-middle", 2, THREE, configuration(1, *THREE)))
    learner = life(member("newcomer"), Record("id-newcomer", 1, THREE, configuration(1, *THREE)))
    assert not confirms(life(member("middle")), member("tail"), 0)
    assert not confirms(wedged, member("tail"))
    assert not confirms(learner, member("tail"))


def test_whom_a_newer_configuration_leaves_out_is_not_confirmed():
    node = active("middle", "middle", "tail", epoch=2)
    assert not confirms(node, member("head"), 1)
    assert confirms(node, member("tail"), 1)


def test_whom_a_member_has_tried_to_exclude_it_does_not_confirm_whatever_became_of_it():
    node = active("head")
    hear(node, "middle", 0.0)
    proposals = of_kind(die(node, "tail", 0.0), Propose)
    assert proposals[0].vote.configuration.positions == ("head", "middle")
    assert not confirms(node, member("tail"))
    assert confirms(node, member("middle"))


def test_whom_a_voter_has_voted_out_it_does_not_confirm():
    node = active("middle")
    die(node, "tail", 0.0)
    vote = vote_for(configuration(2, "head", "middle"), member("head"))
    assert of_kind(propose(node, vote), Voted)
    assert not confirms(node, member("tail"))
    list(node.receive("head", Abort(vote), 0.0))
    assert not confirms(node, member("tail"))


def test_who_is_in_a_newer_epoch_than_the_try_is_confirmed():
    node = active("head")
    die(node, "tail", 0.0)
    assert not confirms(node, member("tail"), 1)
    assert confirms(node, member("tail"), 2)


def test_a_confirmation_counts_only_for_a_member():
    wedged = life(member("head", 2), Record("id-head", 2, THREE, configuration(1, *THREE)))
    confirm(wedged, "tail", 0.0)
    assert not wedged.evidence.is_fresh(member("tail").life, 0.0)


def test_silence_begins_after_suspect_after():
    node = life(member("head"))
    list(node.receive("tail", Ping(member("tail"), 1, 0), 50.0))
    assert node.silent(50.0 + 0.99 * SUSPECT_AFTER) == ("middle",)
    assert node.silent(50.0 + SUSPECT_AFTER) == ("middle", "tail")


def test_nothing_changes_while_everybody_lives():
    house = founded()
    records = dict(house.disks)
    house.run(10.0)
    assert house.disks == records
    assert house.reports == [f"{p}: epoch 1 (head -> middle -> tail): founded" for p in THREE]


def test_a_new_configuration_forgets_who_was_tried():
    node = active("head")
    hear(node, "tail", 0.0)
    ticks(node, 0.0, 0.9)
    hear(node, "middle", 0.9)
    assert of_kind(node.tick(SUSPECT_AFTER), Propose)
    assert not confirms(node, member("tail"), now=SUSPECT_AFTER)
    list(node.receive("middle", Decided(configuration(2, *THREE, middle=2)), SUSPECT_AFTER))
    assert confirms(node, member("tail"), now=SUSPECT_AFTER)
