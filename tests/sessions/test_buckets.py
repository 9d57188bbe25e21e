"""Token buckets, with a clock in the test's hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chainchat.sessions.buckets import LONGEST_DEBT, Buckets
from chainchat.sessions.pace import Rate

RATE = Rate(per_second=2.0, at_once=10)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def buckets(clock):
    return Buckets(clock.seconds)


def test_a_bucket_is_full_at_first_and_has_what_was_not_taken(buckets):
    assert buckets.left("a", RATE) == 10
    buckets.take("a", RATE, 4)
    assert (buckets.left("a", RATE), buckets.left("b", RATE)) == (6, 10)


def test_a_bucket_fills_at_its_rate_and_no_further(buckets, clock):
    buckets.take("a", RATE, 10)
    assert buckets.left("a", RATE) == 0
    clock.advance(1.5)
    assert buckets.left("a", RATE) == 3
    clock.advance(100)
    assert buckets.left("a", RATE) == 10


def test_what_was_not_used_after_all_can_be_put_back(buckets):
    buckets.take("a", RATE, 10)
    buckets.take("a", RATE, -1)
    assert buckets.left("a", RATE) == 1


def test_the_wait_is_as_long_as_it_takes(buckets, clock):
    assert buckets.wait("a", RATE, 10) == 0
    buckets.take("a", RATE, 10)
    assert buckets.wait("a", RATE) == 0.5
    clock.advance(buckets.wait("a", RATE, 4))
    assert buckets.left("a", RATE) == 4


def test_however_much_is_taken_the_wait_for_a_token_is_bounded(buckets):
    buckets.take("a", RATE, 1_000_000)
    assert buckets.left("a", RATE) == -10
    assert buckets.wait("a", RATE) == LONGEST_DEBT + 0.5


def test_full_buckets_are_forgotten(buckets, clock):
    for number in range(100):
        buckets.take(f"old{number}", RATE)
    for number in range(4):
        clock.advance(RATE.seconds_to_fill + LONGEST_DEBT)
        buckets.take(f"new{number}", RATE)
    assert len(buckets) == 2


def test_the_table_is_bounded_whoever_comes(clock):
    buckets = Buckets(clock.seconds, most=100)
    for number in range(10_000):
        buckets.take(f"key{number}", RATE)
        assert len(buckets) <= 200
    assert buckets.left("key9999", RATE) == 9


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.floats(0, 8))))
def test_it_is_as_if_nothing_were_ever_forgotten(steps):
    clock = Clock()
    buckets, paid_until = Buckets(clock.seconds), dict.fromkeys("abc", 0.0)
    for key, tokens, pause in steps:
        now = clock.seconds()
        assert buckets.left(key, RATE) == int(RATE.left(paid_until[key], now))
        buckets.take(key, RATE, tokens)
        bound = now + RATE.seconds_to_fill + LONGEST_DEBT
        paid_until[key] = min(RATE.pay(paid_until[key], now, tokens), bound)
        clock.advance(pause)
