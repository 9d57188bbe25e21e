"""Membership: older disks, logs of different length, and other chains (rules 9, 11 and 12)."""

import pytest
from membership_house import (
    THREE,
    OwnLog,
    active,
    configuration,
    founded,
    is_back,
    life,
    member,
    of_kind,
    propose,
    reach,
    vote_for,
    wedged,
)
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Save, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.membership import Copy, Membership
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import Decided, Newest, Pong, Propose, Voted
from chainchat.chain.record import Record, Status

TWO = ("head", "tail")


# --- older disks -------------------------------------------------------------------------


def test_a_member_without_its_vote_was_set_back_and_takes_no_part():
    node = wedged("tail", *TWO)
    decided = configuration(4, *TWO)
    [report] = node.receive("head", Decided(decided), 0.0)
    assert report.text.startswith("ALARM: epoch 4 (head -> tail) has a vote of this node that is")
    assert (node.set_back, node.configuration.epoch) == (True, 1)
    vote = vote_for(configuration(2, *TWO, tail=2), member("head"))
    assert propose(node, vote) == []
    left_out = configuration(5, "head")
    list(node.receive("head", Decided(left_out), 0.1))
    assert (node.set_back, node.status) == (False, Status.LEARNER)


def test_an_only_member_that_was_set_back_does_not_go_on_alone():
    node = wedged("tail", "tail")
    list(node.tick(0.0))
    list(node.receive("head", Decided(configuration(4, *TWO)), 0.1))
    list(node.tick(5.0))
    assert not node.active
    assert node.configuration.epoch == 1


@pytest.mark.parametrize(
    ("held", "decided", "position"),
    [
        (configuration(1, "head"), configuration(2, *TWO), "tail"),  # a learner that joined
        (configuration(1, *THREE), configuration(2, *TWO), "head"),  # whose proposal was completed
        (Configuration(), configuration(1, *TWO), "tail"),  # nothing could be missing yet
    ],
)
def test_who_needed_no_vote_was_not_set_back(held, decided, position):
    me = member(position, 2)
    node = life(me, Record(me.id, 2, THREE, held))
    list(node.receive("middle", Decided(decided), 0.0))
    assert not node.set_back
    assert node.configuration == decided


def test_who_has_voted_for_it_was_not_set_back():
    decided = configuration(2, *TWO)
    node = wedged("tail", vote=vote_for(decided, member("head")))
    list(node.receive("head", Decided(decided), 0.0))
    assert node.configuration == decided


def older_pong(node, sender, nonce, held, *, voted=0, answers=None):
    answers = answers or node.me.life
    pong = Pong(
        member(sender, 2), nonce, held, False, EntryId(), False, answers=answers, voted=voted
    )
    return of_kind(node.receive(sender, pong, 0.0), Tell)


def test_the_others_give_an_alarm_of_a_disk_that_was_set_back():
    node = active("head", *TWO, epoch=4)
    [report] = older_pong(node, "tail", 5, configuration(2, *TWO))
    assert report.text.startswith("ALARM: tail was set back to an older disk")
    assert (
        older_pong(active("head", *TWO, epoch=4), "tail", 5, configuration(3, *TWO), voted=4) == []
    )


def test_what_was_said_before_the_decision_is_no_alarm():
    node = active("head", *TWO, epoch=4)
    list(node.tick(0.0))
    asked = node.evidence.newest_nonce
    node.record = replace(node.record, vote=vote_for(configuration(5, *TWO), member("head")))
    list(node.receive("middle", Decided(configuration(5, *TWO)), 0.0))
    assert older_pong(node, "tail", asked, configuration(4, *TWO)) == []
    earlier = (node.me.id, 0)
    assert older_pong(node, "tail", asked + 9, configuration(4, *TWO), answers=earlier) == []
    assert older_pong(node, "tail", asked + 9, configuration(4, *TWO)) != []


# --- logs of different length ------------------------------------------------------------


def test_the_proposer_first_copies_a_longer_log():
    node = wedged("head", *TWO)
    node.own_log.last = EntryId(1, 7)
    [proposal] = of_kind(is_back(node, member("tail", 2)), Propose)
    voted = Voted(member("tail", 2), proposal.vote, EntryId(1, 9))
    report, copy = node.receive("tail", voted, 0.1)
    assert report == Tell(
        "the log of tail ends with entry 9 of epoch 1 (), this one with entry 7 of epoch 1 (): "
        "copying first",
        alarm=True,
    )
    assert copy == Copy("tail")
    assert node.configuration.epoch == 1
    assert not node.lends_for_resume  # its own log has not what the others lack, either
    node.own_log.last = EntryId(1, 9)
    assert node.lends_for_resume
    assert of_kind(node.receive("tail", voted, 0.2), Save)[0].record.configuration.epoch == 2


def test_a_log_of_a_later_epoch_is_longer_whatever_its_length():
    node = wedged("head", *TWO)
    node.own_log.last = EntryId(1, 7)
    [proposal] = of_kind(is_back(node, member("tail", 2)), Propose)
    voted = Voted(member("tail", 2), proposal.vote, EntryId(2, 6))
    assert of_kind(node.receive("tail", voted, 0.1), Copy) == [Copy("tail")]


def test_the_chain_is_not_resumed_before_everybody_holds_the_longest_log():
    node = wedged("head", *TWO)
    node.own_log.last = EntryId(1, 7)
    [proposal] = of_kind(is_back(node, member("tail", 2)), Propose)
    assert proposal.last == EntryId(1, 7)
    voted = Voted(member("tail", 2), proposal.vote, EntryId(1, 6))
    assert list(node.receive("tail", voted, 0.1)) == []
    assert not node.active
    assert node.resuming
    list(node.receive("tail", replace(voted, last=EntryId(1, 7)), 0.2))
    assert node.active
    assert not node.resuming


def test_a_vote_counts_no_more_when_somebody_turns_out_to_hold_more():
    node = wedged("head", *THREE)
    for position in ("middle", "tail"):
        is_back(node, member(position, 2))
    [proposal, _] = of_kind(node.tick(0.05), Propose)
    vote = proposal.vote
    list(node.receive("tail", Voted(member("tail", 2), vote, EntryId()), 0.1))
    list(node.receive("middle", Voted(member("middle", 2), vote, EntryId(1, 5)), 0.1))
    node.own_log.last = EntryId(1, 5)
    list(node.receive("middle", Voted(member("middle", 2), vote, EntryId(1, 5)), 0.2))
    assert not node.active
    list(node.receive("tail", Voted(member("tail", 2), vote, EntryId()), 0.25))
    list(node.receive("tail", Voted(member("tail", 2), vote, EntryId(1, 4)), 0.25))
    assert not node.active  # it still lacks what was copied since
    list(node.receive("tail", Voted(member("tail", 2), vote, EntryId(1, 5)), 0.3))
    assert node.active


MINE, THEIRS = EntryId(1, 7, b"mine"), EntryId(1, 7, b"theirs")
APART = (
    "ALARM: {} has another history than this node: its log has entry 7 of epoch 1 (74686569), "
    "this one ends with entry 7 of epoch 1 (6d696e65) and has entry 7 of epoch 1 (6d696e65). "
    "They cannot be in one chain"
)


def test_the_vote_of_one_with_another_history_does_not_count():
    node = wedged("head", *TWO)
    node.own_log.last = MINE
    [proposal] = of_kind(is_back(node, member("tail", 2)), Propose)
    voted = Voted(member("tail", 2), proposal.vote, THEIRS)
    for now, said in ((0.1, [Tell(APART.format("tail"), alarm=True)]), (0.2, [])):
        assert list(node.receive("tail", voted, now)) == said
    assert not node.active
    list(node.receive("tail", replace(voted, last=MINE), 0.3))
    assert node.active


def test_nobody_votes_for_one_with_another_history():
    node = wedged("tail", *TWO)
    node.own_log.last = MINE
    resumed = configuration(2, *TWO, head=2, tail=2)
    vote = vote_for(resumed, member("head", 2))
    reach(node, member("head", 2))
    apart = Propose(node.configuration, vote, THEIRS)
    said = list(node.receive("head", apart, 0.1))
    assert said == [Tell(APART.format("head"), alarm=True)]
    assert node.record.vote is None
    assert of_kind(node.receive("head", replace(apart, last=MINE), 0.2), Voted) != []


def test_nobody_votes_for_one_whose_log_ends_before_its_own_begins():
    node = wedged("tail", *TWO)
    node.own_log.last, node.own_log.beginning = EntryId(1, 9), EntryId(1, 7)
    vote = vote_for(configuration(2, *TWO, head=2, tail=2), member("head", 2))
    reach(node, member("head", 2))
    early = Propose(node.configuration, vote, EntryId(1, 6))
    [told] = node.receive("head", early, 0.1)
    assert told.alarm
    assert "ends with entry 6 of epoch 1 (), before this one begins" in told.text
    assert node.record.vote is None
    assert of_kind(node.receive("head", replace(early, last=EntryId(1, 7)), 0.2), Voted) != []


def test_what_is_committed_before_the_beginning_of_a_log_is_no_other_history():
    node = active("head", *TWO)
    node.own_log.last = node.own_log.committed = EntryId(1, 9)
    node.own_log.beginning = EntryId(1, 7)
    for committed, alarms in ((EntryId(1, 6, b"any"), 0), (EntryId(1, 8, b"another"), 1)):
        held = Newest(1, node.configuration.identity, committed)
        told = node.linked("tail", member("tail"), 0.1, held)
        assert sum("two histories" in report.text for report in of_kind(told, Tell)) == alarms


def test_who_finds_that_it_cannot_copy_from_a_member_says_so_once():
    node = wedged("tail", *TWO)
    node.own_log.last = MINE
    said = [list(node.apart("head", THEIRS)) for _ in range(2)]
    assert said == [[Tell(APART.format("head"), alarm=True)], []]


# --- the identity of a configuration -------------------------------------------------------


def test_each_proposal_has_an_identity_of_its_own_and_keeps_it():
    numbers = iter(range(1, 100))
    me = member("head", 2)
    record = Record(me.id, 2, THREE, configuration(1, *TWO))
    settings = ChainSettings(THREE, suspect_after=1.0)
    node = Membership(me, record, settings, OwnLog(), new_identity=lambda: next(numbers))
    [first] = of_kind(is_back(node, member("tail", 2)), Propose)
    [again] = of_kind(node.tick(0.1), Propose)
    assert first.vote == again.vote
    assert first.vote.configuration.identity == 1
    [other] = of_kind(is_back(node, member("tail", 3), 0.2), Propose)
    assert other.vote.configuration.identity == 2


def test_a_vote_is_for_one_identity():
    node = wedged("tail", *TWO)
    resumed = replace(configuration(2, *TWO, head=2, tail=2), identity=5)
    base = replace(node.configuration, identity=3)
    vote = vote_for(resumed, member("head", 2))
    reach(node, member("head", 2))
    assert of_kind(node.receive("head", Propose(base, vote), 0.1), Voted) == []
    [voted] = of_kind(node.receive("head", Propose(node.configuration, vote), 0.2), Voted)
    assert voted.vote.configuration.identity == 5


def test_a_voter_with_a_shorter_log_copies_and_votes_again():
    node = wedged("tail", *TWO)
    reach(node, member("head", 2))
    node.own_log.last = EntryId(1, 6)
    vote = vote_for(configuration(2, *TWO, head=2, tail=2), member("head", 2))
    proposal = Propose(node.configuration, vote, EntryId(1, 7))
    effects = list(node.receive("head", proposal, 0.0))
    assert of_kind(effects, Copy) == [Copy("head")]
    assert of_kind(effects, Voted)[0].last == EntryId(1, 6)
    node.own_log.last = EntryId(1, 7)
    effects = list(node.receive("head", proposal, 0.1))
    assert of_kind(effects, Copy) == []
    assert of_kind(effects, Voted)[0].last == EntryId(1, 7)


def test_a_voter_copies_from_its_predecessor_whoever_proposes():
    node = active("tail")
    reach(node, member("head", 2))
    vote = vote_for(configuration(2, *THREE, head=2), member("head", 2))
    proposal = Propose(node.configuration, vote, EntryId(1, 7))
    for now in (0.0, 0.1):
        effects = list(node.receive("head", proposal, now))
        assert of_kind(effects, Copy) == [Copy("middle")]


def test_what_a_head_goes_on_to_write_does_not_keep_the_chain_from_being_resumed():
    node = active("head")
    node.own_log.last = EntryId(1, 7)
    is_back(node, member("middle", 2))
    proposal, _ = of_kind(is_back(node, member("tail", 2)), Propose)
    node.own_log.last = EntryId(1, 9)  # nobody else can have heard of these
    for position in ("middle", "tail"):
        voted = Voted(member(position, 2), proposal.vote, EntryId(1, 7))
        list(node.receive(position, voted, 0.1))
    assert node.configuration.epoch == 2


def test_a_chain_whose_head_lost_the_end_of_its_log_is_resumed_with_the_longest():
    house = founded()
    house.stop(*THREE)
    house.start("head", last=EntryId(1, 3))
    house.start("middle", last=EntryId(1, 9))
    house.start("tail", last=EntryId(1, 7))
    house.run()
    assert house["head"].own_log.last == EntryId(1, 9)
    assert house.chains() == dict.fromkeys(THREE, THREE)
