"""Sessions: what programs ask, and how each request is answered."""

import pytest
from sessions_house import HELLO, STOP, one

from chainchat import __version__
from chainchat.chat.bounds import USUAL_BOUNDS
from chainchat.node.pending import USUAL_PENDING


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
