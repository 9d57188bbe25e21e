"""Sessions that wait for the chain: what they answer until then, and what they list at the end."""

import re

import pytest
from sessions_house import HELLO

from chainchat import __version__
from chainchat.chat.lines import TOO_LONG
from chainchat.node.budget import PATIENT_SECONDS
from chainchat.sessions.explanations import GIVES_WAY, LISTED
from chainchat.sessions.hearing import HEARD_AT_ONCE, HEARD_OF_PERSON, WAITING_OCTETS
from chainchat.sessions.sessions import WOKEN_AT_ONCE


@pytest.fixture
def pair(house):
    """alice and bob, who have read their greetings."""
    both = house.client("alice", "/notices off"), house.client("bob", "/notices off")
    for client in both:
        client.reads()
    return both


# --- what the node answers by itself -----------------------------------------------------

CHAIN = "+OK @c epoch=1 members=solo node=solo role=only"
PING_AND_CHAIN = ["+OK @p", f"{CHAIN} committed=2 version={__version__}"]


@pytest.mark.parametrize(
    "waiting",
    [["SEND 1 * :hi"], ["ACK 1"], ["WHO"], ["DELETE bob"], ["LOGOUT"], ["WHO", "SEND 1 * :hi"]],
    ids=" ".join,
)
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_program_is_answered_ping_and_chain_whatever_waits(house, waiting, pieces):
    alice = house.program("alice")
    alice.reads()
    earlier = [f"@{number} {request}" for number, request in enumerate(waiting)]
    later = ["@p PING", "@c CHAIN"]
    for lines in [[*earlier, *later]] if pieces == 1 else [earlier, later]:
        alice.sends(*lines)
    assert alice.reads_at_once() == PING_AND_CHAIN
    assert not alice.connection.held
    tags = [re.search("@([0-9])", reply)[1] for reply in alice.reads()]
    assert tags == sorted(tags)
    assert set(tags) == {str(number) for number in range(len(waiting))}


def test_a_login_that_waits_holds_up_no_ping(house):
    program = house.client(HELLO)
    program.reads()
    program.sends("@1 LOGIN alice", "@2 SEND 1 * :hi", "@p PING")
    assert program.reads_at_once() == ["+OK @p"]
    assert [reply[:6] for reply in program.reads()] == ["+OK @1", "+OK @2"]


def test_what_waits_is_read_on_only_so_far(house):
    alice = house.program("alice")
    alice.reads()
    alice.sends("@1 WHO", *["@2 LIST " + "x" * 1_000] * (WAITING_OCTETS // 1_000))
    assert not alice.connection.held
    alice.sends("@2 LIST " + "x" * 1_000)
    assert alice.connection.held
    alice.reads()
    assert not alice.connection.held


def test_a_client_that_takes_no_answers_is_answered_no_ping_before_it_does(house):
    alice = house.program("alice")
    alice.reads()
    alice.sends("@1 WHO")
    alice.session.output_full(full=True)
    alice.sends("@p PING")
    assert (alice.reads_at_once(), alice.connection.held) == ([], True)
    alice.session.output_full(full=False)
    assert (alice.reads_at_once(), alice.connection.held) == (["+OK @p"], False)


@pytest.mark.parametrize(
    ("waiting", "last"), [("hello", "+OK 5"), ("/who", "+OK 4"), ("/delete bob yes", "+OK 5")]
)
def test_while_the_chain_cannot_confirm_people_are_shown_chain_and_help_at_once(
    house, pair, waiting, last
):
    alice, _ = pair
    house.cannot_confirm()
    alice.reads_at_once()
    alice.sends(waiting, "/chain", "/help who", "/help nonsense", "then this")
    assert [line.split("  ")[0] for line in alice.reads_at_once()] == [
        "| epoch 1", "| the chain cannot confirm: waiting for other",
        f". you are on solo, the only node, chainchat {__version__}",
        "| /who", "|", ". /help lists everything",
        "-ERR 500 there is no /nonsense: type /help to see what there is (to say a line that begins"
        " with /, double it: //)",
    ]  # fmt: skip
    assert alice.reads()[-1] == last


def test_what_people_have_asked_of_the_node_is_answered_when_the_chain_is_found_to_be_stuck(
    house, pair
):
    alice, _ = pair
    alice.sends("hello", "/help who", "/who", "/chain", "and this")
    assert alice.reads_at_once() == []
    house.cannot_confirm()
    assert [line.split("  ")[0] for line in alice.reads_at_once()] == [
        "* the chain cannot confirm: waiting for other. What you say is not confirmed yet.",
        "| /who", "|", ". /help lists everything",
        "| epoch 1", "| the chain cannot confirm: waiting for other",
        f". you are on solo, the only node, chainchat {__version__}",
    ]  # fmt: skip
    assert alice.reads() == ["+OK 4", "| alice", "| bob", ". 2 accounts", "+OK 5"]


def test_as_many_questions_as_one_likes_may_wait_for_one_answer(pair):
    alice, _ = pair
    replies = alice.says("hello", *["/chain"] * 150)
    assert (replies[0], len(replies)) == ("+OK 4", 301)


# --- when the node drops out or stops ----------------------------------------------------

MAYBE = "* not confirmed, it may or may not have been"
ELSEWHERE = "* the chain goes on without this node; go on at 10.0.0.2:7001"


def test_who_is_at_a_node_that_drops_out_is_told_what_was_not_confirmed_and_what_not_begun(
    house, pair
):
    alice, _ = pair
    alice.sends("hello", ">> BOB: psst", "/delete bob yes", "later", "/who", "", b"\x1b", TOO_LONG)
    house.holds_the_chain_still()
    alice.session.sent_elsewhere("the chain goes on without this node")
    assert alice.reads_at_once() == [
        f"{MAYBE} said: hello",
        f"{MAYBE} said: >> bob: psst",
        f"{MAYBE} done: /delete bob",
        "* not done: later",
        "* not done: /who",
        ELSEWHERE,
    ]
    assert alice.connection.closed


def test_who_sent_what_the_node_has_not_read_is_told_so(house, pair):
    alice, _ = pair
    alice.sends("hello")
    alice.connection.in_the_socket = 42
    alice.session.sent_elsewhere("the chain goes on without this node")
    assert alice.reads_at_once() == [
        "* not done: hello",
        "* not done: what you sent last, which was not read",
        ELSEWHERE,
    ]


def test_who_is_about_to_be_closed_is_closed_by_a_node_that_drops_out(house):
    alice = house.client("/help")
    alice.session.gives_way()
    alice.session.sent_elsewhere("the chain goes on without this node")
    assert alice.connection.closed
    assert alice.connection.read() == [f"-ERR 422 {GIVES_WAY}"]


def test_a_login_that_was_not_confirmed_is_named(house):
    alice = house.client()
    alice.reads()
    alice.sends("alice", "hello")
    house.holds_the_chain_still()
    alice.session.sent_elsewhere("the chain goes on without this node")
    assert alice.reads_at_once() == [
        f"{MAYBE} done: the login as alice",
        "* not done: hello",
        ELSEWHERE,
    ]


def test_of_much_that_was_not_confirmed_the_first_is_listed_and_the_rest_counted(house, pair):
    alice, _ = pair
    alice.sends(*(f"line {n}" for n in range(LISTED + 3)), "/who", "a", "b")
    house.holds_the_chain_still()
    alice.session.sent_elsewhere("the chain goes on without this node")
    assert alice.reads_at_once() == [
        *(f"{MAYBE} said: line {n}" for n in range(LISTED)),
        "* and 5 more, not confirmed or not done",
        ELSEWHERE,
    ]


def test_what_was_never_heard_is_counted_and_not_looked_at(house, pair):
    alice, _ = pair
    alice.sends(*["x"] * 10_000)
    input_queue = alice.session._hearing._input
    alice.session.sent_elsewhere("the chain goes on without this node")
    assert alice.reads_at_once() == [
        *["* not done: x"] * LISTED,
        f"* and {10_000 - LISTED} more, not confirmed or not done",
        ELSEWHERE,
    ]
    assert len(input_queue._lines) == LISTED


def test_a_program_is_told_in_notices_of_its_own(house):
    alice = house.program("alice")
    alice.reads()
    alice.sends("@1 SEND 1 * :hi", "@2 WHO", "@3 SEND 2 * :ho")
    house.holds_the_chain_still()
    alice.session.sent_elsewhere("the chain goes on without this node")
    assert alice.reads_at_once() == [
        "NOTE waiting :not confirmed, it may or may not have been said: hi",
        "NOTE undone :not done: @3 SEND 2 * :ho",
        "NOTE closing nodes=10.0.0.2:7001 :the chain goes on without this node; go on at "
        "10.0.0.2:7001",
    ]


def test_what_a_stopping_node_could_not_have_confirmed_is_listed_too(house, pair):
    alice, _ = pair
    alice.sends("hello")
    house.holds_the_chain_still()
    alice.session.take_no_more()
    house.holds_the_chain_still()
    alice.session.sent_elsewhere("this node stops")
    assert alice.reads_at_once() == [
        f"{MAYBE} said: hello",
        "* this node stops; go on at 10.0.0.2:7001",
    ]


# --- room for requests -------------------------------------------------------------------


def test_people_who_paste_much_wait_while_enough_is_on_its_way_and_nobody_waits_for_them(house):
    crowd = [house.client(f"ann{number}", "/notices off") for number in range(20)]
    bob = house.client("bob", "/notices off")
    for person in [*crowd, bob]:
        person.reads()
    for person in crowd:
        person.sends(*(f"{person.session.name} {line}" for line in range(40)))
    for _ in range(20):
        house.holds_the_chain_still()
    first_lines = len(crowd) * HEARD_OF_PERSON
    on_their_way = house.node.pending
    assert first_lines <= on_their_way <= max(64, first_lines) + HEARD_AT_ONCE
    bob.sends("hello")
    house.holds_the_chain_still()
    assert house.node.pending == on_their_way + 1
    house.clock.pump([0.5] * 20)
    said = [line for line in bob.reads() if "ann" in line]
    assert len(said) == len(crowd) * 40
    for person in crowd:
        own = [line for line in said if f"{person.session.name} " in line]
        assert [int(line.split()[-1]) for line in own] == list(range(40))


def test_those_who_wait_for_room_get_it_in_turn(house):
    crowd = [house.client(f"ann{number}", "/notices off") for number in range(20)]
    for person in crowd:
        person.reads()
    house.price = PATIENT_SECONDS / 10
    for person in crowd:
        person.sends(*(str(line) for line in range(180)))
    heard = []
    while not heard or min(heard[-1]) < 180:
        house.clock.advance(PATIENT_SECONDS)
        heard.append([person.connection.data.count(b"+OK") for person in crowd])
    assert max(max(now) - min(now) for now in heard) <= 2 * HEARD_AT_ONCE


class Waiting:
    """Notes that it is woken."""

    def __init__(self, woken):
        self.woken = woken

    def has_room(self):
        self.woken.append(self)


def test_thousands_who_wait_for_room_are_woken_in_some_turns(house):
    woken, sessions = [], house.sessions
    waiting = [Waiting(woken) for _ in range(2 * WOKEN_AT_ONCE + 1)]
    for one in waiting:
        sessions.wait_for_room(one)
    sessions.room_again()
    assert woken == waiting[:WOKEN_AT_ONCE][::-1]  # each is put before all others
    house.clock.advance(0)
    second = waiting[WOKEN_AT_ONCE : 2 * WOKEN_AT_ONCE]
    assert woken[WOKEN_AT_ONCE:] == [*reversed(second), waiting[-1]]
