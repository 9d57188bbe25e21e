"""Sessions: who comes and goes, and a name that somebody else wants."""

from functools import partial
from types import SimpleNamespace

import pytest
from sessions_house import HELLO, one
from twisted.internet.task import Clock

from chainchat.node.budget import Slice
from chainchat.sessions.announcements import NAMED_AT_ONCE, NOTICE_PAUSE
from chainchat.sessions.contests import MOST_WAITING, PROBE_SECONDS, Contests, Waiting
from chainchat.sessions.session import Session


def test_others_who_come_and_go_are_announced_to_who_wants_it(house):
    alice, quiet = house.client("alice"), house.client("quiet", "/notices off")
    program = house.client(f"{HELLO} notices=on", "@1 LOGIN robot")
    for client in (alice, quiet, program):
        client.reads(NOTICE_PAUSE)
        client.reads(NOTICE_PAUSE)
    bob = house.client("bob")
    assert alice.reads() == ["* bob has joined"]
    assert program.reads() == ["NOTE joined name=bob :bob has joined"]
    bob.says("/quit")
    assert alice.reads() == []
    assert alice.reads(NOTICE_PAUSE) == ["* bob has left"]
    assert quiet.reads() == []


def test_whoever_stopped_reading_is_told_why_they_were_cut_when_they_come_back(house):
    alice = house.client("alice")
    alice.session.output_full(full=True)
    alice.session.lost()
    told, welcome = house.client().says("alice")[-2:]
    assert "if you stopped your terminal (Ctrl-S), Ctrl-Q goes on" in told
    assert welcome.startswith("+OK you are alice")
    again = house.client("bob")
    again.session.lost()
    assert "Ctrl-S" not in " ".join(house.client().says("bob"))


def test_nobody_is_told_of_a_session_that_is_told_nothing(house):
    alice = house.client("alice")
    for _ in range(2):
        alice.reads(NOTICE_PAUSE)
    program = house.client(HELLO, "@1 LOGIN robot quiet")
    assert alice.reads(NOTICE_PAUSE) == []
    program.says("@2 SEND 1 * :the disk is full", "@3 LOGOUT finished")
    assert alice.reads(NOTICE_PAUSE)[-1].endswith(" robot: the disk is full")
    assert alice.reads(NOTICE_PAUSE) == []


@pytest.mark.parametrize("quickly", ["RESUME alice token1 after=0", "LOGIN alice"])
def test_who_comes_back_at_once_has_neither_left_nor_joined(house, quickly):
    bob = house.client("bob")
    alice = house.program("alice")
    for _ in range(2):
        bob.reads(NOTICE_PAUSE)
    house.client("carol")
    assert bob.reads() == ["* carol has joined"]
    if quickly.startswith("LOGIN"):
        alice.session.lost()
    house.client(HELLO, f"@1 {quickly}")
    bob.reads(NOTICE_PAUSE)
    assert bob.reads(NOTICE_PAUSE) == []


def test_many_who_come_at_once_are_counted(house):
    alice = house.client("alice")
    alice.reads(NOTICE_PAUSE)
    for number in range(NAMED_AT_ONCE + 2):
        house.client(f"n{number}")
    assert alice.reads(NOTICE_PAUSE) == [
        "* n0 has joined",
        f"* {NAMED_AT_ONCE + 1} others: each has joined",
    ]


def test_who_wants_a_name_is_told_for_how_long_its_connection_has_been_silent(house):
    alice = house.client("alice")
    alice.connection.silence = 34.2
    again = house.client()
    again.reads()
    assert again.says("alice") == [
        "-ERR 433 the name alice is in use, by a connection that has been silent for 34 s: it is "
        "free within 10 s if nothing answers there; try again then, or log in with another name"
    ]
    assert alice.connection.probed


def test_a_connection_that_answers_when_it_is_probed_keeps_its_name(house):
    alice = house.client("alice")
    alice.connection.silence = 34.2
    house.client("alice")
    alice.connection.silence = 0.5
    house.clock.advance(PROBE_SECONDS)
    assert not alice.connection.aborted
    assert not alice.connection.probed


def test_a_connection_that_answers_nothing_is_given_up_and_its_name_free(house):
    alice = house.client("alice")
    alice.connection.silence = 34.2
    again = house.client("alice")
    again.reads()
    house.clock.advance(PROBE_SECONDS)
    assert alice.connection.aborted
    alice.session.lost()
    assert one(again.says("alice")).startswith("+OK you are alice")


def test_where_the_system_tells_nothing_a_login_is_refused_soon_all_the_same(house):
    house.client("alice")
    again = house.client()
    again.reads()
    assert one(again.says("alice")) == (
        "-ERR 433 the name alice is in use; if its machine is gone it is free in 10 s: try again "
        "then, or log in with another name"
    )


def lost_when_probed(client):
    """Lose a client once another wants its name."""
    client.connection.silent = client.session.lost


def test_whose_holder_leaves_while_they_wait_gets_the_name_after_all(house):
    alice, again = house.client("alice"), house.client("/help")
    lost_when_probed(alice)
    assert one(again.says("alice")).startswith("+OK you are alice")


def test_whose_holder_has_hung_up_gets_the_name_though_its_end_is_still_to_come(house):
    alice, again = house.client("alice"), house.client("/help")
    alice.connection.silence = 0.0
    alice.connection.close = lambda: house.clock.callLater(0, alice.session.lost)
    alice.session.input_ended()
    again.sends("alice")
    house.clock.pump([0.001] * 10)
    assert one(again.reads()).startswith("+OK you are alice")


def test_of_many_names_that_are_free_at_once_a_turn_gives_as_many_as_there_is_time_for():
    woken, got = [], []
    contests = Contests(Clock(), lambda: woken.append(len(got)))
    for session in ("a", "b", "c"):
        free = partial(got.append, session)
        contests.ask(session, Waiting(SimpleNamespace(is_open=True), lambda silent: None, free))
        contests.left(session)
    worked = iter(range(100))
    contests.let_in(Slice(lambda: next(worked), seconds=1.5))
    assert (got, contests.somebody_comes) == (["a", "b"], True)
    contests.let_in(Slice(lambda: next(worked), seconds=1.5))
    assert (got, contests.somebody_comes) == (["a", "b", "c"], False)
    assert woken == [0, 0, 0, 2]


def test_of_those_who_wait_for_a_name_the_first_who_is_still_there_gets_it(house):
    alice = house.client("alice")
    lost_when_probed(alice)
    gone, first, second = (house.client("/help") for _ in range(3))
    for client in (gone, first, second):
        client.sends("alice")
        house.holds_the_chain_still()
    gone.session.lost()
    assert one(first.reads()).startswith("+OK you are alice")
    assert one(second.reads()).startswith("-ERR 433 the name alice is in use")
    first.session.lost()
    assert one(second.says("alice")).startswith("+OK you are alice")


def test_no_more_than_a_few_wait_for_one_name(house):
    alice = house.client("alice")
    alice.connection.silence = 34.2
    many = [house.client("/help") for _ in range(MOST_WAITING + 1)]
    for client in many:
        client.sends("alice")
        house.holds_the_chain_still()
    answers = [one(client.reads()) for client in many]
    assert ["34 s" in answer for answer in answers] == [True] * MOST_WAITING + [False]


def test_a_private_message_touches_no_session_that_it_does_not_concern(house, monkeypatch):
    alice, bob = house.client("alice", "/notices off"), house.client("bob", "/notices off")
    others = [house.client(f"n{n}", "/notices off") for n in range(20)]
    for client in (alice, bob, *others):
        client.reads(2)
    touched = set()
    for name in ("hear", "go_on", "flush", "push", "look"):
        method = getattr(Session, name)

        def noted(session, *arguments, method=method):
            touched.add(session)
            return method(session, *arguments)

        monkeypatch.setattr(Session, name, noted)
    alice.says(">> bob: psst")
    assert bob.reads()[-1].endswith("alice >> you: psst")
    assert touched == {alice.session, bob.session}
