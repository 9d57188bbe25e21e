"""Who guesses passwords is slowed down; nobody is locked out."""

import pytest
from twisted.internet.task import Clock

from chainchat.chat.refusals import RefusedError
from chainchat.sessions.throttle import Throttle


@pytest.fixture
def clock():
    clock = Clock()
    clock.advance(1_000)
    return clock


@pytest.fixture
def guesses(clock):
    return Throttle(clock.seconds)


def admitted(guesses, name, host, tries=100):
    """How many of these tries are admitted."""
    for count in range(tries):
        try:
            guesses.begin(name, host)
        except RefusedError:
            return count
    return tries


def test_an_account_can_be_tried_ten_times_and_then_every_ten_seconds(guesses, clock):
    addresses = iter(range(1, 99))
    assert sum(admitted(guesses, "alice", f"10.0.0.{next(addresses)}", 1) for _ in range(20)) == 10
    clock.advance(9)
    assert not admitted(guesses, "ALICE", "10.0.1.1", 1)
    clock.advance(1)
    assert admitted(guesses, "Alice", "10.0.1.2", 2) == 1


def test_the_refusal_says_how_long_to_wait(guesses, clock):
    admitted(guesses, "alice", "10.0.0.1")
    clock.advance(2.5)
    with pytest.raises(RefusedError, match="435 too many attempts: wait 8 seconds"):
        guesses.begin("alice", "10.0.0.2")


def test_an_address_has_twenty_tries_a_minute_whatever_the_names(guesses, clock):
    def tried(names):
        return sum(admitted(guesses, name, "10.0.0.1", 1) for name in names)

    assert tried(map(str, range(50))) == 20
    clock.advance(60)
    assert tried(map(str, range(50, 100))) == 20


def test_a_network_of_ipv6_is_one_address_and_the_next_is_another(guesses):
    tried = [admitted(guesses, f"user{n}", f"2001:db8::{n:x}", 1) for n in range(30)]
    assert sum(tried) == 20
    assert admitted(guesses, "else", "2001:db8:0:1::1", 1)


def test_who_knows_the_password_is_not_slowed_down(guesses):
    for _ in range(100):
        guesses.begin("alice", "10.0.0.1")
        guesses.succeeded("alice", "10.0.0.1")


def test_a_success_forgives_the_account_and_not_the_address(guesses):
    assert admitted(guesses, "alice", "10.0.0.1", 9) == 9
    guesses.begin("alice", "10.0.0.1")
    guesses.succeeded("alice", "10.0.0.1")
    assert admitted(guesses, "alice", "10.0.0.1") == 10
    assert admitted(guesses, "bob", "10.0.0.1") == 1


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(clock):
    guesses = Throttle(clock.seconds, most=5)
    for n in range(20):
        admitted(guesses, f"user{n}", f"10.0.{n}.1")
    assert admitted(guesses, "user19", "10.0.99.1") == 0
    assert admitted(guesses, "user0", "10.0.98.1") == 10
