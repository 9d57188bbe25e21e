"""Membership: founding, resuming, and that no two configurations of one epoch can be decided.

Lives of nodes are joined by ``Wires``, which carries out their effects and delivers their messages.
"""

from collections import deque

import pytest

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.membership import Membership, Record, Report, Save, Status
from chainchat.chain.messages import (
    Abort,
    Decided,
    EntryId,
    Ping,
    Pong,
    Propose,
    Vote,
    Voted,
)
from chainchat.chain.replica import Send

SUSPECT_AFTER = 1.0
THREE = ("head", "middle", "tail")


def member(position, incarnation=1, node_id=None):
    return Member(position, node_id or f"id-{position}", incarnation)


def configuration(epoch, *positions, **incarnations):
    return Configuration(epoch, tuple(member(p, incarnations.get(p, 1)) for p in positions))


def life(me, record=None, founding=THREE):
    record = record or Record(me.id, me.incarnation)
    return Membership(me, record, founding, suspect_after=SUSPECT_AFTER)


class Wires:
    """Some nodes, their disks and a network that may lose what a test wants lost."""

    def __init__(self, *founding):
        self.founding = founding
        self.now = 100.0
        self.lives = {}
        self.disks = {}
        self.wire = deque()
        self.lost = lambda sender, to, message: False
        self.reports = []

    def __getitem__(self, position):
        return self.lives[position]

    def start(self, *positions, last=None):
        """The next life of each, on its disk."""
        for position in positions:
            old = self.disks.get(position)
            me = member(position, old.incarnation + 1 if old else 1)
            record = Record(me.id, me.incarnation)
            if old is not None:
                record = Record(me.id, me.incarnation, old.founding, old.configuration, old.vote)
            self.disks[position] = record
            self.lives[position] = life(me, record, self.founding)
            self.lives[position].last = last or EntryId()

    def stop(self, *positions):
        for position in positions:
            del self.lives[position]

    def carry_out(self, position, effects):
        for effect in effects:
            match effect:
                case Save():
                    self.disks[position] = effect.record
                case Report():
                    self.reports.append(f"{position}: {effect.text}")
                case Send():
                    self.wire.append((position, effect.to, effect.message))

    def run(self, seconds=0.3):
        """Ticks, and all that follows from them."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            for position, node in self.lives.items():
                self.carry_out(position, node.tick(self.now))
            while self.wire:
                sender, to, message = self.wire.popleft()
                if to in self.lives and not self.lost(sender, to, message):
                    self.carry_out(to, self.lives[to].receive(sender, message, self.now))

    def epochs(self):
        return {position: node.configuration.epoch for position, node in self.lives.items()}

    def statuses(self):
        return {node.status for node in self.lives.values()}


def founded(*positions):
    wires = Wires(*positions)
    wires.start(*positions)
    wires.run()
    assert wires.statuses() == {Status.ACTIVE}
    return wires


@pytest.fixture
def three():
    return founded(*THREE)


# --- founding ----------------------------------------------------------------------------


@pytest.mark.parametrize("positions", [THREE[:1], THREE[:2], THREE])
def test_a_chain_is_founded_in_the_order_of_its_positions(positions):
    wires = founded(*positions)
    expected = configuration(1, *positions)
    assert [node.configuration for node in wires.lives.values()] == [expected] * len(positions)
    assert all(node.active for node in wires.lives.values())
    assert all(record.founding == positions for record in wires.disks.values())


def test_the_founding_waits_until_all_are_there():
    wires = Wires(*THREE)
    wires.start("head", "tail")
    wires.run(5.0)
    assert wires.statuses() == {Status.FOUNDING}
    assert wires["head"].silent(wires.now) == ("middle",)
    wires.start("middle")
    wires.run()
    assert wires.statuses() == {Status.ACTIVE}
    assert wires["head"].silent(wires.now) == ()


def test_one_who_was_there_and_fell_silent_is_waited_for_again():
    wires = Wires(*THREE)
    wires.start("head", "middle")
    wires.run()
    wires.stop("middle")
    wires.start("tail")
    wires.run(2 * SUSPECT_AFTER)
    assert wires.epochs() == {"head": 0, "tail": 0}
    assert wires["tail"].silent(wires.now) == ("middle",)


def test_founders_may_restart_before_it_is_done():
    wires = Wires(*THREE)
    wires.start("head", "middle")
    wires.run()
    wires.start("head", "middle")
    wires.start("tail")
    wires.run()
    assert wires["tail"].configuration == configuration(1, *THREE, head=2, middle=2)


def test_a_node_whose_chain_ini_has_another_order_does_not_vote():
    node = life(member("middle"), founding=("middle", "head", "tail"))
    vote = Vote(configuration(1, *THREE), member("head"), (1, 1))
    [report] = node.receive("head", Propose(Configuration(), vote), 0.0)
    assert report == Report(
        "no vote for epoch 1 (head -> middle -> tail): "
        "its order is head middle tail, here it is middle head tail"
    )


# --- resuming ----------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [("head",), ("middle",), ("tail",), ("head", "tail"), THREE])
def test_a_chain_is_resumed_when_all_are_back(three, restarted):
    three.stop(*restarted)
    three.run(2 * SUSPECT_AFTER)
    three.start(*restarted)
    assert {three[position].status for position in restarted} == {Status.WEDGED}
    three.run()
    assert three.statuses() == {Status.ACTIVE}
    expected = configuration(2, *THREE, **dict.fromkeys(restarted, 2))
    assert [node.configuration for node in three.lives.values()] == [expected] * 3
    assert three.reports[-3] == "head: resumed: epoch 2 (head -> middle -> tail)"


def test_a_chain_is_not_resumed_while_one_is_away(three):
    three.stop(*THREE)
    three.start("head", "tail")
    three.run(5.0)
    assert three.statuses() == {Status.WEDGED}
    assert three.epochs() == {"head": 1, "tail": 1}


def test_the_only_member_resumes_alone():
    alone = founded("head")
    alone.start("head")
    assert alone["head"].status is Status.WEDGED
    alone.run(0.1)
    assert alone["head"].configuration == configuration(2, "head", head=2)
    assert alone["head"].active


def test_nothing_changes_while_nobody_restarts(three):
    records = dict(three.disks)
    three.run(10.0)
    assert three.disks == records
    assert not three.wire


def test_a_log_that_ends_beyond_the_heads_is_not_resumed(three):
    three.start("head", "middle")
    three.start("tail", last=EntryId(epoch=1, seq=9))
    three.run(1.0)
    assert three["head"].status is Status.WEDGED
    assert [report for report in three.reports if "holds entry" in report] == [
        "head: tail holds entry 9 of epoch 1, beyond this log's end (0 of epoch 0): not resuming"
    ]


# --- votes -------------------------------------------------------------------------------


@pytest.fixture
def voter():
    """A member of epoch 1 in its second life."""
    me = member("middle", 2)
    return life(me, Record(me.id, 2, THREE, configuration(1, *THREE), None))


def vote_of(counter=1, *, incarnation=1, proposer=None, **incarnations):
    proposed = configuration(2, *THREE, **{"middle": 2, **incarnations})
    return Vote(proposed, proposer or member("head", incarnation), (incarnation, counter))


def propose(node, vote, sender="head", base=None):
    return list(node.receive(sender, Propose(base or configuration(1, *THREE), vote), 0.0))


def test_a_vote_is_on_disk_before_it_is_sent(voter):
    voter.last = EntryId(1, 7)
    save, send = propose(voter, vote_of())
    assert isinstance(save, Save)
    assert save.record.vote == vote_of()
    assert save.record.configuration == configuration(1, *THREE)
    assert send == Send("head", Voted(voter.me, vote_of(), EntryId(1, 7)))


def test_a_vote_given_is_given_again_without_writing(voter):
    propose(voter, vote_of())
    [send] = propose(voter, vote_of())
    assert isinstance(send.message, Voted)


def test_a_node_has_one_vote(voter):
    propose(voter, vote_of())
    other = vote_of(9, incarnation=9, proposer=member("tail", 9))
    assert propose(voter, other, "tail") == []
    assert voter.record.vote == vote_of()


def test_a_higher_ballot_of_the_same_proposer_replaces_the_vote_and_a_lower_does_not(voter):
    propose(voter, vote_of(2))
    assert propose(voter, vote_of(1)) == []
    save, _ = propose(voter, vote_of(1, incarnation=2, head=2))
    assert save.record.vote.ballot == (2, 1)


def test_a_vote_outlives_a_restart(voter):
    propose(voter, vote_of())
    held = voter.record
    again = life(member("middle", 3), Record(held.id, 3, THREE, held.configuration, held.vote))
    other = vote_of(5, incarnation=5, proposer=member("tail", 5), middle=3)
    assert propose(again, other, "tail") == []
    assert again.record.vote == vote_of()


def test_a_node_that_holds_a_vote_is_not_active_until_it_is_told(three):
    three.stop("tail")
    three.start("tail")
    three.lost = lambda sender, to, message: isinstance(message, Decided | Pong) and to == "middle"
    three.run()
    assert three["middle"].record.vote is not None
    assert three["middle"].status is Status.ACTIVE
    assert not three["middle"].active
    three.lost = lambda sender, to, message: isinstance(message, Pong)
    three.run()
    assert three["middle"].active
    assert three["middle"].configuration == configuration(2, *THREE, tail=2)


def test_nothing_is_decided_without_every_vote(three):
    three.start("tail")
    three.lost = lambda sender, to, message: isinstance(message, Voted) and sender == "middle"
    three.run(3.0)
    assert set(three.epochs().values()) == {1}
    three.lost = lambda sender, to, message: False
    three.run(0.1)
    assert set(three.epochs().values()) == {2}


def test_the_decision_is_on_disk_before_anybody_hears_of_it():
    node = life(member("head"), founding=("head", "tail"))
    pong = Pong(member("tail"), 1, Configuration(), None, EntryId(), 0)
    [proposed] = node.receive("tail", pong, 0.0)
    voted = Voted(member("tail"), proposed.message.vote, EntryId())
    save, report, send = node.receive("tail", voted, 0.0)
    decided = configuration(1, "head", "tail")
    assert (save.record.configuration, save.record.vote) == (decided, None)
    assert save.record.founding == ("head", "tail")
    assert report == Report("founded: epoch 1 (head -> tail)")
    assert send == Send("tail", Decided(decided))


def test_a_vote_of_another_life_does_not_count():
    node = life(member("head"), founding=("head", "tail"))
    pong = Pong(member("tail"), 1, Configuration(), None, EntryId(), 0)
    [proposed] = node.receive("tail", pong, 0.0)
    late = Voted(member("tail", 7), proposed.message.vote, EntryId())
    assert list(node.receive("tail", late, 0.0)) == []
    assert node.status is Status.FOUNDING


def test_a_vote_for_what_was_given_up_is_aborted_and_the_voter_is_free(three):
    three.start("tail")
    three.lost = lambda sender, to, message: isinstance(message, Voted)
    three.run(0.1)
    three.run(0.2)
    three.stop("tail")
    three.run(2 * SUSPECT_AFTER)
    assert three["middle"].record.vote is not None
    three.lost = lambda sender, to, message: False
    three.run(0.1)
    assert three["middle"].record.vote is None
    assert three.disks["middle"].vote is None
    assert three["middle"].active


def test_a_restarted_proposer_aborts_what_its_earlier_life_proposed():
    node = life(member("head", 2), Record("id-head", 2, THREE, configuration(1, *THREE)))
    vote = vote_of()
    voted = Voted(member("middle", 2), vote, EntryId())
    assert list(node.receive("middle", voted, 0.0)) == [Send("middle", Abort(vote))]


def test_an_abort_of_another_vote_changes_nothing(voter):
    propose(voter, vote_of(2))
    assert list(voter.receive("head", Abort(vote_of(1)), 0.0)) == []
    assert voter.record.vote == vote_of(2)


# --- whom not to vote for ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("vote", "why"),
    [
        (vote_of(middle=1), "it lists another life of this node"),
        (vote_of(middle=3), "it lists another life of this node"),
        (
            Vote(configuration(3, *THREE, middle=2), member("head"), (1, 1)),
            "it is not the next epoch",
        ),
        (
            Vote(configuration(2, "head", "middle", middle=2), member("head"), (1, 1)),
            "its order is head middle, here it is head middle tail",
        ),
        (
            Vote(
                Configuration(
                    2, (member("head", 2, "id-new"), member("middle", 2), member("tail"))
                ),
                member("head", 2, "id-new"),
                (2, 1),
            ),
            "head has another disk",
        ),
        (vote_of(tail=0), "tail has gone back to an older life; was a backup restored?"),
    ],
)
def test_what_is_wrong_is_not_voted_for_and_the_operator_is_told_once(voter, vote, why):
    expected = Report(f"no vote for {vote.configuration}: {why}")
    assert [propose(voter, vote), propose(voter, vote)] == [[expected], []]
    assert voter.record.vote is None


def test_a_proposal_on_another_base_is_not_voted_for(voter):
    assert propose(voter, vote_of(), base=configuration(1, "head", "middle")) == []
    assert propose(voter, vote_of(), base=configuration(7, *THREE)) == []


def test_a_proposer_that_is_behind_is_told_of_the_newer_configuration(voter):
    decided = Decided(configuration(1, *THREE))
    assert propose(voter, vote_of(), base=Configuration()) == [Send("head", decided)]


def test_another_disk_at_a_members_position_is_not_taken_back(three):
    three.stop("tail")
    del three.disks["tail"]
    me = member("tail", 5, "id-new")
    three.lives["tail"] = life(me, Record(me.id, 5))
    three.disks["tail"] = three["tail"].record
    three.start("middle")
    three.run(3.0)
    assert three["tail"].status is Status.LEARNER
    assert three["middle"].status is Status.WEDGED
    assert three["head"].configuration.epoch == 1


# --- learning ----------------------------------------------------------------------------


def test_an_empty_disk_that_meets_a_founded_chain_is_a_learner():
    node = life(member("head", 1, "id-empty"))
    held = configuration(4, *THREE)
    pong = Pong(member("tail"), 1, held, None, EntryId(), 0)
    save, report = node.receive("tail", pong, 0.0)
    assert save.record.configuration == held
    assert report.text == "learned: epoch 4 (head -> middle -> tail); this node is learner"
    assert (node.status, node.active) == (Status.LEARNER, False)
    assert all(isinstance(effect.message, Ping) for effect in node.tick(0.1))


def test_only_a_newer_configuration_is_learned(voter):
    for epoch in (0, 1):
        assert list(voter.receive("head", Decided(configuration(epoch, "head")), 0.0)) == []
    save, _ = voter.receive("head", Decided(configuration(2, "head")), 0.0)
    assert save.record.configuration == configuration(2, "head")


def test_what_is_learned_clears_the_vote(voter):
    propose(voter, vote_of())
    list(voter.receive("tail", Decided(vote_of().configuration), 0.0))
    assert voter.record.vote is None
    assert voter.active


def test_a_voter_that_missed_the_decision_is_told_when_it_votes_again():
    node = life(member("head", 2), Record("id-head", 2, THREE, configuration(2, *THREE, head=2)))
    voted = Voted(member("middle", 2), vote_of(), EntryId())
    decided = Decided(configuration(2, *THREE, head=2))
    assert list(node.receive("middle", voted, 0.0)) == [Send("middle", decided)]


def test_a_new_connection_is_asked_at_once():
    node = life(member("head"))
    assert list(node.linked("tail")) == [Send("tail", Ping(node.me, 1, 0))]
    [answer] = node.receive("tail", Ping(member("tail"), 8, 0), 0.0)
    assert answer == Send("tail", Pong(node.me, 8, Configuration(), None, EntryId(), 0))


def test_silence_begins_after_suspect_after():
    node = life(member("head"))
    list(node.receive("tail", Ping(member("tail"), 1, 0), 50.0))
    assert node.silent(50.0 + 0.99 * SUSPECT_AFTER) == ("middle",)
    assert node.silent(50.0 + SUSPECT_AFTER) == ("middle", "tail")
