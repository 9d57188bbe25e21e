"""A drained node lets nobody in, and sends those who are there elsewhere, answered and spread."""

import pytest
from msgspec.structs import replace
from sessions_house import House

from chainchat.node.budget import TELL_SECONDS
from chainchat.node.status import DRAINED
from chainchat.sessions.drain import ANSWER_SECONDS, REASON, Drain


@pytest.fixture
def house():
    return House()


@pytest.fixture
def drain(house):
    made = Drain(house.clock, lambda: house.sessions)
    house.server_info = replace(house.server_info, drained=lambda: made.drained)
    return made


def test_clients_go_one_after_the_other_spread_over_the_time(house, drain):
    clients = [house.client(name) for name in ("alice", "bob", "carol")]
    drain.begin(3.0)
    gone = []
    for _ in range(3):
        house.clock.advance(0.1)
        gone.append(sum(client.connection.closed for client in clients))
        house.clock.advance(0.9)
    assert gone == [1, 2, 3]
    assert any(REASON in line for line in clients[0].reads())


def test_nobody_is_let_in_until_the_end(house, drain):
    drain.begin(0.0)
    refused = house.client()
    assert refused.reads()[-1].startswith(f"-ERR 421 {DRAINED}")
    assert refused.connection.closed
    drain.end()
    assert not house.client("alice").connection.closed


def test_the_end_is_told_when_all_are_gone_and_once(house, drain):
    told = []
    alice = house.client("alice")
    drain.begin(60.0).addCallback(told.append)
    house.clock.advance(ANSWER_SECONDS)
    assert (alice.connection.closed, told) == (True, [])
    alice.session.lost()
    house.clock.advance(ANSWER_SECONDS)
    assert told == [True]


def test_who_undrains_meanwhile_keeps_the_others(house, drain):
    alice, bob = house.client("alice"), house.client("bob")
    told = []
    drain.begin(10.0).addCallback(told.append)
    house.clock.advance(0.1)
    drain.end()
    house.clock.advance(20.0)
    assert told == [False]
    assert (alice.connection.closed, bob.connection.closed) == (True, False)


def test_many_who_are_sent_away_at_once_go_in_slices_with_one_timer(house, drain):
    clients = [house.client(f"n{number}") for number in range(20)]
    house.price = TELL_SECONDS / 6
    timers = len(house.clock.getDelayedCalls())
    drain.begin(0.0)
    assert len(house.clock.getDelayedCalls()) <= timers + 2  # the other is the node's next turn
    assert 1 <= sum(client.connection.closed for client in clients) <= 6
    house.clock.advance(0)
    assert all(client.connection.closed for client in clients)
