"""What a person is shown when the connection breaks: one line, if another node is found soon."""

import datetime
from random import Random

import pytest

from chainchat.client import events
from chainchat.client.conversation import Conversation
from chainchat.client.engine import Engine

ADDRESS = ("127.0.0.1", 7001)
LOST = events.ConnectionLost(*ADDRESS, "the server closed the connection", 0.0)
STOPS = events.Notice("closing", {}, "this node stops; go on at 127.0.0.1:7002")
LOGGED_IN = events.LoggedIn("alice", 7, resumed=True)


@pytest.fixture
def engine() -> Engine:
    return Engine("alice", "c7f3", [ADDRESS], Random(1))


@pytest.fixture
def conversation(engine: Engine) -> Conversation:
    return Conversation(engine, lambda: datetime.datetime.now(datetime.UTC), notices=True)


def on(node: str) -> events.Connected:
    return events.Connected(*ADDRESS, node)


def shown(conversation: Conversation, *heard: events.Event) -> list[str]:
    return [line for event in heard for line in conversation.heard(event)]


def test_the_first_login_is_one_line_whatever_came_before(conversation: Conversation) -> None:
    lines = shown(conversation, LOST, on("tail"), LOGGED_IN)
    assert lines == ["+OK you are alice, on tail: /help tells what to type"]


@pytest.mark.parametrize(
    ("heard", "why"),
    [
        ([LOST], "the server closed the connection"),
        ([STOPS, LOST], "this node stops"),
        ([LOST, LOST], "the server closed the connection"),
    ],
)
def test_a_break_is_one_line_once_another_node_has_us(
    conversation: Conversation, heard: list[events.Event], why: str
) -> None:
    shown(conversation, on("head"), LOGGED_IN)
    assert shown(conversation, *heard) == []
    assert conversation.trouble == f"head: {why}"
    assert shown(conversation, on("tail"), LOGGED_IN) == [f"* head: {why}; now on tail"]
    assert conversation.trouble == ""


@pytest.mark.parametrize(
    ("count", "lines"), [(1, "1 unconfirmed line"), (2, "2 unconfirmed lines")]
)
def test_it_says_how_many_lines_were_sent_to_the_new_node(
    conversation: Conversation, engine: Engine, count: int, lines: str
) -> None:
    shown(conversation, on("head"), LOGGED_IN)
    for _ in range(count):
        engine.send("hi")
    [line] = shown(conversation, LOST, on("tail"), LOGGED_IN)
    assert line.endswith(f"; now on tail, {lines} sent there")


def test_a_break_that_lasts_is_told_once_and_so_is_its_end(conversation: Conversation) -> None:
    shown(conversation, on("head"), LOGGED_IN)
    told = shown(conversation, LOST, events.StillOffline(), LOST)
    assert told == ["* head: the server closed the connection; trying again"]
    assert shown(conversation, on("tail"), LOGGED_IN) == ["* now on tail"]
    assert shown(conversation, LOST, on("head"), LOGGED_IN) == [
        "* tail: the server closed the connection; now on head"
    ]


def test_a_login_that_is_refused_for_a_while_is_told(conversation: Conversation) -> None:
    delayed = events.LoginDelayed(433, "alice is in use", 0.5)
    assert shown(conversation, on("head"), delayed) == []
    assert shown(conversation, events.StillOffline()) == ["* alice is in use; trying again"]
