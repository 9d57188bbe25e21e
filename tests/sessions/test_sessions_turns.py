"""Turns: what arrives is noted and heard in a turn; no input comes from within another."""

import pytest

from chainchat.node.budget import TELL_SECONDS


def test_a_line_is_noted_when_it_arrives_and_heard_and_answered_in_turns(house):
    alice = house.client("alice")
    written_in_turn = []
    alice.connection.on_write = lambda: written_in_turn.append(house.node.in_turn)
    alice.sends("hello")
    assert house.node.pending == 0
    assert written_in_turn == []
    assert alice.reads() == ["+OK 3"]
    assert written_in_turn == [True]


def test_a_client_that_leaves_during_a_turn_is_noted_too(house):
    alice, bob = house.client("alice"), house.client("bob")
    alice.reads(2), bob.reads()
    bob.connection.on_write = bob.session.lost
    alice.says("hello")
    assert house.sessions.count == 1
    assert alice.reads(2)[-1].endswith("bob has left")


@pytest.mark.parametrize("phase", ["hear", "flush"])
def test_an_input_from_within_a_turn_is_a_bug(house, phase):
    node, sessions = house.node, house.sessions
    carry_out = getattr(sessions, phase)

    def climb():
        node.refused("other", "10.0.0.2", 7000)
        return carry_out()

    setattr(sessions, phase, climb)
    node.wake()
    with pytest.raises(AssertionError, match="an input from within another"):
        house.clock.advance(0)
    assert not node.running


def test_a_node_that_stops_tells_its_clients_in_slices(house):
    clients = [house.client(f"n{number}") for number in range(20)]
    house.price = TELL_SECONDS / 4
    told, turns = [], 0
    for _ in house.sessions.one_by_one(lambda session: told.append(session.name)):
        turns += 1
        assert 1 <= len(told) <= 4 * turns
        if turns == 1:
            clients[-1].session.lost()
        house.clock.advance(0)
    assert turns >= 4
    assert told == [f"n{number}" for number in range(19)]
