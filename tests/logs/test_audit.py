"""The audit: what is written down, and what is not."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from chainchat.chat.accounts import AccountRole, Verifier
from chainchat.chat.commands import (
    UNKNOWN,
    Delete,
    End,
    Grant,
    Invite,
    Kick,
    Login,
    Logout,
    Nothing,
    Resume,
    SetSecret,
)
from chainchat.chat.outcomes import Accepted, Refused
from chainchat.chat.refusals import Code
from chainchat.logs.audit import MOST_ADDRESSES, MOST_KINDS, Audit
from chainchat.logs.complaints import PERIOD

VERIFIER = Verifier(b"a salt", 4096, b"stored key", b"server key")
TOKEN = b"token's digest"


@pytest.fixture
def lines():
    """The lines of the audit, without what all have in common."""
    found = []

    def observe(event):
        text = formatEvent(event)
        if text.startswith("head: audit: "):
            found.append(text.removeprefix("head: audit: "))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def audit(clock):
    return Audit("head", clock.callLater)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Login("a.1.2", "alice", "", TOKEN), "login of alice from 10.1.2.3, session a.1.2"),
        (Resume("a.1.2", "alice", "x", TOKEN), "login of alice from 10.1.2.3, session a.1.2"),
        (
            Delete("a.1.2", UNKNOWN, "bob"),
            "account bob deleted by alice from 10.1.2.3, session a.1.2",
        ),
        (
            SetSecret("a.1.2", 1, "alice", 0, VERIFIER),
            "password of alice set by alice from 10.1.2.3, session a.1.2",
        ),
        (SetSecret("", 1, "bob", 0, None), "password of bob removed by alice from 10.1.2.3"),
        (
            Invite("a.1.2", "bob", VERIFIER),
            "bob invited by alice from 10.1.2.3, session a.1.2",
        ),
        (
            Invite("a.1.2", "bob", VERIFIER, reset=True),
            "bob given a new password by alice from 10.1.2.3, session a.1.2",
        ),
        (
            Grant("a.1.2", "bob", AccountRole.OPERATOR),
            "bob made operator by alice from 10.1.2.3, session a.1.2",
        ),
        (
            Kick("a.1.2", "bob"),
            "session of bob ended by alice from 10.1.2.3, session a.1.2",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_each_change_is_one_line_with_name_address_and_session(audit, lines, command, line):
    audit.carried_out(command, Accepted(7), "alice", "10.1.2.3")
    assert lines == [line]


def test_what_happens_all_the_time_is_not_written_down(audit, lines):
    for command in (Logout("a.1.2", 3), End("a.1.2", 3), Nothing()):
        audit.carried_out(command, Accepted(7), "alice", "10.1.2.3")
    assert lines == []


def test_no_line_has_a_secret(audit, lines):
    for command in (
        Login("a.1.2", "alice", "", TOKEN),
        SetSecret("a.1.2", 1, "alice", 0, VERIFIER),
        Invite("a.1.2", "bob", VERIFIER),
    ):
        audit.carried_out(command, Accepted(7), "alice", "10.1.2.3")
        audit.carried_out(command, Refused(Code.PASSWORD_CHANGED, "alice"), "alice", "10.1.2.3")
    for secret in (VERIFIER.salt, VERIFIER.stored, VERIFIER.server, TOKEN):
        assert not [line for line in lines if secret.decode() in line or secret.hex() in line]


def test_refusals_are_told_once_a_minute_for_each_address_and_counted(audit, clock, lines):
    refused = Refused(Code.NAME_IN_USE, "alice")
    for _ in range(3):
        audit.carried_out(Login("", "alice", "", b""), refused, "", "10.1.2.3")
    audit.refused("login of bob", "10.9.9.9", Code.WRONG_PASSWORD)
    assert lines == [
        "refused: login of alice from 10.1.2.3: 433 name in use",
        "refused: login of bob from 10.9.9.9: 512 wrong password",
    ]
    audit.refused("login of carol", "10.1.2.3", Code.WRONG_PASSWORD)
    clock.advance(PERIOD)
    assert lines[2:] == [
        "refused: 3 more from 10.1.2.3 within a minute: 2 x login of alice: 433 name in use; "
        "1 x login of carol: 512 wrong password",
    ]
    audit.refused("login of carol", "10.1.2.3", Code.WRONG_PASSWORD)
    assert len(lines) == 3
    clock.advance(PERIOD)
    assert lines[3:] == [
        "refused: 1 more from 10.1.2.3 within a minute: 1 x login of carol: 512 wrong password"
    ]
    clock.advance(PERIOD)
    audit.refused("login of carol", "10.1.2.3", Code.WRONG_PASSWORD)
    assert lines[4:] == ["refused: login of carol from 10.1.2.3: 512 wrong password"]


def test_a_line_is_not_long_however_many_names_are_tried(audit, clock, lines):
    for number in range(1_000):
        audit.refused(f"login of name{number}", "10.1.2.3", Code.TOO_MANY_ACCOUNTS)
    clock.advance(PERIOD)
    assert len(lines) == 2
    assert lines[1].startswith("refused: 999 more from 10.1.2.3 within a minute: 991 x others; ")
    assert lines[1].count(" x login of ") == MOST_KINDS


def test_few_lines_are_written_however_many_addresses_are_refused(audit, clock, lines):
    for number in range(2 * MOST_ADDRESSES):
        audit.refused("login of bob", f"10.1.{number // 256}.{number % 256}", Code.NAME_IN_USE)
    assert len(lines) == MOST_ADDRESSES
    clock.advance(PERIOD)
    assert lines[MOST_ADDRESSES:] == [
        f"refused: {MOST_ADDRESSES} times from more addresses than are told apart"
    ]


def test_who_stops_tells_what_was_counted(audit, clock, lines):
    for _ in range(3):
        audit.refused("login of bob", "2001:db8::1", Code.WRONG_PASSWORD)
    audit.stop()
    assert lines[1:] == [
        "refused: 2 more from 2001:db8::/64 within a minute: 2 x login of bob: 512 wrong password"
    ]
    clock.advance(PERIOD)
    assert len(lines) == 2


def test_all_addresses_of_an_ipv6_network_count_as_one(audit, lines):
    for number in range(100):
        audit.refused("login of bob", f"2001:db8::{number:x}", Code.WRONG_PASSWORD)
    audit.refused("login of bob", "2001:db8:0:1::1", Code.WRONG_PASSWORD)
    assert lines == [
        "refused: login of bob from 2001:db8::0: 512 wrong password",
        "refused: login of bob from 2001:db8:0:1::1: 512 wrong password",
    ]


def test_a_control_command_is_told_with_its_user_and_its_outcome(audit, lines):
    audit.controlled("operator alice on", "uid 1000", "done")
    assert lines == ["control, by uid 1000: operator alice on: done"]
