"""Membership: the seal of a tail that lets a learner in, and what ends the seal without a vote."""

import pytest
from membership_house import (
    TICK,
    active,
    configuration,
    confirm,
    member,
    of_kind,
    propose,
    reach,
    vote_for,
)

from chainchat.chain.effects import Send
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.membership import Seal
from chainchat.chain.membership.seals import Sealing
from chainchat.chain.messages import Declined, Voted

TWO = ("head", "middle")
NEWCOMER, LATER = member("tail", 2), member("tail", 3)
END = EntryId(1, 9)
JOIN = vote_for(configuration(2, *TWO, "tail", tail=2), member("head"))
RESUME = vote_for(configuration(2, *TWO, head=2), member("head", 2))


@pytest.fixture
def tail():
    """A tail sealed for the newcomer since 0.0."""
    tail = active("middle", *TWO)
    tail.own_log.last, tail.own_log.nearby = END, frozenset({NEWCOMER})
    list(tail.linked("tail", NEWCOMER, 0.0))
    assert propose(tail, JOIN) == [Seal(NEWCOMER)]
    assert tail.sealed == NEWCOMER
    reach(tail, member("head", 2))
    return tail


def test_a_seal_names_the_newcomer_of_its_vote():
    assert Sealing(JOIN, 0.0).learner == NEWCOMER


# --- another vote ------------------------------------------------------------------------


def test_a_vote_given_while_sealed_ends_the_seal(tail):
    assert of_kind(propose(tail, RESUME), Voted) == [Voted(tail.me, RESUME, END)]
    assert tail.sealed is None


def test_a_vote_given_while_sealed_is_not_overwritten_when_the_learner_has_all(tail):
    """*one vote*: the head's next life resumes the chain while the tail is sealed."""
    propose(tail, RESUME)
    assert list(tail.synced(NEWCOMER, END, 0.01)) == []
    assert tail.record.vote == RESUME
    assert of_kind(tail.tick(TICK + 0.01), Declined) == []


def test_an_epoch_does_not_get_two_configurations_that_way(tail):
    reach(tail, member("head"))
    confirm(tail, "head", 0.0)
    reach(tail, member("head", 2), 0.01)  # proves the earlier life dead: clean
    assert of_kind(propose(tail, RESUME, 0.02), Voted)
    list(tail.synced(NEWCOMER, END, 0.03))
    list(tail.tick(0.05))  # the head's later life decides; the join must not be completed
    assert tail.configuration.epoch == 1
    assert tail.record.vote == RESUME


# --- another proposal --------------------------------------------------------------------


def test_another_newcomer_is_declined_while_sealed(tail):
    tail.own_log.nearby = frozenset({NEWCOMER, LATER})
    other = vote_for(configuration(2, *TWO, "tail", tail=3), member("head"), 2)
    reason = "another learner is just being let in"
    assert propose(tail, other) == [Send("head", Declined(other, reason))]
    assert tail.sealed == NEWCOMER


def test_word_of_one_learner_is_no_vote_for_another(tail):
    """The tail is sealed for one learner, and another is proposed (restarted, or a fourth node)."""
    tail.own_log.nearby = frozenset({NEWCOMER, LATER})
    other = vote_for(configuration(2, *TWO, "tail", tail=3), member("head"), 2)
    propose(tail, other)
    assert list(tail.synced(LATER, END, 0.01)) == []
    list(tail.synced(NEWCOMER, END, 0.01))
    assert tail.record.vote == JOIN  # the one that it is sealed for, not that of LATER


def test_a_later_proposal_of_the_newcomer_takes_the_place_of_the_first_but_not_its_time(tail):
    again = vote_for(JOIN.configuration, member("head"), 2)
    assert propose(tail, again, TICK / 2) == [Seal(NEWCOMER)]
    [declined] = of_kind(tail.tick(TICK + 0.01), Declined)
    assert declined.vote == again
    assert tail.active


def test_the_vote_is_for_the_latest_proposal_of_the_newcomer(tail):
    again = vote_for(JOIN.configuration, member("head"), 2)
    propose(tail, again, TICK / 2)
    assert of_kind(tail.synced(NEWCOMER, END, TICK / 2), Voted) == [Voted(tail.me, again, END)]


# --- a decline ---------------------------------------------------------------------------


def test_a_repetition_that_crosses_the_decline_does_not_seal_the_tail_again(tail):
    """The head repeats its proposal with every tick; one still in flight seals for nobody."""
    list(tail.tick(TICK + 0.01))
    assert tail.active
    [send] = propose(tail, JOIN, TICK + 0.011)
    assert send.message == Declined(JOIN, "it was declined already")
    assert tail.active


def test_what_was_declined_may_be_proposed_anew(tail):
    list(tail.tick(TICK + 0.01))
    again = vote_for(JOIN.configuration, member("head"), 2)
    assert propose(tail, again, 0.4) == [Seal(NEWCOMER)]
    assert tail.sealed == NEWCOMER
