"""Membership: the members' present lives take the place of earlier ones (rule 11)."""

import pytest
from membership_house import (
    SUSPECT_AFTER,
    THREE,
    TICK,
    House,
    active,
    configuration,
    die,
    founded,
    hear,
    is_back,
    life,
    member,
    of_kind,
    propose,
    reach,
    refuse,
    ticks,
    vote_for,
    wedged,
)
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Save, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.messages import Abort, Ping, Pong, Propose, Vote, Voted
from chainchat.chain.record import Record, Status

TWO = ("head", "tail")
TWO_FIRST = ("head", "middle")


# --- all must be back --------------------------------------------------------------------


@pytest.mark.parametrize("chain", [THREE, TWO, ("tail",)])
def test_a_chain_is_resumed_when_all_are_back(chain):
    house = founded(*chain)
    house.stop(*chain)
    house.start(*chain)
    assert house.statuses() == {Status.WEDGED}
    house.run()
    assert house.chains() == dict.fromkeys(chain, chain)
    why = f"resumed: {', '.join(chain)} restarted, all are back"
    expected = configuration(2, *chain, why=why, **dict.fromkeys(chain, 2))
    assert [node.configuration for node in house.lives.values()] == [expected] * len(chain)
    assert len(house.said(f"epoch 2 ({' -> '.join(chain)}): {why}")) == len(chain)


@pytest.mark.parametrize("missing", THREE)
def test_two_of_three_do_not_resume(missing):
    house = founded()
    house.stop(*THREE)
    there = [position for position in THREE if position != missing]
    house.start(*there)
    house.run(5 * SUSPECT_AFTER)
    assert house.statuses() == {Status.WEDGED}
    assert set(house.epochs().values()) == {1}
    house.start(missing)
    house.run()
    assert house.chains() == dict.fromkeys(THREE, THREE)


def test_a_port_that_refuses_does_not_stand_for_a_member_that_is_away():
    house = founded()
    house.stop(*THREE)
    house.start("head", "middle")
    for position in ("head", "middle"):
        house.carry_out(position, refuse(house[position], "tail", house.now))
    house.run(5 * SUSPECT_AFTER)
    assert set(house.epochs().values()) == {1}


def test_a_member_that_did_not_restart_is_among_those_who_are_back():
    node = wedged("head", *TWO)
    [proposal] = of_kind(is_back(node, member("tail", 1)), Propose)
    assert proposal.vote.configuration.lives == (("id-head", 2), ("id-tail", 1))


def test_the_only_member_resumes_alone_when_nobody_has_answered_for_long_enough():
    node = wedged("head", "head")
    assert of_kind(node.tick(0.0), Save) == []
    assert of_kind(node.tick(SUSPECT_AFTER - 0.01), Save) == []
    assert not node.active
    save, report = list(node.tick(SUSPECT_AFTER))[-2:]
    assert save.record.configuration.lives == (("id-head", 2),)
    assert report.text == "epoch 2 (head): resumed: head restarted, all are back"
    assert node.active


def test_the_only_member_resumes_at_once_when_every_other_port_refuses():
    node = wedged("head", "head")
    list(node.tick(0.0))
    refuse(node, "middle", 0.01)
    assert not node.active
    refuse(node, "tail", 0.02)
    list(node.tick(0.1))
    assert node.active


def test_the_only_member_waits_for_a_spare_that_may_be_the_chain_by_now():
    me = member("head", 2)
    record = Record(me.id, 2, THREE, configuration(1, "head"))
    for meet in (
        lambda node: refuse(node, "newcomer", 0.03),
        lambda node: is_back(node, member("newcomer"), 0.03),
    ):
        node = life(me, record, known=(*THREE, "newcomer"))
        list(node.tick(0.0))
        refuse(node, "middle", 0.01)
        refuse(node, "tail", 0.02)
        list(node.tick(0.1))
        assert not node.active
        meet(node)
        list(node.tick(0.2))
        assert node.active


def test_the_only_member_of_an_old_backup_learns_first_that_the_others_went_on():
    node = wedged("head", "head")
    list(node.tick(0.0))
    went_on = configuration(7, "tail", "middle")
    pong = Pong(went_on.member("tail"), 1, went_on, False, EntryId(), False)
    list(node.receive("tail", pong, 0.1))
    list(node.tick(SUSPECT_AFTER))
    assert node.status is Status.LEARNER


def test_the_configuration_of_before_is_resumed_not_that_of_the_founding():
    house = founded()
    house.kill("middle")
    house.run()
    house.stop("head", "tail")
    house.start("head", "tail")
    house.run()
    assert house.chains() == dict.fromkeys(TWO, TWO)
    house.start("middle")
    house.run(1.0)
    chain = ("head", "tail", "middle")
    assert house.chains() == dict.fromkeys(THREE, chain)


def test_a_node_that_was_left_out_does_not_count_when_the_others_are_down():
    house = founded()
    house.kill("head")
    house.run()
    house.stop("middle", "tail")
    house.start("head", "middle")
    house.run(5 * SUSPECT_AFTER)
    assert house.chains() == {}
    house.start("tail")
    house.run(1.0)
    assert house.chains() == dict.fromkeys(THREE, ("middle", "tail", "head"))


def test_only_the_first_proposes():
    for position in ("middle", "tail"):
        node = wedged(position)
        effects = []
        for other in THREE:
            if other != position:
                effects += is_back(node, member(other, 2))
        assert of_kind(effects, Propose) == []


def test_the_head_proposes_the_present_lives_once_the_last_is_back():
    node = wedged("head")
    assert of_kind(is_back(node, member("middle", 3)), Propose) == []
    proposals = of_kind(is_back(node, member("tail", 1)), Propose)
    why = "resumed: head, middle restarted, all are back"
    expected = configuration(2, *THREE, why=why, head=2, middle=3)
    assert [p.vote for p in proposals] == [Vote(expected, node.me, (2, 1))] * 2


def test_one_who_fell_silent_meanwhile_is_waited_for():
    node = wedged("head")
    is_back(node, member("middle", 2), now=0.0)
    assert of_kind(is_back(node, member("tail", 2), now=SUSPECT_AFTER), Propose) == []


def test_one_whose_configuration_is_another_is_waited_for():
    node = wedged("head", *TWO)
    tail = member("tail", 2)
    reach(node, tail)
    list(node.receive("tail", Ping(tail, 1, 0), 0.0))
    pong = Pong(tail, 1, Configuration(), False, EntryId(), False)
    assert of_kind(node.receive("tail", pong, 0.0), Propose) == []
    assert of_kind(is_back(node, tail), Propose) != []


def test_another_disk_at_a_members_position_is_not_taken_for_the_member():
    node = wedged("head", *TWO)
    assert of_kind(is_back(node, member("tail", 2, "id-new")), Propose) == []


def test_an_older_life_at_the_end_of_an_older_connection_is_forgotten():
    node = wedged("head", *TWO)
    assert of_kind(is_back(node, member("tail", 3)), Propose) != []
    list(node.linked("tail", member("tail", 4), 0.0))
    assert of_kind(node.tick(0.1), Propose) == []
    [proposal] = of_kind(is_back(node, member("tail", 4), now=0.2), Propose)
    assert proposal.vote.configuration.lives == (("id-head", 2), ("id-tail", 4))


# --- every member votes ------------------------------------------------------------------


def test_a_restarted_member_votes_and_takes_part_when_it_is_decided():
    node = wedged("tail")
    vote = vote_for(configuration(2, *THREE, tail=2), member("head"))
    save, send = propose(node, vote)
    assert save.record.vote == vote
    assert send.message == Voted(node.me, vote, EntryId())
    assert node.status is Status.WEDGED
    list(
        node.receive("head", Pong(member("head"), 1, vote.configuration, True, EntryId(), False), 0)
    )
    assert (node.status, node.active) == (Status.ACTIVE, True)


def test_an_active_member_votes():
    node = active("tail")
    reach(node, member("head", 2))
    vote = vote_for(configuration(2, *THREE, head=2), member("head", 2))
    assert of_kind(propose(node, vote), Voted) == [Voted(node.me, vote, EntryId())]
    assert not node.active


def test_a_member_that_holds_a_vote_is_not_resumed_past_it():
    held = vote_for(configuration(2, "middle", "tail"), member("middle"))
    node = wedged("tail", vote=held)
    resume = vote_for(configuration(2, *THREE, head=2, tail=2), member("head", 2))
    assert propose(node, resume) == []
    assert node.record.vote == held


def test_a_resume_that_lists_another_life_of_a_voter_is_refused():
    node = wedged("tail", incarnation=3)
    vote = vote_for(configuration(2, *THREE, tail=2), member("head"))
    why = "it does not list this life of this node"
    assert propose(node, vote) == [Tell(f"no vote for {vote.configuration}: {why}", alarm=True)]


def test_a_life_older_than_the_configurations_is_an_alarm():
    node = wedged("tail")
    vote = vote_for(configuration(2, *THREE, tail=2, middle=0), member("head"))
    why = "middle is older than it was; was a backup restored?"
    assert propose(node, vote) == [Tell(f"no vote for {vote.configuration}: {why}", alarm=True)]


def test_a_member_that_restarts_during_the_resume_is_resumed_as_it_is_then():
    house = founded()
    house.stop(*THREE)
    house.start(*THREE)
    house.lost = lambda sender, to, message: isinstance(message, Voted) and sender == "tail"
    house.run(0.2)
    assert house["middle"].record.vote is not None
    house.stop("tail")
    house.start("tail")
    house.lost = lambda sender, to, message: False
    house.run(1.0)
    assert house.chains() == dict.fromkeys(THREE, THREE)
    assert house["head"].configuration.member("tail").incarnation == 3


@pytest.mark.parametrize("again", ["head", "middle", "tail"])
@pytest.mark.parametrize("delivered", range(0, 30, 3))
def test_whoever_restarts_at_whatever_moment_the_chain_is_resumed(again, delivered):
    house = founded()
    house.stop(*THREE)
    house.start(*THREE)
    budget = iter(range(delivered))
    house.lost = lambda sender, to, message: next(budget, None) is None
    house.run(TICK)
    house.lost = lambda sender, to, message: False
    house.stop(again)
    house.start(again)
    house.run(2.0)
    assert sorted(house.chains()) == sorted(THREE)
    assert len(set(house.epochs().values())) == 1


# --- whose life it is (rule 11) ----------------------------------------------------------

COPY_ELSEWHERE = replace(member("head", 2), host="elsewhere")


@pytest.mark.parametrize("status", ["active", "wedged"])
def test_a_life_elsewhere_than_its_member_is_not_voted_for(status):
    """It may be a copy of a disk whose silent member goes on, or is about to."""
    node = active("tail", *TWO) if status == "active" else wedged("tail", *TWO)
    reach(node, COPY_ELSEWHERE)
    refuse(node, "head", 0.0)
    lives = {} if status == "active" else {"tail": 2}
    proposed = replace(
        configuration(2, *TWO, **lives),
        members=(COPY_ELSEWHERE, member("tail", lives.get("tail", 1))),
    )
    [refusal] = of_kind(propose(node, vote_for(proposed, COPY_ELSEWHERE)), Tell)
    assert "head is a member at here:7101, and this is at elsewhere:7101" in refusal.text
    assert node.record.vote is None


def test_a_proposer_does_not_take_a_life_elsewhere_for_the_members():
    node = wedged("head", *TWO)
    assert of_kind(is_back(node, replace(member("tail", 2), host="elsewhere")), Propose) == []
    assert of_kind(is_back(node, member("tail", 3)), Propose)


def test_that_a_member_has_moved_an_operator_says_in_chain_ini():
    me, moved = member("tail", 2), COPY_ELSEWHERE
    record = Record(me.id, 2, THREE, configuration(1, *TWO))
    node = life(me, record, places={"head": moved.address})
    reach(node, moved)
    list(node.linked("head", moved, 0.0))
    proposed = replace(configuration(2, *TWO), members=(moved, me))
    assert of_kind(propose(node, vote_for(proposed, moved)), Voted)


def test_a_life_is_voted_for_when_it_was_reached_and_until_then_nobody_complains():
    node = wedged("tail", *TWO)
    vote = vote_for(configuration(2, *TWO, head=2, tail=2), member("head", 2))
    assert propose(node, vote, 0.0) == []
    assert propose(node, vote, 0.9) == []
    [report] = propose(node, vote, 1.1)
    assert report.text.endswith("head at here:7101 was not reached by this node yet")
    reach(node, member("head", 2), 1.2)
    assert of_kind(propose(node, vote, 1.2), Voted)


def test_who_hears_a_life_does_not_vote_it_away():
    held = configuration(1, *THREE)
    node = life(held.member("tail"), Record("id-tail", 1, THREE, held))
    reach(node, member("head", 2))  # never having reached the first life there
    list(node.linked("head", member("head"), 0.0))
    hear(node, "head", 0.5)
    vote = vote_for(configuration(2, *THREE, head=2), member("head", 2))
    ticks(node, 0.5, 1.4)
    [report] = propose(node, vote, 1.4)
    assert report.text.endswith("head lives, as seen from here, and needs no other life")
    propose(node, vote, 1.6)
    assert node.record.vote == vote


def test_a_vote_is_not_told_to_a_copy_of_its_proposers_disk_and_nothing_is_believed_of_it():
    node = active("middle")
    die(node, "tail", 0.0)
    vote = vote_for(configuration(2, *TWO_FIRST), member("head"))
    propose(node, vote)
    list(node.linked("head", COPY_ELSEWHERE, 0.1))
    reach(node, COPY_ELSEWHERE, 0.1)
    assert of_kind(node.tick(0.2), Voted) == []
    assert list(node.receive("head", Abort(vote), 0.2)) == []
    assert node.record.vote == vote
    list(node.linked("head", member("head", 2), 0.3))
    reach(node, member("head", 2), 0.3)
    assert of_kind(node.tick(0.4), Voted)
    list(node.receive("head", Abort(vote), 0.4))
    assert node.record.vote is None


# --- a founding is a resume from nothing -------------------------------------------------


def test_a_vote_for_a_founder_whose_disk_is_gone_is_dropped_when_its_address_shows_another():
    house = House(*THREE)
    house.start(*THREE)
    house.lost = lambda sender, to, message: isinstance(message, Voted)
    house.run(0.3)
    assert house["middle"].record.vote is not None
    house.stop("head")
    house.lost = lambda sender, to, message: False
    house.begin(member("head", 1, "id-new-disk"))
    house.run(1.0)
    assert house.chains() == dict.fromkeys(THREE, THREE)
    assert house["tail"].configuration.member("head").id == "id-new-disk"


def test_a_vote_for_a_founder_is_kept_over_its_restart_and_when_another_says_it_is_there():
    house = House(*THREE)
    house.start(*THREE)
    house.lost = lambda sender, to, message: isinstance(message, Voted)
    house.run(0.3)
    held = house["middle"].record.vote
    stranger = member("head", 1, "id-stranger", host="elsewhere")
    list(house["middle"].linked("head", stranger, house.now))
    list(house["middle"].reached("head", stranger.address, stranger, house.now))
    reach(house["middle"], member("head", 2), house.now)
    assert house["middle"].record.vote == held


def test_a_founding_needs_the_vote_of_every_founder():
    house = House(*THREE)
    house.start(*THREE)
    house.lost = lambda sender, to, message: isinstance(message, Voted) and sender == "tail"
    house.run(3.0)
    assert house.statuses() == {Status.FOUNDING}
    assert house["middle"].record.vote is not None
    assert not house["middle"].active
    house.lost = lambda sender, to, message: False
    house.run(TICK)
    assert house.statuses() == {Status.ACTIVE}
