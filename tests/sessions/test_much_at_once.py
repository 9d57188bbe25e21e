"""Sessions: slow readers, more than the chain takes, and those who send too much."""

import pytest

from chainchat.chat.commands import Nothing
from chainchat.node.pending import USUAL_PENDING
from chainchat.sessions.hearing import (
    HEARD_AT_ONCE,
    HEARD_OF_PERSON,
    LOOKED_AT_ONCE,
    MUCH_SECONDS,
    NEWCOMER_UNREADABLE,
)
from chainchat.sessions.pace import NEWCOMER, PERSON, TEXTLESS_IN_UNIT
from chainchat.sessions.replies import MOST_MADE_HERE, MOST_OWED
from chainchat.sessions.rounds import LITTLE_SECONDS


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


def test_while_nothing_is_confirmed_only_so_many_replies_wait_and_all_come_later(house):
    alice = house.program("alice")
    alice.reads()
    alice.sends("@0 SEND 1 * :x", *(f"@{n} LOGIN alice" for n in range(1, 2 * MOST_OWED)))
    for _ in range(100):
        assert alice.reads_at_once() == []
    handler = alice.session._hearing.handler
    assert MOST_OWED <= len(handler.replies._owed) < MOST_OWED + HEARD_AT_ONCE
    assert alice.connection.held
    tags = [line.split("@")[1].split()[0] for line in alice.reads_in_time()]
    assert tags == [f"{n}" for n in range(2 * MOST_OWED)]
    assert not alice.connection.held


def test_a_person_who_waits_is_owed_few_replies_that_the_node_makes_when_it_is_their_turn(house):
    alice = house.client("alice")
    asked = 5 * MOST_MADE_HERE
    alice.sends("hi", *["/chain"] * asked)
    for _ in range(asked):
        house.holds_the_chain_still()
    handler = alice.session._hearing.handler
    assert len(handler.replies._owed) == 1 + MOST_MADE_HERE
    answers = [line for line in alice.reads_in_time() if line.startswith((". ", "+OK"))]
    assert answers[0].startswith("+OK")
    assert len(answers) == 1 + asked


def test_a_line_that_was_held_is_answered_though_nothing_else_happens(house, pair):
    for _ in range(USUAL_PENDING.requests):
        house.node.submit(Nothing())
    assert len(pair[0].says("/chain")) == 2


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


def bulk(first=1):
    """More SENDs than may be on their way while others say little."""
    numbers = range(first, first + 4 * USUAL_PENDING.patient)
    return [f"@{n} SEND {n} * :one of very many" for n in numbers]


def test_a_program_that_says_much_has_little_on_its_way_while_others_say_little(house):
    alice, bob = house.program("alice"), house.client("bob")
    bob.sends("hello")
    alice.sends(*bulk())
    house.holds_the_chain_still()
    assert house.node.pending == USUAL_PENDING.patient
    assert len([line for line in bob.reads() if line.startswith("+OK")]) == 1
    assert len([line for line in alice.reads() if line.startswith("+OK")]) == len(bulk())


def test_it_has_much_on_its_way_when_nobody_says_little_any_more(house):
    alice, bob = house.program("alice"), house.client("bob")
    bob.says("hello")
    house.clock.advance(LITTLE_SECONDS)
    alice.sends(*bulk())
    house.holds_the_chain_still()
    assert house.node.pending == len(bulk())


def test_who_asks_what_needs_no_chain_holds_up_no_program(house):
    alice, bob = house.program("alice"), house.client("bob")
    house.clock.advance(LITTLE_SECONDS)
    bob.says("/help")
    alice.sends(*bulk())
    house.holds_the_chain_still()
    assert house.node.pending == len(bulk())


def test_programs_that_say_much_do_not_hold_up_one_another_with_what_is_little(house):
    alice, carol = house.program("alice"), house.program("carol")
    for program in (alice, carol):
        program.sends(*bulk())
        program.reads()
    house.clock.advance(MUCH_SECONDS - 1)
    carol.sends("@x SEND 5000 * :the last one of many")
    house.holds_the_chain_still()
    alice.sends(*bulk(first=1_000))
    house.holds_the_chain_still()
    assert house.node.pending == 1 + len(bulk())


def test_who_sends_nothing_that_can_be_read_is_told_and_the_connection_closed(house):
    client = house.client()
    client.reads()
    for _ in range(NEWCOMER_UNREADABLE - 1):
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
        for _ in range(NEWCOMER_UNREADABLE - 1):
            client.sends(b"\xfe")
            house.clock.advance(0.1)
        client.says("/help")
    assert not client.connection.closed


def test_telnet_commands_cost_as_much_as_lines(house):
    client = house.client()
    client.reads()
    client.session.received(b"", octets=3_000, telnet_commands=1_000)
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


@pytest.mark.parametrize("program", [True, False])
def test_of_lines_that_take_long_to_read_few_are_heard_in_a_turn(house, program):
    client = house.program("alice") if program else house.client("alice")
    client.reads()
    costly = "@1 LIST (" if program else "/list ("
    house.price = 1.0
    client.sends(*[costly] * 4)
    answered = []
    while sum(answered) < 4:
        house.sessions.hear()
        house.sessions.flush()
        answered.append(len(client.connection.read()))
        house.clock.rightNow += 60.0  # people who say much have a share of the time
    assert max(answered) <= 2  # as one who speaks, and as one who says much
