"""Clocks: whether one stood still, and what time most of them say."""

import pytest

from chainchat.chain.membership.clocks import MOST_AHEAD, Clocks
from chainchat.chain.messages import ClockReading

NOON = 1_800_000_000_000
"""UTC milliseconds."""
X, Y = ("id-x", 1), ("id-y", 1)


def noon(seconds):
    return NOON + int(1000 * seconds)


# --- this machine's own ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wall", "agree"),
    [(0.1, True), (0.085, True), (0.115, True), (0.2, False), (0.05, False), (3600.0, False)],
)
def test_the_wall_clock_goes_on_as_the_other_does_or_one_of_them_was_stopped_or_set(wall, agree):
    clocks = Clocks()
    assert clocks.look(50.0, noon(0.0))
    assert clocks.look(50.1, noon(wall)) is agree


def test_after_a_jump_the_clocks_are_compared_anew():
    clocks = Clocks()
    assert clocks.look(50.0, noon(0.0))
    assert not clocks.look(50.1, noon(9.0))
    assert clocks.look(50.2, noon(9.1))


def test_a_machine_without_a_wall_clock_finds_nothing():
    clocks = Clocks()
    assert all(clocks.look(now, 0) for now in (1.0, 5.0, 500.0))


# --- another's ---------------------------------------------------------------------------


def met(*, asked=10.0, their=910.0, now=10.02):
    clocks = Clocks()
    assert clocks.heard(X, ClockReading(their), now, asked)
    return clocks


def test_answers_that_take_long_say_nothing_of_clocks():
    clocks = met()
    assert clocks.heard(X, ClockReading(911.0), 13.0, 10.5)
    assert clocks.heard(X, ClockReading(913.1), 13.1, 13.0)


def test_who_stood_still_finds_that_the_others_clock_went_on():
    assert not met().heard(X, ClockReading(913.1), 10.12, 10.1)


def test_each_answer_narrows_what_one_clock_can_be_ahead_of_the_other():
    """A quick answer shows the jump, and a slow one after it changes nothing."""
    clocks = met()
    assert clocks.heard(X, ClockReading(911.0), 12.0, 10.1)
    assert not clocks.heard(X, ClockReading(912.85), 12.06, 12.05)


def test_a_word_that_came_unasked_shows_as_much():
    assert not met().heard(X, ClockReading(913.1), 10.12, None)


def test_a_word_that_was_long_on_its_way_shows_nothing():
    assert met().heard(X, ClockReading(910.1), 13.12, None)


def test_whose_clock_fell_behind_stood_still():
    assert not met().heard(X, ClockReading(910.1), 13.12, 13.1)


@pytest.mark.parametrize(("rate", "agree"), [(0.9, True), (1.1, True), (0.8, False), (1.2, False)])
def test_clocks_may_drift_apart_but_not_fast(rate, agree):
    clocks, results = met(now=10.001), []
    for second in range(11, 40):
        their = ClockReading(910.0 + rate * (second - 10))
        results.append(clocks.heard(X, their, second + 0.001, float(second)))
    assert all(results) is agree


def test_every_life_has_a_clock_of_its_own():
    clocks = met()
    assert clocks.heard(Y, ClockReading(5.0), 10.2, 10.1)
    clocks.forget_all_but({Y})
    assert clocks.heard(X, ClockReading(77.0), 10.3, 10.2)
    assert not clocks.heard(Y, ClockReading(8.0), 10.4, 10.3)


def test_who_tells_no_time_is_not_compared():
    clocks = met()
    assert clocks.heard(X, ClockReading(), 10.2, 10.1)
    assert clocks.time([X], 10.2, NOON) == NOON


# --- what time it is ---------------------------------------------------------------------


def told(*walls):
    """Clocks here that heard others at 10.0, each so many seconds after noon."""
    clocks = Clocks()
    lives = [(f"id-{number}", 1) for number in range(len(walls))]
    for life, wall in zip(lives, walls, strict=True):
        clocks.heard(life, ClockReading(1.0, noon(wall)), 10.0, None)
    return clocks, lives


BOUND = MOST_AHEAD / 1000


@pytest.mark.parametrize(
    ("own", "others", "allowed"),
    [
        (9_000, (), 9_000),
        (9_000, (0,), BOUND),
        (0, (9_000,), 0),
        (BOUND, (0,), BOUND),
        (9_000, (0, 0), BOUND),
        (9_000, (5, 0), 5 + BOUND),
        (9_000, (9_000, 0), 9_000),
        (9_001, (8_000, 0), 8_000 + BOUND),
        (0, (9_000, 9_000), 0),
    ],
)
def test_an_entry_is_not_far_ahead_of_what_a_majority_of_clocks_says(own, others, allowed):
    clocks, lives = told(*others)
    assert clocks.time(lives, 10.0, noon(own)) == noon(allowed)


@pytest.mark.parametrize(
    ("own", "others", "ahead"),
    [
        (9_000, (), 0),
        (9_000, (0,), 9_000),
        (0, (9_000,), -9_000),
        (9_000, (0, 0), 9_000),
        (9_000, (9_000, 0), 0),
        (0, (9_000, 0), 0),
        (0, (9_000, 8_000), -8_000),
        (BOUND, (0, 0), 0),
    ],
)
def test_a_clock_is_odd_that_a_majority_contradicts(own, others, ahead):
    clocks, lives = told(*others)
    assert clocks.ahead(lives, 10.0, noon(own)) == 1000 * ahead


def test_others_clocks_go_on_after_they_were_heard():
    clocks, lives = told(0)
    assert clocks.time(lives, 110.0, noon(9_000)) == noon(100 + BOUND)
