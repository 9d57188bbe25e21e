"""A bug in what is done for one client ends that client's connection, and no other."""

import pytest

from chainchat.chat.modes.human import Human
from chainchat.chat.queries import Present
from chainchat.sessions.announcements import NOTICE_PAUSE
from chainchat.sessions.entrance import LOGIN_SECONDS, Entrance
from chainchat.sessions.guard import FAILURE_SECONDS
from chainchat.sessions.handler import Handler
from chainchat.sessions.hearing import Hearing
from chainchat.sessions.session import Session
from chainchat.storage.interface import StorageError

LAST_WORDS = "-ERR 427 a bug of this server ended this connection"


class BugError(Exception):
    """Raised by what a test has broken."""


@pytest.fixture
def breaks(monkeypatch):
    """Breaks a method for one client."""

    def break_for(client, kind, name, error=BugError):
        sound = getattr(kind, name)

        def broken(self, *arguments, **named):
            if self is client.session or getattr(self, "_client", None) is client.session:
                raise error
            return sound(self, *arguments, **named)

        monkeypatch.setattr(kind, name, broken)

    return break_for


@pytest.fixture
def is_ended_alone(house, pair, logged_failures):
    """Checks that alice was hung up on, and that bob goes on."""

    def check():
        alice, bob = pair
        assert alice.connection.closed
        [failure] = logged_failures
        assert "BugError" in failure
        logged_failures.clear()
        alice.session.lost()
        bob.reads()
        assert bob.says("/who") == ["| bob", ". 1 account"]
        assert bob.says("still here")[0].startswith("+OK ")
        assert not house.client("alice").connection.closed

    return check


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        (Hearing, "_hear", "hello"),
        (Handler, "carry_out", "/who"),
        (Handler, "_local_answer", "/chain"),
        (Handler, "_all_said", "hello"),
        (Session, "when_writable", "/list"),
    ],
)
def test_while_a_line_is_heard_or_answered(pair, breaks, is_ended_alone, kind, name, line):  # noqa: PLR0917 - fixtures and parameters
    alice = pair[0]
    breaks(alice, kind, name)
    assert alice.says(line)[-1].startswith(LAST_WORDS)
    is_ended_alone()


@pytest.mark.parametrize(
    ("kind", "name", "happens"),
    [
        (Hearing, "take_in", lambda session: session.received(b"hello\n", 6, 0)),
        (Hearing, "take_textless", lambda session: session.received_no_text(5)),
        (Session, "_note_seen", lambda session: session.input_ended()),
        (Hearing, "queue", lambda session: session.output_full(full=False)),
    ],
)
def test_while_its_socket_is_heard(pair, breaks, is_ended_alone, kind, name, happens):  # noqa: PLR0917 - fixtures and parameters
    alice = pair[0]
    breaks(alice, kind, name)
    happens(alice.session)
    assert alice.reads()[-1].startswith(LAST_WORDS)
    is_ended_alone()


def test_while_a_message_is_rendered(house, pair, monkeypatch, is_ended_alone):
    alice, bob = pair
    carol = house.client("carol", "/notices off")

    def rendered(delivery, said):
        if delivery.recipient is alice.session:
            raise BugError
        return b"rendered\r\n", 0

    monkeypatch.setattr("chainchat.sessions.news.render", rendered)
    bob.says("hello")
    assert alice.reads()[-1].startswith(LAST_WORDS)
    assert carol.reads()[-1] == "rendered"
    carol.says("/quit")
    is_ended_alone()


def test_while_somebody_is_announced(house, pair, breaks, is_ended_alone):
    alice, bob = pair
    house.client("carol").says("/quit")
    for client in pair:
        client.says("/notices on")
        client.reads(NOTICE_PAUSE)
    breaks(alice, Session, "tell")
    dave = house.client("dave")
    assert bob.reads(NOTICE_PAUSE) == ["* dave has joined"]
    dave.says("/quit")
    bob.says("/notices off")
    is_ended_alone()


def test_while_a_logout_is_answered(pair, monkeypatch, logged_failures):
    def done(_mode, _tag, text):
        if text == "goodbye":
            raise BugError
        return f"+OK {text}"

    alice, bob = pair
    monkeypatch.setattr(Human, "done", done)
    alice.says("/quit")
    assert alice.connection.aborted
    assert "BugError" in logged_failures.pop()
    assert bob.says("/who") == ["| bob", ". 1 account"]


def test_while_a_wrong_password_is_refused(house, pair, monkeypatch, logged_failures):
    def turned_away(_session):
        raise BugError

    alice, bob = pair
    for line in ("/password", "a password", "a password", "/password", "another"):
        alice.sends(line)
        house.clock.advance(0)
    with monkeypatch.context() as broken:
        broken.setattr(Session, "turned_away", turned_away)
        house.clock.advance(FAILURE_SECONDS)
        house.clock.advance(0)
    assert LAST_WORDS.encode() in alice.connection.data
    assert alice.connection.closed
    assert "BugError" in logged_failures.pop()
    assert bob.says("still here")[0].startswith("+OK ")


def test_when_a_newcomer_is_to_be_told_that_time_is_over(house, monkeypatch, logged_failures):
    def took_too_long(_entrance):
        raise BugError

    monkeypatch.setattr(Entrance, "_took_too_long", took_too_long)
    newcomer = house.client()
    newcomer.reads(LOGIN_SECONDS)
    assert newcomer.connection.closed
    assert "BugError" in logged_failures.pop()


def test_what_cannot_be_encoded_is_not_submitted(pair, monkeypatch, is_ended_alone):
    def encode(command):
        raise BugError(command)

    with monkeypatch.context() as broken:
        broken.setattr("chainchat.chat.commands.encode", encode)
        assert pair[0].says("hello")[-1].startswith(LAST_WORDS)
    is_ended_alone()


def test_whose_last_words_are_what_is_wrong_is_cut_off(pair, logged_failures):
    alice, bob = pair
    alice.session.say(["no text of UTF-8: \udc80"])
    alice.reads()
    assert alice.connection.aborted
    assert not alice.session.is_open
    assert all("UnicodeEncodeError" in failure for failure in logged_failures)
    logged_failures.clear()
    assert bob.says("still here") == ["+OK 4"]


def test_one_that_comes_again_is_logged_once(house, pair, breaks, logged_failures):
    for client in pair:
        breaks(client, Handler, "carry_out")
        assert client.says("/who")[-1].startswith(LAST_WORDS)
    assert len(logged_failures) == 1
    logged_failures.clear()
    assert house.node.tally.refused[427] == 2


def test_a_question_that_the_tail_cannot_answer_is_refused(pair, monkeypatch, logged_failures):
    def answer(asked, *_):
        raise BugError(asked)

    monkeypatch.setattr("chainchat.chat.queries.answer", answer)
    assert pair[0].says("/who") == ["-ERR 462 a bug of the server that searched: tell who runs it"]
    assert repr(Present()) in logged_failures.pop()


@pytest.mark.parametrize("name", ["submit", "ask"])
def test_a_bug_in_the_chain_stops_the_node_whoever_caused_it(pair, house, monkeypatch, name):
    def fail(*_, **__):
        raise BugError

    monkeypatch.setattr(house.node._engine, name, fail)
    with pytest.raises(BugError):
        pair[0].says("hello" if name == "submit" else "/who")
    assert not house.node.running


def test_a_disk_that_fails_stops_the_node_whoever_noticed(pair, house, breaks):
    breaks(pair[0], Handler, "carry_out", StorageError("the disk is gone"))
    with pytest.raises(StorageError):
        pair[0].says("/who")
    assert not house.node.running
