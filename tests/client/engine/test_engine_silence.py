"""The client's engine: what it makes of a node's silence."""

from random import Random

import pytest
from engine_script import Script

from chainchat.client.engine import events
from chainchat.client.engine.backoff import Backoff
from chainchat.client.engine.dialogue import PATIENCE, PING_AFTER, PING_UNANSWERED_AFTER, SILENCE
from chainchat.client.engine.events import ConnectionLost, ConnectTo, Disconnect
from chainchat.client.engine.phases import GREETING_WITHIN, LONGEST_GREETING


def test_a_silent_connection_is_asked_and_then_taken_for_dead() -> None:
    script = Script()
    script.log_in()
    script.pass_time(PING_AFTER - 0.2)
    assert script.written() == []
    script.pass_time(0.4)
    assert script.written() == ["@ping PING"]
    script.pass_time(SILENCE + 0.2)
    assert script.happened() == [
        Disconnect(),
        ConnectionLost("a", 1, "nothing heard for 8 seconds", 0.0),
        ConnectTo("b", 2),
    ]


@pytest.mark.parametrize("idle", [0.0, PING_AFTER - 1])
def test_a_node_that_does_not_answer_is_asked_soon_and_left(idle: float) -> None:
    script = Script()
    script.log_in()
    script.pass_time(idle)
    script.engine.send("hi")
    assert script.written() == ["@1 SEND 1 * :hi"]
    script.pass_time(PING_UNANSWERED_AFTER - 0.2)
    assert script.written() == []
    script.pass_time(0.4)
    assert script.written() == ["@ping PING"]
    script.pass_time(SILENCE - 0.4)
    assert script.happened() == [events.SendPending(1, "*", "hi")]
    script.pass_time(0.6)
    assert script.happened()[-1] == ConnectTo("b", 2)


def test_a_question_for_the_chain_is_as_good_as_a_ping() -> None:
    script = Script()
    script.log_in()
    script.engine.request("CHAIN")
    script.pass_time(SILENCE - 0.2)
    assert (script.written(), script.happened()) == (["@r1 CHAIN"], [])
    script.pass_time(0.4)
    assert script.happened()[-1] == ConnectTo("b", 2)


def test_a_login_that_a_dead_node_does_not_answer_is_given_up_soon() -> None:
    script = Script()
    script.reaches("tail")
    script.happened()
    script.pass_time(PING_UNANSWERED_AFTER + SILENCE + 0.3)
    assert script.happened()[-1] == ConnectTo("b", 2)


def test_a_node_that_does_not_greet_is_left_after_a_wait_and_the_next_gets_twice_the_time() -> None:
    script = Script()
    waits = []
    for within in (GREETING_WITHIN, 2 * GREETING_WITHIN, 4 * GREETING_WITHIN):
        script.connect()
        script.happened()
        script.pass_time(within - 0.2)
        assert script.happened() in ([], [events.StillOffline()])
        script.pass_time(0.4)
        [_, lost] = script.happened()[:2]
        assert isinstance(lost, ConnectionLost)
        waits.append(lost.retry)
        script.pass_time(lost.retry + 0.2)
    backoff = Backoff(Random(1), first=0.5, longest=15.0)
    assert waits == [backoff.next() for _ in range(3)]


def test_a_node_that_has_said_something_may_take_its_time_to_greet() -> None:
    script = Script()
    script.connect()
    script.says("* This is chainchat.")
    script.happened()
    script.pass_time(LONGEST_GREETING - 0.5)
    assert script.happened() == []
    script.pass_time(1)
    assert isinstance(script.happened()[1], ConnectionLost)


def test_who_does_not_listen_blames_nobody_for_the_silence() -> None:
    script = Script()
    script.log_in()
    script.engine.send("hi")
    script.happened()
    for _ in range(1000):
        script.now += 0.1
        script.engine.tick(script.now, listening=False)
    assert script.happened() == []
    script.pass_time(0.5)
    script.says("+OK @1 id=1001")
    assert script.engine.online


def test_an_answered_ping_keeps_the_connection() -> None:
    script = Script()
    script.log_in()
    for _ in range(10):
        script.pass_time(PING_AFTER + 0.2)
        script.says("+OK @ping")
    assert script.happened() == []


def test_after_a_long_stop_of_the_process_there_is_time_for_an_answer() -> None:
    script = Script()
    script.log_in()
    script.engine.send("hi")
    script.pass_time(0.1)
    script.happened()
    script.now += 3600
    script.engine.tick(script.now)
    assert script.happened() == []
    assert script.written()[-1] == "@ping PING"
    script.says("+OK @1 id=1001", "+OK @ping")
    script.pass_time(1)
    assert [type(event) for event in script.happened()] == [events.SendAcknowledged]


def wait_in_vain(script: Script, seconds: float) -> None:
    """Nothing but PINGs is answered."""
    end = script.now + seconds
    while script.now < end:
        script.pass_time(0.5)
        script.says(*["+OK @ping"] * script.written().count("@ping PING"))


def test_a_chain_that_waits_is_waited_for_and_then_another_node_is_tried() -> None:
    script = Script()
    script.log_in()
    script.engine.send("hi")
    script.says("NOTE waiting for=head :not confirmed yet")
    script.happened()
    wait_in_vain(script, PATIENCE - 1)
    assert script.happened() == []
    wait_in_vain(script, 1.5)
    assert script.happened() == [
        Disconnect(),
        ConnectionLost("a", 1, "no answer for 30 seconds", 0.0),
        ConnectTo("b", 2),
    ]


def test_a_chain_that_answers_slowly_is_not_left() -> None:
    script = Script()
    script.log_in()
    listing = script.engine.request("LIST")
    for number in range(5):
        wait_in_vain(script, PATIENCE - 1)
        script.says(f"| @r1 name{number}")
    script.says(". @r1")
    wait_in_vain(script, PATIENCE)
    names = tuple(f"name{number}" for number in range(5))
    assert script.happened() == [events.Listed(listing, "LIST", names)]


def test_with_nothing_unanswered_a_chain_that_waits_is_not_left() -> None:
    script = Script()
    script.log_in()
    script.says("NOTE waiting for=head :not confirmed yet")
    script.happened()
    wait_in_vain(script, 10 * PATIENCE)
    assert script.happened() == []
