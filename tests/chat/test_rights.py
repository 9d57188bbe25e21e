"""Passwords and roles, as applied: decided by nothing but the entries, the same at every node."""

import pytest
from applied import HERE, THERE, Log, Stored
from msgspec import msgpack

from chainchat.chat.accounts import Account, AccountRole, Verifier
from chainchat.chat.commands import (
    TO_EVERYBODY,
    UNKNOWN,
    Delete,
    End,
    Grant,
    Invite,
    Kick,
    Login,
    Resume,
    Salting,
    Saying,
    SetSecret,
    decode,
    encode,
)
from chainchat.chat.outcomes import Accepted, Left, Refused
from chainchat.chat.refusals import Code
from tests.chat.applied import names

VERIFIER = Verifier(b"salt", 4096, b"stored", b"server")
OTHER = Verifier(b"pepper", 8192, b"else", b"where")


@pytest.fixture
def log():
    """Alice has a session and no password."""
    log = Log(HERE, THERE)
    log.login("alice", "a.1.1", b"t", "bot")
    return log


def alice(log):
    return log.state.account_named("alice")


def protected(log, verifier=VERIFIER):
    """Give alice a password; returns the id of its entry."""
    set_by = log.state.applied + 1
    secret = SetSecret("a.1.1", alice(log).number, "alice", alice(log).secret, verifier)
    assert log.result(secret) == Accepted(set_by)
    return set_by


def operator(log):
    protected(log)
    assert log.result(Grant("", "alice", AccountRole.OPERATOR)) == Accepted(log.state.applied)


# --- logging in --------------------------------------------------------------------------


def test_a_login_goes_through_with_the_password_that_was_checked(log):
    checked = protected(log)
    log.apply(End("a.1.1", 0))
    assert alice(log).secret == checked
    assert log.result(Login("b.1.1", "Alice", "", b"", checked), THERE) == Accepted(5)


@pytest.mark.parametrize("checked", [0, 1, 4])
def test_any_other_login_is_refused(log, checked):
    assert protected(log) == 3
    log.apply(End("a.1.1", 0))
    refused = Refused(Code.PASSWORD_CHANGED, "alice")
    assert log.result(Login("b.1.1", "ALICE", "", b"", checked), THERE) == refused
    assert not alice(log).session


def test_a_wrong_password_learns_nothing_of_a_name_in_use(log):
    protected(log)
    outcome = log.apply(Login("b.1.1", "alice", "", b""), THERE)
    assert outcome.results == (Refused(Code.PASSWORD_CHANGED, "alice"),)
    assert outcome.events == []


def test_a_password_changed_between_its_check_and_the_login_counts(log):
    checked = protected(log)
    protected(log, OTHER)
    log.apply(End("a.1.1", 0))
    refused = Refused(Code.PASSWORD_CHANGED, "alice")
    assert log.result(Login("b.1.1", "alice", "", b"", checked), THERE) == refused


def test_a_password_removed_or_an_account_deleted_meanwhile_counts(log):
    checked = protected(log)
    protected(log, None)
    log.apply(End("a.1.1", 0))
    login = Login("b.1.1", "alice", "", b"", checked)
    assert log.result(login, THERE) == Refused(Code.PASSWORD_CHANGED, "alice")
    log.login("bob", "a.1.2")
    log.apply(Delete("a.1.2", UNKNOWN, "alice"))
    assert log.result(login, THERE) == Refused(Code.PASSWORD_CHANGED, "alice")
    assert alice(log) is None


def test_a_login_that_may_not_make_an_account_makes_none(log):
    login = Login("b.1.1", "bob", "", b"", refuse_new=Code.BY_INVITATION)
    assert log.result(login, THERE) == Refused(Code.BY_INVITATION, "bob")
    assert names(log.state) == ["alice"]


def test_a_login_of_an_older_version_means_what_it_did():
    older = msgpack.encode(("login", "a.1.1", "bob", "", b""))
    assert decode(older) == Login("a.1.1", "bob", "", b"", checked=0)
    assert decode(msgpack.encode(("delete", "a.1.1", 2, "bob"))).others


def test_a_resumed_session_has_a_new_token_and_the_old_one_is_void(log):
    log.apply(End("a.1.1", 0))
    assert log.result(Resume("b.1.1", "alice", "bot", b"t", b"next"), THERE) == Accepted(4)
    assert log.result(Resume("a.1.2", "alice", "bot", b"t")) == Refused(Code.BAD_TOKEN, "alice")
    assert log.result(Resume("a.1.3", "alice", "bot", b"next", b"last")) == Accepted(6)


# --- changing a password -------------------------------------------------------------------


def test_only_the_session_of_the_account_sets_its_password(log):
    log.login("bob", "a.1.2")
    secret = SetSecret("a.1.2", alice(log).number, "alice", 0, VERIFIER)
    assert log.result(secret) == Refused(Code.SESSION_ENDED, "alice")
    assert alice(log).verifier is None


@pytest.mark.parametrize("session", ["a.1.1", ""])
def test_who_changes_a_password_has_shown_the_one_it_has(log, session):
    checked = protected(log)
    for wrong in (1, checked + 1):
        secret = SetSecret(session, 2, "alice", wrong, OTHER)
        assert log.result(secret) == Refused(Code.PASSWORD_CHANGED, "alice")
    assert log.result(SetSecret(session, 2, "alice", checked, OTHER)) == Accepted(6)
    assert alice(log).verifier == Verifier(b"pepper", 8192, b"else", b"where", 6)


def test_without_a_session_an_account_without_a_password_gets_none(log):
    log.apply(End("a.1.1", 0))
    secret = SetSecret("", 2, "alice", 0, VERIFIER)
    assert log.result(secret) == Refused(Code.SESSION_ENDED, "alice")


def test_a_deleted_account_gets_no_password(log):
    secret = SetSecret("a.1.1", 99, "bob", 0, VERIFIER)
    assert log.result(secret) == Refused(Code.NO_SUCH_ACCOUNT, "bob")


# --- operators -----------------------------------------------------------------------------

NEED_AN_OPERATOR = [
    Invite("a.1.1", "bob", VERIFIER),
    Invite("a.1.1", "alice", VERIFIER, reset=True),
    Grant("a.1.1", "alice", AccountRole.OPERATOR),
    Kick("a.1.1", "alice"),
    Delete("a.1.1", UNKNOWN, "carol", others=False),
]


@pytest.mark.parametrize("command", NEED_AN_OPERATOR, ids=lambda command: type(command).__name__)
def test_only_operators_do_this(log, command):
    log.login("carol", "b.1.1")
    before = log.state.accounts
    refusal = log.result(command)
    assert isinstance(refusal, Refused)
    assert refusal.code == Code.OPERATORS_ONLY
    assert log.state.accounts == before
    operator(log)
    assert isinstance(log.result(command), Accepted)


def test_everybody_deletes_their_own_account(log):
    assert log.result(Delete("a.1.1", UNKNOWN, "alice", others=False)) == Accepted(3)


def test_an_operator_always_has_a_password(log):
    grant = Grant("", "alice", AccountRole.OPERATOR)
    assert log.result(grant) == Refused(Code.PASSWORD_NEEDED, "alice")
    operator(log)
    removal = SetSecret("a.1.1", 2, "alice", alice(log).secret, None)
    assert log.result(removal) == Refused(Code.PASSWORD_NEEDED, "alice")
    log.apply(Grant("a.1.1", "alice", AccountRole.USER))
    assert log.result(removal) == Accepted(log.state.applied)


def test_nobody_gets_a_role_who_is_not_there(log):
    assert log.result(Grant("", "bob", AccountRole.USER)) == Refused(Code.NO_SUCH_ACCOUNT, "bob")
    assert log.result(Kick("", "bob")) == Refused(Code.NO_SUCH_ACCOUNT, "bob")


# --- invitations ---------------------------------------------------------------------------


def test_an_invitation_makes_an_account_whose_password_has_to_be_changed_first(log):
    once = Verifier(b"salt", 4096, b"stored", b"server", once=True)
    assert log.result(Invite("", "bob", once)) == Accepted(3)
    bob = log.state.account_named("bob")
    assert (bob.number, bob.secret, bob.session, bob.seen) == (3, 3, "", 3)
    login = Login("b.1.1", "bob", "", b"", checked=3)
    assert log.result(login, THERE) == Refused(Code.PASSWORD_NEEDED, "bob")
    assert log.result(SetSecret("", 3, "bob", 3, OTHER), THERE) == Accepted(5)
    assert log.result(Login("b.1.1", "bob", "", b"", checked=5), THERE) == Accepted(6)
    assert not bob.verifier.once


def test_an_invitation_that_waits_can_be_made_again_and_no_other(log):
    once = Verifier(b"salt", 4096, b"stored", b"server", once=True)
    log.apply(Invite("", "bob", once))
    assert log.result(Invite("", "bob", once)) == Accepted(4)
    log.apply(SetSecret("", 3, "bob", 4, OTHER))
    assert log.result(Invite("", "BOB", once)) == Refused(Code.NAME_IN_USE, "bob")
    assert log.result(Invite("", "alice", once)) == Refused(Code.NAME_IN_USE, "alice")


def test_nobody_new_is_invited_whose_name_looks_like_anothers(log):
    once = Verifier(b"salt", 4096, b"stored", b"server", once=True)
    for name in ("AL1CE", "a.lice"):
        invite = Invite("", name, once, refuse_alike=True)
        assert log.result(invite) == Refused(Code.NAME_LOOKS_ALIKE, "alice")
    assert log.result(Invite("", "al1ce", once)) == Accepted(log.state.applied)  # as an old log has
    again = Invite("", "al1ce", once, refuse_alike=True)
    assert log.result(again) == Accepted(log.state.applied)


def test_a_reset_replaces_the_password_and_ends_session_and_token(log):
    protected(log)
    outcome = log.apply(Invite("", "alice", OTHER, reset=True))
    assert outcome.results == (Accepted(4),)
    assert outcome.events == [Left(2, "alice", "a.1.1", "reset")]
    assert alice(log).secret == 4
    resume = Resume("b.1.1", "alice", "bot", b"t")
    assert log.result(resume, THERE) == Refused(Code.BAD_TOKEN, "alice")
    reset = Invite("", "bob", OTHER, reset=True)
    assert log.result(reset) == Refused(Code.NO_SUCH_ACCOUNT, "bob")


def test_a_kick_ends_session_and_token(log):
    operator(log)
    log.login("bob", "b.1.1", b"b", "bot")
    outcome = log.apply(Kick("a.1.1", "bob"))
    [left] = outcome.events
    assert (left.name, left.session, left.reason, left.by) == ("bob", "b.1.1", "kicked", "alice")
    bad = Refused(Code.BAD_TOKEN, "bob")
    assert log.result(Resume("b.1.2", "bob", "bot", b"b"), THERE) == bad


# --- what is stored ------------------------------------------------------------------------


def test_passwords_and_roles_are_in_snapshots(log):
    operator(log)
    log.apply(Salting(b"first"))
    log.apply(Salting(b"second"))
    restored = Stored().restored(log.state)
    assert restored.image() == log.state.image()
    assert restored.accounts == log.state.accounts
    assert restored.account_named("alice").role is AccountRole.OPERATOR
    assert restored.salting == b"first"


def test_whoever_has_no_password_is_stored_as_by_older_versions(log):
    """So nodes that still have an old record agree with those that have just made it."""
    [(_, data)] = log.state.snapshot().records
    assert msgpack.decode(data) == [[2, "alice", 2, "a.1.1", b"t", 2, 0]]
    assert msgpack.decode(data, type=list[Account]) == [alice(log)]


@pytest.mark.parametrize(
    "command", [*NEED_AN_OPERATOR, SetSecret("a.1.1", 2, "alice", 0, None), Salting(b"s")], ids=repr
)
def test_commands_travel(command):
    assert decode(encode(command)) == command


def test_what_is_said_needs_no_password(log):
    protected(log)
    assert log.say("a.1.1", Saying("hi", TO_EVERYBODY, "*")).said
