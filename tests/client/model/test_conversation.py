"""What a person is shown when the connection breaks: one line, if another node is found soon."""

import datetime
from random import Random

import pytest

from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.model.conversation import (
    LONGEST_NAME,
    MOST_NAMES,
    WHO_PER_NAME,
    Conversation,
)

ADDRESS = ("127.0.0.1", 7001)
LOST = events.ConnectionLost(*ADDRESS, "the server closed the connection", 0.0)
STOPS = events.Notice("closing", {}, "this node stops; go on at 127.0.0.1:7002")
LOGGED_IN = events.LoggedIn("alice", 7, resumed=True)


@pytest.fixture
def engine() -> Engine:
    return Engine("alice", "c7f3", [ADDRESS], Random(1))


@pytest.fixture
def conversation(engine: Engine) -> Conversation:
    return Conversation(engine, notices=True)


def on(node: str) -> events.Connected:
    return events.Connected(*ADDRESS, node)


def shown(conversation: Conversation, *heard: events.Event) -> list[str]:
    return [line for event in heard for line in conversation.heard(event)]


def test_of_what_cannot_be_sent_one_reads_which_line_it_was(conversation: Conversation) -> None:
    assert conversation.typed("ring\x07 the bell") == [
        "-ERR 504 U+0007 is a control character (not said: ring\N{REPLACEMENT CHARACTER} the bell)"
    ]


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


# --- names ---------------------------------------------------------------------------


@pytest.fixture
def online(engine: Engine) -> Engine:
    engine.start(0.0)
    engine.connected(0.0)
    engine.received(b"+OK @- node=tail max-line=1024 nodes=\r\n+OK @login high=7\r\n", 0.0)
    engine.take_bytes()
    return engine


def test_names_are_asked_for_when_one_is_begun_and_one_question_at_a_time(
    conversation: Conversation, online: Engine
) -> None:
    conversation.refresh(0.0)
    assert online.take_bytes() == b"@r1 CHAIN\n"
    conversation.refresh(1000.0)
    conversation.seek("b.e")
    conversation.seek("other")
    assert online.take_bytes() == b"@r2 LIST b\\.e\n"
    conversation.names = {"B.ernd", "carl"}
    assert conversation.seeking
    assert shown(conversation, events.Listed(2, "LIST", ("b.ea",))) == []
    assert not conversation.seeking
    assert conversation.names == {"b.ea", "carl"}


def test_the_more_are_on_the_later_it_asks_who_they_are_when_many_came(
    conversation: Conversation, online: Engine
) -> None:
    """Else all clients of a large room would ask at once, whenever six people come."""
    conversation.refresh(0.0)
    conversation.here = {f"name{number}" for number in range(2_000)}
    online.take_bytes()
    asked = []
    for second in range(600):
        conversation.heard(events.Notice("joined", {"name": "*"}, "9 others: each has joined"))
        conversation.refresh(float(second))
        if b" WHO\n" in online.take_bytes():
            asked.append(second)
            shown(conversation, events.Listed(9, "WHO", tuple(conversation.here)))
    pause = WHO_PER_NAME * 2_000
    assert pause / 2 <= asked[0] <= 1.5 * pause
    assert 1 < len(asked) <= 600 / (pause / 2)


def test_accounts_ask_who_is_on_at_different_times() -> None:
    def pause(name: str) -> float:
        conversation = Conversation(Engine(name, "c7f3", [ADDRESS], Random(1)), notices=True)
        conversation.here = {f"name{number}" for number in range(100)}
        return conversation._who_pause

    assert len({pause(f"name{number}") for number in range(50)}) == 50


def test_what_cannot_begin_a_name_is_not_asked_for(
    conversation: Conversation, online: Engine
) -> None:
    conversation.seek("no name: at all")
    assert online.take_bytes() == b""


def test_names_are_remembered_within_bounds(conversation: Conversation) -> None:
    names = tuple(f"name{number}" for number in range(3 * MOST_NAMES))
    conversation.heard(events.Listed(1, "LIST", names))
    for name in names:
        conversation.heard(events.Notice("joined", {"name": name}, "x"))
    assert len(conversation.names) == len(conversation.here) == MOST_NAMES


def test_a_name_that_nobody_can_have_is_not_remembered(conversation: Conversation) -> None:
    conversation.heard(events.Listed(1, "LIST", ("a" * LONGEST_NAME, "b" * (LONGEST_NAME + 1))))
    assert conversation.names == {"a" * LONGEST_NAME}


@pytest.mark.parametrize("hours", [-14, 0, 12])
@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00Z", "x"]
)
def test_a_time_that_no_clock_shows_does_no_harm(
    conversation: Conversation, time: str, hours: int
) -> None:
    conversation.zone = datetime.timezone(datetime.timedelta(hours=hours))
    message = events.MessageArrived(9, time, "bob", "*", "hi")
    assert shown(conversation, message)[-1].endswith("bob: hi")


def test_a_long_list_is_made_into_lines_one_by_one(
    conversation: Conversation, online: Engine
) -> None:
    conversation.typed("/list")
    lines = iter(conversation.heard(events.Listed(1, "LIST", ("alice", "bob"))))
    assert not isinstance(lines, list)
    assert conversation.asked == 0
    assert list(lines) == ["| alice", "| bob", ". 2 accounts"]


def test_why_a_line_has_to_wait_is_told(conversation: Conversation) -> None:
    delayed = events.SendDelayed(1, 453, "the disk is nearly full")
    assert shown(conversation, delayed) == ["* not said yet: the disk is nearly full; trying again"]


GONE = "messages before 1042 were removed after 90 days"
REMOVED = events.Notice("removed", {"before": "1042"}, GONE)
MESSAGE = events.MessageArrived(1042, "2026-11-22T11:03:07.120Z", "bob", "*", "hi")


def test_that_messages_are_gone_is_said_once(conversation: Conversation) -> None:
    assert shown(conversation, LOGGED_IN, REMOVED, REMOVED)[1:] == [f"* {GONE}"]
    later = events.Notice("removed", {"before": "2042"}, GONE.replace("1042", "2042"))
    assert shown(conversation, REMOVED, later) == [f"* {later.text}"]


def test_who_asks_for_messages_that_are_gone_is_told_each_time(conversation: Conversation) -> None:
    shown(conversation, LOGGED_IN, REMOVED)
    for _ in range(2):
        conversation.typed("/last 3")
        [request] = conversation._last
        assert shown(conversation, REMOVED) == []  # the answer will say so
        lines = shown(conversation, events.HistoryListed(request, (MESSAGE,)))
        assert lines[0] == f"* {GONE}"
        assert lines[-1] == ". 1 message"
    conversation.typed("/last 1")
    [request] = conversation._last
    lines = shown(conversation, events.HistoryListed(request, (MESSAGE,)))
    assert lines[-1] == ". 1 message"
    assert f"* {GONE}" not in lines
