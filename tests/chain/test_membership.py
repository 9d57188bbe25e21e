"""Membership: founding, pings, votes and learning of decisions; see also ``test_membership_*``."""

import pytest
from membership_house import (
    SUSPECT_AFTER,
    THREE,
    House,
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
    reach,
    ticks,
    vote_for,
)

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Excluded, Save, Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.messages import Abort, ClockReading, Decided, Ping, Pong, Propose, Voted
from chainchat.chain.record import Record, Status

# --- founding (rule 0) -------------------------------------------------------------------


@pytest.mark.parametrize("positions", [THREE[:1], THREE[:2], THREE])
def test_a_chain_is_founded_in_the_order_of_its_positions(positions):
    house = founded(*positions)
    expected = configuration(1, *positions, why="founded")
    assert [node.configuration for node in house.lives.values()] == [expected] * len(positions)
    assert all(node.active for node in house.lives.values())
    assert all(record.founding == positions for record in house.disks.values())
    assert all(record.vote is None for record in house.disks.values())


def test_the_founding_waits_until_all_are_there():
    house = House(*THREE)
    house.start("head", "tail")
    house.run(5.0)
    assert house.statuses() == {Status.FOUNDING}
    assert house["head"].silent(house.now) == ("middle",)
    house.start("middle")
    house.run()
    assert house.statuses() == {Status.ACTIVE}
    assert house["head"].silent(house.now) == ()


def test_one_who_was_there_and_fell_silent_is_waited_for_again():
    house = House(*THREE)
    house.start("head", "middle")
    house.run()
    house.stop("middle")
    house.start("tail")
    house.run(2 * SUSPECT_AFTER)
    assert house.epochs() == {"head": 0, "tail": 0}
    assert house["tail"].silent(house.now) == ("middle",)


def test_founders_may_restart_before_it_is_done():
    house = House(*THREE)
    house.start("head", "middle")
    house.run()
    house.stop("head", "middle")
    house.start("head", "middle", "tail")
    house.run()
    assert house["tail"].configuration == configuration(1, *THREE, why="founded", head=2, middle=2)


def test_the_founding_order_stays_what_it_was_whatever_chain_ini_says_later():
    held = configuration(3, *THREE)
    again = life(member("head", 2), Record("id-head", 2, THREE, held), ("tail", "head", "middle"))
    assert again.founding == THREE


def test_a_node_whose_chain_ini_has_another_order_does_not_vote():
    node = life(member("middle"), founding=("middle", "head", "tail"))
    vote = vote_for(configuration(1, *THREE), member("head"))
    assert propose(node, vote) == [
        Tell(
            "no vote for epoch 1 (head -> middle -> tail): "
            "the founding order here is middle head tail",
            alarm=True,
        )
    ]


def test_an_empty_disk_that_meets_a_founded_chain_is_a_learner():
    node = life(member("head", 1, "id-empty"))
    held = configuration(4, *THREE, why="founded")
    pong = Pong(member("tail"), 1, held, False, EntryId(), False)
    save, report, *pings = node.receive("tail", pong, 0.0)
    assert save.record.configuration == held
    assert report == Tell("epoch 4 (head -> middle -> tail): founded")
    assert [(ping.to, ping.message.epoch) for ping in pings] == [(p, 4) for p in THREE]
    assert (node.status, node.active) == (Status.LEARNER, False)
    assert all(isinstance(effect.message, Ping) for effect in node.tick(0.1))


# --- votes (rules 5 to 7) ----------------------------------------------------------------


@pytest.fixture
def voter():
    """A member of epoch 1 that has seen the tail die."""
    node = active("middle")
    die(node, "tail", 0.0)
    return node


WITHOUT_TAIL = configuration(2, "head", "middle")


def test_a_vote_is_on_disk_before_it_is_sent(voter):
    voter.own_log.last = EntryId(1, 7)
    vote = vote_for(WITHOUT_TAIL, member("head"))
    save, send = propose(voter, vote)
    assert save == Save(Record("id-middle", 1, THREE, configuration(1, *THREE), vote))
    assert send == Send("head", Voted(voter.me, vote, EntryId(1, 7)))


def test_who_holds_a_vote_takes_no_part_until_it_knows_what_became_of_it(voter):
    assert voter.active
    propose(voter, vote_for(WITHOUT_TAIL, member("head")))
    assert (voter.status, voter.active) == (Status.ACTIVE, False)
    list(voter.receive("head", Decided(WITHOUT_TAIL), 0.0))
    assert voter.active


def test_a_vote_is_sent_with_every_tick_until_it_is_answered(voter):
    vote = vote_for(WITHOUT_TAIL, member("head"))
    propose(voter, vote)
    for now in (0.1, 0.2):
        assert of_kind(voter.tick(now), Voted) == [Voted(voter.me, vote, EntryId())]
    list(voter.receive("head", Abort(vote), 0.3))
    assert of_kind(voter.tick(0.4), Voted) == []


def test_a_vote_given_is_given_again_without_writing(voter):
    vote = vote_for(WITHOUT_TAIL, member("head"))
    propose(voter, vote)
    [send] = propose(voter, vote)
    assert isinstance(send.message, Voted)


def test_a_node_has_one_vote(voter):
    vote = vote_for(WITHOUT_TAIL, member("head"))
    propose(voter, vote)
    other = vote_for(configuration(2, *THREE, tail=9), member("tail", 9), 9)
    assert propose(voter, other) == []
    assert voter.record.vote == vote


@pytest.mark.parametrize(
    ("proposer", "counter", "replaced"), [(1, 1, False), (1, 3, True), (2, 1, True)]
)
def test_only_a_higher_ballot_of_the_same_node_replaces_a_vote(voter, proposer, counter, replaced):
    held = vote_for(WITHOUT_TAIL, member("head"), 2)
    propose(voter, held)
    reach(voter, member("head", 2))
    incarnations = {} if proposer == 1 else {"head": proposer}
    later = vote_for(configuration(2, *THREE, **incarnations), member("head", proposer), counter)
    propose(voter, later)
    assert voter.record.vote == (later if replaced else held)


def test_a_vote_outlives_a_restart(voter):
    held = vote_for(WITHOUT_TAIL, member("head"))
    propose(voter, held)
    record = Record("id-middle", 2, THREE, voter.configuration, held)
    again = life(member("middle", 2), record)
    assert again.status is Status.WEDGED
    other = vote_for(configuration(2, *THREE, tail=5, middle=2), member("tail", 5))
    assert propose(again, other) == []
    assert again.record.vote == held


def test_who_votes_never_decides_its_own_proposal():
    node = active("middle")
    hear(node, "head", 0.0)
    ticks(node, 0.0, 0.5)
    hear(node, "tail", 0.5)
    [own] = of_kind(ticks(node, 0.5, SUSPECT_AFTER), Propose)  # the head is silent
    assert own.vote.configuration.positions == ("middle", "tail")
    reach(node, member("head", 2), SUSPECT_AFTER)
    resume = vote_for(configuration(2, *THREE, head=2), member("head", 2))
    assert of_kind(propose(node, resume, SUSPECT_AFTER), Voted)
    answer = list(node.receive("tail", Voted(member("tail"), own.vote, EntryId()), SUSPECT_AFTER))
    assert answer == [Send("tail", Abort(own.vote))]
    assert node.configuration.epoch == 1


def test_nothing_is_decided_without_every_vote():
    house = founded()
    house.lost = lambda sender, to, message: isinstance(message, Voted) and sender == "middle"
    house.stop("tail")
    house.start("tail")
    house.run(3.0)
    assert set(house.epochs().values()) == {1}
    house.lost = lambda sender, to, message: False
    house.run(0.1)
    assert house.decided[2].positions == ("head", "middle")
    assert house.chains() == dict.fromkeys(THREE, THREE)  # the tail has joined again


def test_the_decision_is_on_disk_before_anybody_hears_of_it():
    node = life(member("head"), founding=("head", "tail"))
    list(node.receive("tail", Ping(member("tail"), 1, 0), 0.0))
    pong = Pong(member("tail"), 1, Configuration(), False, EntryId(), False)
    [proposed] = node.receive("tail", pong, 0.0)
    voted = Voted(member("tail"), proposed.message.vote, EntryId())
    save, report, send, ping = node.receive("tail", voted, 0.0)
    decided = configuration(1, "head", "tail", why="founded")
    assert save == Save(Record("id-head", 1, ("head", "tail"), decided))
    assert report == Tell("epoch 1 (head -> tail): founded")
    assert send == Send("tail", Decided(decided))
    assert (ping.to, ping.message.member, ping.message.epoch) == ("tail", node.me, 1)
    assert isinstance(ping.message, Ping)


def test_a_vote_of_another_life_does_not_count():
    node = life(member("head"), founding=("head", "tail"))
    list(node.receive("tail", Ping(member("tail"), 1, 0), 0.0))
    pong = Pong(member("tail"), 1, Configuration(), False, EntryId(), False)
    [proposed] = node.receive("tail", pong, 0.0)
    late = Voted(member("tail", 7), proposed.message.vote, EntryId())
    assert list(node.receive("tail", late, 0.0)) == []
    assert node.status is Status.FOUNDING


def test_a_vote_for_what_was_given_up_is_aborted_and_the_voter_is_free():
    house = founded()
    house.lost = lambda sender, to, message: isinstance(message, Voted)
    house.stop("tail")
    house.start("tail")
    house.run(0.2)
    assert house["middle"].record.vote is not None
    house.stop("tail")
    house.lost = lambda sender, to, message: isinstance(message, Propose | Decided)
    house.run(2 * SUSPECT_AFTER)
    assert house.disks["middle"].vote is None
    assert house["middle"].active


def test_a_proposers_later_life_aborts_what_its_earlier_life_proposed():
    again = life(member("head", 2), Record("id-head", 2, THREE, configuration(1, *THREE)))
    vote = vote_for(WITHOUT_TAIL, member("head"))
    voted = Voted(member("middle"), vote, EntryId())
    assert list(again.receive("middle", voted, 0.0)) == [Send("middle", Abort(vote))]


def test_nobody_aborts_what_another_node_proposed():
    node = active("tail")
    voted = Voted(member("middle"), vote_for(WITHOUT_TAIL, member("head")), EntryId())
    assert list(node.receive("middle", voted, 0.0)) == []


def test_a_voter_that_missed_the_decision_is_told_when_it_votes_again():
    node = active("head", "head", "middle", epoch=2)
    voted = Voted(member("middle"), vote_for(WITHOUT_TAIL, member("head")), EntryId())
    decided = Decided(configuration(2, "head", "middle"))
    assert list(node.receive("middle", voted, 0.0)) == [Send("middle", decided)]


def test_an_abort_of_another_vote_changes_nothing(voter):
    held = vote_for(WITHOUT_TAIL, member("head"), 2)
    propose(voter, held)
    earlier = vote_for(WITHOUT_TAIL, member("head"), 1)
    assert list(voter.receive("head", Abort(earlier), 0.0)) == []
    assert voter.record.vote == held


def test_a_proposal_on_another_base_is_not_voted_for(voter):
    vote = vote_for(WITHOUT_TAIL, member("head"))
    assert propose(voter, vote, base=configuration(1, "head", "middle")) == []
    assert propose(voter, vote, base=configuration(7, *THREE)) == []


def test_a_proposer_that_is_behind_is_told_of_the_newer_configuration(voter):
    vote = vote_for(WITHOUT_TAIL, member("head"))
    decided = Decided(configuration(1, *THREE))
    assert propose(voter, vote, base=Configuration()) == [Send("head", decided)]


# --- learning (rule 9) -------------------------------------------------------------------


def test_only_a_newer_configuration_is_learned():
    node = active("tail", epoch=5)
    for epoch in (0, 4, 5):
        assert list(node.receive("head", Decided(configuration(epoch, *THREE)), 0.0)) == []
    [save] = of_kind(node.receive("head", Decided(configuration(6, "head")), 0.0), Save)
    assert save.record.configuration == configuration(6, "head")


def test_the_members_of_what_is_learned_are_pinged_at_once():
    node = active("tail", epoch=5)
    reach(node, member("head", 2))
    propose(node, vote_for(configuration(6, *THREE, head=2), member("head", 2)))
    effects = list(node.receive("head", Decided(configuration(6, *THREE, head=2)), 0.0))
    save, report, *pings = effects
    assert isinstance(save, Save)
    assert isinstance(report, Tell)
    assert [ping.to for ping in pings] == ["head", "middle"]
    assert [(p.member, p.epoch) for p in of_kind(pings, Ping)] == [(node.me, 6)] * 2
    assert of_kind(node.receive("head", Decided(node.configuration), 0.1), Ping) == []


def test_what_is_learned_clears_the_vote(voter):
    propose(voter, vote_for(WITHOUT_TAIL, member("head")))
    [save] = of_kind(voter.receive("head", Decided(WITHOUT_TAIL), 0.0), Save)
    assert save.record.vote is None
    assert voter.active


def test_an_epoch_with_two_configurations_is_an_alarm_and_changes_nothing():
    node = active("tail", epoch=5)
    other = Decided(configuration(5, "head"))
    alarm = (
        "ALARM: epoch 5 has two configurations: epoch 5 (head -> middle -> tail) and epoch 5 (head)"
    )
    assert list(node.receive("head", other, 0.0)) == [Tell(alarm, alarm=True)]
    assert node.configuration == configuration(5, *THREE)


def learner():
    return life(member("newcomer"), Record("id-newcomer", 1, THREE, configuration(1, *THREE)))


def test_what_was_known_of_lives_that_are_no_members_is_forgotten():
    """Memory does not grow, however often the others restart."""
    node = learner()
    for epoch in range(2, 6):
        for position in ("head", "middle"):
            other, clocks = node.configuration.member(position), ClockReading(1.0, 1_000)
            ping = Ping(other, epoch, epoch - 1, clocks)
            list(node.receive(position, ping, 0.1 * epoch))
        known = node.evidence._known, node.clocks._others, node.clocks._walls
        assert all(len(lives) >= 2 for lives in known)
        decided = configuration(epoch, *THREE, head=epoch, middle=epoch)
        list(node.receive("head", Decided(decided), 0.1 * epoch))
        for known in (node.evidence._known, node.clocks._others, node.clocks._walls):
            assert known.keys() <= set(decided.lives)


def test_of_a_chain_that_goes_on_without_a_node_nothing_counts_as_confirmed_or_proved():
    node = active("tail")
    confirm(node, "head", 0.1)
    confirm(node, "middle", 0.2)
    die(node, "middle", 0.25)
    head, middle = (node.configuration.member(p).life for p in ("head", "middle"))
    assert node.evidence.is_fresh(head, 0.3)
    assert node.evidence.is_clean(middle)
    list(node.receive("head", Decided(configuration(2, "head", "middle")), 0.3))
    assert not node.evidence.is_fresh(head, 0.3)
    assert not node.evidence.is_clean(middle)


def test_there_is_an_end_to_what_is_told_of_others_in_one_configuration():
    node = learner()
    reports = [report for n in range(1_000) for report in node.complain(f"{n}")]
    assert 10 < len(reports) < 100
    list(node.receive("head", Decided(configuration(9, *THREE, head=2)), 0.0))
    assert len(list(node.complain("another"))) == 1


@pytest.mark.parametrize("incarnation", [1, 2])
def test_the_life_of_a_member_that_is_left_out_ends(incarnation):
    record = Record("id-tail", incarnation, THREE, configuration(1, *THREE))
    node = life(member("tail", incarnation), record)
    effects = list(node.receive("head", Decided(configuration(2, "head")), 0.0))
    [save] = of_kind(effects, Save)
    assert save.record.configuration == configuration(2, "head")
    assert of_kind(effects, Excluded) == [Excluded()]


def test_a_learner_that_is_not_taken_in_goes_on_as_it_was():
    node = learner()
    effects = list(node.receive("head", Decided(configuration(2, "head")), 0.0))
    assert [len(of_kind(effects, kind)) for kind in (Save, Tell, Excluded)] == [1, 1, 0]
    assert node.status is Status.LEARNER
