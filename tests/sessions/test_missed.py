"""Sessions: what was missed, and how read marks move."""

import re
from itertools import pairwise

import pytest
from sessions_house import HELLO

from chainchat.node.budget import TELL_SECONDS
from chainchat.node.history import History
from chainchat.sessions.delivery import CATCH_UP_LEAST, CATCH_UP_OCTETS
from chainchat.sessions.read_marks import (
    ACKNOWLEDGED,
    LOOK_PAUSE,
    MARKS_PAUSE,
    REMEMBERED_PUSHES,
    Reading,
)


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


def test_who_reads_nothing_is_given_little_of_what_was_missed(house, pair):
    alice, bob = pair
    bob.session.lost()
    alice.says(*(f"{n} {'x' * 1_000}" for n in range(90)))
    alice.reads_in_time()
    bob = house.client()

    def fills():
        if bob.connection.written > 10_000:
            bob.session.output_full(full=True)

    bob.connection.on_write = fills
    bob.sends("bob")
    house.clock.pump([0.5] * 10)
    assert CATCH_UP_OCTETS < bob.connection.written < CATCH_UP_OCTETS + 4_000
    bob.connection.on_write = lambda: None
    bob.session.output_full(full=False)
    lines = bob.reads_in_time()
    assert [line.split()[3] for line in lines if line[0] == "#"] == [f"{n}" for n in range(90)]


def test_no_more_than_some_logins_are_answered_in_a_turn(house, pair, monkeypatch):
    alice, _ = pair
    alice.says(*(f"{n}" for n in range(20)))
    alice.reads_in_time()
    newcomers = [house.client() for _ in range(100)]
    house.clock.advance(0)
    for number, newcomer in enumerate(newcomers):
        newcomer.sends(f"user{number}")
    for _ in range(10):
        house.holds_the_chain_still()
    assert house.node.pending == 100
    house.price = 1.0
    flush, present = house.sessions.flush, [2]

    def noting():
        present.append(house.sessions.count)
        return flush()

    monkeypatch.setattr(house.sessions, "flush", noting)
    house.clock.pump([0.5] * 10)
    assert present[-1] == 102
    assert max(after - before for before, after in pairwise(present)) < 30


@pytest.mark.parametrize("looks_for", ["count_missed", "previous"])
def test_those_who_log_in_at_once_have_one_search_in_a_turn(house, monkeypatch, looks_for):
    """A search takes milliseconds for who has said 50,000 messages since they read last."""
    searching = getattr(History, looks_for)

    def search(*arguments):
        house.worked += 0.015
        return searching(*arguments)

    clients = [house.client() for _ in range(20)]
    with monkeypatch.context() as slow:
        slow.setattr(History, looks_for, search)
        for number, client in enumerate(clients):
            client.sends(f"user{number}")
        house.clock.pump([0.1] * 50)
    assert all(b"+OK you are user" in client.connection.data for client in clients)
    assert house.worked >= 20 * 0.015
    assert house.node.turn_clock.longest == pytest.approx(0.015)


def test_who_logs_in_is_answered_before_others_read_on(house, pair):
    readers = [house.client(f"reader{number}") for number in range(10)]
    for reader in readers:
        reader.session.lost()
    pair[0].says(*(f"{n}" for n in range(20 * CATCH_UP_LEAST)))
    pair[0].reads_in_time()
    readers, newcomer = [house.client() for _ in range(10)], house.client()
    house.price = 0.001
    for number, reader in enumerate(readers):
        reader.sends(f"reader{number}")
    house.clock.pump([0.01] * 50)
    pages = []
    for reader in readers:
        reader.connection.on_write = lambda: pages.append(b"a page")
    newcomer.connection.on_write = lambda: pages.append(newcomer.connection.data)
    newcomer.sends("newcomer")
    house.clock.pump([0.01] * 200)
    answered = next(place for place, page in enumerate(pages) if b"+OK you are" in page)
    assert len(pages) > 50
    assert answered < 5


def test_messages_that_take_long_to_read_come_in_small_pages(house, pair):
    alice, bob = pair
    bob.session.lost()
    alice.says(*(f"{n}" for n in range(3 * CATCH_UP_LEAST)))
    alice.reads_in_time()
    house.price = 0.001
    bob = house.client("bob")
    pages = []
    bob.connection.on_write = lambda: pages.append(bob.connection.read())
    house.clock.pump([0.5] * 60)
    said = [[line.split()[3] for line in page if line[0] == "#"] for page in pages]
    assert [number for page in said for number in page] == [
        f"{n}" for n in range(3 * CATCH_UP_LEAST)
    ]
    assert [len(page) for page in said if page] == [CATCH_UP_LEAST] * 3


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


# --- how many entries marks take


def acknowledges(house, program, times, seconds):
    """A program moves its mark so often, each time in a turn of its own; returns the entries."""
    before = house.node.state.applied
    for _ in range(times):
        program.sends(f"@a ACK {house.node.state.applied}")
        house.clock.pump([seconds / times / 2] * 2)
    return house.node.state.applied - before


def test_a_program_moves_its_mark_at_once_but_fills_no_log_with_that(house):
    alice = house.program("alice")
    assert acknowledges(house, alice, 150, seconds=0.15) == 150
    most = ACKNOWLEDGED.at_once + 10 * ACKNOWLEDGED.per_second
    assert acknowledges(house, alice, 2_000, seconds=9.0) < most - 150
    newest = house.node.state.applied
    lines = alice.says(f"@a ACK {newest}", "@s SEND 1 * :behind it")
    assert lines[-2:] == ["+OK @a", f"+OK @s id={newest + 2}"]
    assert house.seen("alice") == newest


def test_while_a_disk_is_nearly_full_marks_move_once_a_second(house):
    alice = house.program("alice")
    house.free = 0
    house.clock.pump([0.1] * 20)
    alice.reads()
    newest = house.node.state.applied
    assert acknowledges(house, alice, 100, seconds=3.0) <= 3
    lines = alice.reads(MARKS_PAUSE)
    assert house.seen("alice") >= newest
    assert lines == ["+OK @a"] * len(lines) != []


def test_many_marks_of_a_program_that_move_together_are_answered_in_slices(house):
    alice = house.program("alice")
    house.free = 0  # marks are gathered for a second
    house.clock.pump([0.1] * 20)
    alice.reads()
    alice.sends(*["@a ACK 1"] * 100)
    house.clock.advance(0)
    house.price = TELL_SECONDS / 4
    answered = [0]
    alice.connection.on_write = lambda: answered.append(alice.connection.data.count(b"+OK @a"))
    house.clock.advance(MARKS_PAUSE)
    assert answered[-1] == 100
    assert max(after - before for before, after in pairwise(answered)) <= 4


# --- pages of what was missed


def speaks_for(house, name, messages):
    """Somebody says so many messages."""
    speaker = house.program(name)
    for number in range(messages):
        speaker.says(f"@{number} SEND {number + 1} * :{number}")
    return speaker


def pushed(client):
    """What is there, before others have a turn."""
    return [int(line.split(" :")[1]) for line in client.connection.read() if "MSG " in line]


def test_what_others_said_is_found_however_much_one_said_oneself(house):
    house.node.history._searched = 10
    alice, bob = house.program("alice"), speaks_for(house, "bob", 0)
    number = 0
    for _ in range(3):
        for _ in range(35):
            number += 1
            alice.says(f"@1 SEND {number} * :mine {number}")
        bob.says(f"@1 SEND {number} * :{number}")
    alice.session.lost()
    again = house.client(HELLO)
    lines = again.says("@1 LOGIN alice")
    said = [line.split(" :")[1] for line in lines if line.startswith("MSG ")]
    assert said == ["35", "70", "105"]
    assert again.session.delivery.live


@pytest.mark.parametrize(("messages", "pages"), [(0, 1), (10, 1), (99, 1), (100, 2), (150, 2)])
def test_who_has_read_the_last_page_reads_the_log_no_more(house, messages, pages):
    house.program("alice").session.lost()
    speaks_for(house, "bob", messages)
    reads, missed = [], house.node.history.missed
    house.node.history.missed = lambda *asked: reads.append(asked) or missed(*asked)
    alice = house.program("alice")
    assert alice.session.delivery.live
    assert len(reads) == pages


def test_a_page_after_which_the_socket_is_full_is_not_the_last(house):
    house.program("alice").session.lost()
    bob = speaks_for(house, "bob", 3)
    alice = house.client(HELLO)
    alice.sends("@1 LOGIN alice")
    alice.connection.on_write = lambda: alice.session.output_full(full=True)
    house.clock.advance(0)
    alice.session.output_full(full=False)
    house.clock.advance(0)
    seen = pushed(alice)
    assert not alice.session.delivery.live
    alice.connection.on_write = lambda: None
    bob.says("@x SEND 4 * :3")
    alice.session.output_full(full=False)
    house.clock.advance(1)
    assert seen + pushed(alice) == [0, 1, 2, 3]
    assert alice.session.delivery.live


def test_two_messages_show_whether_somebody_who_says_no_more_has_hung_up(house):
    house.program("alice").session.lost()
    speaks_for(house, "bob", 150)
    alice = house.client(HELLO)
    alice.sends("@1 LOGIN alice")
    alice.session.input_ended()
    pages = []
    alice.connection.on_write = lambda: pages.append(len(pushed(alice)))
    while not alice.connection.closed:
        house.clock.advance(0.01)
    assert [page for page in pages if page] == [1, 1, 100, 48]
