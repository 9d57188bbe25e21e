"""Sessions: what people ask, and how each request is answered."""

import pytest
from sessions_house import DAY_SECONDS, one

from chainchat import __version__
from chainchat.chain.log import MAX_COMMAND
from chainchat.chat.commands import Login
from chainchat.chat.queries import GIVEN_UP, Accounts
from tests.chat.applied import present


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
