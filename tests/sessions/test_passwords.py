"""Passwords of people: asked for, checked, changed."""

import pytest
from sessions_house import one
from typists import (
    ASKS,
    OTHER,
    SECRET,
    SHOWS,
    Typist,
    person,
    protected,
    question,
    question_again,
    rules,
)

from chainchat.chat.commands import SetSecret
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.scram import salted, verifier_of
from chainchat.config import NewAccounts
from chainchat.sessions.guard import FAILURE_SECONDS
from chainchat.sessions.pace import Rate
from tests.chat.applied import present

DO, DONT = b"\xff\xfd\x01", b"\xff\xfe\x01"


# --- people ----------------------------------------------------------------------------------


def test_who_has_no_password_is_not_asked(house):
    assert b"+OK you are alice" in person(house).types("alice")


def test_who_has_a_password_is_asked_after_the_name(house):
    protected(house, "alice")
    typist = person(house)
    assert typist.types("alice") == question("alice")
    assert typist.types(SECRET).startswith(b"+OK you are alice")


def test_a_wrong_password_is_answered_after_a_second(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.types(OTHER) == b""
    assert typist.types(after=FAILURE_SECONDS - 0.1) == b""
    refusal = b"-ERR 512 wrong password: try again\r\n"
    assert typist.types(after=0.2) == refusal + question_again("alice")
    assert b"+OK you are alice" in typist.types(SECRET)


def test_three_wrong_passwords_close_the_connection(house):
    protected(house, "alice")
    typist = person(house, "alice")
    for _ in range(2):
        assert b"-ERR 512" in typist.types(OTHER, after=1)
    refusal = b"-ERR 512 wrong password, 3 times: connect again\r\n"
    assert typist.types(OTHER, after=1) == refusal
    assert typist.connection.closed


def test_the_audit_has_no_unknown_name_which_may_be_a_password(house, monkeypatch):
    lines = []
    monkeypatch.setattr(house.server_info.audit, "_log", lines.append)
    protected(house, "alice")
    rules(house, new=NewAccounts.INVITED)
    lines.clear()
    for name in ("hunter22", "alice"):
        person(house, name, OTHER).types(after=1.0)
        house.clock.advance(60)
    assert lines == [
        "refused: login of an unknown name from 127.0.0.1: 512 wrong password",
        "refused: login of alice from 127.0.0.1: 512 wrong password",
    ]


def test_an_empty_line_goes_back_to_the_name(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.types("") == b"-ERR 513 no password: type a name to log in\r\n"
    assert b"+OK you are bob" in typist.types("bob")


def test_every_line_is_the_password_even_one_that_looks_like_something_else(house):
    protected(house, "alice", "/chain -- 8")
    typist = person(house, "alice")
    assert b"+OK you are alice" in typist.types("/chain -- 8")


def test_telnet_that_agrees_shows_nothing_and_is_told_when_to_show_again(house):
    protected(house, "alice")
    typist = person(house, "alice")
    data, answer = typist.connection.telnet.feed(DO)
    assert (data, answer) == (b"", b"")
    assert typist.types(SECRET).startswith(b"\r\n" + SHOWS + b"+OK you are alice")


def test_telnet_that_does_not_agree_shows_the_line_itself(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.connection.telnet.feed(DONT) == (b"", b"")
    assert typist.types(SECRET).startswith(b"+OK you are alice")


@pytest.mark.parametrize(
    "keys", [b"correkt\x7f\x7fct horse", b"cor\xc3\xa9\x08rect horse", b"nonsense\x15correct horse"]
)
def test_backspace_rubs_out_and_control_u_clears(house, keys):
    protected(house, "alice")
    assert b"+OK you are alice" in person(house, "alice").types(keys)


def test_a_line_that_is_not_text_is_a_wrong_password(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.types(b"\xfe\xfe\x01", after=1).startswith(
        b"-ERR 512 wrong password: try again\r\n"
    )
    assert b"-ERR 513" in typist.types(b"x" * 2_000)  # too long: nothing was typed


def test_nobody_learns_at_the_password_whether_somebody_is_on(house):
    typist = person(house, "alice", "/password", SECRET)
    typist.types(SECRET)
    other = person(house, "alice")
    assert b"-ERR 512" in other.types(OTHER, after=1)
    assert typist.connection.data == b""


def test_a_password_that_nobody_had_time_to_check_is_no_attempt(house, monkeypatch):
    protected(house, "alice")

    def refuse(work, done, failed, **_):
        raise RefusedError(Code.TOO_MANY_ATTEMPTS, "too many passwords wait to be checked")

    with monkeypatch.context() as busy:
        busy.setattr(house.hashing, "start", refuse)
        for _ in range(25):
            typist = person(house, "alice")
            assert typist.types(OTHER, after=FAILURE_SECONDS - 0.1) == b""
            assert b"-ERR 435 too many passwords wait" in typist.types(after=0.2)
            typist.session.lost()
    assert b"+OK you are alice" in person(house, "alice").types(SECRET)


def test_a_password_that_could_not_be_hashed_is_refused_and_is_no_attempt(house):
    protected(house, "alice")
    house.hashing.broken = True
    typist = person(house, "alice")
    for _ in range(25):
        assert b"-ERR 435 broken" in typist.types(SECRET, after=1)
    house.hashing.broken = False
    assert b"+OK you are alice" in typist.types(SECRET)


def test_who_has_tried_too_often_does_not_learn_so_at_once(house):
    protected(house, "alice")
    for number in range(11):  # one more is admitted meanwhile
        typist = person(house, "alice")
        typist.connection.address = f"10.0.0.{number}"
        assert b"-ERR 512" in typist.types(OTHER, after=1)
        typist.session.lost()
    typist = person(house, "alice")
    typist.connection.address = "10.0.0.99"
    assert typist.types(OTHER, after=FAILURE_SECONDS - 0.1) == b""
    assert b"-ERR 435 too many attempts: wait " in typist.types(after=0.2)
    assert b"+OK you are alice" in person(house, "alice").types(SECRET)  # where she was before


def test_who_would_wait_for_ever_because_of_a_mistake_of_ours_is_hung_up_on(
    house, monkeypatch, logged_failures
):
    protected(house, "alice")
    typist = person(house, "alice")
    monkeypatch.setattr("chainchat.chat.scram.admits", lambda *_: 1 / 0)
    assert b"-ERR 427 a bug of this server" in typist.types(SECRET)
    assert typist.connection.closed
    assert "ZeroDivisionError" in logged_failures.pop()


def test_the_end_of_input_at_a_question_is_an_empty_line(house):
    protected(house, "alice")
    typist = person(house, "alice")
    typist.session.input_ended()
    assert typist.types() == b"-ERR 513 no password: type a name to log in\r\n"
    assert typist.connection.closed


@pytest.mark.parametrize(("secret", "answer"), [(SECRET, b"+OK you are"), (OTHER, b"-ERR 512")])
def test_the_end_of_input_waits_for_what_was_typed_before(house, secret, answer):
    protected(house, "alice")
    house.hashing.held = True
    typist = person(house, "alice")
    typist.sends(secret)
    typist.session.input_ended()
    typist.types()
    assert typist.session.busy
    assert not typist.connection.closed
    house.hashing.go_on()
    assert answer in typist.types(after=FAILURE_SECONDS)
    assert typist.connection.closed


def test_a_stopping_node_does_not_wait_for_an_answer_and_shows_no_line_that_may_be_one(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert not typist.session.busy
    typist.session.received(SECRET.encode() + b"\n", 0, 0)
    typist.session.sent_elsewhere("this node stops")
    said = typist.connection.data
    assert b"this node stops" in said
    assert SECRET.encode() not in said


def test_what_follows_slash_password_is_shown_to_nobody(house):
    typist = person(house, "alice")
    typist.sends("hello", "/password", SECRET, SECRET)
    typist.session.sent_elsewhere("this node stops")
    said = typist.connection.data
    assert b"* not done: hello\r\n* not done: /password\r\n" in said
    assert SECRET.encode() not in said


def test_a_password_changed_while_it_is_checked_is_refused(house):
    account = protected(house, "alice")
    typist = person(house, "alice")
    house.hashing.held = True
    typist.types(SECRET)
    verifier = verifier_of(salted(OTHER, b"s" * 16, 4096), b"s" * 16, 4096)
    house.node.submit(SetSecret("", account.number, "alice", account.secret, verifier))
    house.clock.advance(0)
    house.hashing.go_on()
    text = "-ERR 434 the password of alice was changed meanwhile; log in with the new one\r\n"
    assert typist.types() == text.encode()
    assert typist.types("alice") == question("alice")
    typist.types(OTHER)
    house.hashing.go_on()
    assert b"+OK you are alice" in typist.types()


def test_a_password_removed_since_it_was_shown_is_asked_for_no_more(house):
    protected(house, "alice")
    typist = person(house, "alice", SECRET)
    other = person(house, "alice")
    assert b"-ERR 433" in other.types(SECRET, after=1)
    typist.types("/password remove", SECRET)
    typist.types("/logout")
    assert b"+OK you are alice" in other.types("alice")


def test_who_lets_much_be_hashed_comes_after_a_newcomer(house, monkeypatch):
    ranks = []
    start = house.hashing.start

    def noting(*work, rank, **rest):
        ranks.append(rank)
        start(*work, rank=rank, **rest)

    protected(house, "alice")
    protected(house, "mallory")
    on = person(house, "mallory", SECRET)
    assert on.session.id
    monkeypatch.setattr(house.hashing, "start", noting)
    for _ in range(20):  # each is right, and refused as the name is in use
        assert b"-ERR 433" in person(house, "mallory").types(SECRET, after=1)
    before, ranks = ranks, []
    typist = Typist(house.client(address="10.0.0.9"))
    assert b"+OK you are alice" in typist.types("alice", SECRET)
    assert before[0] < ranks[0] < before[-1]


def test_others_are_heard_while_a_password_is_hashed(house):
    protected(house, "alice")
    bob = house.client("bob")
    typist = person(house, "alice")
    house.hashing.held = True
    assert typist.types(SECRET) == b""
    assert one(bob.says("hello")).startswith("+OK")
    house.hashing.go_on()
    assert b"+OK you are alice" in typist.types()


def test_a_connection_that_ended_drops_the_result(house):
    protected(house, "alice")
    typist = person(house, "alice")
    house.hashing.held = True
    typist.types(SECRET)
    typist.session.lost()
    house.hashing.go_on()
    house.clock.advance(0)
    assert present(house.node.state) == []
    assert house.sessions.count == 0


# --- changing it -----------------------------------------------------------------------------


def test_a_password_is_set_by_typing_it_twice(house):
    typist = person(house, "alice")
    asked = typist.types("/password")
    text = b"* your new password (8 to 128 characters; some clients, like nc, show it): "
    assert asked == ASKS + b"\r" + text
    again = b"* the same again (some clients, like nc, show it; an empty line goes back): "
    assert typist.types(SECRET) == b"\r" + again
    assert typist.types(SECRET) == b"+OK your password is set\r\n"
    assert house.node.state.account_named("alice").verifier is not None


def test_who_changes_a_password_types_the_old_one_first(house):
    protected(house, "alice")
    typist = person(house, "alice", SECRET)
    assert b"* your password now (" in typist.types("/password")
    assert b"-ERR 512" in typist.types(OTHER, after=1)
    assert b"* your new password (" in typist.types(SECRET)
    typist.types(OTHER)
    assert typist.types(OTHER) == b"+OK your password is set\r\n"
    typist.types("/logout")
    assert b"+OK you are alice" in person(house, "alice").types(OTHER)


@pytest.mark.parametrize(
    ("first", "again", "refusal"),
    [
        ("short", "", "-ERR 522 a password has 8 to 128 characters"),
        ("x" * 129, "", "-ERR 522 a password has 8 to 128 characters"),
        (SECRET, OTHER, "-ERR 522 that was not the same: choose again"),
        ("", "", "+OK nothing is changed"),
        ("\U0001f600" * 8, "", "-ERR 522 a password cannot hold a character that no password"),
    ],
)
def test_what_is_no_password_changes_nothing(house, first, again, refusal):
    typist = person(house, "alice", "/password")
    said = typist.types(first, again) if again else typist.types(first)
    assert refusal.encode() in said
    assert house.node.state.account_named("alice").verifier is None


def test_who_is_refused_a_password_is_asked_for_another_which_is_not_said(house):
    bob = house.client("bob")
    typist = person(house, "alice", "/password")
    asked = b"\r* your new password (8 to 128 characters; an empty line goes back): "
    for lines in (["short"], [SECRET, OTHER], ["tiny"]):
        assert typist.types(*lines).endswith(asked)
    assert b"* the same again" in typist.types("longenough77")
    assert typist.types("longenough77") == b"+OK your password is set\r\n"
    assert b"longenough77" not in bob.connection.data


def test_who_types_a_wrong_password_is_asked_again_until_an_empty_line(house):
    protected(house, "alice")
    typist = person(house, "alice", SECRET)
    assert b"* your password now" in typist.types("/password")
    assert b"* your password now" in typist.types(OTHER, after=1)
    assert typist.types("") == b"+OK nothing is changed\r\n"
    assert b"* the same again" in typist.types("/password", SECRET, "new-secret")
    assert typist.types("") == b"+OK nothing is changed\r\n"


def test_a_password_can_be_removed(house):
    protected(house, "alice")
    typist = person(house, "alice", SECRET)
    typist.types("/password remove")
    text = b"+OK your password is removed: anybody can log in as you\r\n"
    assert typist.types(SECRET) == text
    assert typist.types("/password remove") == b"+OK you have no password\r\n"
    typist.types("/logout")
    assert b"+OK you are alice" in person(house).types("alice")


def test_nothing_is_pushed_into_a_question_and_nothing_is_missed(house):
    bob = house.client("bob")
    typist = person(house, "alice", "/password")
    bob.says("one", "two")
    assert typist.types() == b""
    said = typist.types("")
    assert said.startswith(b"+OK nothing is changed\r\n")
    assert b" bob: one\r\n" in said + typist.types()


def test_nothing_overtakes_a_password(house):
    protected(house, "alice")
    bob, alice = person(house, "bob"), person(house, "alice", SECRET, "/password")
    house.limit(saying=Rate(1.0, 3.0))
    house.limits.said(alice.session.account, 5)
    house.cannot_confirm()
    said = alice.types(SECRET, "/chain")  # which as the answer would leave the password to be said
    for _ in range(10):
        said += alice.types(after=1)
    assert b"* your new password" in said
    assert SECRET.encode() not in bob.types()
