"""Sessions: what a client is answered and told, in which order, on a real node that is alone."""

import re

import node_house
import pytest
from sessions_house import DAY_SECONDS, HELLO, STOP, Connection, Hashing, House, one

from chainchat import __version__
from chainchat.chain.log import MAX_COMMAND
from chainchat.chat.bounds import USUAL_BOUNDS, Bounds
from chainchat.chat.commands import Login, Nothing
from chainchat.chat.lines import TOO_LONG
from chainchat.chat.queries import GIVEN_UP, Accounts
from chainchat.config import AccountRules
from chainchat.logs.audit import Audit
from chainchat.node.pending import USUAL_PENDING
from chainchat.sessions.announcements import NAMED_AT_ONCE, NOTICE_PAUSE
from chainchat.sessions.contests import PROBE_SECONDS
from chainchat.sessions.entrance import LOGIN_SECONDS
from chainchat.sessions.guard import Guard
from chainchat.sessions.hearing import (
    HEARD_AT_ONCE,
    HEARD_OF_PERSON,
    LOOKED_AT_ONCE,
    UNREAD_NEWCOMER,
)
from chainchat.sessions.interfaces import ServerInfo
from chainchat.sessions.pace import NEWCOMER, PERSON, TEXTLESS_IN_UNIT
from chainchat.sessions.read_marks import LOOK_PAUSE, REMEMBERED_PUSHES, Reading
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from tests.chat.applied import names, present

# --- greeting and login ------------------------------------------------------------------


def test_a_client_is_greeted_and_asked_for_a_name(house):
    assert house.client().reads() == [
        f"* chainchat {__version__}: node solo of chain lab",
        "* Type your name to log in; a new name makes a new account. Times are UTC. "
        "/help tells more.",
        "* Nothing is encrypted here, and a name without a password is anybody's: /password sets "
        "one.",
    ]


def greeted(chain, position):
    """The connection of a newcomer to a node of a chain."""
    connection = Connection()
    chain.clock.advance(0)
    addresses = {position: "10.0.0.1:7001", "other": "10.0.0.2:7001"}
    guard = Guard(AccountRules(), Hashing(), chain.clock.seconds)
    audit = Audit(position, chain.clock.seconds)
    server_info = ServerInfo("lab", 1024, addresses, str, guard, audit)
    Session(Sessions(chain[position], chain.clock), connection, chain.clock, server_info).opened()
    chain.clock.advance(0)
    return connection


def test_a_node_that_serves_nobody_shows_the_chain_says_why_names_others_and_closes():
    chain = node_house.House("head", "middle")
    chain.start("head")
    connection = greeted(chain, "head")
    assert connection.read() == [
        f"* chainchat {__version__}: node head of chain lab",
        "* epoch 0   no chain yet   away: middle   committed 0",
        f"* you are on head, which waits for the chain to be founded, chainchat {__version__}",
        "-ERR 421 the chain is not founded yet: waiting for middle; try 10.0.0.2:7001",
    ]
    assert connection.closed


def test_a_node_that_is_catching_up_shows_how_far_it_is():
    chain = node_house.founded()
    chain.start("newcomer")
    chain.run()
    connection = greeted(chain, "newcomer")
    greeting, drawn, *notes, where, refusal = connection.read()
    assert greeting == f"* chainchat {__version__}: node newcomer of chain lab"
    assert drawn == "* epoch 1   head -> middle -> tail   committed 1"
    assert [note for note in notes if note.startswith("* copied 1 entries (")]
    assert where == f"* you are on newcomer, which is no member, chainchat {__version__}"
    assert refusal == (
        "-ERR 421 this node is catching up with the chain (head, middle, tail); try 10.0.0.2:7001"
    )
    assert connection.closed


def test_a_name_logs_in(house):
    greeted = house.client()
    greeted.reads()
    assert one(greeted.says("alice")) == (
        "+OK you are alice: type to talk to everybody, /help for all else"
    )


def test_lines_that_come_with_the_login_wait_for_it(house):
    house.client("bob")
    alice = house.client()
    alice.reads()
    replies = alice.says("alice", "hello", "/who")
    assert [reply[:9] for reply in replies] == [
        "+OK you a",
        "+OK 4",
        "| alice",
        "| bob",
        ". 2 accou",
    ]


def test_a_login_that_makes_one_account_too_many_is_told_what_to_do():
    house = House(bounds=Bounds(accounts=0))
    client = house.client()
    client.reads()
    assert one(client.says("alice")) == (
        "-ERR 436 account alice was not made: there are as many as there may be; "
        "log in with an existing name, or try again later"
    )


def test_a_name_in_use_is_refused_and_another_can_be_tried(house):
    house.client("alice")
    client = house.client()
    client.reads()
    assert one(client.says("Alice")).startswith("-ERR 433 the name alice is in use")
    assert one(client.says("bob")).startswith("+OK you are bob")
    assert not client.connection.closed


@pytest.mark.parametrize("line", ["/who", "/list", "/last", "/delete bob yes", "/notices on"])
def test_what_needs_a_login_is_refused_before_it(house, line):
    client = house.client()
    client.reads()
    assert one(client.says(line)) == "-ERR 510 log in first"


def test_programs_are_refused_before_the_login_too(house):
    program = house.client(HELLO)
    program.reads()
    replies = program.says("@1 SEND 1 * :hi", "@2 ACK 1", "@3 PING")
    assert replies == ["-ERR 510 @1 log in first", "-ERR 510 @2 log in first", "+OK @3"]


def test_nobody_stays_without_a_login(house):
    silent, refused, alice = house.client(), house.client("not a name"), house.client("alice")
    for client in (silent, refused, alice):
        client.reads()
    assert silent.reads(LOGIN_SECONDS) == refused.reads() == ["-ERR 423 no login within 60 seconds"]
    assert silent.connection.closed
    assert (alice.reads(), alice.connection.closed) == ([], False)


def test_the_time_for_a_login_ends_with_it(house):
    house.client("alice").reads()
    due = [call.getTime() - house.clock.seconds() for call in house.clock.getDelayedCalls()]
    assert LOGIN_SECONDS not in due


# --- lines that are no requests ----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code"), [(TOO_LONG, 502), (b"caf\xe9", 503), (b"a\x1bb", 504), (b"/nonsense", 500)]
)
def test_a_bad_line_is_refused_and_the_next_is_heard(house, line, code):
    alice = house.client("alice")
    alice.reads()
    bad, good = alice.says(line, "hello")
    assert bad.startswith(f"-ERR {code} ")
    assert good == "+OK 3"


def test_a_programs_bad_line_is_answered_with_its_tag(house):
    program = house.program("alice")
    program.reads()
    replies = program.says(
        b"@7 SEND 1 * :\x1b", b"@8 NONSENSE", b"no tag", b"x" * 2000, b"@9 SEND 1"
    )
    assert [reply.split()[1:3] for reply in replies] == [
        ["504", "@7"], ["500", "@8"], ["501", "@-"], ["502", "@-"], ["501", "@9"],
    ]  # fmt: skip


def test_a_web_browser_is_told_and_the_connection_closed(house):
    browser = house.client()
    browser.reads()
    assert browser.says("GET / HTTP/1.1", "Host: lab", "alice") == [
        "-ERR 505 this is a chat, not a web server: use telnet or nc"
    ]
    assert browser.connection.closed
    assert names(house.node.state) == []


def test_empty_lines_are_ignored(house):
    alice = house.client("alice")
    alice.reads()
    assert alice.says("", "  ", "hello") == ["+OK 3"]


# --- what people ask ---------------------------------------------------------------------


@pytest.fixture
def pair(house):
    """alice and bob, who have read their greetings."""
    both = house.client("alice", "/notices off"), house.client("bob", "/notices off")
    for client in both:
        client.reads(NOTICE_PAUSE)
        client.reads(NOTICE_PAUSE)
    return both


def test_what_is_said_is_answered_with_its_id_and_shown_to_all_others(pair):
    alice, bob = pair
    assert alice.says("hello", "//slash") == ["+OK 4", "+OK 5"]
    assert bob.reads() == ["* 2026-11-22", "#4 11:03 alice: hello", "#5 11:03 alice: /slash"]
    assert alice.reads() == []


def test_what_is_said_to_one_is_shown_to_that_one_alone(house, pair):
    alice, bob = pair
    carol = house.client("carol")
    carol.reads(5)
    assert alice.says(">> BOB: psst") == ["+OK 5"]
    assert bob.reads()[-1] == "#5 11:03 alice >> you: psst"
    assert carol.reads() == []
    assert one(alice.says(">> nobody: hi")).startswith("-ERR 521 there is no account nobody")


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("/who", ["| alice", "| bob", ". 2 accounts"]),
        ("/list", ["| alice", "| bob", ". 2 accounts"]),
        ("/list .*o", ["| bob", ". 1 account"]),
        ("/list z", [". 0 accounts"]),
        ("/last", [". 0 messages"]),
        ("/notices on", ["+OK who comes and goes is shown"]),
        ("/notices off", ["+OK who comes and goes is not shown"]),
        (
            "/chain",
            [
                "| epoch 1   [solo]   committed 3",
                f". you are on solo, the only node, chainchat {__version__}",
            ],
        ),
        ("/quit", ["+OK goodbye"]),
    ],
)
def test_every_verb_has_its_reply(pair, line, replies):
    assert pair[0].says(line) == replies


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("/list (", "-ERR 531 not a regular expression"),
        (
            "/delete bob",
            "-ERR 534 this deletes bob and all that waits for it: type /delete bob yes",
        ),
        (
            "/delete",
            "-ERR 534 this deletes alice and all that waits for it: type /delete alice yes",
        ),
        ("/delete nobody", "-ERR 521 there is no account nobody"),
        ("/delete nobody yes", "-ERR 521 there is no account nobody"),
    ],
)
def test_what_cannot_be_done_is_refused(pair, line, refusal):
    assert one(pair[0].says(line)).startswith(refusal)


def with_accounts(house, count):
    for number in range(count):
        login = Login(f"{house.node.me.origin}.x{number}", f"n{number:03}", "", b"")
        house.node.submit(login)
    house.clock.advance(0)


@pytest.mark.parametrize("tag", ["", "@1 "])
def test_a_list_that_costs_too_much_ends_with_a_refusal_behind_what_was_found(house, tag):
    with_accounts(house, 500)
    client = house.program("alice") if tag else house.client("alice")
    client.reads()
    house.price = 0.1
    client.sends("@1 LIST .*" if tag else "/list .*")
    *found, last = [line for line in client.reads_in_time() if line[0] != "*"]
    assert found[:3] == [f"| {tag}alice", f"| {tag}n000", f"| {tag}n001"]
    assert len(found) < 500
    assert last == (
        f"-ERR 535 {tag}the search takes too long; use a pattern that begins plainly, like: al"
    )
    house.price = 0.0
    assert client.says("@2 LIST n49" if tag else "/list n49")[-1].startswith(". ")


def test_a_list_of_all_is_shown_however_long_it_takes(house):
    with_accounts(house, 500)
    client = house.client("alice")
    client.reads()
    house.price = 0.1
    client.sends("/list")
    assert client.reads_in_time()[-1] == ". 501 accounts"


def test_a_question_that_a_tail_did_not_survive_is_refused(pair):
    alice, _ = pair
    asked = []
    alice.house.node.ask = lambda query, answered: asked.append((query, answered))
    alice.sends("/list .*", "hello")
    alice.house.clock.advance(0)
    [(query, answered)] = asked
    assert query == Accounts(".*")
    answered(GIVEN_UP)
    alice.house.sessions.flush()
    assert alice.reads() == [
        "-ERR 461 the server that searched is lost, and no other was asked; "
        "ask again, with a pattern that begins plainly, like: al",
        "+OK 4",
    ]


def test_last_shows_ones_own_and_what_was_said_to_all(pair):
    alice, bob = pair
    alice.says("one", ">> bob: two")
    bob.says("three")
    assert alice.reads()[-1] == "#6 11:03 bob: three"
    assert alice.says("/last 2") == [
        "| 2026-11-22",
        "| #5 11:03 you >> bob: two",
        "| #6 11:03 bob: three",
        ". 2 messages",
    ]


def test_what_was_said_last_is_shown_in_its_order_however_many_pages_it_takes(pair):
    alice, _ = pair
    for number in range(150):
        alice.says(f"line {number:03} {'x' * 900}")
    _, *shown, end = alice.says("/last 140")
    assert [line.split(" ")[-2] for line in shown] == [f"{number:03}" for number in range(10, 150)]
    assert end == ". 140 messages"


def test_sends_that_come_in_one_piece_are_one_entry_and_each_has_its_own_reply(house, pair):
    program = house.program("robot")
    program.reads()
    before = house.node.state.origins["id.1"]
    assert program.says("@1 SEND 1 * :one", "@2 send 2 nobody :two", "@3 SEND 3 * :drei ü") == [
        "+OK @1 id=5",
        "-ERR 521 @2 there is no account nobody; list the accounts to see the names",
        "+OK @3 id=7",
    ]
    assert house.node.state.origins["id.1"] == before + 1
    said = [line for line in pair[1].reads() if line.startswith("#")]
    assert [line[:2] + line[8:] for line in said] == ["#5 robot: one", "#7 robot: drei ü"]


def test_a_bad_line_between_two_sends_is_answered_in_its_turn(house):
    program = house.program("robot")
    replies = program.says(
        "@1 SEND 1 * :one", "@2 SEND 2 no/name :x", "@3 SEND 3 * :two", "@4 WHO", "@5 SEND 0 * :x",
        "@6 SEND 6 * :three", b"@7 SEND 7 * :\xff", "@8 SEND 8 * :four",
        b"x" * 2000,
    )  # fmt: skip
    assert [" ".join(reply.split()[:3]) for reply in replies] == [
        "+OK @1 id=3", "-ERR 520 @2", "+OK @3 id=4", "| @4 robot", ". @4", "-ERR 501 @5",
        "+OK @6 id=5", "-ERR 503 @7", "+OK @8 id=6", "-ERR 502 @-",
    ]  # fmt: skip


def test_much_in_one_piece_makes_no_command_that_is_too_long(house):
    program = house.program("robot")
    program.reads()
    numbers = range(1, house.server_info.said_at_once + 2)
    replies = program.says(*(f"@{n} SEND {n} * :{'ü' * 450}" for n in numbers))
    assert replies == [f"+OK @{n} id={n + 2}" for n in numbers]
    log = house.storage.read(2, house.storage.last.seq, 1 << 30)
    lengths = [len(entry.command) for entry in log if entry.span > 10]
    assert len(lengths) > 9
    assert all(0.9 * MAX_COMMAND < length <= MAX_COMMAND for length in lengths[:-1])


def test_replies_keep_their_order_when_a_read_stands_between(pair):
    alice, _ = pair
    replies = alice.says("one", "/last 1", "two", "/chain", "three", "/last 1")
    assert [reply[:11] for reply in replies] == [
        "+OK 4", "| 2026-11-2", "| #4 11:03 ", ". 1 message", "+OK 5", "| epoch 1  ", ". you are o",
        "+OK 6", "| 2026-11-2", "| #6 11:03 ", ". 1 message",
    ]  # fmt: skip


def test_who_is_deleted_is_told_by_whom_and_the_connection_closed(pair):
    alice, bob = pair
    assert alice.says("/delete bob yes", "/list") == [
        "+OK bob is deleted",
        "| alice",
        ". 1 account",
    ]
    assert bob.reads() == ["* the account bob was deleted by alice"]
    assert bob.connection.closed


def test_who_deletes_oneself_is_answered_and_the_connection_closed(pair):
    assert pair[0].says("/delete alice yes", "hello") == ["+OK alice is deleted"]
    assert pair[0].connection.closed


def test_whoever_leaves_is_answered_first(house, pair):
    assert pair[0].says("bye", "/quit", "too late") == ["+OK 4", "+OK goodbye"]
    assert pair[0].connection.closed
    assert present(house.node.state) == ["bob"]


def test_a_connection_that_is_lost_frees_the_name(house, pair):
    pair[0].session.lost()
    house.clock.advance(0)
    assert present(house.node.state) == ["bob"]


def test_the_end_of_the_input_is_taken_when_a_read_was_answered(house):
    client = house.client()
    client.sends("alice", "/who")
    client.session.input_ended()
    assert client.reads()[-1] == ". 1 account"
    assert client.connection.closed


def test_a_day_stands_before_the_first_message_of_it(pair):
    alice, bob = pair
    days = []
    for text, later in (("one", 0), ("two", 0), ("three", DAY_SECONDS)):
        bob.reads(later)
        alice.says(text)
        days.append([line for line in bob.reads() if line.startswith("* 2")])
    assert days == [["* 2026-11-22"], [], ["* 2026-11-23"]]


def test_a_client_that_sends_no_more_is_answered_and_the_connection_closed(house):
    client = house.client()
    client.sends("alice", "one")
    client.session.input_ended()
    assert client.reads()[-1] == "+OK 3"
    assert client.connection.closed


def test_a_client_that_sends_no_more_gets_what_it_missed_before_the_connection_closes(pair, house):
    alice, bob = pair
    bob.session.lost()
    alice.says(*(f"line {n}" for n in range(150)))
    bob = house.client()
    bob.connection.on_write = lambda: bob.session.output_full(full=True)
    bob.session.output_full(full=True)
    bob.sends("bob")
    bob.session.input_ended()
    seen = []
    while not bob.connection.closed:
        bob.session.output_full(full=False)
        seen += [line.split(": ")[1] for line in bob.reads() if line.startswith("#")]
    assert seen == [f"line {n}" for n in range(150)]


def test_when_the_node_stops_what_was_read_is_answered_and_nothing_more_is_read(house, pair):
    alice, _ = pair
    alice.sends("one", "/who", "two")
    alice.session.take_no_more()
    alice.sends("three")
    assert alice.reads() == ["+OK 4", "| alice", "| bob", ". 2 accounts", "+OK 5"]
    assert not alice.session.busy
    assert alice.connection.held
    alice.session.sent_elsewhere("this node stops")
    assert alice.reads() == ["* this node stops; go on at 10.0.0.2:7001"]
    assert alice.connection.closed
    assert house.node.state.applied == 5


# --- what programs ask -------------------------------------------------------------------


def test_a_program_says_hello_and_logs_in(house):
    client = house.client()
    client.reads()
    assert client.says(HELLO, "@1 LOGIN alice") == [
        "+OK @- node=solo max-line=1024 nodes=10.0.0.1:7001,10.0.0.2:7001 sessions=1",
        "+OK @1 session=token1 high=2 mark=2 number=1",
    ]
    assert one(client.says("@2 LOGIN bob")).startswith("-ERR 511 @2 ")


def test_every_machine_verb_has_its_reply(house):
    alice = house.program("alice")
    alice.reads()
    replies = alice.says(
        "@1 SEND 1 * :hi", "@2 SEND 2 nobody :hi", "@3 ACK 3", "@4 SINCE 0", "@5 SINCE 0 0",
        "@6 LIST .*l", "@7 WHO", "@8 DELETE bob",
    )  # fmt: skip
    assert replies == [
        "+OK @1 id=3",
        "-ERR 521 @2 there is no account nobody; list the accounts to see the names",
        "+OK @3",
        "| @4 MSG 3 0 2026-11-22T11:03:07.120Z alice * :hi",
        ". @4",
        ". @5",
        "| @6 alice",
        ". @6",
        "| @7 alice",
        ". @7",
        "-ERR 521 @8 there is no account bob; list the accounts to see the names",
    ]
    assert alice.says("@9 CHAIN", "@a PING", "@b LOGOUT") == [
        f"+OK @9 epoch=1 members=solo node=solo role=only committed=6 version={__version__}",
        "+OK @a",
        "+OK @b",
    ]
    assert alice.connection.closed


@pytest.mark.parametrize("last", ["LOGOUT", "DELETE alice"])
def test_what_is_asked_for_before_the_end_of_the_session_is_done_and_answered_before_it(
    house, last
):
    alice = house.program("alice")
    alice.reads()
    replies = alice.says("@1 SEND 1 * :hi", "@2 ACK 3", f"@3 {last}", "@4 WHO")
    assert replies == ["+OK @1 id=3", "+OK @2", "+OK @3"]
    assert alice.connection.closed


def test_what_many_acknowledge_at_once_is_one_entry(house):
    programs = [house.program(f"p{number}") for number in range(5)]
    programs[0].says("@1 SEND 1 * :hi")
    before = house.node.state.applied
    for program in programs:
        program.sends(f"@2 ACK {before}", "@3 LOGIN again")
    assert [[line[:7] for line in program.reads()[-2:]] for program in programs] == [
        ["+OK @2", "-ERR 51"]
    ] * 5
    assert house.node.state.applied == before + 1
    assert {house.seen(f"p{number}") for number in range(5)} == {before}


def test_an_answer_that_comes_when_the_session_was_moved_is_not_written_any_more(house):
    alice = house.program("alice")
    alice.reads()
    again = house.client(HELLO)
    again.sends("@1 RESUME alice token1 after=0")
    alice.sends("@1 ACK 3")
    assert alice.reads() == ["NOTE moved :this session goes on elsewhere"]
    assert alice.connection.closed


def test_a_send_on_its_way_when_the_session_moves_is_refused_before_the_connection_closes(house):
    alice = house.program("alice")
    alice.reads()
    again = house.client(HELLO)
    again.sends("@1 RESUME alice token1 after=0")
    again.reads_at_once()
    alice.sends("@1 SEND 1 * :hi")
    assert alice.reads() == [
        "NOTE moved :this session goes on elsewhere",
        "-ERR 431 @1 this session has ended; connect again",
    ]
    assert alice.connection.closed


def test_a_send_that_is_repeated_has_its_first_result_again(house):
    alice = house.program("alice")
    alice.reads()
    replies = alice.says("@1 SEND 5 * :hi", "@2 SEND 5 * :hi", "@3 SEND 5 * :ho", "@4 SEND 4 * :hi")
    assert replies[:2] == ["+OK @1 id=3", "+OK @2 id=3 again"]
    assert [reply.split()[1:3] for reply in replies[2:]] == [["552", "@3"], ["551", "@4"]]


def test_pushes_name_the_one_before_and_own_messages_do_not_count(house):
    alice, bob = house.program("alice"), house.program("bob")
    alice.says("@1 SEND 1 * :one")
    bob.says("@1 SEND 1 * :own", "@2 SEND 2 bob :to myself")
    alice.says("@2 SEND 2 bob :two", "@3 SEND 3 carol :nobody", "@4 SEND 4 * :three")
    pushes = [line.split() for line in bob.reads() if line.startswith("MSG")]
    assert [push[1:3] for push in pushes] == [["7", "4"], ["9", "7"]]


def test_a_resume_goes_on_after_an_id_and_the_old_connection_is_told(house):
    alice, bob = house.program("alice"), house.program("bob")
    for number in (1, 2, 3):
        bob.says(f"@1 SEND {number} * :{number}")
    alice.reads()
    again = house.client(HELLO)
    again.reads()
    reply, *pushes = again.says("@1 RESUME alice token1 after=4")
    assert reply == "+OK @1 session=token3 high=7 number=1"
    assert [push.split()[1:3] for push in pushes] == [["5", "4"], ["6", "5"]]
    assert alice.reads() == ["NOTE moved :this session goes on elsewhere"]
    assert alice.connection.closed


def test_a_resume_has_a_token_of_its_own_and_the_earlier_one_is_void(house):
    house.program("alice")
    again = house.client(HELLO)
    again.reads()
    assert again.says("@1 RESUME alice token1 after=2") == ["+OK @1 session=token2 high=3 number=1"]
    other = house.client(HELLO)
    other.reads()
    assert one(other.says("@1 RESUME alice token1 after=2")).startswith("-ERR 532 @1 ")
    assert other.says("@1 RESUME alice token2 after=2") == ["+OK @1 session=token4 high=5 number=1"]


def test_a_resume_after_an_id_that_is_still_to_come_begins_with_what_comes(house):
    house.program("alice")
    bob = house.program("bob")
    bob.says("@1 SEND 1 * :one")
    alice = house.client(HELLO, "@1 RESUME alice token1 after=9223372036854775807")
    bob.says("@2 SEND 2 * :two")
    assert [line.split()[1:3] for line in alice.reads() if line.startswith("MSG")] == [["6", "4"]]


def test_a_token_that_is_not_the_accounts_is_refused_and_the_connection_stays(house):
    house.program("alice")
    client = house.client(HELLO)
    assert one(client.says("@1 RESUME alice wrong after=0")).startswith(
        "-ERR 532 @1 this token does not resume alice"
    )
    assert not client.connection.closed


def test_a_quiet_program_is_pushed_nothing_now_or_later(house):
    bob = house.program("bob")
    house.program("alice").session.lost()
    bob.says("@1 SEND 1 * :one")
    alice = house.client(HELLO)
    assert one(alice.says("@l LOGIN alice quiet")).startswith("+OK @l session=")
    bob.says("@2 SEND 2 alice :two")
    assert alice.reads() == []
    alice.session.output_full(full=True)
    alice.session.output_full(full=False)
    assert alice.reads() == []


def test_a_node_takes_no_more_sends_of_a_program_than_are_remembered(house):
    alice = house.program("alice")
    alice.reads()
    count = 3 * USUAL_BOUNDS.sends
    alice.sends(*(f"@{n} SEND {n} * :x" for n in range(1, count + 1)))
    house.holds_the_chain_still()
    assert USUAL_PENDING.requests <= house.node.pending <= USUAL_BOUNDS.sends
    replies = alice.reads()
    assert [reply.split()[:2] for reply in replies] == [["+OK", f"@{n + 1}"] for n in range(count)]


def test_many_programs_together_take_no_more_room_than_one_and_a_little_for_each(house):
    programs = [house.program(f"bot{n}") for n in range(8)]
    for program in programs:
        program.reads()
        program.sends(*(f"@{n} SEND {n} * :x" for n in range(1, 2 * USUAL_PENDING.requests)))
    house.holds_the_chain_still()
    assert house.node.pending <= USUAL_PENDING.requests + USUAL_PENDING.share * len(programs)
    for program in programs:
        assert len([line for line in program.reads_in_time() if line.startswith("+OK")]) == (
            2 * USUAL_PENDING.requests - 1
        )


def test_after_a_refused_send_later_ones_wait_for_it(house):
    alice = house.program("alice")
    alice.reads()
    house.free = 0
    house.clock.pump([1.0] * 15)
    alice.reads()
    refused = [reply.split()[:3] for reply in alice.says("@1 SEND 1 * :x", "@2 SEND 2 * :x")]
    assert refused == [["-ERR", "453", "@1"], ["-ERR", "451", "@2"]]
    house.free = 10 * STOP
    house.clock.pump([1.0] * 15)
    alice.reads()
    first, then, last = alice.says("@a SEND 2 * :x", "@b SEND 1 * :x", "@c SEND 2 * :x")
    assert first.startswith("-ERR 451 @a not sent: SEND 1 has to come first")
    assert [line.split()[:2] for line in (then, last)] == [["+OK", "@b"], ["+OK", "@c"]]


# --- what was missed ---------------------------------------------------------------------


def test_the_read_mark_that_a_login_tells_is_where_a_resume_goes_on(house):
    bob = house.program("bob")
    house.program("alice").session.lost()
    bob.says("@1 SEND 1 * :one", "@2 SEND 2 * :two")
    alice = house.client(HELLO)
    reply, *pushes = alice.says("@1 LOGIN alice")
    mark = re.search(r" mark=(\d+) ", reply)[1]
    alice.session.lost()
    again = house.client(HELLO)
    again.reads()
    assert again.says(f"@1 RESUME alice token3 after={mark}")[1:] == pushes
    assert len(pushes) == 2


def test_what_was_missed_comes_after_the_login_in_order(house, pair):
    alice, bob = pair
    bob.session.lost()
    alice.says("one", ">> bob: two", "three")
    assert house.client().says("bob")[3:] == [
        "+OK you are bob: you missed 3 messages",
        "* 2026-11-22",
        "#5 11:03 alice: one",
        "#6 11:03 alice >> you: two",
        "#7 11:03 alice: three",
    ]


@pytest.mark.parametrize(("acknowledged", "seen"), [("nothing", 3), ("half", 4), ("all", 5)])
def test_a_read_mark_moves_with_input_past_what_the_machine_has_acknowledged(
    house, pair, acknowledged, seen
):
    alice, bob = pair
    alice.says("one")
    half = bob.connection.written
    alice.says("two")
    bob.connection.acked = {"nothing": 0, "half": half, "all": bob.connection.written}[acknowledged]
    assert house.seen("bob") == 3
    bob.sends("")
    house.clock.advance(1)
    assert house.seen("bob") == seen


def test_where_the_system_cannot_tell_the_mark_is_one_input_late(house, pair):
    alice, bob = pair
    alice.says("one")
    marks = []
    for _ in range(2):
        bob.sends("")
        house.clock.advance(1)
        marks.append(house.seen("bob"))
    assert marks == [3, 4]


def test_a_connection_that_breaks_moves_no_mark_and_one_that_ends_does(house, pair):
    alice, bob = pair
    alice.says("one")
    for client, end in ((bob, "lost"), (alice, "input_ended")):
        client.connection.acked = client.connection.written
        getattr(client.session, end)()
    house.clock.advance(1)
    assert house.seen("bob") == 3
    again = house.client("bob")
    again.connection.acked = again.connection.written + 1_000
    again.reads()
    again.session.input_ended()
    house.clock.advance(1)
    assert house.seen("bob") == 4


def test_a_program_moves_its_mark_with_ack_alone_and_never_back(house):
    alice, bob = house.program("alice"), house.program("bob")
    alice.says("@1 SEND 1 * :one", "@2 SEND 2 * :two")
    bob.connection.acked = bob.connection.written
    marks = []
    for line in ("@1 PING", "@2 ACK 4", "@3 ACK 1"):
        bob.says(line)
        marks.append(house.seen("bob"))
    assert marks == [3, 4, 4]


def test_a_resume_moves_no_mark(house):
    house.program("alice")
    house.program("bob").says("@1 SEND 1 * :one", "@2 SEND 2 * :two")
    again = house.client(HELLO, "@1 RESUME alice token1 after=5")
    again.session.lost()
    house.clock.advance(1)
    assert house.seen("alice") == 2


def test_a_long_answer_right_behind_the_login_pushes_nothing_twice(house):
    bob = house.program("bob")
    for number in range(60):
        bob.says(f"@1 SEND {number + 1} * :{'x' * 900}")
    alice = house.client(HELLO)
    alice.reads()
    bob.sends("@2 SEND 61 * :early")
    bob.reads_at_once()
    alice.sends("@1 LOGIN alice", "@2 SINCE 0")
    alice.reads_at_once()
    bob.sends("@3 SEND 62 * :late")
    pushes = [line.split(" :")[1] for line in alice.reads() if line.startswith("MSG")]
    assert pushes == ["late"]


def test_of_many_pushes_some_are_remembered_and_no_mark_is_set_too_high():
    reading = Reading(0)
    for number in range(1, 3 * REMEMBERED_PUSHES + 1):
        reading.pushed(newest=number, written=10 * number)
    last = 3 * REMEMBERED_PUSHES
    assert reading.did_something(15, 10 * last) is False
    assert reading.did_something(1_000, 10 * last) is True
    assert 100 - 8 < reading.seen <= 100
    assert reading.did_something(10 * last, 10 * last) is True
    assert reading.seen == last


# --- slow readers, and more than the chain takes -----------------------------------------


def test_what_waits_on_one_connection_waits_on_no_other(pair):
    alice, bob = pair
    assert not alice.session.busy
    assert not bob.session.busy
    bob.sends("owed an answer")
    assert bob.session.busy
    assert not alice.session.busy
    assert bob.reads() == ["+OK 4"]
    bob.session.output_full(full=True)
    assert bob.says("not heard yet") == []
    assert bob.session.busy
    assert not alice.session.busy


def test_a_slow_reader_gets_everything_later_in_order_and_once(pair):
    alice, bob = pair
    bob.session.output_full(full=True)
    alice.says(*(f"line {n}" for n in range(150)))
    assert bob.says("/who") == []
    assert bob.connection.held
    bob.session.output_full(full=False)
    alice.says("line 150")
    texts = [line.split(": ")[1] for line in bob.reads() if line.startswith("#")]
    assert texts == [f"line {n}" for n in range(151)]
    assert not bob.connection.held


def test_a_reader_that_is_full_again_at_every_write_gets_everything_once(pair):
    alice, bob = pair
    bob.connection.on_write = lambda: bob.session.output_full(full=True)
    alice.says(*(f"line {n}" for n in range(150)))
    seen = []
    while lines := bob.reads():
        seen += [line.split(": ")[1] for line in lines if line.startswith("#")]
        bob.session.output_full(full=False)
    assert seen == [f"line {n}" for n in range(150)]


def test_a_long_answer_is_read_no_faster_than_it_is_taken(house, pair):
    alice, _ = pair
    for _ in range(100):
        alice.says("x" * 1_000)
    alice.connection.on_write = lambda: alice.session.output_full(full=True)
    alice.sends("/last 100")
    chunks = []
    while lines := alice.reads():
        chunks.append(len(lines))
        alice.session.output_full(full=False)
    assert len(chunks) == 3
    assert sum(chunks) == 102


def test_with_too_much_on_its_way_who_has_most_of_it_is_held_and_goes_on_later(house, pair):
    alice, bob = pair
    for _ in range(USUAL_PENDING.requests):
        house.node.submit(Nothing())
    alice.sends(*["x" * 1_000] * (USUAL_PENDING.share + 50))
    house.holds_the_chain_still()
    bob.sends("hi")
    house.holds_the_chain_still()
    assert (alice.session.busy, alice.connection.held, bob.connection.held) == (True, True, False)
    answers = [line for line in alice.reads() if line.startswith("+OK")]
    assert len(answers) == USUAL_PENDING.share + 50
    # A client with few requests on their way is heard, though another has too many.
    assert "+OK " + str(USUAL_PENDING.requests + 4 + HEARD_OF_PERSON) in bob.reads()
    assert (alice.connection.held, bob.connection.held) == (False, False)


def test_a_line_that_was_held_is_answered_though_nothing_else_happens(house, pair):
    for _ in range(USUAL_PENDING.requests):
        house.node.submit(Nothing())
    assert len(pair[0].says("/chain")) == 2


# --- who comes and goes ------------------------------------------------------------------


def test_others_who_come_and_go_are_announced_to_who_wants_it(house):
    alice, quiet = house.client("alice"), house.client("quiet", "/notices off")
    program = house.client(f"{HELLO} notices=on", "@1 LOGIN robot")
    for client in (alice, quiet, program):
        client.reads(NOTICE_PAUSE)
        client.reads(NOTICE_PAUSE)
    bob = house.client("bob")
    assert alice.reads() == ["* bob has joined"]
    assert program.reads() == ["NOTE joined name=bob :bob has joined"]
    bob.says("/quit")
    assert alice.reads() == []
    assert alice.reads(NOTICE_PAUSE) == ["* bob has left"]
    assert quiet.reads() == []


def test_whoever_stopped_reading_is_told_why_they_were_cut_when_they_come_back(house):
    alice = house.client("alice")
    alice.session.output_full(full=True)
    alice.session.lost()
    told, welcome = house.client().says("alice")[-2:]
    assert "if you stopped your terminal (Ctrl-S), Ctrl-Q goes on" in told
    assert welcome.startswith("+OK you are alice")
    again = house.client("bob")
    again.session.lost()
    assert "Ctrl-S" not in " ".join(house.client().says("bob"))


def test_nobody_is_told_of_a_session_that_is_told_nothing(house):
    alice = house.client("alice")
    for _ in range(2):
        alice.reads(NOTICE_PAUSE)
    program = house.client(HELLO, "@1 LOGIN robot quiet")
    assert alice.reads(NOTICE_PAUSE) == []
    program.says("@2 SEND 1 * :the disk is full", "@3 LOGOUT finished")
    assert alice.reads(NOTICE_PAUSE)[-1].endswith(" robot: the disk is full")
    assert alice.reads(NOTICE_PAUSE) == []


@pytest.mark.parametrize("quickly", ["RESUME alice token1 after=0", "LOGIN alice"])
def test_who_comes_back_at_once_has_neither_left_nor_joined(house, quickly):
    bob = house.client("bob")
    alice = house.program("alice")
    for _ in range(2):
        bob.reads(NOTICE_PAUSE)
    house.client("carol")
    assert bob.reads() == ["* carol has joined"]
    if quickly.startswith("LOGIN"):
        alice.session.lost()
    house.client(HELLO, f"@1 {quickly}")
    bob.reads(NOTICE_PAUSE)
    assert bob.reads(NOTICE_PAUSE) == []


def test_many_who_come_at_once_are_counted(house):
    alice = house.client("alice")
    alice.reads(NOTICE_PAUSE)
    for number in range(NAMED_AT_ONCE + 2):
        house.client(f"n{number}")
    assert alice.reads(NOTICE_PAUSE) == [
        "* n0 has joined",
        f"* {NAMED_AT_ONCE + 1} others: each has joined",
    ]


# --- those who send too much ---------------------------------------------------------------


def test_who_floods_is_told_once_and_taken_at_that_pace(house):
    alice = house.client("alice")
    alice.reads()
    burst, rate = int(PERSON.at_once), int(PERSON.per_second)
    alice.sends(*(f"line {n}" for n in range(4 * burst)))
    replies = alice.reads()
    assert [line for line in replies if line[0] == "*"] == [
        f"* you send faster than {rate} lines a second: the rest is read at that pace"
    ]
    assert abs(len(replies) - burst) <= HEARD_AT_ONCE
    assert alice.connection.held
    later = [line for _ in range(20) for line in alice.reads(0.1)]
    assert abs(len(later) - 2 * rate) <= HEARD_AT_ONCE + HEARD_OF_PERSON
    assert all(line.startswith("+OK") for line in later)


def test_one_who_floods_makes_nobody_else_wait(house):
    alice, bob = house.client("alice"), house.client("bob")
    for client in (alice, bob):
        client.reads()
    alice.sends(*(f"line {n}" for n in range(10 * HEARD_AT_ONCE)))
    bob.sends("hello")
    house.sessions.hear()
    assert bob.session.busy
    assert not bob.session._hearing._input


def test_who_sends_nothing_that_can_be_read_is_told_and_the_connection_closed(house):
    client = house.client()
    client.reads()
    for _ in range(UNREAD_NEWCOMER - 1):
        client.sends(b"\xfe")
        house.clock.advance(0.1)
    assert client.says(b"\xfe", b"\xfe")[-1] == (
        "-ERR 426 none of the last 100 lines could be read: connect again, type /help"
    )
    assert client.connection.closed


def test_one_line_that_can_be_read_among_many_that_cannot_keeps_the_connection(house):
    client = house.client()
    client.reads()
    for _ in range(2):
        for _ in range(UNREAD_NEWCOMER - 1):
            client.sends(b"\xfe")
            house.clock.advance(0.1)
        client.says("/help")
    assert not client.connection.closed


def test_telnet_commands_cost_as_much_as_lines(house):
    client = house.client()
    client.reads()
    client.session.received(b"", octets=3_000, commands=1_000)
    assert client.connection.held
    client.reads(1_000 / NEWCOMER.per_second)
    assert not client.connection.held


def test_tls_without_text_costs_as_much_as_lines(house):
    client = house.client()
    client.reads()
    client.session.received_no_text(1_000 * TEXTLESS_IN_UNIT)
    assert client.connection.held
    client.reads(1_000 / NEWCOMER.per_second)
    assert not client.connection.held


def test_while_a_client_does_not_read_nothing_is_read_of_it(house):
    client = house.client("alice")
    client.session.output_full(full=True)
    assert client.connection.held
    client.session.output_full(full=False)
    assert not client.connection.held


def test_of_many_pings_that_overtake_some_are_answered_in_a_turn(house):
    program = house.program("alice")
    program.reads()
    program.sends("@w WHO", *[f"@{n} PING" for n in range(400)])
    house.sessions.hear()
    house.sessions.hear()
    house.sessions.flush()
    overtook = program.connection.read()
    assert 0 < len(overtook) <= 2 * LOOKED_AT_ONCE
    replies = [*overtook, *program.reads()]
    assert [r for r in replies if r.startswith("+OK")] == [f"+OK @{n}" for n in range(400)]


def test_who_sends_neither_text_nor_telnet_is_told_and_the_connection_closed(house):
    client = house.client()
    client.reads()
    client.session.sent_noise()
    assert client.reads() == [
        "-ERR 426 what you send is neither lines of text nor telnet: connect again, type /help"
    ]
    assert client.connection.closed


def test_who_does_not_read_is_not_told_who_comes_and_goes(house):
    alice = house.client("alice")
    alice.reads(5)
    alice.session.output_full(full=True)
    house.client("bob")
    assert alice.reads(5) == []


# --- a name that somebody else wants -------------------------------------------------------


def test_who_wants_a_name_is_told_for_how_long_its_connection_has_been_silent(house):
    alice = house.client("alice")
    alice.connection.silence = 34.2
    again = house.client()
    again.reads()
    assert again.says("alice") == [
        "-ERR 433 the name alice is in use, by a connection that has been silent for 34 s: it is "
        "free within 10 s if nothing answers there; try again then, or log in with another"
    ]
    assert alice.connection.probed


def test_a_connection_that_answers_when_it_is_probed_keeps_its_name(house):
    alice = house.client("alice")
    alice.connection.silence = 34.2
    house.client("alice")
    alice.connection.silence = 0.5
    house.clock.advance(PROBE_SECONDS)
    assert not alice.connection.aborted
    assert not alice.connection.probed


def test_a_connection_that_answers_nothing_is_given_up_and_its_name_free(house):
    alice = house.client("alice")
    alice.connection.silence = 34.2
    again = house.client("alice")
    again.reads()
    house.clock.advance(PROBE_SECONDS)
    assert alice.connection.aborted
    alice.session.lost()
    assert one(again.says("alice")).startswith("+OK you are alice")


def test_where_the_system_tells_nothing_a_login_is_refused_soon_all_the_same(house):
    house.client("alice")
    again = house.client()
    again.reads()
    assert one(again.says("alice")) == (
        "-ERR 433 the name alice is in use; if its machine is gone it is free in 10 s: try again "
        "then, or log in with another"
    )


# --- read marks without a key press --------------------------------------------------------


def test_what_a_persons_machine_had_some_seconds_before_it_was_last_heard_was_seen(house):
    alice, bob = house.client("alice"), house.client("bob")
    alice.says("one", "two")
    newest = house.node.state.applied
    connection = bob.connection
    connection.acked, connection.silence = connection.written, 0.0
    bob.reads(LOOK_PAUSE)  # the first look: it has all, but may have died at once
    assert house.seen("bob") < newest - 1
    connection.silence = 60.0
    bob.reads(10)  # it was not heard since
    assert house.seen("bob") < newest - 1
    connection.silence = 1.0
    for _ in range(4):
        bob.reads(LOOK_PAUSE)
    assert house.seen("bob") == newest


def test_nobody_is_looked_at_who_has_seen_all(house):
    alice, bob = house.client("alice"), house.client("bob")
    alice.says("one")
    bob.connection.acked, bob.connection.silence = 1 << 30, 0.0
    for _ in range(8):
        bob.reads(LOOK_PAUSE)
    assert house.sessions.marks._looking is None


# --- the work of others --------------------------------------------------------------------


def test_a_private_message_touches_no_session_that_it_does_not_concern(house, monkeypatch):
    alice, bob = house.client("alice", "/notices off"), house.client("bob", "/notices off")
    others = [house.client(f"n{n}", "/notices off") for n in range(20)]
    for client in (alice, bob, *others):
        client.reads(2)
    touched = set()
    for name in ("hear", "go_on", "flush", "push", "look"):
        method = getattr(Session, name)

        def noted(session, *arguments, method=method):
            touched.add(session)
            return method(session, *arguments)

        monkeypatch.setattr(Session, name, noted)
    alice.says(">> bob: psst")
    assert bob.reads()[-1].endswith("alice >> you: psst")
    assert touched == {alice.session, bob.session}
