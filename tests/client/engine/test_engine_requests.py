"""The client's engine: requests, notices, and the end."""

import pytest
from engine_script import Script, arrived, push

from chainchat.client.engine import events
from chainchat.client.engine.events import ConnectionLost, ConnectTo, Disconnect, Ended

# --- requests ------------------------------------------------------------------------


def test_lists_and_replies_come_back_under_their_requests() -> None:
    script = Script()
    listing = script.engine.request("LIST", "al")
    chain = script.engine.request("CHAIN")
    script.connect()
    script.says("+OK @- node=tail max-line=1024 nodes=a:1", "+OK @login session=t high=1")
    assert script.written()[-2:] == ["@r1 LIST al", "@r2 CHAIN"]
    script.happened()
    script.says("| @r1 alan", push(5, 0), "| @r1 alice", ". @r1", "+OK @r2 epoch=3 role=tail")
    assert script.happened() == [
        arrived(5),
        events.Listed(listing, "LIST", ("alan", "alice")),
        events.Answered(chain, "CHAIN", {"epoch": "3", "role": "tail"}),
    ]


@pytest.mark.parametrize("overtaken", [True, False])
def test_the_state_of_the_chain_may_come_before_earlier_answers(overtaken: bool) -> None:
    script = Script()
    script.log_in()
    listing = script.engine.request("WHO")
    chain = script.engine.request("CHAIN")
    script.engine.send("hi")
    script.happened()
    listed, answered = ["| @r1 alice", ". @r1"], "+OK @r2 epoch=3"
    listed.insert(1 if overtaken else 2, answered)
    script.says(*listed, "+OK @1 id=1001")
    happened = script.happened()
    assert happened[-1] == events.SendAcknowledged(1, 1001, "*", "hi", again=False)
    expected = [
        events.Listed(listing, "WHO", ("alice",)),
        events.Answered(chain, "CHAIN", {"epoch": "3"}),
    ]
    assert happened[:-1] == (expected[::-1] if overtaken else expected)


def test_a_break_asks_again_for_the_state_of_the_chain() -> None:
    script = Script()
    script.log_in()
    script.engine.request("CHAIN")
    script.breaks()
    script.connect()
    script.says("+OK @- node=tail max-line=1024 nodes=a:1", "+OK @login session=t high=1")
    assert script.written()[-1] == "@r1 CHAIN"


def test_since_lists_messages_ones_own_included() -> None:
    script = Script()
    script.log_in()
    request = script.engine.request("SINCE", 900)
    own = push(905, 0, "mine", "alice")
    script.says(f"| @r1 {own}", f"| @r1 {push(906, 0)}", ". @r1")
    (history,) = script.happened()
    assert isinstance(history, events.HistoryListed)
    assert history.request == request
    assert [message.id for message in history.messages] == [905, 906]


def test_a_break_repeats_reads_but_not_a_delete() -> None:
    script = Script()
    script.log_in()
    script.engine.request("WHO")
    script.engine.request("DELETE", "bob")
    script.says("| @r1 al")
    assert [type(event) for event in script.breaks()] == [
        ConnectionLost,
        events.RequestRefused,
        ConnectTo,
    ]
    script.connect()
    script.says("+OK @- node=tail max-line=1024 nodes=a:1", "+OK @login session=t high=1")
    assert script.written()[-1] == "@r1 WHO"
    script.happened()
    script.says("| @r1 alice", ". @r1")
    assert script.happened() == [events.Listed(1, "WHO", ("alice",))]


def test_an_answer_to_something_else_breaks_the_connection() -> None:
    script = Script()
    script.log_in()
    script.engine.send("hi")
    script.says("+OK @2 id=1001")
    assert [type(event) for event in script.happened()[1:]] == [
        Disconnect,
        ConnectionLost,
        ConnectTo,
    ]


# --- notices and the end -------------------------------------------------------------


@pytest.mark.parametrize("reason", ["moved", "deleted"])
def test_moved_and_deleted_are_the_end(reason: str) -> None:
    script = Script()
    script.log_in()
    script.says(f"NOTE {reason} by=bob :it is so")
    assert script.happened() == [Disconnect(), Ended(reason, 0, "it is so")]
    assert script.engine.ended
    assert script.breaks() == []


def test_a_closing_node_gets_nothing_new_and_the_next_is_tried_at_once() -> None:
    script = Script(nodes=[("a", 1)])
    script.log_in()
    script.engine.send("before")
    script.written()
    script.says("NOTE closing nodes=d:4 :this node stops")
    script.engine.send("after")
    assert script.written() == []
    script.happened()
    assert script.breaks() == [
        ConnectionLost("a", 1, "the connection broke", 0.0),
        ConnectTo("b", 2),
    ]


def test_a_closing_node_that_does_not_close_is_left() -> None:
    script = Script()
    script.log_in()
    script.says("NOTE closing :this node stops")
    script.happened()
    script.pass_time(2.1)
    assert script.happened()[-1] == ConnectTo("b", 2)


def test_logging_out_waits_for_what_is_open_and_moves_the_read_mark() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990))
    script.engine.send("bye")
    script.happened()
    script.written()
    script.engine.logout()
    assert script.written() == []
    script.says("+OK @1 id=1004")
    assert script.written() == ["@ack ACK 1001", "@logout LOGOUT finished"]
    script.says("+OK @ack", "+OK @logout")
    assert script.happened()[-2:] == [Disconnect(), Ended("logout", 0, "logged out")]


def test_a_break_while_logging_out_is_the_end() -> None:
    script = Script()
    script.log_in()
    script.engine.logout()
    assert script.breaks()[-1] == Ended("logout", 0, "logged out")


def test_unknown_notices_are_passed_on() -> None:
    script = Script()
    script.log_in()
    script.says("NOTE weather for=head sky=grey :it rains")
    assert script.happened() == [
        events.Notice("weather", {"for": "head", "sky": "grey"}, "it rains")
    ]
