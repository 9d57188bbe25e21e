"""Membership: a learner that holds the whole log becomes the new tail (rule 10)."""

import pytest
from membership_house import (
    SUSPECT_AFTER,
    THREE,
    TICK,
    House,
    active,
    configuration,
    confirm,
    die,
    founded,
    hear,
    member,
    of_kind,
    propose,
    reach,
    vote_for,
)

from chainchat.chain.configuration import Member
from chainchat.chain.effects import Save, Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.membership import Seal
from chainchat.chain.messages import Abort, Declined, Ping, Pong, Propose, Voted
from chainchat.chain.record import Record, Status

TWO = ("head", "middle")
NEWCOMER = member("tail", 2)
JOINED = configuration(2, *TWO, "tail", tail=2)
END = EntryId(1, 9)
SOON = TICK / 2
"""When the learner has all: in time."""


def offer(node, newcomer=NEWCOMER, now=0.0, *, caught_up=True, knows=None):
    """A learner calls and says how far it is."""
    list(node.receive(newcomer.position, Ping(newcomer, 1, 1), now))
    known = node.configuration if knows is None else knows
    pong = Pong(newcomer, 1, known, False, END, caught_up)
    return list(node.receive(newcomer.position, pong, now))


@pytest.fixture
def head():
    """The head of a chain of two that was founded with three."""
    node = active("head", *TWO)
    hear(node, "middle", 0.0)
    return node


@pytest.fixture
def tail():
    """The tail of that chain, with a learner near the end of its log."""
    node = active("middle", *TWO)
    node.own_log.last, node.own_log.nearby = END, frozenset({NEWCOMER})
    list(node.linked("tail", NEWCOMER, 0.0))
    return node


# --- the head proposes -------------------------------------------------------------------


def test_the_head_proposes_a_learner_that_has_caught_up_as_the_new_tail(head):
    [send] = offer(head)
    vote = send.message.vote
    assert (send.to, send.message.base) == ("middle", configuration(1, *TWO))
    assert vote.configuration.members == JOINED.members
    assert vote.configuration.why == "tail has caught up and joins"
    assert (vote.proposer, vote.ballot) == (head.me, (1, 1))


def test_a_learner_that_has_not_caught_up_is_not_proposed(head):
    assert offer(head, caught_up=False) == []


def test_a_learner_of_another_configuration_is_not_proposed(head):
    assert offer(head, knows=configuration(0)) == []


def test_a_learner_that_fell_silent_is_not_proposed(head):
    list(head.receive("tail", Ping(NEWCOMER, 1, 1), 0.0))
    hear(head, "middle", 1.0)
    pong = Pong(NEWCOMER, 1, head.configuration, False, END, True)
    assert list(head.receive("tail", pong, 1.0)) == []


def test_another_life_of_a_member_does_not_join_but_takes_its_place():
    head = active("head")  # of three: without both others it cannot go on
    for other in (member("middle", 2), member("tail", 2)):
        reach(head, other)
        proposals = of_kind(offer(head, other), Propose)
    assert [p.vote.configuration.lives for p in proposals] == [
        (("id-head", 1), ("id-middle", 2), ("id-tail", 2))
    ] * 2


def test_only_the_head_proposes():
    assert of_kind(offer(active("middle", *TWO)), Propose) == []


def test_a_full_chain_takes_nobody_in():
    node = active("head")
    assert of_kind(offer(node, member("newcomer")), Propose) == []


def test_a_newcomer_that_chain_ini_does_not_name_may_take_a_free_place(head):
    [send] = offer(head, member("newcomer"))
    assert send.message.vote.configuration.positions == ("head", "middle", "newcomer")


def test_the_dead_are_left_out_before_anybody_joins(head):
    confirm(head, "middle", 0.0)
    die(head, "middle", 0.1)
    assert head.configuration.positions == ("head",)


# --- the tail seals, and votes when the learner has all ----------------------------------


def test_the_tail_seals_for_a_learner_that_is_near_and_does_not_vote_yet(tail):
    assert propose(tail, vote_for(JOINED, member("head"))) == [Seal(NEWCOMER)]
    assert (tail.status, tail.active) == (Status.ACTIVE, False)
    assert tail.record.vote is None


def test_it_votes_when_the_learner_has_all(tail):
    vote = vote_for(JOINED, member("head"))
    propose(tail, vote)
    save, send = tail.synced(NEWCOMER, END, SOON)
    assert save == Save(Record("id-middle", 1, THREE, configuration(1, *TWO), vote))
    assert send == Send("head", Voted(tail.me, vote, END))
    assert tail.sealed is None
    assert not tail.active


@pytest.mark.parametrize(
    ("learner", "last"),
    [
        (NEWCOMER, EntryId(1, 8)),
        (NEWCOMER, EntryId(0, 9)),
        (member("tail", 3), END),
        (member("newcomer"), END),
    ],
)
def test_it_does_not_vote_for_less_or_for_another(tail, learner, last):
    propose(tail, vote_for(JOINED, member("head")))
    assert list(tail.synced(learner, last, SOON)) == []
    assert tail.record.vote is None


def test_word_that_nobody_waits_for_is_nothing(tail):
    assert list(tail.synced(NEWCOMER, END, SOON)) == []
    propose(tail, vote_for(JOINED, member("head")))
    list(tail.synced(NEWCOMER, END, SOON))
    assert list(tail.synced(NEWCOMER, END, SOON)) == []


def test_a_learner_that_is_far_is_declined(tail):
    tail.own_log.nearby = frozenset()
    vote = vote_for(JOINED, member("head"))
    reason = "tail is not near the end of the log"
    assert propose(tail, vote) == [Send("head", Declined(vote, reason))]
    assert tail.active


def test_a_learner_that_is_near_and_not_linked_is_declined(tail):
    tail.unlinked("tail")
    vote = vote_for(JOINED, member("head"))
    reason = "tail is not linked: writes would wait for that"
    assert propose(tail, vote) == [Send("head", Declined(vote, reason))]
    assert tail.active


def test_who_is_not_the_tail_declines():
    node = active("middle", "middle", "tail")
    node.own_log.nearby = frozenset({member("newcomer")})
    vote = vote_for(configuration(2, "middle", "tail", "newcomer"), member("middle"))
    [declined] = of_kind(propose(node, vote), Declined)
    assert declined == Declined(vote, "this node is not the tail")


def test_the_tail_stays_sealed_for_a_tenth_of_suspect_after_and_then_declines(tail):
    vote = vote_for(JOINED, member("head"))
    propose(tail, vote)
    hear(tail, "head", 0.05)
    assert not of_kind(tail.tick(TICK), Declined)
    assert not tail.active
    [declined] = of_kind(tail.tick(TICK + 0.01), Declined)
    assert declined.vote == vote
    assert declined.reason == "it did not have the rest on its disk within 0.10 s"
    assert declined.sealed == pytest.approx(TICK)
    assert tail.active
    assert list(tail.synced(NEWCOMER, END, TICK + 0.02)) == []  # too late


def test_the_tail_waits_twice_as_long_each_time_for_a_slow_learner(tail):
    """Its disk may need longer for one write than the chain can wait at first."""
    for attempt, seconds in enumerate((0.1, 0.2, 0.4, 0.5, 0.5), 1):
        now = 10.0 * attempt
        hear(tail, "head", now)
        vote = vote_for(JOINED, member("head"), attempt)
        propose(tail, vote, now)
        assert not of_kind(tail.tick(now + seconds - 0.01), Declined)
        [declined] = of_kind(tail.tick(now + seconds + 0.01), Declined)
        assert declined.sealed == pytest.approx(seconds)


def test_a_slow_learner_that_was_declined_gets_in_with_its_third_try(tail):
    for attempt in (1, 2, 3):
        now = 10.0 * attempt
        propose(tail, vote_for(JOINED, member("head"), attempt), now)
        hear(tail, "head", now + 0.3)
        list(tail.tick(now + 0.3))
    assert tail.sealed == NEWCOMER
    assert of_kind(tail.synced(NEWCOMER, END, now + 0.35), Voted)


def test_writes_go_on_for_longer_than_they_waited_before_a_slow_learner_is_tried_again(head):
    [send] = offer(head)
    told = list(head.receive("middle", Declined(send.message.vote, "it is slow", 0.5), 0.0))
    assert told == [Tell("middle does not let tail in yet: it is slow", alarm=True)]
    assert head.learners(0.1) == {"tail": "not let in yet: it is slow"}
    for now in (1.0, 2.0, 2.24):
        hear(head, "middle", now)
        assert offer(head, now=now) == []
    hear(head, "middle", 2.26)
    assert of_kind(offer(head, now=2.26), Propose)


def test_a_proposal_that_is_repeated_does_not_keep_the_tail_sealed(tail):
    vote = vote_for(JOINED, member("head"))
    propose(tail, vote)
    assert propose(tail, vote, TICK) == [Seal(NEWCOMER)]
    list(tail.tick(TICK + 0.01))
    assert tail.active


def test_a_tail_that_is_sealed_proposes_nothing(tail):
    hear(tail, "head", 0.0)
    propose(tail, vote_for(JOINED, member("head")), 0.95)
    confirm(tail, "head", 0.95)
    die(tail, "head", 1.0)
    assert tail.configuration.epoch == 1
    list(tail.tick(0.95 + TICK + 0.01))
    assert tail.configuration.positions == ("middle",)


def test_a_join_whose_proposer_died_cleanly_is_completed(tail):
    confirm(tail, "head", 0.0)
    propose(tail, vote_for(JOINED, member("head")), 0.1)
    list(tail.synced(NEWCOMER, END, 0.1 + SOON))
    saved = [effect.record.configuration for effect in of_kind(die(tail, "head", 0.2), Save)]
    assert saved == [JOINED]
    hear(tail, "tail", 0.2)
    [proposal] = set(of_kind(tail.tick(0.3), Propose))
    assert proposal.vote.configuration.positions == ("middle", "tail")


def test_a_join_whose_proposer_gave_it_up_is_aborted(tail):
    vote = vote_for(JOINED, member("head"))
    propose(tail, vote)
    list(tail.synced(NEWCOMER, END, SOON))
    assert list(tail.receive("head", Abort(vote), 0.1)) == [
        Save(Record("id-middle", 1, THREE, configuration(1, *TWO)))
    ]
    assert tail.active


# --- the head waits, and tries again -----------------------------------------------------


def test_what_was_declined_is_proposed_again_a_quarter_of_suspect_after_later(head):
    [send] = offer(head)
    list(head.receive("middle", Declined(send.message.vote), 0.0))
    assert of_kind(head.tick(0.24), Propose) == []
    [again] = of_kind(head.tick(0.25), Propose)
    assert again.vote.configuration == send.message.vote.configuration
    assert again.vote.ballot == (1, 2)


def test_after_it_was_declined_another_learner_goes_first(head):
    [send] = offer(head)
    offer(head, member("newcomer"))
    list(head.receive("middle", Declined(send.message.vote), 0.0))
    [other] = of_kind(head.tick(0.25), Propose)
    assert other.vote.configuration.tail == "newcomer"


def test_a_proposal_that_nobody_answers_is_given_up_and_made_again(head):
    [send] = offer(head)
    ballots = []
    for tick in range(1, 16):
        hear(head, "middle", tick * TICK)
        list(head.receive("tail", Ping(NEWCOMER, 1, 1), tick * TICK))
        ballots += [p.vote.ballot for p in of_kind(head.tick(tick * TICK), Propose)]
    assert send.message.vote.ballot == (1, 1)
    assert sorted(set(ballots)) == [(1, 1), (1, 2)]


def test_what_was_given_up_is_not_decided_by_a_late_vote(head):
    [send] = offer(head)
    list(head.receive("middle", Declined(send.message.vote), 0.0))
    late = Voted(member("middle"), send.message.vote, END)
    assert list(head.receive("middle", late, 0.1)) == [Send("middle", Abort(send.message.vote))]
    assert head.configuration.epoch == 1


# --- a chain of one ----------------------------------------------------------------------


@pytest.fixture
def only():
    node = active("head", "head")
    node.own_log.last, node.own_log.nearby = END, frozenset({NEWCOMER})
    list(node.linked("tail", NEWCOMER, 0.0))
    return node


def test_a_chain_of_one_seals_itself_and_decides_when_the_learner_has_all(only):
    assert offer(only) == [Seal(NEWCOMER)]
    assert not only.active
    assert only.record.vote is None
    save, report, send, ping = only.synced(NEWCOMER, END, SOON)
    assert save.record.configuration.members == (member("head"), NEWCOMER)
    assert report == Tell("epoch 2 (head -> tail): tail has caught up and joins")
    assert (send.to, ping.to) == ("tail", "tail")
    assert isinstance(ping.message, Ping)
    assert only.active


def test_a_chain_of_one_unseals_and_tries_again_later(only):
    offer(only)
    assert of_kind(only.tick(TICK + 0.01), Seal) == []
    assert only.active
    assert only.configuration.epoch == 1
    list(only.receive("tail", Ping(NEWCOMER, 2, 1), 0.2))
    assert (
        of_kind(only.tick(0.75), Seal) == []  # four times as long as writes waited
    )  # writes go on for four times as long as they waited
    assert of_kind(only.tick(0.77), Seal) == [Seal(NEWCOMER)]


# --- nodes -------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", THREE)
def test_a_killed_node_comes_back_as_the_tail(killed):
    house = founded()
    house.kill(killed)
    house.run()
    house.start(killed)
    house.run(1.0)
    rest = tuple(position for position in THREE if position != killed)
    assert house.chains() == dict.fromkeys(THREE, (*rest, killed))
    assert house[killed].configuration.member(killed).incarnation == 3  # the second was excluded


def test_two_that_come_back_join_one_after_the_other():
    house = founded()
    house.kill("head", "middle")
    house.run()
    house.start("head", "middle")
    house.run(2.0)
    assert len(house.chains()) == 3
    assert {chain[0] for chain in house.chains().values()} == {"tail"}
    assert set(house.epochs().values()) == {house["tail"].configuration.epoch}


def test_a_learner_that_never_gets_the_rest_is_declined_and_the_chain_goes_on():
    house = founded()
    house.kill("tail")
    house.run()
    house.start("tail")
    house.lost = lambda sender, to, message: isinstance(message, Member)
    was_active = []
    for _ in range(50):
        house.run(TICK)
        was_active.append(house["middle"].active)
    assert house["middle"].configuration.positions == ("head", "middle")
    assert sum(was_active) >= 10
    assert any(was_active[-10:])
    house.lost = lambda sender, to, message: False
    house.run(1.0)
    assert house.chains() == dict.fromkeys(THREE, THREE)


def test_a_further_node_waits_as_a_learner_and_takes_the_place_of_one_that_dies():
    house = founded()
    house.begin(member("newcomer"))
    house.run(2.0)
    assert house["newcomer"].status is Status.LEARNER
    house.kill("middle")
    house.run(1.0)
    chain = ("head", "tail", "newcomer")
    assert house.chains() == dict.fromkeys(chain, chain)


def test_an_empty_disk_takes_the_place_of_one_that_is_lost():
    house = founded()
    house.kill("middle")
    house.begin(member("middle", 1, "id-empty"))
    house.run(1.0)
    chain = ("head", "tail", "middle")
    assert house.chains() == dict.fromkeys(chain, chain)
    assert house["head"].configuration.member("middle").id == "id-empty"


def test_a_learner_whose_life_began_before_the_chain_was_founded_joins():
    house = House("head", "middle")
    house.begin(member("newcomer"))
    house.start("head", "middle")
    house.run(1.0)
    assert house["newcomer"].status is Status.LEARNER
    assert house.chains() == dict.fromkeys(("head", "middle"), ("head", "middle"))
    house.kill("middle")
    house.run(SUSPECT_AFTER)
    assert house.chains() == dict.fromkeys(("head", "newcomer"), ("head", "newcomer"))


def test_a_learner_that_the_head_cannot_reach_is_not_taken_in():
    house = founded()
    house.kill("tail")
    house.start("tail")
    house.lost = lambda sender, to, message: {sender, to} == {"head", "tail"}
    house.run(2.0)
    assert house["head"].configuration.positions == ("head", "middle")
    assert house.chains() == dict.fromkeys(("head", "middle"), ("head", "middle"))


def test_a_learner_that_restarts_as_it_joins_is_left_out_and_joins_again():
    house = founded()
    house.kill("tail")
    house.start("tail")
    while house["head"].configuration.positions != THREE:
        house.run(TICK)
    house.kill("tail")
    house.start("tail")
    house.run(1.0)
    assert house.chains() == dict.fromkeys(THREE, THREE)
