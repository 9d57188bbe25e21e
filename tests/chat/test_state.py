"""The chat's state: what each command does, what is refused, and that all nodes agree."""

import random
from gc import get_referents
from sys import getsizeof
from types import FunctionType, MethodType

import pytest
from applied import HERE, START, THERE, Log, Stored
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import DecodeError, msgpack

from chainchat.chat.accounts import Role, Verifier
from chainchat.chat.bounds import USUAL_BOUNDS, Bounds
from chainchat.chat.commands import (
    TO_EVERYBODY,
    UNKNOWN,
    Delete,
    End,
    Forget,
    Grant,
    Invite,
    Kick,
    Login,
    Logout,
    Nothing,
    Origins,
    Resume,
    Salting,
    Say,
    Saying,
    Seen,
    SetSecret,
    decode,
)
from chainchat.chat.names import SortedNames
from chainchat.chat.outcomes import NO_EFFECT, Accepted, Held, Joined, Left, Outcome, Refused, Said
from chainchat.chat.refusals import Code
from chainchat.chat.state import ChatState
from tests.chat.applied import names, present

deterministic = settings(derandomize=True, max_examples=150, deadline=None)

DAY = 24 * 3600 * 1000
COST = USUAL_BOUNDS.program_cost
FEW_PROGRAMS = Bounds(programs=2, known_programs=4)


@pytest.fixture
def log():
    return Log(HERE, THERE)


def said(session, text, to=TO_EVERYBODY, name="*", *, number=0, checksum=1, client="bot"):
    """One message; of a program, if it has a number."""
    saying = Saying(text, to, name, number, checksum)
    return Say(session, 2, "alice", client if number else "", (saying,))


# --- accounts and sessions ---------------------------------------------------------------


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


# --- saying ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "written", "to"),
    [(TO_EVERYBODY, "*", "*"), (3, "BOB", "Bob"), (-1, "bob", "Bob")],
)
def test_what_is_said_goes_to_everybody_or_to_one(log, recipient, written, to):
    log.login("alice", "a.1.1")
    log.login("Bob", "b.1.1")
    log.time = 5_000
    number = 0 if to == "*" else 3
    assert log.apply(said("a.1.1", "hi", recipient, written)) == Outcome(
        [Accepted(4)], said=[Said(4, 5_000, 2, "alice", number, to, "hi")]
    )


def test_nothing_can_be_said_to_nobody(log):
    log.login("alice", "a.1.1")
    outcome = log.apply(said("a.1.1", "hi", UNKNOWN, "bob"))
    assert outcome == Outcome([Refused(Code.NO_SUCH_ACCOUNT, "bob")], said=[])


def test_a_send_with_the_same_number_is_done_once(log):
    log.login("alice", "a.1.1")
    send = said("a.1.1", "hi", number=7)
    assert log.result(send) == Accepted(3)
    assert log.apply(send) == Outcome([Accepted(3, again=True)], said=[])


def test_each_of_several_messages_in_one_entry_has_its_own_id(log):
    log.login("alice", "a.1.1")
    outcome = log.say("a.1.1", *(Saying(text, TO_EVERYBODY, "*") for text in "abc"))
    assert outcome.results == [Accepted(3), Accepted(4), Accepted(5)]
    assert [(said.id, said.text) for said in outcome.said] == [(3, "a"), (4, "b"), (5, "c")]
    assert log.result(Nothing()) == Accepted(6)


def test_of_several_messages_those_that_were_said_before_are_not_said_again(log):
    log.login("alice", "a.1.1")
    one, two, three = (Saying(f"{n}", TO_EVERYBODY, "*", n, 100 + n) for n in (1, 2, 3))
    log.say("a.1.1", one, two)
    outcome = log.say("a.1.1", one, two, three)
    assert outcome.results == [Accepted(3, again=True), Accepted(4, again=True), Accepted(7)]
    assert [(said.id, said.text) for said in outcome.said] == [(7, "3")]


def test_a_refused_message_among_several_leaves_the_others(log):
    log.login("alice", "a.1.1")
    sayings = [Saying("1", TO_EVERYBODY, "*", 1), Saying("2", UNKNOWN, "bob", 2)]
    outcome = log.say("a.1.1", *sayings, Saying("3", TO_EVERYBODY, "*", 3))
    assert outcome.results == [Accepted(3), Refused(Code.NO_SUCH_ACCOUNT, "bob"), Accepted(5)]
    assert [said.id for said in outcome.said] == [3, 5]


def test_a_number_used_for_something_else_is_refused(log):
    log.login("alice", "a.1.1")
    log.apply(said("a.1.1", "hi", number=7, checksum=1))
    assert log.result(said("a.1.1", "ho", number=7, checksum=2)) == Refused(Code.NUMBER_REUSED)


def test_a_number_below_the_highest_that_was_never_seen_is_refused(log):
    log.login("alice", "a.1.1")
    log.apply(said("a.1.1", "hi", number=7))
    assert log.result(said("a.1.1", "hi", number=6)) == Refused(Code.NUMBER_FORGOTTEN)
    assert log.result(said("a.1.1", "hi", number=8)) == Accepted(5)


def test_a_refusal_is_remembered_though_it_would_be_no_refusal_now(log):
    log.login("alice", "a.1.1")
    send = said("a.1.1", "hi", UNKNOWN, "bob", number=1)
    assert log.result(send) == Refused(Code.NO_SUCH_ACCOUNT, "bob")
    log.login("bob", "b.1.1")
    assert log.apply(send) == Outcome([Refused(Code.NO_SUCH_ACCOUNT, "bob", again=True)], said=[])


def test_a_send_of_a_session_that_ended_uses_no_number(log):
    log.login("alice", "a.1.1", b"t")
    log.apply(Resume("a.1.2", "alice", "bot", b"t"))
    assert log.result(said("a.1.1", "hi", number=1)) == Refused(Code.SESSION_ENDED)
    assert log.result(said("a.1.2", "hi", number=1)) == Accepted(5)


def test_programs_and_accounts_number_for_themselves(log):
    log.login("alice", "a.1.1")
    log.login("bob", "b.1.1")
    assert log.result(said("a.1.1", "hi", number=5, client="one")) == Accepted(4)
    assert log.result(said("a.1.1", "hi", number=1, client="two")) == Accepted(5)
    assert log.result(said("b.1.1", "hi", number=1, client="one"), THERE) == Accepted(6)


def test_at_least_the_last_1024_numbers_are_remembered(log):
    log.login("alice", "a.1.1")
    for number in range(1, USUAL_BOUNDS.sends + 65):
        log.apply(said("a.1.1", "hi", number=number))
    assert log.result(said("a.1.1", "hi", number=1)) == Accepted(3, again=True)
    log.apply(said("a.1.1", "hi", number=USUAL_BOUNDS.sends + 65))
    assert log.result(said("a.1.1", "hi", number=64)) == Refused(Code.NUMBER_FORGOTTEN)
    assert log.result(said("a.1.1", "hi", number=65)) == Accepted(67, again=True)


def test_a_program_is_remembered_however_long_it_is_away(log):
    log.login("alice", "a.1.1")
    log.apply(said("a.1.1", "hi", number=9))
    log.time += 10_000 * DAY
    assert log.result(said("a.1.1", "hi", number=9)) == Accepted(3, again=True)


def test_of_an_accounts_programs_the_one_used_least_recently_is_forgotten(log):
    log.login("alice", "a.1.1")
    for number in range(USUAL_BOUNDS.programs):
        log.apply(said("a.1.1", "hi", number=9, client=f"p{number}"))
    log.apply(said("a.1.1", "hi", number=9, client="p0"))
    log.apply(said("a.1.1", "hi", number=9, client="one more"))
    assert log.result(said("a.1.1", "hi", number=9, client="p0")) == Accepted(3, again=True)
    assert log.result(said("a.1.1", "hi", number=9, client="p2")) == Accepted(5, again=True)
    again = said("a.1.1", "hi", number=9, client="p1")
    assert log.result(again) == Refused(Code.NUMBER_FORGOTTEN)
    assert log.result(said("a.1.1", "hi", number=10, client="p1")) == Accepted(log.next - 1)


def test_of_too_many_forgotten_programs_no_number_is_used_again():
    log = Log(HERE, THERE, bounds=FEW_PROGRAMS)
    log.login("alice", "a.1.1")
    log.login("bob", "a.1.2")
    for client, number in enumerate((7, 6, 1, 1, 8, 9)):  # the first two are forgotten
        assert log.result(said("a.1.1", "hi", number=number, client=f"p{client}")).id
    assert log.state.next_number(2, "p2") == 2
    assert log.state.next_number(2, "p0") == log.state.next_number(2, "new") == 8
    for client in ("p0", "p1", "new"):
        send = said("a.1.1", "hi", number=7, client=client)
        assert log.result(send) == Refused(Code.NUMBER_FORGOTTEN)
    assert log.result(said("a.1.1", "hi", number=8, client="new")) == Accepted(log.next - 1)
    assert log.result(said("a.1.2", "hi", number=1, client="new")) == Accepted(log.next - 1)


def test_a_program_that_is_forgotten_says_what_is_new_in_a_piece_and_nothing_else():
    log = Log(HERE, THERE, bounds=Bounds(programs=1))
    log.login("alice", "a.1.1")
    log.apply(said("a.1.1", "hi", number=2))
    log.apply(said("a.1.1", "hi", number=2, client="another"))
    piece = (Saying("hi", TO_EVERYBODY, "*", number, 1) for number in (2, 3))
    results = log.say("a.1.1", *piece).results
    assert results == [Refused(Code.NUMBER_FORGOTTEN), Accepted(log.next - 1)]
    assert log.result(said("a.1.1", "hi", number=3)).again


def test_a_program_that_is_finished_leaves_no_trace():
    log = Log(HERE, THERE, bounds=Bounds(programs=1, known_programs=1))
    for run in range(3):
        log.login("alice", f"a.1.{run}")
        account = log.state.account_named("alice").number
        assert log.state.next_number(account, f"run{run}") == 1
        log.apply(said(f"a.1.{run}", "hi", number=1, client=f"run{run}"))
        log.apply(Logout(f"a.1.{run}", 0, f"run{run}"))
    assert not list(log.state._programs.all())


def octets(root):
    """The memory of an object and of everything that it refers to, except methods."""
    seen, found = {}, [root]
    while found:
        one = found.pop()
        if id(one) not in seen and not isinstance(one, type | FunctionType | MethodType):
            seen[id(one)] = one
            found += get_referents(one)
    return sum(map(getsizeof, seen.values()))


def test_however_long_programs_come_and_go_they_take_no_more_memory():
    log = Log(HERE, THERE, bounds=FEW_PROGRAMS)
    log.login("stays", "a.1.0")
    log.apply(said("a.1.0", "hi", number=1))
    sizes = []
    for run in range(1, 301):
        account = log.login("alice", f"a.1.{run}")
        for client in range(6):
            for number in range(1, 10):
                log.apply(said(f"a.1.{run}", "hi", number=10 * client + number, client=f"{client}"))
        being_written = log.state.snapshot().records
        log.apply(said(f"a.1.{run}", "hi", number=99, client="5"))
        assert list(being_written)
        log.apply(Delete(f"a.1.{run}", account, "alice"))
        sizes.append(octets(log.state._programs))
    assert max(sizes[-20:]) < 1.1 * max(sizes[:20])


def test_programs_that_were_restored_take_no_more_memory(log):
    log.login("alice", "a.1.1")
    for client in range(60):
        for number in range(1, 100):
            log.apply(said("a.1.1", "hi", number=number, client=f"p{client}"))
    snapshot = log.state.snapshot()
    records = list(snapshot.records)
    restored = ChatState.restored(snapshot.head(), iter(records))
    assert octets(restored._programs) < 1.1 * octets(log.state._programs)


def test_until_something_is_removed_an_older_release_has_the_same_head_of_a_snapshot(log):
    log.login("alice", "a.1.1")
    log.apply(Forget(1))
    assert len(msgpack.decode(log.state._head())) == 6
    log.apply(Forget(2, unread=True))
    assert len(msgpack.decode(log.state._head())) == 7


def in_all(log):
    """Two programs of each of two accounts; of the second account, the first was used again."""
    log.login("alice", "a.1.1")
    log.login("bob", "a.1.2")
    for session, client in (("1", "a"), ("2", "b"), ("1", "c"), ("2", "d"), ("2", "b")):
        log.apply(said(f"a.1.{session}", "hi", number=9, client=client))


def is_remembered(log, session, client):
    return log.result(said(session, "hi", number=9, client=client)).again


def test_of_too_much_in_all_the_account_that_takes_most_forgets():
    log = Log(HERE, THERE, bounds=Bounds(cost=5 * COST + 5, cost_step=COST))
    log.login("carol", "a.1.3")
    log.apply(said("a.1.3", "hi", number=9, client="only"))
    in_all(log)
    for number, client in enumerate("efgh", 10):  # of bob: nobody else has to forget for that
        assert log.result(said("a.1.2", "hi", number=number, client=client)).id
    assert is_remembered(log, "a.1.3", "only")
    assert is_remembered(log, "a.1.1", "a")
    assert is_remembered(log, "a.1.1", "c")
    assert log.result(said("a.1.2", "hi", number=13, client="h")).again
    assert log.result(said("a.1.2", "hi", number=9, client="d")) == Refused(Code.NUMBER_FORGOTTEN)


def test_of_accounts_that_take_the_same_the_one_used_least_recently_forgets():
    log = Log(HERE, THERE, bounds=Bounds(cost=2 * COST + 2))
    for number, name in enumerate(("alice", "bob", "carol")):
        log.login(name, f"a.1.{number}")
    for number in (0, 1, 0, 2):
        log.apply(said(f"a.1.{number}", "hi", number=9))
    assert log.result(said("a.1.1", "hi", number=9)) == Refused(Code.NUMBER_FORGOTTEN)
    assert log.result(said("a.1.0", "hi", number=9)).again
    assert log.result(said("a.1.2", "hi", number=9)).again


def test_a_login_that_makes_one_account_too_many_is_refused():
    log = Log(HERE, THERE, bounds=Bounds(accounts=2))
    log.login("alice", "a.1.1")
    log.login("bob", "a.1.2")
    log.apply(End("a.1.2", 0))
    refused = Refused(Code.TOO_MANY_ACCOUNTS, "carol")
    assert log.result(Login("a.1.3", "carol", "", b"")) == refused
    log.login("bob", "a.1.3")
    log.apply(Delete("a.1.1", UNKNOWN, "bob"))
    log.login("carol", "a.1.4")


def test_a_login_whose_entry_forbids_it_makes_no_account(log):
    refused = Refused(Code.TOO_MANY_NEW_ACCOUNTS, "bob")
    assert (
        log.result(Login("a.1.1", "bob", "", b"", refuse_new=Code.TOO_MANY_NEW_ACCOUNTS)) == refused
    )
    assert log.state.accounts == {}
    log.login("bob", "a.1.2")
    log.apply(End("a.1.2", 0))
    again = Login("a.1.3", "bob", "", b"", refuse_new=Code.TOO_MANY_NEW_ACCOUNTS)
    assert isinstance(log.result(again), Accepted)


def unlike(session, name):
    return Login(session, name, "", b"", refuse_alike=True)


def test_a_new_name_that_looks_like_another_is_refused_and_old_ones_log_in(log):
    log.login("Alice", "a.1.1")
    log.login("al1ce", "a.1.2")  # of an earlier version's entry
    refused = Refused(Code.NAME_LOOKS_ALIKE, "Alice")
    assert log.result(unlike("a.1.3", "a.lice")) == refused
    log.apply(End("a.1.2", 0))
    assert isinstance(log.result(unlike("a.1.4", "AL1CE")), Accepted)
    assert isinstance(log.result(unlike("a.1.5", "bob")), Accepted)


def test_a_name_is_free_when_no_name_looks_like_it_any_more(log):
    log.login("al-ice", "a.1.1")
    log.login("alice", "a.1.2")
    for gone in ("al-ice", "alice"):
        assert log.result(unlike("a.1.3", "a1ice")).code is Code.NAME_LOOKS_ALIKE
        log.login("root", "a.1.9") if gone == "al-ice" else None
        log.apply(Delete("a.1.9", UNKNOWN, gone))
    assert isinstance(log.result(unlike("a.1.4", "a1ice")), Accepted)


def test_names_that_look_alike_are_known_after_a_restart(log):
    for number, name in enumerate(("Alice", "al1ce", "b-o-b", "carol")):
        log.login(name, f"a.1.{number}")
    restored = Stored().restored(log.state)
    for name in ("a.l.ice", "bob", "car0l"):
        alike = log.state.account_like(name)
        assert alike is not None
        assert restored.account_like(name).name == alike.name
    assert restored.account_like("dave") is None


def test_entries_of_earlier_versions_mean_what_they_did():
    old = msgpack.encode(["login", "a.1.1", "al1ce", "", b""])
    assert decode(old) == Login("a.1.1", "al1ce", "", b"")


def test_deletion_forgets_the_accounts_programs(log):
    log.login("alice", "a.1.1")
    log.apply(said("a.1.1", "hi", number=9))
    log.apply(Delete("a.1.1", 2, "alice"))
    log.login("alice", "a.1.2")
    assert log.result(said("a.1.2", "hi", number=1)) == Accepted(6)


# --- snapshots ---------------------------------------------------------------------------


VERIFIER = Verifier(b"salt", 4096, b"stored", b"server")

KINDS = (
    "login",
    "resume",
    "say",
    "send",
    "sends",
    "delete",
    "end",
    "logout",
    "seen",
    "origins",
    "secret",
    "invite",
    "grant",
    "kick",
    "salting",
    "again",
)
steps = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 5), st.integers(0, 3)),
    max_size=40,
)


def command_of(kind, session, opened, at, chosen):
    """A random command; ``opened`` makes the id of a new session."""
    x, y = chosen
    name, token, account = ("Ann", "ann", "Bea", "Cy")[y], (b"", b"s", b"t", b"t")[y], 2 + x
    match kind:
        case "login":
            return Login(opened(), name, "bot", token)
        case "resume":
            return Resume(opened(), name, "bot", token)
        case "say":
            return said(session, "hi", (TO_EVERYBODY, UNKNOWN, account)[y % 3], name)
        case "send":
            number, client = 1 + x, ("bot", "two", "three", "four")[y]
            return said(session, "hi", UNKNOWN, name, number=number, checksum=y, client=client)
        case "sends":
            return said(session, "hi", number=at, client=("bot", "two")[y % 2])
        case "delete":
            return Delete(session, (UNKNOWN, account)[y % 2], name)
        case "end" | "logout":
            return (End if kind == "end" else Logout)(session, x)
        case "seen":
            return Seen(((account, y), (2, x)))
        case "secret":
            return SetSecret(session, account, name, x, VERIFIER if y else None)
        case "invite":
            return Invite(session if x % 2 else "", name, VERIFIER, reset=y < 2)
        case "grant":
            return Grant(session if x % 2 else "", name, Role(y % 2))
        case "kick":
            return Kick(session if x % 2 else "", name)
        case "salting":
            return Salting(bytes([x]))
        case "origins":
            return Origins((HERE, THERE, "c.1")[: 1 + x % 3])
    return Nothing()


def script(drawn):
    """The entries of random choices: numbered as origins do, but without any sense."""
    numbers, sessions = {HERE: 0, THERE: 0, "c.1": 0}, ["a.1.0"]
    for at, (kind, who, x, y) in enumerate(drawn):
        origin = tuple(numbers)[who]

        def opened(origin=origin):
            sessions.append(f"{origin}.{len(sessions)}")
            return sessions[-1]

        command = command_of(kind, sessions[x % len(sessions)], opened, 1 + at, (x, y))
        if kind == "origins":
            yield "", 0, START + at * DAY, command
            continue
        numbers[origin] += kind != "again"
        yield origin, numbers[origin], START + at * DAY, command


def follow(state, entries):
    """The outcomes of the entries."""
    return [
        state.apply(state.applied + 1, origin, number, time, command)
        for origin, number, time, command in entries
    ]


@given(steps)
@deterministic
def test_no_entries_are_a_bug_and_the_same_give_the_same_image(drawn):
    one, other = Log(HERE, THERE, "c.1").state, Log(HERE, THERE, "c.1").state
    entries = list(script(drawn))
    assert follow(one, entries) == follow(other, entries)
    assert one.image() == other.image()
    on = [account.name for account in one.accounts.values() if account.session]
    assert present(one) == sorted(on, key=str.lower)


@given(steps, st.integers(0, 40))
@deterministic
def test_a_state_restored_at_any_point_goes_on_the_same(drawn, cut):
    entries = list(script(drawn))
    original = Log(HERE, THERE, "c.1").state
    follow(original, entries[:cut])
    restored = Stored().restored(original)
    assert restored.image() == original.image()
    assert restored.accounts == original.accounts
    assert follow(restored, entries[cut:]) == follow(original, entries[cut:])
    assert restored.image() == original.image()


LOW_BOUNDS = Bounds(
    programs=2,
    known_programs=4,
    sends=4,
    program_cost=3,
    cost=24,
    cost_step=4,
    accounts_in_record=2,
    sends_in_record=2,
)
"""So low that a few entries reach them all."""


def _holder(log, session):
    account = log.state.account_of(session)
    return (0, "", 0) if account is None else (account.number, account.name, account.secret)


def busy(chosen, count=150):
    """Entries of people and programs who mostly do what can be done."""
    log = Log(HERE, THERE, bounds=LOW_BOUNDS)
    yield "", 0, START, Origins((HERE, THERE))
    for opened in range(1, count + 1):
        on = sorted(log.state.account_named(name).session for name in present(log.state))
        session = chosen.choice(on) if on else "a.1.0"
        name, origin = chosen.choice("abcdefghij"), chosen.choice((HERE, THERE))
        commands = [Login(f"{origin}.{opened}", name, "bot", b"t")] * 3
        commands += [End(session, log.state.applied), Seen(((chosen.randint(2, 60), opened),))]
        commands += [said(session, "hi", number=opened, client=chosen.choice("xxxxxxyyyzuvw"))] * 9
        commands += [Logout(session, 0, chosen.choice(("", "x")))]
        commands += [Delete(session, UNKNOWN, name)] * chosen.randint(0, 1)
        commands += [SetSecret(session, *_holder(log, session), VERIFIER)]
        commands += [chosen.choice((Kick("", name), Invite("", name, VERIFIER)))]
        command = chosen.choice(commands)
        if chosen.random() < 0.02:
            yield "", 0, START, Origins((HERE, THERE))
            log.open(HERE, THERE)
        log.apply(command, origin)
        yield origin, log.numbers[origin], START, command


@pytest.mark.parametrize("seed", range(60))
def test_snapshots_of_any_node_agree_whatever_happens_while_they_are_written(seed):
    """One node makes snapshots while it goes on, and restarts; the other has just begun."""
    chosen = random.Random(seed)
    entries = list(busy(chosen))
    state, stored, waiting = ChatState(LOW_BOUNDS), Stored(LOW_BOUNDS), list(entries)

    def some_more():
        follow(state, waiting[: (more := chosen.randint(0, 5))])
        del waiting[:more]

    while waiting:
        follow(state, waiting[: (more := chosen.randint(1, 12))])
        del waiting[:more]
        done, image = state.applied, state.image()
        digest = stored.write(state.snapshot(), meanwhile=some_more)
        assert stored.again().image() == image
        other = ChatState(LOW_BOUNDS)
        follow(other, entries[:done])
        assert Stored(LOW_BOUNDS).write(other.snapshot()) == digest
        if chosen.random() < 0.3:
            state, waiting = stored.again(), entries[done:]


def test_a_snapshot_has_what_changed_and_no_more(log):
    for number in range(100):
        log.login(f"user{number}", f"a.1.{number}")
    assert len(list(log.state.snapshot().records)) == 4  # 32 accounts in each
    assert list(log.state.snapshot().records) == []
    log.apply(End("a.1.7", 0))
    assert len(list(log.state.snapshot().records)) == 1
    for number in range(1, 66):
        log.apply(said("a.1.1", "hi", number=number))
    assert len(list(log.state.snapshot().records)) == 2  # 64 SENDs in each
    log.apply(said("a.1.1", "hi", number=66))
    assert len(list(log.state.snapshot().records)) == 1


def test_records_that_are_not_what_the_digest_was_made_of_are_corrupt(log):
    log.login("alice", "a.1.1")
    stored = Stored()
    stored.restored(log.state)
    log.apply(End("a.1.1", 0))
    [(key, data)] = log.state.snapshot().records
    stored.records[key] = data
    with pytest.raises(DecodeError, match="its records are not those"):
        stored.again()


# --- names -------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.text("abc", max_size=3)), max_size=60))
@deterministic
def test_sorted_names_are_those_that_a_sorted_list_would_have(changes):
    expected = set()
    names = SortedNames(part=3)
    for add, name in changes:
        if add and name not in expected:
            names.add(name)
            expected.add(name)
        elif not add and name in expected:
            names.remove(name)
            expected.remove(name)
        assert list(names.after(name)) == sorted(each for each in expected if each > name)
        assert list(SortedNames(expected, part=3).after("")) == list(names.after(""))


# --- what happens while a checkpoint is written --------------------------------------------

TOKEN = b"t" * 32


@pytest.mark.parametrize(
    "command",
    [
        Logout("a.1.1", 0),
        Logout("a.1.1", 3),
        End("a.1.1", 3),
        Resume("b.1.1", "alice", "bot", TOKEN),
        Login("b.1.1", "bob", "bot", b"n" * 32),
        Login("b.1.1", "newcomer", "", b""),
        Delete("a.1.1", 2, "alice"),
        Delete("a.1.1", UNKNOWN, "bob"),
        Seen(((2, 4), (3, 3))),
        Origins((THERE,)),
        SetSecret("a.1.1", 2, "alice", 0, VERIFIER),
        Invite("", "bob", VERIFIER, reset=True),
        Invite("", "newcomer", VERIFIER),
        Kick("", "alice"),
        Salting(b"s"),
    ],
    ids=lambda command: type(command).__name__ + repr(command)[-12:],
)
def test_whatever_changes_after_it_a_snapshot_is_of_its_entry(command):
    digests = []
    for changes_first in (False, True):
        log, stored = Log(HERE, THERE), Stored()
        log.login("alice", "a.1.1", TOKEN, "bot")
        log.login("bob", "a.1.2", TOKEN, "bot")
        log.apply(End("a.1.2", 0))
        snapshot = log.state.snapshot()
        before = log.state.image()
        if changes_first:
            log.apply(command)
            assert log.state.image() != before
        digests.append(stored.write(snapshot))
        assert stored.again().image() == before
    assert digests[0] == digests[1]
