"""Saying: each message once, and what is remembered of programs, within bounds."""

from gc import get_referents
from sys import getsizeof
from types import FunctionType, MethodType

import pytest
from applied import HERE, THERE, Log, Stored, said
from msgspec import msgpack

from chainchat.chat.bounds import USUAL_BOUNDS, Bounds
from chainchat.chat.commands import (
    TO_EVERYBODY,
    UNKNOWN,
    Delete,
    End,
    Forget,
    Login,
    Logout,
    Nothing,
    Resume,
    Saying,
    decode,
)
from chainchat.chat.outcomes import Accepted, Outcome, Refused, Said
from chainchat.chat.refusals import Code
from chainchat.chat.state import ChatState

DAY = 24 * 3600 * 1000
COST = USUAL_BOUNDS.program_cost
FEW_PROGRAMS = Bounds(programs=2, known_programs=4)


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
    restored = ChatState.restored(snapshot.header(), iter(records))
    assert octets(restored._programs) < 1.1 * octets(log.state._programs)


def test_until_something_is_removed_an_older_release_has_the_same_head_of_a_snapshot(log):
    log.login("alice", "a.1.1")
    log.apply(Forget(1))
    assert len(msgpack.decode(log.state._header())) == 6
    log.apply(Forget(2, unread=True))
    assert len(msgpack.decode(log.state._header())) == 7


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
