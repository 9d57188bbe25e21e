"""Evidence: what counts as fresh, dead, clean and silent, and for how long."""

import pytest

from chainchat.chain.membership.evidence import Evidence
from chainchat.chain.timing import FRESH, Timing

SUSPECT_AFTER = 4.0
WINDOW = FRESH * SUSPECT_AFTER  # 3 seconds
X, Y = ("id-x", 1), ("id-y", 1)


@pytest.fixture
def evidence():
    return Evidence(Timing(SUSPECT_AFTER))


def confirmed(evidence, *, sent, came=None):
    nonce = evidence.next_ping(sent)
    evidence.confirmed(X, nonce, sent if came is None else came)


# --- fresh -------------------------------------------------------------------------------


def test_nobody_is_fresh_who_has_confirmed_nothing(evidence):
    evidence.heard(X, 10.0)
    assert not evidence.is_fresh(X, 10.0)
    assert not evidence.is_fresh(Y, 10.0)


@pytest.mark.parametrize(("age", "fresh"), [(0.0, True), (WINDOW - 0.01, True), (WINDOW, False)])
def test_a_confirmation_is_fresh_for_three_quarters_of_suspect_after(evidence, age, fresh):
    confirmed(evidence, sent=10.0)
    assert evidence.is_fresh(X, 10.0 + age) is fresh


def test_a_confirmation_is_as_old_as_its_ping_not_as_its_answer(evidence):
    confirmed(evidence, sent=10.0, came=12.5)
    assert evidence.is_fresh(X, 12.9)
    assert not evidence.is_fresh(X, 13.0)


def test_an_answer_that_comes_late_does_not_age_a_newer_one(evidence):
    early, late = evidence.next_ping(10.0), evidence.next_ping(11.0)
    evidence.confirmed(X, late, 11.1)
    evidence.confirmed(X, early, 11.2)
    assert evidence.is_fresh(X, 13.9)


@pytest.mark.parametrize("nonce", [0, 2, 99])
def test_an_answer_to_a_ping_that_was_never_sent_confirms_nothing(evidence, nonce):
    evidence.next_ping(10.0)
    evidence.confirmed(X, nonce, 10.0)
    assert not evidence.is_fresh(X, 10.0)


def test_an_answer_to_a_ping_of_long_ago_confirms_nothing(evidence):
    old = evidence.next_ping(10.0)
    evidence.next_ping(10.0 + SUSPECT_AFTER + 0.01)
    evidence.confirmed(X, old, 10.0 + SUSPECT_AFTER + 0.02)
    assert not evidence.is_fresh(X, 10.0)


def test_nonces_do_not_repeat(evidence):
    assert [evidence.next_ping(float(at)) for at in range(50)] == list(range(1, 51))


def test_a_confirmation_is_of_one_life(evidence):
    confirmed(evidence, sent=10.0)
    assert not evidence.is_fresh(("id-x", 2), 10.0)


# --- dead and clean ----------------------------------------------------------------------


def test_a_proof_while_a_confirmation_is_fresh_is_clean(evidence):
    confirmed(evidence, sent=10.0)
    evidence.died(X, 12.9)
    assert (evidence.is_dead(X), evidence.is_clean(X)) == (True, True)


@pytest.mark.parametrize("sent", [None, 10.0])
def test_a_proof_without_freshness_is_dead_but_not_clean(evidence, sent):
    if sent is not None:
        confirmed(evidence, sent=sent)
    evidence.died(X, 13.0)
    assert (evidence.is_dead(X), evidence.is_clean(X)) == (True, False)


def test_who_is_clean_stays_clean(evidence):
    confirmed(evidence, sent=10.0)
    evidence.died(X, 10.5)
    evidence.died(X, 99.0)
    assert not evidence.is_fresh(X, 99.0)
    assert evidence.is_clean(X)


def test_a_second_proof_does_not_make_clean_what_is_stale(evidence):
    confirmed(evidence, sent=10.0)
    evidence.died(X, 14.0)
    evidence.died(X, 14.1)
    assert not evidence.is_clean(X)


def test_nobody_is_dead_without_a_proof(evidence):
    confirmed(evidence, sent=10.0)
    assert (evidence.is_dead(X), evidence.is_clean(X)) == (False, False)
    assert (evidence.is_dead(Y), evidence.is_clean(Y)) == (False, False)


# --- silent ------------------------------------------------------------------------------


def test_silence_begins_at_exactly_suspect_after(evidence):
    evidence.heard(X, 10.0)
    assert not evidence.is_silent(X, 13.99)
    assert evidence.is_silent(X, 14.0)


def test_a_life_never_heard_is_given_its_time(evidence):
    assert not evidence.is_silent(X, 10.0)
    assert not evidence.is_silent(X, 13.99)
    assert evidence.is_silent(X, 14.0)


def test_a_confirmation_is_not_a_ping_heard(evidence):
    evidence.heard(X, 10.0)
    confirmed(evidence, sent=13.0)
    assert evidence.is_silent(X, 14.0)


def test_who_holds_a_fresh_confirmation_was_heard_too_lately_to_be_taken_for_silent(evidence):
    other = Evidence(Timing(SUSPECT_AFTER))
    other.heard(Y, 10.0)  # the ping that evidence sent then
    confirmed(evidence, sent=10.0)
    instants = [10.0 + tenth / 10 for tenth in range(60)]
    assert not [at for at in instants if evidence.is_fresh(X, at) and other.is_silent(Y, at)]


@pytest.mark.parametrize(
    ("dead", "silent", "may"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_who_is_dead_or_silent_may_be_excluded(evidence, dead, silent, may):
    evidence.heard(X, 10.0)
    if dead:
        evidence.died(X, 10.0)
    assert evidence.may_exclude(X, 14.0 if silent else 10.0) is may


def test_the_reason_is_for_people(evidence):
    evidence.heard(X, 10.0)
    assert evidence.reason(X, 14.25) == "silent for 4.25 s"
    evidence.died(X, 14.5)
    assert evidence.reason(X, 14.5) == "its process is dead"


def test_what_this_node_did_not_hear_while_it_stood_still_is_no_silence(evidence):
    evidence.heard(X, 10.0)
    evidence.stood_still(20.0, 33.0)
    assert not evidence.is_silent(X, 33.99)
    assert evidence.is_silent(X, 34.0)


def test_who_was_heard_just_after_a_pause_is_not_given_more_than_its_time(evidence):
    evidence.heard(X, 33.0)
    evidence.stood_still(20.0, 33.0)
    assert evidence.is_silent(X, 37.0)


# --- forgetting --------------------------------------------------------------------------


def test_only_lives_that_matter_are_remembered(evidence):
    for life in (X, Y):
        evidence.heard(life, 10.0)
        evidence.died(life, 10.0)
    evidence.forget_all_but({Y})
    assert (evidence.is_dead(X), evidence.is_dead(Y)) == (False, True)
    assert not evidence.is_silent(X, 20.0)  # as if it was never heard


def test_a_node_that_is_no_member_keeps_no_confirmation(evidence):
    confirmed(evidence, sent=10.0)
    evidence.died(X, 10.0)
    evidence.lose_confirmations()
    assert not evidence.is_fresh(X, 10.0)
    assert not evidence.is_clean(X)
    assert evidence.is_dead(X)


# --- doubt -------------------------------------------------------------------------------


def test_after_doubt_nothing_counts_that_was_asked_before(evidence):
    asked = evidence.next_ping(10.0)
    confirmed(evidence, sent=10.0)
    evidence.died(X, 10.1)
    evidence.doubt()
    evidence.confirmed(X, asked, 10.2)
    assert not evidence.is_clean(X)
    assert not evidence.is_fresh(X, 10.2)
    assert evidence.is_dead(X)
    confirmed(evidence, sent=10.3)
    assert evidence.is_fresh(X, 10.3)


def test_where_a_refusal_proves_nothing_nobody_is_clean_but_the_dead_may_be_left_out():
    evidence = Evidence(Timing(SUSPECT_AFTER), refusal_is_death=False)
    confirmed(evidence, sent=10.0)
    evidence.died(X, 10.1)
    assert not evidence.is_clean(X)
    assert evidence.may_exclude(X, 10.1)


def test_pings_are_numbered_from_where_it_is_told():
    evidence = Evidence(Timing(SUSPECT_AFTER), first_nonce=70)
    assert [evidence.next_ping(1.0), evidence.next_ping(1.0)] == [71, 72]
