"""Checkpoints: when they begin, how they are written, and how neighbours compare them."""

import pytest
from logs_made_up import chained
from msgspec.structs import replace

from chainchat.chain.entries import Entry, EntryId
from chainchat.chat import commands
from chainchat.chat.commands import TO_EVERYBODY, Login, Origins, Say, Saying
from chainchat.node.budget import CheckpointPace
from chainchat.node.state_machine import StateMachine, StateMismatchError
from chainchat.storage.memory import MemoryStorage

HERE = "a.1"


def holding(log):
    storage = MemoryStorage()
    storage.append(list(log))
    return storage


def entries(count):
    return chained(EntryId(), _unnamed(count))


def _unnamed(count):
    """An opening, then logins, each followed by what that account's program says."""
    yield Entry(1, 1, "", 0, 1_000, commands.encode(Origins((HERE,))))
    for number in range(1, count, 2):
        session, seq = f"{HERE}.{number}", number + 1
        login = commands.encode(Login(session, f"user{number}", "bot", b"t"))
        yield Entry(seq, 1, HERE, number, 1_000, login)
        say = Say(session, seq, f"user{number}", "bot", (Saying("hi", TO_EVERYBODY, "*", 1, 1),))
        yield Entry(seq + 1, 1, HERE, number + 1, 1_000, commands.encode(say))


def machine(storage):
    return StateMachine(storage, CheckpointPace(checkpoint_entries=10, records_at_once=1))


def no_time():
    return False


def follow(applied, log, *, slices):
    """Apply entries, with so many slices after each; returns the digests."""
    digests = {}
    for entry in log:
        applied.apply(entry)
        if applied.checkpoint_is_due:
            applied.begin_checkpoint()
        for _ in range(slices):
            finished = applied.write_checkpoint(no_time)
            if finished is not None:
                digests[finished.seq] = finished.digest
    return digests


def test_checkpoints_fall_on_the_multiples_however_large_the_state_is():
    digests = follow(machine(holding(entries(400))), entries(400), slices=20)
    assert list(digests) == list(range(10, 401, 10))


def test_however_many_slices_a_checkpoint_takes_its_digest_is_the_same():
    fast = follow(machine(holding(entries(400))), entries(400), slices=20)
    slow = follow(machine(holding(entries(400))), entries(400), slices=1)
    assert slow
    assert slow == {seq: fast[seq] for seq in slow}


def test_a_checkpoint_that_takes_too_long_puts_the_next_one_off():
    applied = machine(holding(entries(60)))
    assert follow(applied, entries(60), slices=0) == {}
    assert applied.checkpointing
    while applied.checkpointing:
        finished = applied.write_checkpoint(no_time)
    assert finished.seq == 10
    assert applied.checkpoint_is_due
    applied.begin_checkpoint()
    applied.write_checkpoint(lambda: True)
    assert not applied.checkpoint_is_due


def test_a_node_that_restarts_in_the_middle_of_a_checkpoint_ends_with_the_same_digests():
    log = list(entries(400))
    steady = follow(machine(holding(log)), log, slices=20)
    storage = holding(log)
    for stop in range(15, 400, 35):
        applied = machine(storage)
        follow(applied, log[applied.state.applied : stop], slices=1)
    applied = machine(storage)
    digests = follow(applied, log[applied.state.applied :], slices=20)
    assert len(digests) > 2
    assert digests == {seq: steady[seq] for seq in digests}
    steady_state = machine(holding(log))
    follow(steady_state, log, slices=20)
    assert applied.state.image() == steady_state.state.image()


def test_a_digest_is_compared_whichever_of_the_two_comes_first():
    log = entries(40)
    applied = machine(holding(log))
    applied.compare(10, b"another", "middle")
    with pytest.raises(StateMismatchError, match="as of entry 10 differs from that of middle"):
        follow(applied, log, slices=20)
    applied = machine(holding(log))
    digests = follow(applied, log, slices=20)
    applied.compare(40, digests[40], "middle")
    applied.compare(30, b"long ago", "middle")
    with pytest.raises(StateMismatchError):
        applied.compare(40, b"another", "middle")


def test_the_digest_is_that_of_the_log_as_well():
    """Two logs that lead to the same state are still two histories."""
    log = entries(40)
    other = chained(EntryId(), [replace(log[0], time=999), *log[1:]])
    states = [machine(holding(one)) for one in (log, other)]
    mine, theirs = (
        follow(state, one, slices=20) for state, one in zip(states, (log, other), strict=True)
    )
    assert states[0].state.image() == states[1].state.image()
    with pytest.raises(StateMismatchError, match="as of entry 40 differs from that of middle"):
        states[0].compare(40, theirs[40], "middle")
    states[0].compare(40, mine[40], "middle")
