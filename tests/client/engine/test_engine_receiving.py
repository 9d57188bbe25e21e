"""The client's engine: what others say, in order and without a gap."""

import pytest
from engine_script import TOKEN, Script, arrived, push

from chainchat.client.engine import events, wire
from chainchat.client.engine.dialogue import LEAST_OF_LINE, LONGEST_LIST, Asked
from chainchat.client.engine.events import ConnectionLost, ConnectTo, Disconnect, MessageArrived
from chainchat.client.engine.inbox import MOST_HELD, PAGE


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
    script.reaches("mid")
    assert script.written()[-1] == f"@resume RESUME alice {TOKEN} after=1001"
    script.happened()
    script.says("+OK @resume high=1005", push(1001, 990), push(1004, 1001))
    assert script.happened() == [
        events.LoggedIn("alice", 1005, resumed=True, after=1001),
        arrived(1004),
    ]


def test_a_break_before_any_message_is_resumed_after_the_read_mark() -> None:
    script = Script()
    script.reaches("tail")
    script.says(f"+OK @login session={TOKEN} high=1000 mark=990")
    for _ in range(2):
        script.breaks()
        script.reaches("mid")
        assert script.written()[-1] == f"@resume RESUME alice {TOKEN} after=990"
        script.says("+OK @resume high=1000")
    script.happened()
    script.says(push(993, 985))
    assert script.happened() == [arrived(993)]


def test_a_break_before_any_message_logs_in_again_if_no_read_mark_was_told() -> None:
    script = Script()
    script.log_in()
    script.breaks()
    script.reaches("mid")
    assert script.written()[-1] == "@login LOGIN alice"


def test_a_quiet_client_logs_in_again_as_no_resume_is_quiet() -> None:
    script = Script(quiet=True)
    script.reaches("tail")
    script.says(f"+OK @login session={TOKEN} high=1000 mark=990")
    script.breaks()
    script.reaches("mid")
    assert script.written()[-1] == "@login LOGIN alice quiet"


def test_a_break_in_the_middle_of_a_resume_is_resumed_again() -> None:
    script = Script()
    script.log_in()
    script.says(push(1001, 990))
    script.breaks()
    script.reaches("mid")
    script.happened()
    assert [type(event) for event in script.breaks()] == [ConnectionLost, ConnectTo]
    script.reaches("mid")
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
    assert script.engine.take_events() == [arrived(1001)]
    script.pass_time(2)
    assert script.written() == []
    script.engine.seen()
    script.pass_time(0.2)
    assert script.written() == ["@ack ACK 1001"]
