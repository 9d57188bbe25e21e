"""The chat's state: accounts, tokens, origins, deletion, read marks."""

import pytest
from applied import HERE, START, THERE, Stored, said

from chainchat.chat.commands import (
    UNKNOWN,
    Delete,
    End,
    Login,
    Logout,
    Nothing,
    Origins,
    Resume,
    Seen,
)
from chainchat.chat.outcomes import NO_EFFECT, Accepted, Held, Joined, Left, Outcome, Refused
from chainchat.chat.refusals import Code
from tests.chat.applied import names, present


def test_a_login_with_a_new_name_makes_an_account(log):
    outcome = log.apply(Login("a.1.1", "Alice", "", b""))
    assert outcome == Outcome((Accepted(2),), [Joined(2, "Alice", "a.1.1")])
    assert names(log.state) == present(log.state) == ["Alice"]
    assert log.state.account_of("a.1.1").seen == 2


def test_a_login_with_a_known_name_in_any_case_is_the_same_account(log):
    log.login("Alice", "a.1.1")
    log.apply(End("a.1.1", 0))
    outcome = log.apply(Login("a.1.2", "aLICE", "", b""))
    assert outcome.events == [Joined(2, "Alice", "a.1.2")]


def test_a_name_that_is_on_is_refused_in_any_case(log):
    log.login("Alice", "a.1.1")
    outcome = log.apply(Login("b.1.1", "ALICE", "", b""), THERE)
    # The holder's node sees that somebody else wants the name.
    assert outcome == Outcome((Refused(Code.NAME_IN_USE, "Alice"),), [Held("a.1.1")])
    assert log.state.account_of("a.1.1").number == 2


def test_a_session_that_ends_leaves_the_account(log):
    log.login("alice", "a.1.1")
    outcome = log.apply(End("a.1.1", 0))
    assert outcome.events == [Left(2, "alice", "a.1.1", "ended")]
    assert (names(log.state), present(log.state)) == (["alice"], [])


@pytest.mark.parametrize(
    "command",
    [
        End("a.1.9", 0),
        Logout("a.1.9", 0),
        Delete("a.1.9", 2, "alice"),
        said("a.1.9", "hi"),
        said("a.1.9", "hi", number=1),
    ],
)
def test_a_session_that_is_not_there_can_do_nothing(log, command):
    log.login("alice", "a.1.1")
    before = log.state.accounts[2], present(log.state)
    outcome = log.apply(command)
    assert [*outcome.results] == [Refused(Code.SESSION_ENDED)]
    assert not outcome.events
    assert not outcome.said
    assert (log.state.accounts[2], present(log.state)) == before


def test_a_late_end_does_not_end_the_newer_session(log):
    log.login("alice", "a.1.1", b"t")
    log.apply(Resume("b.1.1", "alice", "bot", b"t"), THERE)
    assert log.result(End("a.1.1", 0)) == Refused(Code.SESSION_ENDED)
    assert log.state.account_of("b.1.1").name == "alice"


def test_names_are_sorted_without_regard_to_case(log):
    for number, name in enumerate(("bob", "Alice", "carol", "Bill")):
        log.login(name, f"a.1.{number}")
    assert names(log.state) == present(log.state) == ["Alice", "Bill", "bob", "carol"]


# --- tokens ------------------------------------------------------------------------------


def test_a_resume_moves_the_session_and_ends_the_old_one(log):
    log.login("alice", "a.1.1", b"t")
    outcome = log.apply(Resume("b.1.1", "ALICE", "bot", b"t"), THERE)
    assert outcome == Outcome(
        (Accepted(3),), [Left(2, "alice", "a.1.1", "moved"), Joined(2, "alice", "b.1.1")]
    )
    assert log.state.account_of("a.1.1") is None


def test_a_token_outlives_its_connection_and_a_resume(log):
    log.login("alice", "a.1.1", b"t")
    log.apply(End("a.1.1", 0))
    assert log.result(Resume("a.1.2", "alice", "bot", b"t")) == Accepted(4)
    assert log.result(Resume("a.1.3", "alice", "bot", b"t")) == Accepted(5)


@pytest.mark.parametrize("token", [b"", b"other"])
@pytest.mark.parametrize("name", ["alice", "person"])
def test_a_resume_needs_the_token_of_that_account(log, name, token):
    log.login("alice", "a.1.1", b"t")
    log.login("person", "a.1.2", b"")
    refused = Outcome((Refused(Code.BAD_TOKEN, name),), [])
    assert log.apply(Resume("a.1.3", name, "bot", token)) == refused
    assert present(log.state) == ["alice", "person"]


@pytest.mark.parametrize(
    "ends",
    [
        [Logout("a.1.1", 0)],
        [End("a.1.1", 0), Login("a.1.2", "alice", "bot", b"new")],
        [End("a.1.1", 0), Login("a.1.2", "alice", "", b"")],
        [Delete("a.1.1", 2, "alice"), Login("a.1.2", "alice", "bot", b"new")],
    ],
)
def test_a_token_ends_with_logout_another_login_or_deletion(log, ends):
    log.login("alice", "a.1.1", b"t")
    for command in ends:
        assert isinstance(log.result(command), Accepted)
    assert log.result(Resume("a.1.3", "alice", "bot", b"t")) == Refused(Code.BAD_TOKEN, "alice")


def test_a_resume_of_a_deleted_account_is_told_so(log):
    log.login("alice", "a.1.1", b"t")
    log.apply(Delete("a.1.1", 2, "alice"))
    refused = Refused(Code.NO_SUCH_ACCOUNT, "alice")
    assert log.result(Resume("a.1.2", "alice", "bot", b"t")) == refused


# --- origins -----------------------------------------------------------------------------


def test_what_an_origin_submits_again_has_no_effect(log):
    log.apply(Nothing())
    assert log.state.apply(log.next, HERE, 1, START, Nothing()) == NO_EFFECT
    assert log.state.apply(log.next, HERE, 2, START, Nothing()).results == (Accepted(4),)


def test_a_number_beyond_the_next_has_no_effect(log):
    assert log.state.apply(log.next, HERE, 2, START, Login("a.1.1", "x", "", b"")) == NO_EFFECT
    assert names(log.state) == []
    assert log.state.applied == 2
    assert log.result(Nothing()) == Accepted(3)


def test_an_origin_that_is_not_a_member_has_no_effect(log):
    assert log.state.apply(log.next, "c.1", 1, START, Login("c.1.1", "x", "", b"")) == NO_EFFECT
    assert names(log.state) == []


def test_a_new_epoch_ends_the_sessions_of_those_who_are_gone(log):
    log.login("alice", "a.1.1", b"t")
    log.login("bob", "b.1.1", b"t")
    outcome = log.open(HERE, "b.2")
    assert outcome.events == [Left(3, "bob", "b.1.1", "lost")]
    assert present(log.state) == ["alice"]
    assert log.state.apply(log.next, THERE, 2, START, Nothing()) == NO_EFFECT


def test_sessions_that_end_at_once_end_in_an_order_of_their_own(log):
    for session in ("b.1.3", "b.1.1", "b.1.2"):
        log.login(session, session)
    log.apply(End("b.1.1", 0), THERE)
    log.login("b.1.1", "b.1.4")
    restored = Stored().restored(log.state)
    gone = log.open(HERE).events
    assert [left.session for left in gone] == ["b.1.2", "b.1.3", "b.1.4"]
    assert restored.apply(log.state.applied, "", 0, START, Origins((HERE,))).events == gone


def test_a_new_epoch_leaves_the_numbers_of_those_who_stay(log):
    log.apply(Nothing())
    log.open(HERE, "b.2")
    log.numbers["b.2"] = 0
    assert log.result(Nothing()) == Accepted(4)
    assert log.result(Nothing(), "b.2") == Accepted(5)


def test_a_token_outlives_its_node(log):
    log.login("bob", "b.1.1", b"t")
    log.open(HERE)
    assert log.result(Resume("a.1.1", "bob", "bot", b"t")) == Accepted(4)


# --- deletion ----------------------------------------------------------------------------


def test_anyone_can_delete_any_account_and_its_session_ends(log):
    log.login("alice", "a.1.1")
    log.login("bob", "b.1.1")
    outcome = log.apply(Delete("a.1.1", 3, "bob"))
    assert outcome.events == [Left(3, "bob", "b.1.1", "deleted", by="alice")]
    assert names(log.state) == ["alice"]


def test_an_account_can_delete_itself(log):
    log.login("alice", "a.1.1")
    assert log.result(Delete("a.1.1", 2, "alice")) == Accepted(3)
    assert names(log.state) == present(log.state) == []


def test_a_recreated_name_is_a_new_account(log):
    log.login("alice", "a.1.1")
    old = log.login("bob", "b.1.1")
    log.apply(Delete("a.1.1", old, "bob"))
    new = log.login("Bob", "b.1.2")
    assert (old, new) == (3, 5)
    assert log.state.account_named("bob").seen == 5
    assert log.result(said("a.1.1", "for the old", old, "bob")) == Refused(
        Code.NO_SUCH_ACCOUNT, "bob"
    )


def test_a_deletion_by_number_never_meets_the_next_of_that_name(log):
    log.login("alice", "a.1.1")
    old = log.login("bob", "b.1.1")
    log.apply(Delete("a.1.1", old, "bob"))
    log.login("bob", "b.1.2")
    assert log.result(Delete("a.1.1", old, "bob")) == Refused(Code.NO_SUCH_ACCOUNT, "bob")
    assert present(log.state) == ["alice", "bob"]


def test_a_deletion_of_somebody_unknown_to_the_origin_goes_by_name(log):
    log.login("alice", "a.1.1")
    log.login("Bob", "b.1.1")
    assert log.result(Delete("a.1.1", UNKNOWN, "bob")) == Accepted(4)
    assert log.result(Delete("a.1.1", UNKNOWN, "bob")) == Refused(Code.NO_SUCH_ACCOUNT, "bob")


# --- read marks --------------------------------------------------------------------------


def test_read_marks_never_go_back_nor_beyond_the_log(log):
    log.login("alice", "a.1.1")
    for _ in range(5):
        log.apply(Nothing())
    marks = []
    for mark in (5, 4, 10**18):
        log.apply(Seen(((2, mark), (99, 3))))
        marks.append(log.state.accounts[2].seen)
    assert marks == [5, 5, log.state.applied]


@pytest.mark.parametrize("end", [End, Logout])
def test_the_end_of_a_session_can_bring_a_read_mark(log, end):
    log.login("alice", "a.1.1")
    log.apply(Nothing())
    log.apply(end("a.1.1", 3))
    assert log.state.accounts[2].seen == 3
