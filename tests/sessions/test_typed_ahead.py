"""What is typed before an answer is there may be a password, and never becomes anything else."""

from dataclasses import replace

import pytest
from sessions_house import HELLO
from typists import OTHER, SECRET, person, protected, question_again

from chainchat.chat.commands import SetSecret
from chainchat.chat.passwords import MOST_TYPED
from chainchat.config import NewAccounts, Plaintext
from chainchat.sessions.guard import FAILURE_SECONDS

NOT_READ = b"* what you typed before this answer is not read\r\n"


@pytest.fixture
def witness(house):
    """Somebody who sees whatever is said and who comes."""
    return person(house, "witness")


def test_a_script_types_its_password_ahead_and_then_talks(house, witness):
    protected(house, "alice")
    alice = person(house)
    assert b"+OK you are alice" in alice.types("alice", SECRET, "hello", "again")
    shown = witness.types()
    assert b"alice: hello" in shown
    assert b"alice: again" in shown


def test_what_was_typed_behind_a_wrong_password_is_no_name_and_nothing_said(house, witness):
    protected(house, "alice")
    alice = person(house)
    answer = alice.types("alice", OTHER, "hello", "more", after=FAILURE_SECONDS)
    assert b"-ERR 512 wrong password: try again\r\n" in answer
    assert answer.endswith(NOT_READ + question_again("alice"))
    assert house.node.state.account_named("hello") is None
    assert witness.types() == b""
    assert b"+OK you are alice" in alice.types(SECRET)


@pytest.mark.parametrize("answers", [["hunter22"], ["hunter22", "hunter23"]])
def test_what_is_typed_after_a_wrong_password_is_one_too(house, witness, answers):
    """A person is told to try again, and does."""
    protected(house, "alice")
    alice = person(house, "alice", OTHER)
    alice.types(after=FAILURE_SECONDS)
    for answer in answers:
        alice.types(answer, after=FAILURE_SECONDS)
        assert house.node.state.account_named(answer) is None
    assert witness.types() == b""


def test_a_password_typed_twice_is_no_name(house, witness):
    """Once more while the answer to the first is awaited, which takes a second."""
    protected(house, "alice")
    alice = person(house, "alice")
    alice.types("hunter22")
    alice.types("hunter22", after=FAILURE_SECONDS)
    assert alice.types() == b""
    assert witness.types() == b""
    assert house.node.state.account_named("hunter22") is None


def test_a_right_password_typed_twice_is_not_said(house, witness):
    protected(house, "alice")
    alice = person(house)
    answer = alice.types("alice", SECRET, SECRET, f"  {SECRET}", "hello")
    assert b"+OK you are alice" in answer
    assert answer.count(b"-ERR 508 that line is what you typed as a password") == 2
    shown = witness.types()
    assert SECRET.encode() not in shown
    assert b"alice: hello" in shown


def test_what_was_typed_as_a_password_is_never_said_on_that_connection(house, witness):
    protected(house, "alice")
    alice = person(house, "alice", SECRET, "hello")
    assert b"-ERR 508" in alice.types(SECRET)
    assert SECRET.encode() not in witness.types()


def test_so_many_of_the_newest_are_remembered(house, witness):
    alice = person(house, "alice")
    for number in range(MOST_TYPED):
        alice.types("/password", f"possible {number}", after=1)
        alice.types(f"another {number}", after=1)
        alice.types("")
    assert b"+OK" in alice.types("possible 0")
    oldest = MOST_TYPED // 2
    assert b"-ERR 508" in alice.types(f"possible {oldest}")
    assert witness.types().count(b"alice: ") == 1


def test_a_request_that_was_typed_as_a_password_does_not_overtake_and_is_refused_in_its_turn(house):
    protected(house, "alice")
    stranger = person(house, "alice", "@12 PING")
    stranger.types(after=FAILURE_SECONDS)
    stranger.types("")
    stranger.types(HELLO)
    answer = stranger.types("@1 LOGIN eve", "@12 PING", "@13 PING")
    starts = [line[:8] for line in answer.splitlines()]
    assert starts == [b"+OK @13", b"+OK @1 s", b"-ERR 508"]
    assert house.node.running


def test_nor_does_help_that_was_typed_as_a_password_while_the_chain_cannot_confirm(house):
    eve = person(house, "eve", "/password", "/help list")
    eve.types("another")
    eve.types("")
    house.cannot_confirm()
    eve.types()
    answer = eve.types("/who", "/help list")
    assert [line[:8] for line in answer.splitlines()] == [b"| eve", b". 1 acco", b"-ERR 508"]
    assert house.node.running


def test_a_line_that_had_begun_before_the_answer_is_dropped_to_its_end(house, witness):
    protected(house, "alice")
    alice = person(house, "alice", OTHER)
    alice.session.received(b"hunt", 0, 0)
    alice.types(after=FAILURE_SECONDS)
    alice.session.received(b"er22\n\n", 0, 0)
    assert b"-ERR 513" in alice.types()
    assert b"+OK you are witless" in alice.types("witless")
    assert house.node.state.account_named("er22") is None


def test_what_was_under_way_when_the_answer_was_written_is_dropped(house, witness):
    """The client's machine has acknowledged less than the answer, so nobody has read that."""
    protected(house, "alice")
    alice = person(house, "alice")
    alice.connection.acked = alice.connection.written
    assert b"-ERR 512" in alice.types(OTHER, after=FAILURE_SECONDS)
    assert alice.types("hunter22") == b""
    alice.connection.acked = alice.connection.written
    assert b"-ERR 513" in alice.types("")
    alice.connection.acked = alice.connection.written
    assert b"+OK you are bob" in alice.types("bob")
    assert house.node.state.account_named("hunter22") is None


def test_who_has_typed_more_than_was_read_has_to_connect_again(house, witness):
    protected(house, "alice")
    alice = person(house, "alice")
    alice.connection.in_the_socket = 1
    assert NOT_READ in alice.types(OTHER, after=FAILURE_SECONDS)
    assert alice.connection.closed


@pytest.mark.parametrize(
    "name",
    ["alice smith", "alice\x1b[A", b"\xfe", "server"],
    ids=["no name", "a control", "no text", "a word of the server"],
)
def test_behind_a_name_that_is_refused_no_password_becomes_a_name(house, witness, name):
    newcomer = person(house)
    assert b"-ERR 5" in newcomer.types(name, "hunter22")
    assert house.node.state.account_named("hunter22") is None


def test_http_is_found_behind_a_line_that_is_too_long(house):
    typist = person(house)
    said = typist.types("GET /" + "x" * 2_000, "Host: localhost", "", "alice", "hello")
    assert b"-ERR 505" in said
    assert typist.connection.closed


def test_behind_a_name_in_use_no_password_becomes_a_name(house, witness):
    assert b"-ERR 433" in person(house).types("witness", "hunter22")
    assert house.node.state.account_named("hunter22") is None


@pytest.mark.parametrize("lines", [["alice", "hunter22"], ["bob", "/password", "hunter22"]])
def test_where_no_password_may_be_typed_what_follows_is_dropped(house, witness, lines):
    protected(house, "alice")
    house.guard.rules = replace(house.guard.rules, plaintext=Plaintext.REFUSE)
    assert b"-ERR 507" in person(house).types(*lines)
    assert b"hunter22" not in witness.types()
    assert house.node.state.account_named("hunter22") is None


def test_behind_a_change_that_is_refused_the_new_password_is_not_said(house, witness):
    protected(house, "alice")
    alice = person(house, "alice", SECRET)
    answer = alice.types("/password", OTHER, "hunter22", "hunter22", after=FAILURE_SECONDS)
    assert b"-ERR 512" in answer
    assert b"hunter22" not in witness.types()
    assert b"hunter22" not in answer


def test_who_leaves_everything_as_it_is_says_nothing_that_was_typed_ahead(house, witness):
    protected(house, "alice")
    alice = person(house, "alice", SECRET)
    assert NOT_READ in alice.types("/password", "", "hunter22")
    assert witness.types() == b""


def test_behind_a_password_that_was_changed_meanwhile_nothing_is_heard(house, witness):
    account = protected(house, "alice")
    alice = person(house, "alice")
    house.hashing.held = True
    alice.types(SECRET, "hunter22")
    house.node.submit(SetSecret("", account.number, "alice", account.secret, None))
    house.clock.advance(0)
    house.hashing.go_on()
    assert b"-ERR 434" in alice.types()
    assert house.node.state.account_named("hunter22") is None


def test_a_stopping_node_does_not_show_the_password_once_more(house):
    protected(house, "alice")
    alice = person(house, "alice", SECRET)
    alice.sends("hello", SECRET)
    alice.session.sent_elsewhere("this node stops")
    assert b"not done: hello" in alice.connection.data
    assert SECRET.encode() not in alice.connection.data


def test_by_invitation_what_follows_a_name_that_there_is_not_is_dropped(house, witness):
    house.guard.rules = replace(house.guard.rules, new=NewAccounts.INVITED)
    answer = person(house).types("nobody", "hunter22", "witless", after=FAILURE_SECONDS)
    assert b"-ERR 512" in answer
    assert answer.endswith(NOT_READ + question_again("nobody"))
