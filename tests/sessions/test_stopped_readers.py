"""People who have stopped their terminal: told why their session ends, where they will read it."""

import pytest
from twisted.internet.task import Clock

from chainchat.network.farewell import LOOK_SECONDS, SHOW_SECONDS, Farewell
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


def test_whoever_takes_something_now_and_then_has_not_stopped(house, pair):
    _, bob = pair
    bob.connection.silence = 0.0
    for second in range(int(3 * STOPPED_SECONDS)):
        bob.connection.acked += second % 90 == 0
        house.clock.advance(1)
    assert not bob.connection.closed


def test_a_time_in_which_there_was_nothing_to_take_does_not_count(house, pair):
    alice, bob = pair
    bob.connection.silence = 0.0
    bob.connection.acked = bob.connection.written
    for _ in range(int(2 * STOPPED_SECONDS)):
        house.clock.advance(1)
    alice.says("again")
    house.clock.advance(1)
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


class Writer:
    """Notes when nothing follows."""

    half_closed = False

    def half_close(self):
        self.half_closed = True


def test_the_end_follows_the_reason_only_when_a_reader_could_show_it():
    clock, writer, taken = Clock(), Writer(), []
    farewell = Farewell(None, writer, clock)
    farewell.begin_when_taken(lambda: bool(taken))
    clock.pump([LOOK_SECONDS] * 30)
    assert not writer.half_closed
    taken.append("all")
    clock.pump([LOOK_SECONDS, SHOW_SECONDS / 2])
    assert not writer.half_closed
    clock.advance(SHOW_SECONDS / 2)
    assert writer.half_closed
    assert not clock.getDelayedCalls()


def test_nobody_waits_for_a_reader_who_has_gone():
    clock = Clock()
    farewell = Farewell(None, Writer(), clock)
    farewell.begin_when_taken(lambda: False)
    clock.advance(LOOK_SECONDS)
    farewell.over()
    assert not clock.getDelayedCalls()
