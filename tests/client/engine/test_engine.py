"""The client's engine: bytes and time in, events and bytes out."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from fake_room import Connection, Room
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.refusals import Code
from chainchat.client.engine import events, wire
from chainchat.client.engine.backoff import LONGEST_SPREAD, MOST_NODES, Backoff, Nodes
from chainchat.client.engine.dialogue import (
    LEAST_OF_LINE,
    LONGEST_LIST,
    PATIENCE,
    PING_AFTER,
    PING_UNANSWERED_AFTER,
    SILENCE,
    Asked,
)
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.events import (
    ConnectionLost,
    ConnectTo,
    Disconnect,
    Ended,
    MessageArrived,
)
from chainchat.client.engine.inbox import MOST_HELD, PAGE
from chainchat.client.engine.memory import Memory
from chainchat.client.engine.phases import CONNECT_WITHIN, GREETING_WITHIN, LONGEST_GREETING
from chainchat.client.engine.wire import Address

TOKEN = "t" * 22
NODES = [("a", 1), ("b", 2), ("c", 3)]


class InOrder(Random):
    """Draws the first of those that are left, so that tests know which node comes next."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return 0


class Script:
    """An engine, its clock, and the node that the test plays."""

    def __init__(self, *, nodes: list[wire.Address] = NODES, **options: bool | Memory) -> None:
        self.engine = Engine("alice", "c7f3", nodes, InOrder(1), **options)
        self.now = 1000.0
        self.engine.start(self.now)

    def connect(self) -> None:
        self.engine.connected(self.now)

    def says(self, *lines: str) -> None:
        self.engine.received("".join(f"{line}\r\n" for line in lines).encode(), self.now)

    def written(self) -> list[str]:
        return self.engine.take_bytes().decode().splitlines()

    def happened(self) -> list[events.Event]:
        return self.engine.take_events()

    def log_in(self) -> None:
        """Connect and log in; forget what was written and what happened."""
        self.connect()
        self.says("+OK @- node=tail max-line=1024 nodes=a:1,b:2,c:3")
        self.says(f"+OK @login session={TOKEN} high=1000")
        assert self.engine.online
        self.written()
        self.happened()

    def breaks(self) -> list[events.Event]:
        self.engine.lost(self.now)
        return self.happened()

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            self.engine.tick(self.now)


def push(number: int, previous: int, text: str = "hi", sender: str = "bob", to: str = "*") -> str:
    return f"MSG {number} {previous} 2026-11-22T11:03:07.120Z {sender} {to} :{text}"


def arrived(number: int, text: str = "hi") -> MessageArrived:
    return MessageArrived(number, "2026-11-22T11:03:07.120Z", "bob", "*", text)


# --- logging in ----------------------------------------------------------------------


def test_the_first_login_says_hello_and_then_login() -> None:
    script = Script()
    assert script.happened() == [ConnectTo("a", 1)]
    script.connect()
    assert script.written() == ["/hello chainchat/1 client=c7f3"]
    script.says("* welcome", "+OK @- node=head max-line=1024 nodes=a:1")
    assert script.written() == ["@login LOGIN alice"]
    script.says(f"+OK @login session={TOKEN} high=7 colour=blue")
    assert script.happened() == [
        events.Connected("a", 1, "head"),
        events.LoggedIn("alice", 7, resumed=False),
    ]


def test_a_quiet_client_with_notices_says_so() -> None:
    script = Script(quiet=True, notices=True)
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1")
    assert script.written() == [
        "/hello chainchat/1 client=c7f3 notices=on",
        "@login LOGIN alice quiet",
    ]


def test_a_name_in_use_ends_a_first_login() -> None:
    script = Script()
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    assert script.happened()[-2:] == [Disconnect(), Ended("refused", 433, "alice is in use")]
    script.pass_time(60)
    assert script.happened() == []


def test_a_name_in_use_is_insisted_on_where_that_is_wanted() -> None:
    script = Script(insist=True)
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    script.written()
    script.pass_time(0.6)
    assert script.written() == ["@login LOGIN alice"]


def test_a_name_in_use_after_a_reconnect_is_waited_out_with_growing_pauses() -> None:
    script = Script()
    script.log_in()
    script.breaks()
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1")
    delays = []
    for _ in range(8):
        script.says("-ERR 433 @login alice is in use")
        delays.append(script.happened()[-1].retry)  # type: ignore[attr-defined]
        script.pass_time(delays[-1] + 0.1)
    backoff = Backoff(Random(1), first=0.5, longest=4.0)
    assert delays == [backoff.next() for _ in range(8)]


def test_a_login_whose_answer_was_lost_may_have_been_done() -> None:
    script = Script()
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1")
    assert script.written()[-1] == "@login LOGIN alice"
    script.breaks()
    script.connect()
    script.says("+OK @- node=middle max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    [*_, delayed] = script.happened()
    assert isinstance(delayed, events.LoginDelayed)
    script.written()
    script.pass_time(delayed.retry + 0.1)
    assert script.written() == ["@login LOGIN alice"]


def test_a_connection_that_broke_before_the_login_leaves_no_ghost() -> None:
    script = Script()
    script.connect()
    script.breaks()
    script.connect()
    script.says("+OK @- node=middle max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    assert script.happened()[-1] == Ended("refused", 433, "alice is in use")


def test_an_impossible_name_ends_it() -> None:
    script = Script(insist=True)
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 520 @login not a name")
    assert script.happened()[-1] == Ended("refused", 520, "not a name")


def test_another_protocol_version_ends_it() -> None:
    script = Script()
    script.connect()
    script.says("* welcome", "-ERR 506 this node speaks chainchat/2")
    assert script.happened()[-1] == Ended("refused", 506, "this node speaks chainchat/2")


# --- nodes ---------------------------------------------------------------------------


def test_a_node_that_serves_nobody_is_left_for_the_next() -> None:
    script = Script()
    script.connect()
    script.says("* welcome", "-ERR 421 this node serves nobody now")
    assert script.happened()[1:] == [
        Disconnect(),
        ConnectionLost("a", 1, "this node serves nobody now", 0.0),
        ConnectTo("b", 2),
    ]


@pytest.mark.parametrize("line", ["-ERR 422 full", "-ERR 424 too many", "-ERR 436 @- later"])
def test_a_refusal_for_now_instead_of_the_greeting_leads_to_the_next(line: str) -> None:
    script = Script()
    script.connect()
    script.happened()
    script.says(line)
    text = line.removeprefix("-ERR ")[4:].removeprefix("@- ")
    assert script.happened() == [
        Disconnect(),
        ConnectionLost("a", 1, text, 0.0),
        ConnectTo("b", 2),
    ]


def test_after_a_whole_round_there_is_a_pause_and_then_the_first_again() -> None:
    script = Script()
    script.happened()
    script.breaks()
    script.breaks()
    lost = script.breaks()
    assert lost == [ConnectionLost("c", 3, "the connection broke", Random(1).uniform(0, 0.5))]
    script.pass_time(0.6)
    assert script.happened() == [ConnectTo("a", 1)]


def test_the_pauses_grow_to_a_bound_and_are_drawn_from_nothing_to_it() -> None:
    class Largest(Random):
        def uniform(self, a: float, b: float) -> float:
            assert a == 0
            return b

    nodes = Nodes([("a", 1)], Largest())
    assert [nodes.lost(None) for _ in range(8)] == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_break_after_a_long_session_is_not_waited_for() -> None:
    nodes = Nodes([("a", 1)], Random(1))
    nodes.lost(None)
    nodes.lost(None)
    assert nodes.lost(3600.0) == 0


def test_a_node_that_breaks_each_session_at_once_is_waited_for() -> None:
    nodes = Nodes([("a", 1)], Random(1))
    assert nodes.lost(0.1) == 0
    assert nodes.lost(0.1) > 0


def test_the_nodes_that_a_server_names_are_tried_too() -> None:
    script = Script(nodes=[("a", 1)])
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1,[::1]:7002,rubbish")
    script.happened()
    assert script.breaks()[-1] == ConnectTo("::1", 7002)


def test_who_came_with_tls_goes_on_with_tls_only() -> None:
    script = Script(nodes=[("a", 1, True)])
    assert script.happened() == [ConnectTo("a", 1, True)]
    script.engine.connected(script.now)
    script.says("+OK @- node=head max-line=1024 nodes=a:1,b:2")
    script.happened()
    assert script.breaks()[-1] == ConnectTo("b", 2, True)


def test_that_we_are_off_is_told_once_and_only_if_it_lasts_for_a_second() -> None:
    script = Script()
    script.log_in()
    script.breaks()
    script.pass_time(0.9)
    assert script.happened() == []
    script.pass_time(0.2)
    assert script.happened() == [events.StillOffline()]
    script.pass_time(5.0)
    script.breaks()
    script.pass_time(5.0)
    script.log_in()
    script.breaks()
    script.pass_time(0.9)
    script.log_in()
    script.pass_time(1.0)
    assert events.StillOffline() not in script.happened()


def test_a_node_that_says_it_is_closing_and_then_lingers_counts_as_off() -> None:
    script = Script()
    script.log_in()
    script.says("NOTE closing :this node stops")
    script.happened()
    script.pass_time(1.1)
    assert script.happened() == [events.StillOffline()]


def test_a_login_that_is_refused_for_longer_than_a_second_is_told() -> None:
    script = Script(insist=True)
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    script.happened()
    script.pass_time(1.1)
    assert script.happened() == [events.StillOffline()]


def test_an_attempt_without_an_answer_is_given_up() -> None:
    script = Script()
    script.happened()
    script.pass_time(10.2)
    assert script.happened() == [
        Disconnect(),
        ConnectionLost("a", 1, "no answer", 0.0),
        ConnectTo("b", 2),
    ]


def test_something_else_than_chainchat_is_left() -> None:
    script = Script()
    script.connect()
    script.says("SSH-2.0-OpenSSH_9.2")
    assert script.happened()[-1] == ConnectTo("b", 2)


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


# --- what others say -----------------------------------------------------------------


def test_a_message_pushed_twice_arrives_once() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990), push(1001, 990), push(1004, 1001, "a :b"))
    assert script.happened() == [arrived(1001), arrived(1004, "a :b")]


def test_bytes_may_be_cut_anywhere() -> None:
    script = Script()
    script.log_in()
    for byte in (push(1001, 990, "né") + "\r\n").encode():
        script.engine.received(bytes([byte]), script.now)
    assert script.happened() == [arrived(1001, "né")]


def test_a_gap_is_filled_in_order_without_ones_own() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990), push(1010, 1007), push(1013, 1010))
    assert script.happened() == [arrived(1001), events.GapNoticed(1001, 1007)]
    assert script.written() == ["@gap SINCE 1001 500"]
    script.says(
        f"| @gap {push(1004, 1001)}",
        f"| @gap {push(1005, 1004, sender='ALICE')}",
        f"| @gap {push(1007, 1004)}",
        f"| @gap {push(1010, 1007)}",
        ". @gap",
    )
    assert script.happened() == [arrived(number) for number in (1004, 1007, 1010, 1013)]


def test_a_gap_that_nothing_fills_is_asked_for_once() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990), push(1010, 1007), ". @gap", push(1013, 1010))
    assert script.written() == ["@gap SINCE 1001 500"]
    assert script.happened()[-2:] == [arrived(1010), arrived(1013)]


def test_a_large_gap_is_filled_page_by_page() -> None:
    script = Script()
    script.log_in()
    count = 2 * PAGE + 7
    script.says(push(1001, 990), push(1002 + count, 1001 + count))
    ids = list(range(1002, 1002 + count))
    arrivals = [1001]
    for begin in range(0, count, PAGE):
        page = ids[begin : begin + PAGE]
        assert script.written() == [f"@gap SINCE {page[0] - 1} {PAGE}"]
        script.says(*(f"| @gap {push(number, number - 1)}" for number in page), ". @gap")
        arrivals += page
    arrivals.append(1002 + count)
    assert script.written() == []
    happened = [each for each in script.happened() if isinstance(each, MessageArrived)]
    assert happened == [arrived(number) for number in arrivals]


def test_a_page_of_ones_own_messages_is_passed_over() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990), push(3000, 2999))
    own = (push(1002 + n, 0, sender="alice") for n in range(PAGE))
    script.says(*(f"| @gap {each}" for each in own), ". @gap")
    assert script.written()[-1] == f"@gap SINCE {1001 + PAGE} {PAGE}"


def test_what_is_pushed_while_a_gap_is_filled_is_held_within_bounds_and_never_missed() -> None:
    script = Script()
    script.log_in()
    newest = 1010 + 3 * MOST_HELD
    script.says(push(1001, 990), *(push(n, n - 1) for n in range(1010, newest + 1)))
    assert len(script.engine._receiving._inbox._held) == MOST_HELD
    while asked := script.written():
        [line] = asked
        after = int(line.split()[2])
        listed = range(after + 1, min(newest, after + PAGE) + 1)
        script.says(*(f"| @gap {push(number, number - 1)}" for number in listed), ". @gap")
    happened = [each.id for each in script.happened() if isinstance(each, MessageArrived)]
    assert happened == list(range(1001, newest + 1))


def test_a_list_that_is_longer_than_was_asked_for_breaks_the_connection() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990), push(9000, 8999))
    script.happened()
    script.says(*(f"| @gap {push(1002 + n, 0)}" for n in range(PAGE + 1)))
    assert isinstance(script.happened()[0], Disconnect)


def test_a_list_without_an_end_breaks_the_connection() -> None:
    script = Script()
    script.log_in()
    script.engine.request("LIST")
    octets = 1 << 15
    script.says(*[f"| @r1 {'a' * octets}"] * (LONGEST_LIST // octets))
    assert script.happened() == []
    script.says("| @r1 alice")
    assert isinstance(script.happened()[0], Disconnect)


def test_a_list_of_nothing_has_an_end() -> None:
    asked = Asked("r1", "LIST", 1, length=LONGEST_LIST - 10 * LEAST_OF_LINE)
    for _ in range(10):
        asked.listed("")
    with pytest.raises(wire.ProtocolError, match="endless"):
        asked.listed("")


def test_a_line_without_an_end_breaks_the_connection_at_its_bound() -> None:
    script = Script()
    script.connect()
    script.happened()
    script.engine.received(b"x" * wire.LONGEST_LINE, script.now)
    assert script.happened() == []
    script.engine.received(b"x", script.now)
    assert isinstance(script.happened()[0], Disconnect)


@pytest.mark.parametrize("number", ["-1", "1_0", str(1 << 63), "9" * 20, "9" * 5000])
def test_a_number_that_is_none_breaks_the_connection(number: str) -> None:
    script = Script()
    script.log_in()
    script.engine.send("hi")
    script.says(f"+OK @1 id={number}")
    assert isinstance(script.happened()[1], Disconnect)


@pytest.mark.parametrize("number", ["-1", "1_0", str(1 << 63), "9" * 20, "9" * 4000])
def test_a_message_with_an_id_that_is_none_breaks_the_connection(number: str) -> None:
    for identifier, previous in ((number, "990"), ("1001", number)):
        script = Script()
        script.log_in()
        script.says(f"MSG {identifier} {previous} 2026-11-22T11:03:07.120Z bob * :hi")
        assert isinstance(script.happened()[0], Disconnect)


def test_a_second_gap_behind_the_first_is_asked_for_too() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990), push(1010, 1007), push(1020, 1017))
    script.says(f"| @gap {push(1007, 1001)}", ". @gap")
    assert script.written() == ["@gap SINCE 1001 500", "@gap SINCE 1010 500"]


def test_a_break_is_resumed_after_the_last_message_seen() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990))
    script.breaks()
    script.connect()
    script.says("+OK @- node=mid max-line=1024 nodes=a:1")
    assert script.written()[-1] == f"@resume RESUME alice {TOKEN} after=1001"
    script.happened()
    script.says("+OK @resume high=1005", push(1001, 990), push(1004, 1001))
    assert script.happened() == [
        events.LoggedIn("alice", 1005, resumed=True, after=1001),
        arrived(1004),
    ]


def test_a_break_before_any_message_is_resumed_after_the_read_mark() -> None:
    script = Script()
    script.connect()
    script.says("+OK @- node=tail max-line=1024 nodes=a:1")
    script.says(f"+OK @login session={TOKEN} high=1000 mark=990")
    for _ in range(2):
        script.breaks()
        script.connect()
        script.says("+OK @- node=mid max-line=1024 nodes=a:1")
        assert script.written()[-1] == f"@resume RESUME alice {TOKEN} after=990"
        script.says("+OK @resume high=1000")
    script.happened()
    script.says(push(993, 985))
    assert script.happened() == [arrived(993)]


def test_a_break_before_any_message_logs_in_again_if_no_read_mark_was_told() -> None:
    script = Script()
    script.log_in()
    script.breaks()
    script.connect()
    script.says("+OK @- node=mid max-line=1024 nodes=a:1")
    assert script.written()[-1] == "@login LOGIN alice"


def test_a_quiet_client_logs_in_again_as_no_resume_is_quiet() -> None:
    script = Script(quiet=True)
    script.connect()
    script.says("+OK @- node=tail max-line=1024 nodes=a:1")
    script.says(f"+OK @login session={TOKEN} high=1000 mark=990")
    script.breaks()
    script.connect()
    script.says("+OK @- node=mid max-line=1024 nodes=a:1")
    assert script.written()[-1] == "@login LOGIN alice quiet"


def test_a_break_in_the_middle_of_a_resume_is_resumed_again() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990))
    script.breaks()
    script.connect()
    script.says("+OK @- node=mid max-line=1024 nodes=a:1")
    script.happened()
    assert [type(event) for event in script.breaks()] == [ConnectionLost, ConnectTo]
    script.connect()
    script.says("+OK @- node=mid max-line=1024 nodes=a:1")
    assert script.written()[-1] == f"@resume RESUME alice {TOKEN} after=1001"


def test_a_void_token_leads_to_a_login_and_nothing_arrives_twice() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990))
    script.breaks()
    script.connect()
    script.says("+OK @- node=mid max-line=1024 nodes=a:1", "-ERR 532 @resume not valid")
    assert script.written()[-1] == "@login LOGIN alice"
    script.happened()
    script.says("+OK @login session=new high=1005", push(1001, 990), push(1004, 1001))
    assert script.happened()[1:] == [arrived(1004)]


def test_what_was_handed_over_is_acknowledged_once_a_second_by_its_last_id() -> None:
    script = Script()
    script.log_in()
    script.says(*(push(1000 + n, 999 + n) for n in range(1, 101)))
    script.pass_time(2)
    assert script.written() == []  # nobody has taken them
    script.happened()
    script.pass_time(0.2)
    assert script.written() == ["@ack ACK 1100"]
    script.says("+OK @ack", push(1101, 1100))
    script.happened()
    script.pass_time(0.5)
    assert script.written() == []
    script.pass_time(0.5)
    assert script.written() == ["@ack ACK 1101"]


def test_whoever_catches_up_acknowledges_now_and_then() -> None:
    script = Script()
    script.log_in()
    acknowledged = []
    for number in range(1001, 1101):  # ten seconds of them
        script.says(push(number, number - 1))
        script.happened()
        script.pass_time(0.1)
        acknowledged += [line for line in script.written() if "ACK" in line]
    assert 9 <= len(acknowledged) <= 11
    assert acknowledged[0] == "@ack ACK 1001"


def test_what_is_not_shown_yet_is_not_acknowledged() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990))
    assert script.engine.take_events(seen=False) == [arrived(1001)]
    script.pass_time(2)
    assert script.written() == []
    script.engine.seen()
    script.pass_time(0.2)
    assert script.written() == ["@ack ACK 1001"]


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


# --- silence -------------------------------------------------------------------------


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
    script.connect()
    script.says("+OK @- node=tail max-line=1024 nodes=a:1")
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
        for event in self.engine.take_events():
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


# --- whom to try next --------------------------------------------------------------------


def test_a_node_that_sends_its_clients_on_has_not_failed() -> None:
    nodes = Nodes([("a", 1), ("b", 1), ("c", 1)], Random(0))
    assert [nodes.lost(0.1, sent_on=True) for _ in range(9)] == [0.0] * 9


def test_a_round_of_sessions_that_break_soon_is_waited_out() -> None:
    nodes = Nodes([("a", 1), ("b", 1), ("c", 1)], Random(0))
    first, second, third = (nodes.lost(0.1) for _ in range(3))
    assert (first, second) == (0.0, 0.0)
    assert third > 0.0


@pytest.mark.parametrize(
    ("sessions", "longest"), [("", 0.0), (" sessions=1", 0.0), (" sessions=801", 0.8)]
)
def test_the_greeting_tells_how_many_have_to_find_another_node(
    sessions: str, longest: float
) -> None:
    script = Script()
    script.connect()
    script.says(f"+OK @- node=tail max-line=1024 nodes=a:1,b:2,c:3{sessions}")
    script.says(f"+OK @login session={TOKEN} high=1000")
    script.happened()
    wait = Random(1).uniform(0, longest) if longest else 0.0
    assert script.breaks()[0] == ConnectionLost("a", 1, "the connection broke", wait)
    assert script.engine.alarm == pytest.approx(script.now + (wait or CONNECT_WITHIN))


def test_many_clients_of_a_dead_node_spread_over_the_others_and_over_time() -> None:
    chosen: Counter[wire.Address] = Counter()
    moments = []
    for seed in range(1000):
        nodes = Nodes([("a", 1), ("b", 2), ("c", 3)], Random(seed))
        nodes.sessions = 1000
        moments.append(nodes.lost(3600.0))
        chosen[nodes.current] += 1
    assert set(chosen) == {Address("b", 2), Address("c", 3)}
    assert all(450 < count < 550 for count in chosen.values())
    tenths = Counter(int(moment * 10) for moment in moments)
    assert set(tenths) == set(range(10))
    assert max(tenths.values()) < 150


def test_however_many_there_are_the_spread_has_a_bound() -> None:
    moments = []
    for seed in range(100):
        nodes = Nodes([("a", 1), ("b", 2)], Random(seed))
        nodes.sessions = 10**9
        moments.append(nodes.lost(3600.0))
    assert 0.9 * LONGEST_SPREAD < max(moments) <= LONGEST_SPREAD


def test_the_count_of_sessions_belongs_to_one_node() -> None:
    nodes = Nodes([("a", 1), ("b", 2)], Random(1))
    nodes.sessions = 1000
    nodes.lost(3600.0)
    assert nodes.lost(3600.0) == 0.0


def test_each_round_tries_every_node_once() -> None:
    addresses = [Address("a", 1), Address("b", 2), Address("c", 3), Address("d", 4)]
    for seed in range(20):
        nodes = Nodes(addresses, Random(seed))
        tried = []
        for _ in range(4):
            tried.append(nodes.current)
            nodes.lost(None)
        assert sorted(tried) == addresses


def test_a_server_cannot_name_nodes_without_bound() -> None:
    nodes = Nodes([("a", 1)], Random(1))
    nodes.learn((f"host{number}", 1) for number in range(10_000))
    tried = set()
    for _ in range(10 * MOST_NODES):
        nodes.lost(None)
        tried.add(nodes.current)
    assert len(tried) == MOST_NODES


def test_a_server_cannot_have_nodes_remembered_without_bound() -> None:
    remembered: list[Address] = []

    class Remembering(Memory):
        def learned(self, addresses: list[Address]) -> None:
            remembered.extend(addresses)

    script = Script(memory=Remembering())
    script.log_in()
    for part in range(10):
        nodes = ",".join(f"host{number}:1" for number in range(100 * part, 100 * part + 100))
        script.says(f"NOTE closing nodes={nodes} :this node stops")
    assert len(remembered) == MOST_NODES - len(NODES)


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
