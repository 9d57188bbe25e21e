"""Who guesses passwords is slowed down; nobody is locked out."""

import pytest
from twisted.internet.task import Clock

from chainchat.chat.refusals import RefusedError
from chainchat.sessions.buckets import WIDER
from chainchat.sessions.throttle import MOST_PLACES, MOST_REST, Throttle


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


def test_nobody_tries_more_often_by_having_many_networks_of_ipv6(guesses):
    sites = [f"2001:db8:0:{n:x}::1" for n in range(20 * WIDER + 10)]
    assert sum(admitted(guesses, f"user{n}", site, 1) for n, site in enumerate(sites)) == 20 * WIDER
    assert admitted(guesses, "else", "2001:db8:1::1", 1)


def test_a_success_forgives_the_account_and_not_the_address(guesses):
    assert admitted(guesses, "alice", "10.0.0.1", 9) == 9
    guesses.begin("alice", "10.0.0.1")
    guesses.succeeded("alice", "10.0.0.1")
    assert admitted(guesses, "alice", "10.0.0.1") == 10
    assert admitted(guesses, "bob", "10.0.0.1") == 1


def test_who_was_there_before_is_not_locked_out_by_those_who_guess(guesses, clock):
    guesses.begin("alice", "10.0.0.1")
    guesses.succeeded("alice", "10.0.0.1")
    for host in range(20):
        admitted(guesses, "alice", f"10.0.9.{host}")
    assert not admitted(guesses, "alice", "10.0.0.2", 1)
    assert admitted(guesses, "Alice", "10.0.0.1", 1)  # and may mistype
    assert admitted(guesses, "alice", "10.0.0.1") == 9
    assert not admitted(guesses, "alice", "10.0.0.1", 1)  # no more than others


def test_nor_by_those_who_guess_from_the_same_address(guesses):
    guesses.begin("alice", "10.0.0.1")
    guesses.succeeded("alice", "10.0.0.1")
    assert sum(admitted(guesses, f"bob{n}", "10.0.0.1", 1) for n in range(30)) == 20
    assert admitted(guesses, "alice", "10.0.0.1", 1)


def test_a_success_of_who_was_there_before_admits_no_more_guesses_of_others(guesses):
    guesses.begin("alice", "10.0.0.1")
    guesses.succeeded("alice", "10.0.0.1")
    assert admitted(guesses, "alice", "10.0.0.2") == 10
    guesses.begin("alice", "10.0.0.1")
    guesses.succeeded("alice", "10.0.0.1")
    assert not admitted(guesses, "alice", "10.0.0.3", 1)


def test_of_those_who_were_there_the_newest_are_known(clock):
    guesses = Throttle(clock.seconds, most=3)
    for n in range(5):
        guesses.succeeded(f"user{n}", "10.0.0.1")
    guesses.succeeded("user2", "10.0.0.1")
    guesses.succeeded("user5", "10.0.0.1")
    assert [n for n in range(6) if guesses.knows(f"user{n}", "10.0.0.1")] == [2, 4, 5]


def test_one_account_of_many_addresses_makes_no_other_unknown(clock):
    guesses = Throttle(clock.seconds, most=2 * MOST_PLACES)
    guesses.succeeded("alice", "10.0.0.1")
    hosts = [f"10.0.{n}.2" for n in range(3 * MOST_PLACES)]
    for host in hosts:
        guesses.succeeded("mallory", host)
    assert guesses.knows("alice", "10.0.0.1")
    assert [h for h in hosts if guesses.knows("mallory", h)] == hosts[-MOST_PLACES:]


def test_the_more_are_wrong_the_longer_is_the_rest(guesses):
    assert guesses.rest == 1.0
    guesses.failed()
    assert guesses.rest < 1.5
    for _ in range(100):
        guesses.failed()
    assert guesses.rest == pytest.approx(MOST_REST, rel=0.01)
    for _ in range(100):
        guesses.succeeded("alice", "10.0.0.1")
    assert guesses.rest == pytest.approx(1.0, rel=0.01)


def test_who_is_known_is_hashed_before_strangers_until_they_had_more(guesses, clock):
    def rank(known_as=""):
        return guesses.rank("10.0.0.1", known_as)

    assert rank("alice") < rank()
    guesses.hashes("10.0.0.1", "Alice", 10.0)  # a million iterations, ten times the usual
    assert rank("bob") < rank() < rank("alice")
    guesses.hashes("10.0.0.1", "", 3.0)
    assert guesses.rank("10.0.0.2", "") < rank() < rank("alice")
    clock.advance(60)
    assert rank("alice") == rank("bob") < rank()


def test_who_has_many_networks_of_ipv6_is_hashed_after_a_stranger_in_the_end(guesses):
    for n in range(4 * WIDER):
        guesses.hashes(f"2001:db8:0:{n:x}::1", "", 1.0)
    another = guesses.rank("2001:db8:1::1", "")
    assert guesses.rank("2001:db8:0:ff::1", "") == pytest.approx(another + 4)


def test_a_hash_that_was_not_done_is_taken_back(guesses):
    before = guesses.rank("10.0.0.1", "")
    guesses.hashes("10.0.0.1", "", 2.0)
    guesses.hashes("10.0.0.1", "", -2.0)
    assert guesses.rank("10.0.0.1", "") == before


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(clock):
    guesses = Throttle(clock.seconds, most=5)
    for n in range(20):
        admitted(guesses, f"user{n}", f"10.0.{n}.1")
    assert admitted(guesses, "user19", "10.0.99.1") == 0
    assert admitted(guesses, "user0", "10.0.98.1") == 10
