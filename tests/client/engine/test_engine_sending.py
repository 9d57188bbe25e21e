"""The client's engine: what its user says, once, whatever breaks."""

from collections.abc import Callable
from random import Random

import pytest
from engine_script import TOKEN, Script
from fake_room import Connection, Room
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.refusals import Code
from chainchat.client.engine import events, wire
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.events import ConnectTo, Disconnect, MessageArrived

# --- sending -------------------------------------------------------------------------


def test_a_send_is_pending_and_then_acknowledged() -> None:
    script = Script()
    script.log_in()
    assert script.engine.send("hi: there", "bob") == 1
    assert script.written() == ["@1 SEND 1 bob :hi: there"]
    assert script.engine.pending == 1
    script.says("+OK @1 id=1042")
    assert script.happened() == [
        events.SendPending(1, "bob", "hi: there"),
        events.SendAcknowledged(1, 1042, "bob", "hi: there", again=False),
    ]
    assert script.engine.pending == 0


def test_what_is_not_acknowledged_is_sent_again_with_its_numbers_lowest_first() -> None:
    script = Script()
    script.log_in()
    for text in ("one", "two", "three"):
        script.engine.send(text)
    script.says("+OK @1 id=1001")
    script.breaks()
    script.connect()
    script.engine.send("four")
    script.written()
    script.says("+OK @- node=mid max-line=1024 nodes=a:1", f"+OK @login session={TOKEN} high=9")
    assert script.written() == [
        "@login LOGIN alice",
        "@2 SEND 2 * :two",
        "@3 SEND 3 * :three",
        "@4 SEND 4 * :four",
    ]
    script.happened()
    script.says("+OK @2 id=1002 again")
    assert script.happened() == [events.SendAcknowledged(2, 1002, "*", "two", again=True)]


def test_after_a_4xx_all_that_is_open_is_sent_again_in_order() -> None:
    script = Script()
    script.log_in()
    for text in ("one", "two", "three"):
        script.engine.send(text)
    script.written()
    script.says("+OK @1 id=1001", "-ERR 453 @2 the disk is nearly full")
    script.engine.send("four")
    script.pass_time(1)
    assert script.written() == []  # the answer to 3 is not there yet
    script.says("-ERR 451 @3 an earlier one was refused")
    assert script.written() == []  # not at once
    script.pass_time(0.3)
    assert script.written() == ["@2 SEND 2 * :two", "@3 SEND 3 * :three", "@4 SEND 4 * :four"]
    assert [type(event) for event in script.happened()].count(events.SendRefused) == 0


def test_why_lines_have_to_wait_is_told_once_until_one_is_acknowledged() -> None:
    script = Script()
    script.log_in()
    full = "the disk is nearly full"
    told = events.SendDelayed(1, 453, full)
    script.engine.send("hi")
    for expected in ([events.SendPending(1, "*", "hi"), told], [], []):
        script.says(f"-ERR 453 @1 {full}")
        assert script.happened() == expected
        script.pass_time(1.5)
    script.says("+OK @1 id=1001")
    script.happened()
    script.engine.send("again")
    script.says(f"-ERR 453 @2 {full}")
    assert script.happened()[1:] == [events.SendDelayed(2, 453, full)]


def test_a_refusal_that_follows_from_another_is_not_told() -> None:
    script = Script()
    script.log_in()
    script.engine.send("hi")
    script.says("-ERR 451 @1 not sent: SEND 0 has to come first")
    assert script.happened() == [events.SendPending(1, "*", "hi")]


def test_a_5xx_is_final() -> None:
    script = Script()
    script.log_in()
    script.engine.send("hi", "bob")
    script.engine.send("hi")
    script.says("-ERR 521 @1 again no such account", "+OK @2 id=1001")
    assert script.happened()[2:] == [
        events.SendRefused(1, "bob", "hi", 521, "no such account"),
        events.SendAcknowledged(2, 1001, "*", "hi", again=False),
    ]
    assert script.engine.pending == 0


def test_a_refusal_without_a_tag_is_of_the_oldest_request() -> None:
    script = Script()
    script.log_in()
    script.engine.send("one")
    script.engine.send("two")
    script.says("-ERR 502 @- line too long", "+OK @2 id=1001")
    refused, acknowledged = script.happened()[2:]
    assert refused == events.SendRefused(1, "*", "one", 502, "line too long")
    assert isinstance(acknowledged, events.SendAcknowledged)


def test_at_most_1024_are_unanswered() -> None:
    script = Script()
    script.log_in()
    for number in range(1100):
        script.engine.send(str(number))
    assert len(script.written()) == 1024
    script.says("+OK @1 id=1001", "+OK @2 id=1002")
    assert script.written() == ["@1025 SEND 1025 * :1024", "@1026 SEND 1026 * :1025"]
    assert script.engine.pending == 1098


def test_a_text_longer_than_the_servers_lines_is_refused_here() -> None:
    script = Script()
    script.log_in()
    script.engine.send("é" * 600)
    script.engine.send("short")
    assert script.written() == ["@2 SEND 2 * :short"]
    refused = script.happened()[1]
    assert isinstance(refused, events.SendRefused)
    assert refused.code == 502


@pytest.mark.parametrize(
    ("text", "code"), [("a\nb", 504), ("\x1b[31m", 504), ("\u202e", 504), ("\udcff", 503)]
)
def test_what_no_server_would_take_is_not_taken(text: str, code: int) -> None:
    script = Script()
    script.log_in()
    with pytest.raises(wire.UnsendableError) as caught:
        script.engine.send(text)
    assert caught.value.code == code
    assert script.engine.pending == 0


# --- numbers ---------------------------------------------------------------------------------


def sends_after_login(script: Script, number: int) -> list[str]:
    script.connect()
    script.says("+OK @- node=tail max-line=1024 nodes=a:1,b:2,c:3")
    script.written()
    script.says(f"+OK @login session={TOKEN} high=1000 number={number}")
    return [line.split(" ", 1)[1] for line in script.written()]


def test_sends_are_numbered_as_the_first_login_tells_and_by_that_for_ever() -> None:
    script = Script()
    script.engine.send("early")
    assert sends_after_login(script, 41) == ["SEND 41 * :early"]
    script.engine.send("late")
    assert script.written() == ["@2 SEND 42 * :late"]
    script.breaks()
    assert sends_after_login(script, 43) == ["SEND 41 * :early", "SEND 42 * :late"]


# --- exactly once, whatever breaks ---------------------------------------------------


class Wire:
    """An engine and a fake room, joined by a connection that tears where a plan says."""

    def __init__(self, plan: list[int]) -> None:
        self.room = Room()
        self.plan = plan
        self.engine = Engine("alice", "c7f3", [("a", 1), ("b", 2)], Random(7))
        self.connection: Connection | None = None
        self.now = 0.0
        self.acknowledged: list[tuple[int, int]] = []
        self.heard: list[str] = []
        self.left = 0  # bytes that still pass before the connection tears
        self.engine.start(self.now)

    def run(self, condition: Callable[[], bool]) -> None:
        """Go on until it has come to that."""
        for _ in range(4000):
            if condition():
                return
            self.step()
        raise AssertionError("it did not come to that")

    def step(self) -> None:
        self.now += 0.1
        self.engine.tick(self.now)
        taken = self.engine.take_events()
        self.engine.seen()
        for event in taken:
            match event:
                case ConnectTo():
                    # What the plan does not cover lasts.
                    self.left = self.plan.pop(0) if self.plan else 10**9
                    self.connection = Connection(self.room)
                    self.engine.connected(self.now)
                case Disconnect():
                    self.tear()
                case events.SendAcknowledged():
                    self.acknowledged.append((event.number, event.id))
                case MessageArrived():
                    self.heard.append(event.text)
        if connection := self.connection:
            connection.feed(self.passed(self.engine.take_bytes()))
            out = self.passed(bytes(connection.out))
            connection.out.clear()
            if out:
                self.engine.received(out, self.now)
            if self.left == 0 or connection.closed:
                self.tear()
                self.engine.lost(self.now)

    def passed(self, data: bytes) -> bytes:
        data = data[: self.left]
        self.left -= len(data)
        return data

    def tear(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None


@settings(max_examples=150, deadline=None)
@given(
    tears=st.lists(st.integers(1, 600), max_size=12),
    refusals=st.lists(st.booleans(), max_size=40),
    count=st.integers(1, 12),
)
def test_every_send_happens_once_and_in_order_however_connections_break(
    tears: list[int], refusals: list[bool], count: int
) -> None:
    wire_ = Wire(list(tears))
    fates = iter(refusals)
    wire_.room.judge = lambda say: Code.DISK_NEARLY_FULL if next(fates, False) else None
    for number in range(count):
        wire_.engine.send(f"line {number}")
        wire_.room.say("bob", f"remark {number}")
        wire_.step()
    wire_.run(lambda: len(wire_.acknowledged) >= count)
    own = [(m.id, m.text) for m in wire_.room.messages if m.sender == "alice"]
    assert [text for _, text in own] == [f"line {number}" for number in range(count)]
    assert wire_.acknowledged == [(n, number) for n, (number, _) in enumerate(own, 1)]


@settings(max_examples=150, deadline=None)
@given(tears=st.lists(st.integers(1, 900), max_size=12), count=st.integers(1, 30))
def test_every_message_arrives_once_and_in_order_however_connections_break(
    tears: list[int], count: int
) -> None:
    wire_ = Wire(list(tears))
    wire_.room.marks["alice"] = 0
    for number in range(count):
        wire_.room.say("bob", f"remark {number}")
        wire_.step()
    wire_.run(lambda: len(wire_.heard) >= count)
    for _ in range(3):
        wire_.step()
    assert wire_.heard == [f"remark {number}" for number in range(count)]
