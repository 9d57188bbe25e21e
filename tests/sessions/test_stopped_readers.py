"""People who have stopped their terminal: told why their session ends, where they will read it."""

import pytest

from chainchat.sessions.explanations import STOPPED, TOOK_NOTHING
from chainchat.sessions.read_marks import STOPPED_SECONDS


@pytest.fixture
def pair(house):
    """Alice has said something that bob's machine has not taken."""
    alice, bob = house.client("alice"), house.client("bob")
    bob.connection.acked = bob.connection.written
    alice.says("are you there?")
    return alice, bob


@pytest.mark.parametrize("answers", [True, False], ids=["stopped", "gone"])
def test_the_reason_stands_behind_what_was_not_read(house, pair, answers):
    alice, bob = pair
    for second in range(int(STOPPED_SECONDS) + 5):
        # The pauses between probes double, so that the last answer is half as old as the stop.
        bob.connection.silence = second / 2 if answers else second
        house.clock.advance(1)
    assert bob.connection.closed == bob.connection.waits_for_reader == answers
    assert (bob.reads()[-1] == f"-ERR 431 {STOPPED}") == answers
    assert ("| bob" in alice.says("/who")) != answers


def test_the_next_login_tells_it_too(house, pair):
    _, bob = pair
    for second in range(int(STOPPED_SECONDS) + 5):
        bob.connection.silence = second / 2
        house.clock.advance(1)
    bob.session.lost()
    assert f"* {TOOK_NOTHING}" in house.client().says("bob")


@pytest.mark.parametrize("stopped", ["never", "before"])
def test_whoever_takes_something_now_and_then_has_not_stopped(house, pair, stopped):
    _, bob = pair
    bob.connection.silence = 0.0
    if stopped == "before":  # and has taken all since
        for _ in range(2):
            house.clock.advance(STOPPED_SECONDS - 10)
            bob.connection.acked = bob.connection.written
            house.clock.advance(STOPPED_SECONDS - 10)
            pair[0].says("again")
    else:
        for second in range(int(3 * STOPPED_SECONDS)):
            bob.connection.acked += second % 90 == 0
            house.clock.advance(1)
    assert not bob.connection.closed


def test_an_answer_that_does_not_end_can_be_stopped_too(house):
    alice = house.client("alice")
    alice.connection.acked = 0
    alice.session.output_full(full=True)
    for second in range(int(STOPPED_SECONDS) + 5):
        alice.connection.silence = second / 2
        house.clock.advance(1)
    assert alice.connection.closed
