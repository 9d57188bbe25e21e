"""Snapshots: of one entry, the same at all nodes, and enough to go on from."""

import random

import pytest
from applied import HERE, START, THERE, Log, Stored, said
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import DecodeError

from chainchat.chat.accounts import AccountRecords, AccountRole, Verifier
from chainchat.chat.bounds import Bounds
from chainchat.chat.commands import (
    TO_EVERYBODY,
    UNKNOWN,
    Delete,
    End,
    Grant,
    Invite,
    Kick,
    Login,
    Logout,
    Nothing,
    Origins,
    Resume,
    Salting,
    Seen,
    SetSecret,
)
from chainchat.chat.programs import Program, Programs
from chainchat.chat.state import ChatState
from tests.chat.applied import present

deterministic = settings(derandomize=True, max_examples=150, deadline=None)

DAY = 24 * 3600 * 1000


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
            return Grant(session if x % 2 else "", name, AccountRole(y % 2))
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


@pytest.mark.parametrize("seed", range(20))
def test_who_is_furthest_behind_has_the_least_of_all_marks(seed):
    chosen, state = random.Random(seed), ChatState(LOW_BOUNDS)
    for at, entry in enumerate(busy(chosen)):
        follow(state, [entry])
        if at == 75:
            state = Stored(LOW_BOUNDS).restored(state)
        if chosen.random() < 0.3:
            marks = [account.seen for account in state.accounts.values()]
            behind = state.furthest_behind()
            assert (behind and behind.seen) == min(marks, default=None)


class WatchedAccount:
    """An account that counts how often somebody looks at its read mark."""

    looks = 0

    def __init__(self, number):
        self.number, self.record, self._seen = number, 0, number

    @property
    def seen(self):
        WatchedAccount.looks += 1
        return self._seen

    @seen.setter
    def seen(self, seen):
        self._seen = seen


def test_few_of_many_accounts_are_looked_at_for_who_is_furthest_behind():
    records, in_record = AccountRecords(Bounds()), Bounds().accounts_in_record
    accounts = [WatchedAccount(1 + n) for n in range(100 * in_record)]
    for account in accounts:
        records.add(account)
    for at, account in enumerate(accounts[: 2 * in_record]):
        records.see(account, 100_000)
        WatchedAccount.looks = 0
        assert records.furthest_behind() is accounts[at + 1]
        assert WatchedAccount.looks <= 2 * in_record


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


def test_the_programs_of_a_deleted_account_cost_nothing_until_the_next_snapshot(monkeypatch):
    """Which drops each of their records once, even if one was forgotten before."""
    bounds = Bounds(programs=1)
    log, stored = Log(HERE, bounds=bounds), Stored(bounds)
    log.login("alice", "a.1.1")
    for client in ("one", "two"):
        for number in range(1, 201):
            log.apply(said("a.1.1", "hi", client=client, number=number))
    stored.write(log.state.snapshot())
    assert len(stored.records) == 1 + 1 + 4  # an account, and 64 SENDs in each
    log.apply(said("a.1.1", "hi", client="three", number=1))
    looked_at, keys = [], Program.written_keys
    monkeypatch.setattr(Program, "written_keys", lambda one: looked_at.append(one) or keys(one))
    log.apply(Delete("a.1.1", UNKNOWN, "alice"))
    assert looked_at == []
    assert log.state.image() == stored.restored(log.state).image()
    assert (len(looked_at), stored.records) == (3, {})


def test_a_snapshot_sorts_what_has_changed_but_not_what_is_gone(monkeypatch):
    """That can be hundreds of thousands of records, in one turn of every node."""
    lengths = []

    def counted(things):
        ordered = sorted(things)
        lengths.append(len(ordered))
        return ordered

    monkeypatch.setattr("chainchat.chat.programs.sorted", counted, raising=False)
    bounds = Bounds(sends_in_record=1, sends=8, programs=2)
    programs = Programs(bounds, lambda account, highest: None)
    for number in range(2 * 2):
        program = programs.use(1, f"client{number}", number + 1, 0)
        program.remember([*range(1, 9)], [1] * 8, [*range(1, 9)])
        programs.said(program, 0)
        written = list(programs.snapshot())
    assert [data for _, data in written].count(b"") == 7
    assert max(lengths) == 2


def test_records_that_are_not_what_the_digest_was_made_of_are_corrupt(log):
    log.login("alice", "a.1.1")
    stored = Stored()
    stored.restored(log.state)
    log.apply(End("a.1.1", 0))
    [(key, data)] = log.state.snapshot().records
    stored.records[key] = data
    with pytest.raises(DecodeError, match="its records are not those"):
        stored.again()


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
