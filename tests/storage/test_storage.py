"""Storage: one contract, which the disk and its stand-in in memory both keep."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs_made_up import chained
from msgspec.structs import replace

from chainchat.chain.checkpoints import INDEX
from chainchat.chain.entries import Entry, EntryId, encode_entries
from chainchat.chain.log import fitting, size
from chainchat.chat.commands import Say, Saying, encode
from chainchat.ctl import offline
from chainchat.node.state_machine import StateMachine
from chainchat.storage.checksums import checked
from chainchat.storage.interface import EVERY_READER, Checkpoint, Indexed, LockedError, StorageError
from chainchat.storage.memory import MemoryStorage
from chainchat.storage.schema import READ_TOO, SCHEMA_VERSION
from chainchat.storage.sqlite import DATABASE, SQLiteStorage
from tests.chat.applied import names

deterministic = settings(derandomize=True, max_examples=60, deadline=None)

ALICE, BOB, NOBODY = 5, 6, -1
MUCH = 1 << 20


def entry(seq, epoch=1, command=b"x"):
    return Entry(seq, epoch, "id.1", seq, 1_000 + seq, command)


def entries(first, last, epoch=1):
    return [entry(seq, epoch) for seq in range(first, last + 1)]


def rows(*rows_):
    return [Indexed(reader, [id_], sender) for reader, id_, sender in rows_]


def epoch_of(storage, seq):
    held = storage.id_of(seq)
    return None if held is None else held.epoch


def checkpoint(storage, seq, head=b"head", *records):
    """A whole checkpoint, in one go."""
    storage.begin_checkpoint(seq)
    while storage.write_records(records):
        records = ()
    storage.finish_checkpoint(head)


@pytest.fixture(params=["disk", "memory"])
def storage(request, tmp_path):
    storage = SQLiteStorage(tmp_path / "data") if request.param == "disk" else MemoryStorage()
    yield storage
    storage.close()


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


# --- the contract: the beginning of the log, and copied checkpoints ------------------------


def batches(storage, *ends):
    """Entries up to each of these ends, in one batch each, all committed."""
    first = storage.last.seq + 1
    for end in ends:
        storage.append(entries(first, end), committed=end)
        first = end + 1
    return storage


def all_removed(storage, up_to):
    while storage.remove(up_to):
        pass
    for _ in range(1_000):
        if not storage.tidy():
            return storage
    raise AssertionError("no end of tidying")


def test_what_a_checkpoint_covers_can_leave_the_beginning_of_the_log(storage):
    batches(storage, 2, 4, 6, 8)
    checkpoint(storage, 6)
    storage.index(rows((ALICE, 7, BOB)))
    all_removed(storage, 4)
    assert storage.beginning == EntryId(1, 4)
    assert storage.last == EntryId(1, 8)
    assert storage.read(4, 8, MUCH) == entries(5, 8)
    assert [epoch_of(storage, seq) for seq in range(10)] == [0, *[None] * 3, *[1] * 5, None]
    assert [storage.end_before(seq) for seq in (4, 5, 8, 20)] == [4, 5, 8, 8]
    with pytest.raises(StorageError, match="entry 4 is missing from the log"):
        list(storage.entries([4]))
    assert storage.newest_checkpoint().seq == 6


def test_what_no_checkpoint_covers_stays(storage):
    batches(storage, 2, 4, 6, 8)
    checkpoint(storage, 4)
    with pytest.raises(StorageError):
        storage.remove(6)
    assert storage.beginning == EntryId()
    assert storage.read(0, 8, MUCH) == entries(1, 8)


def test_what_is_not_known_to_be_committed_stays(storage):
    storage.append(entries(1, 2), committed=2)
    storage.append(entries(3, 4), committed=2)
    checkpoint(storage, 4)
    with pytest.raises(StorageError):
        storage.remove(3)


def test_the_newest_entry_stays(storage):
    batches(storage, 2, 4)
    checkpoint(storage, 4)
    all_removed(storage, 4)
    assert storage.last == EntryId(1, 4)
    assert storage.read(3, 4, MUCH) == entries(4, 4)


def test_a_log_can_be_cut_down_to_its_beginning_and_goes_on(storage):
    batches(storage, 2, 4)
    checkpoint(storage, 4)
    storage.append(entries(5, 6), committed=4)
    all_removed(storage, 4)
    storage.cut(4)
    assert (storage.beginning, storage.last) == (EntryId(1, 4), EntryId(1, 4))
    assert storage.id_of(4) == EntryId(1, 4)
    assert storage.read(4, 4, MUCH) == []
    storage.append(entries(5, 7, epoch=2), committed=4)
    assert storage.read(4, 7, MUCH) == entries(5, 7, epoch=2)


def test_a_log_that_was_cut_down_to_its_beginning_is_read_again(data):
    storage = SQLiteStorage(data)
    batches(storage, 4)
    checkpoint(storage, 4)
    storage.append(entries(5, 6), committed=4)
    all_removed(storage, 4)
    storage.cut(4)
    storage.close()
    storage = SQLiteStorage(data)
    assert (storage.beginning, storage.last) == (EntryId(1, 4), EntryId(1, 4))
    assert storage.committed == 4
    begin, end = (offline.inspected(data)[key] for key in ("begin", "end"))
    assert (begin, end) == (5, 4)
    storage.close()


def test_a_log_without_its_beginning_goes_on(storage):
    batches(storage, 2, 4)
    checkpoint(storage, 4)
    all_removed(storage, 2)
    batches(storage, 9)
    assert storage.read(2, 9, MUCH) == entries(3, 9)
    storage.write_committed(9)
    storage.append(entries(10, 11))
    storage.cut(9)
    assert (storage.beginning, storage.last) == (EntryId(1, 2), EntryId(1, 9))


def test_the_oldest_entries_that_hold_so_much_are_found(storage):
    batches(storage, 2, 4, 6)
    assert storage.end_of_oldest(0) == 0
    assert 1 <= storage.end_of_oldest(1) <= 2
    assert storage.end_of_oldest(MUCH) == 6
    assert storage.octets() > 0


def lender(storage):
    """A log up to 8 without its first 2 entries, and a checkpoint as of 6 with some messages."""
    batches(storage, 2, 4, 6)
    storage.index(rows((ALICE, 3, BOB), (EVERY_READER, 5, BOB)))
    checkpoint(storage, 6, b"head", (5, b"five"), (7, b"seven"))
    batches(storage, 8)
    return all_removed(storage, 2)


def copied(source, to, octets=1):
    """Copy its checkpoint, and the log up to the checkpoint's entry, some octets at a time."""
    offered = source.offered()
    if to.staged is None or to.staged.offered != offered:
        to.stage(offered)
    while not to.staged.complete:
        found, complete = source.rows(to.staged.place, octets)
        to.stage_rows(found, complete=complete)
        yield
    while to.staged.end.seq < offered.checkpoint.seq:
        to.stage_entries(source.read(to.staged.end.seq, source.last.seq, octets))
        yield


@pytest.fixture(params=["disk", "memory"])
def other(request, tmp_path):
    storage = SQLiteStorage(tmp_path / "other") if request.param == "disk" else MemoryStorage()
    yield storage
    storage.close()


@pytest.mark.parametrize("octets", [1, MUCH])
def test_a_copied_checkpoint_takes_the_place_of_all_but_the_record(storage, other, octets):
    lender(storage)
    batches(other, 1, 3)
    other.write_record(b"record")
    checkpoint(other, 1, b"old", (9, b"nine"))
    other.index(rows((BOB, 2, ALICE)))
    for _ in copied(storage, other, octets):
        assert (other.last, other.newest_checkpoint().head) == (EntryId(1, 3), b"old")
    assert sorted(other.staged_records()) == [(5, b"five"), (7, b"seven")]
    other.install()
    assert other.staged is None
    assert other.newest_checkpoint() == Checkpoint(6, b"head")
    assert sorted(other.records()) == [(5, b"five"), (7, b"seven")]
    assert (other.beginning, other.committed) == (EntryId(1, 2), 6)
    last = 6 if octets == 1 else 8
    assert other.read(2, last, MUCH) == entries(3, last)
    assert other.ids_after(ALICE, 0, 9, unless_sender=NOBODY) == [3, 5]
    assert other.ids_after(BOB, 0, 9, unless_sender=NOBODY) == [5]
    assert other.read_record() == b"record"
    all_removed(other, 2)
    batches(other, 9)
    checkpoint(other, 9, b"next", (5, b""))
    assert list(other.records()) == [(7, b"seven")]


def test_a_copy_goes_on_at_a_node_that_has_divided_the_index_elsewhere(tmp_path, other):
    def lender(name, *checkpoints):
        storage = SQLiteStorage(tmp_path / name)
        for seq in range(1, 11):
            batches(storage, seq)
            storage.index(rows((EVERY_READER, seq, BOB)))
            if seq in checkpoints:
                checkpoint(storage, seq, b"head", (5, b"five"))
        return storage

    one, two = lender("one", 5, 10), lender("two", 8, 10)
    steps = copied(one, other)
    while other.staged is None or other.staged.place != (INDEX, EVERY_READER, 5):
        next(steps)
    for _ in copied(two, other):
        pass
    other.install()
    assert other.ids_after(ALICE, 3, 3, unless_sender=NOBODY) == [4, 5, 6]
    assert other.ids_before(ALICE, 11, 9, unless_sender=NOBODY) == list(range(10, 1, -1))
    one.close()
    two.close()


def test_a_checkpoint_that_was_begun_does_not_end_the_lending_of_the_one_before(storage, other):
    lender(storage)
    storage.begin_checkpoint(8)
    storage.write_records([(5, b"changed"), (6, b"new")])
    for _ in copied(storage, other):
        pass
    assert sorted(other.staged_records()) == [(5, b"five"), (7, b"seven")]


def test_what_was_copied_is_still_there_after_a_restart(data, tmp_path):
    source, target = lender(SQLiteStorage(data)), SQLiteStorage(tmp_path / "other")
    steps = 0
    while target.staged is None or target.staged.end.seq < 6:
        next(copied(source, target), None)
        target.close()
        target = SQLiteStorage(tmp_path / "other")
        assert target.newest_checkpoint() is None
        steps += 1
    target.install()
    target.close()
    target = SQLiteStorage(tmp_path / "other")
    assert (target.beginning.seq, target.newest_checkpoint().seq) == (2, 6)
    assert steps == 8  # rows and entries
    target.close()
    source.close()


def test_what_was_copied_of_another_checkpoint_is_thrown_away(storage, other):
    lender(storage)
    next(copied(storage, other))
    checkpoint(storage, 8, b"later", (5, b"changed"))
    for _ in copied(storage, other):
        pass
    other.install()
    assert dict(other.records()) == {5: b"changed", 7: b"seven"}
    assert other.newest_checkpoint() == Checkpoint(8, b"later")
    all_removed(other, 2)


# --- the contract: the log ---------------------------------------------------------------


def test_new_storage_holds_nothing(storage):
    assert storage.last == EntryId(0, 0)
    assert storage.read(0, 10, MUCH) == []
    assert storage.id_of(0) == EntryId()
    assert storage.id_of(1) is None
    assert storage.read_record() is None
    assert storage.newest_checkpoint() is None
    assert storage.committed == 0
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == []


def test_what_is_appended_in_batches_is_read_as_one_log(storage):
    storage.append(entries(1, 3))
    storage.append(entries(4, 4))
    storage.append(entries(5, 6, epoch=2))
    assert storage.last == EntryId(epoch=2, seq=6)
    assert storage.read(0, 6, MUCH) == entries(1, 4) + entries(5, 6, epoch=2)
    assert storage.read(1, 4, MUCH) == entries(2, 4)
    assert storage.read(6, 6, MUCH) == []


def test_each_entry_has_its_epoch(storage):
    storage.append(entries(1, 2))
    storage.append(entries(3, 4, epoch=7))
    assert [epoch_of(storage, seq) for seq in range(6)] == [0, 1, 1, 7, 7, None]


def test_a_read_takes_no_more_octets_than_it_was_given(storage):
    storage.append(entries(1, 2))
    storage.append(entries(3, 5))
    assert storage.read(0, 5, 4 * size(entry(1))) == entries(1, 4)
    assert storage.read(0, 5, 4 * size(entry(1)) - 1) == entries(1, 3)


def test_a_read_gives_one_entry_however_few_octets_there_are(storage):
    storage.append([entry(1, command=b"x" * 500), entry(2)])
    for octets in (0, 1):
        assert storage.read(0, 2, octets) == [entry(1, command=b"x" * 500)]


def test_single_entries_are_found_wherever_they_lie(storage):
    for first, last in ((1, 3), (4, 4), (5, 9)):
        storage.append(entries(first, last))
    assert list(storage.entries([1, 3, 4, 9])) == [entry(1), entry(3), entry(4), entry(9)]
    assert list(storage.entries([])) == []


def test_more_batches_than_are_cached_are_read_again_from_the_log(storage):
    for seq in range(1, 41):
        storage.append([entry(seq)])
    assert storage.read(0, 40, MUCH) == entries(1, 40)
    assert list(storage.entries([1, 40, 2])) == [entry(1), entry(40), entry(2)]


def wide(seq, span, epoch=1):
    """An entry that takes several sequence numbers, of which ``seq`` is the last."""
    return Entry(seq, epoch, "id.1", seq, 1_000 + seq, b"x", span)


def test_an_entry_is_found_by_any_of_its_sequence_numbers(storage):
    log = [entry(1), wide(4, 3), wide(6, 2), entry(7, epoch=2)]
    storage.append(log[:2])
    storage.append(log[2:])
    assert storage.last == EntryId(epoch=2, seq=7)
    assert list(storage.entries(range(1, 8))) == [log[n] for n in (0, 1, 1, 1, 2, 2, 3)]
    assert [epoch_of(storage, seq) for seq in range(9)] == [0, 1, 1, 1, 1, 1, 1, 2, None]
    assert [storage.end_before(seq) for seq in range(9)] == [0, 1, 1, 1, 4, 4, 6, 7, 7]
    assert storage.read(0, 7, MUCH) == log
    assert storage.read(1, 6, MUCH) == log[1:3]


def test_entries_leave_the_log_as_a_whole(storage):
    storage.append([entry(1), wide(4, 3), wide(6, 2)])
    storage.cut(4)
    assert storage.last == EntryId(1, 4)
    storage.append([wide(9, 5, epoch=2)])
    assert storage.read(0, 9, MUCH) == [entry(1), wide(4, 3), wide(9, 5, epoch=2)]


@given(
    batches=st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=4), max_size=5),
    after=st.integers(0, 20),
    up_to=st.integers(0, 20),
    octets=st.integers(0, 1_500),
)
@deterministic
def test_any_read_is_the_part_of_the_log_that_fits(batches, after, up_to, octets):
    with tempfile.TemporaryDirectory() as folder:
        log = []
        disk, memory = SQLiteStorage(Path(folder)), MemoryStorage()
        for batch in batches:
            part = [entry(len(log) + n, command=b"x" * s) for n, s in enumerate(batch, 1)]
            log += part
            disk.append(part)
            memory.append(part)
        expected = fitting(log[after:up_to], octets)
        assert disk.read(after, up_to, octets) == expected
        assert memory.read(after, up_to, octets) == expected
        disk.close()


# --- the contract: the index -------------------------------------------------------------


def test_a_reader_finds_its_own_messages_and_everybodys_in_order(storage):
    storage.index(rows((ALICE, 10, BOB), (EVERY_READER, 11, BOB), (BOB, 12, ALICE)))
    storage.index(rows((ALICE, 12, ALICE), (EVERY_READER, 13, ALICE), (7, 14, 8)))
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [10, 11, 12, 13]
    assert storage.ids_before(ALICE, 99, 10, unless_sender=NOBODY) == [13, 12, 11, 10]
    assert storage.ids_after(9, 0, 10, unless_sender=NOBODY) == [11, 13]


def test_the_bounds_themselves_are_left_out(storage):
    storage.index(rows((EVERY_READER, 10, BOB), (ALICE, 11, BOB), (EVERY_READER, 12, BOB)))
    assert storage.ids_after(ALICE, 10, 10, unless_sender=NOBODY) == [11, 12]
    assert storage.ids_before(ALICE, 12, 10, unless_sender=NOBODY) == [11, 10]


def test_one_senders_messages_can_be_left_out(storage):
    storage.index(rows((EVERY_READER, 10, ALICE), (ALICE, 11, BOB), (ALICE, 12, ALICE)))
    assert storage.ids_after(ALICE, 0, 10, unless_sender=ALICE) == [11]
    assert storage.ids_before(ALICE, 99, 10, unless_sender=ALICE) == [11]


@pytest.mark.parametrize("others", [[], [1], [1_000], [1_001], [2_500], [1, 2, 1_500, 2_000]])
def test_the_few_messages_of_others_are_found_among_many_of_ones_own(storage, others):
    for seq in range(1, 2_501):
        sender = BOB if seq in others else ALICE
        storage.index([Indexed(EVERY_READER, [seq], sender)])
    assert storage.ids_after(ALICE, 0, 10, unless_sender=ALICE) == others
    assert storage.ids_before(ALICE, 9_999, 10, unless_sender=ALICE) == others[::-1]
    assert storage.ids_after(ALICE, 1_000, 1, unless_sender=BOB) == [
        next(seq for seq in range(1_001, 2_501) if seq not in others)
    ]


def test_the_limit_is_for_both_lists_together(storage):
    storage.index(rows(*((ALICE, id_, BOB) for id_ in range(1, 20, 2))))
    storage.index(rows(*((EVERY_READER, id_, BOB) for id_ in range(2, 20, 2))))
    assert storage.ids_after(ALICE, 3, 4, unless_sender=NOBODY) == [4, 5, 6, 7]
    assert storage.ids_before(ALICE, 17, 3, unless_sender=NOBODY) == [16, 15, 14]
    assert storage.ids_after(ALICE, 0, 0, unless_sender=NOBODY) == []


def test_indexing_again_changes_nothing(storage):
    once = rows((EVERY_READER, 10, BOB), (ALICE, 11, BOB))
    storage.index(once)
    storage.append(entries(1, 1))
    storage.index(once)
    checkpoint(storage, 1, b"image")
    storage.index(once)
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [10, 11]


# --- the contract: record and checkpoint -------------------------------------------------


def test_a_record_is_replaced_as_a_whole(storage):
    storage.write_record(b"a long first record")
    storage.write_record(b"second")
    assert storage.read_record() == b"second"


def test_the_newest_checkpoint_takes_the_place_of_the_others(storage):
    checkpoint(storage, 10, b"old", (1, b"one"), (2, b"two"))
    checkpoint(storage, 20, b"new", (2, b"another"), (3, b"three"))
    assert storage.newest_checkpoint() == Checkpoint(20, b"new")
    assert list(storage.records()) == [(1, b"one"), (2, b"another"), (3, b"three")]


def test_a_record_without_data_is_gone(storage):
    checkpoint(storage, 10, b"head", (1, b"one"), (2, b"two"))
    checkpoint(storage, 20, b"head", (1, b""), (3, b""))
    assert list(storage.records()) == [(2, b"two")]
    checkpoint(storage, 30, b"head", (1, b"again"))
    assert list(storage.records()) == [(1, b"again"), (2, b"two")]
    checkpoint(storage, 40, b"head", (2, b""))
    checkpoint(storage, 50, b"head", (4, b"four"))
    assert list(storage.records()) == [(1, b"again"), (4, b"four")]


def test_a_checkpoint_that_is_not_finished_does_not_count(storage):
    checkpoint(storage, 10, b"head", (1, b"one"), (2, b"two"), (3, b""))
    storage.index(rows((ALICE, 15, BOB)))
    storage.begin_checkpoint(20)
    storage.index(rows((ALICE, 25, BOB)))
    storage.write_records([(1, b"another"), (2, b""), (3, b"three")])
    assert storage.newest_checkpoint() == Checkpoint(10, b"head")
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [15, 25]
    storage.abandon_checkpoint()
    assert storage.newest_checkpoint() == Checkpoint(10, b"head")
    assert list(storage.records()) == [(1, b"one"), (2, b"two")]
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == []


def test_what_is_indexed_while_a_checkpoint_is_written_belongs_to_the_next(storage):
    storage.index(rows((ALICE, 15, BOB)))
    storage.begin_checkpoint(20)
    storage.index(rows((ALICE, 25, BOB)))
    storage.write_records([])
    storage.finish_checkpoint(b"head")
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [15, 25]
    assert storage.ids_before(ALICE, 99, 10, unless_sender=NOBODY) == [25, 15]


def test_the_index_of_many_readers_is_written_bit_by_bit(storage):
    storage.index([Indexed(reader, [reader], BOB) for reader in range(100, 400)])
    storage.begin_checkpoint(500)
    while storage.write_records([]):
        found = [storage.ids_after(n, 0, 10, unless_sender=NOBODY) for n in range(100, 400)]
        assert found == [[n] for n in range(100, 400)]
    storage.finish_checkpoint(b"head")
    storage.abandon_checkpoint()
    assert [storage.ids_before(n, 500, 10, unless_sender=NOBODY) for n in (100, 399)] == [
        [100], [399],
    ]  # fmt: skip


writes = st.lists(
    st.tuples(
        st.sampled_from(["write", "finish", "abandon", "reopen"]),
        st.dictionaries(st.integers(0, 5), st.binary(max_size=2), max_size=4),
    ),
    max_size=20,
)


@given(writes)
@deterministic
def test_the_records_are_those_of_the_newest_finished_checkpoint(writes):
    with tempfile.TemporaryDirectory() as folder:
        storage, finished, begun, seq = SQLiteStorage(Path(folder)), {}, {}, 0
        for what, records in writes:
            seq += 1
            storage.begin_checkpoint(seq)
            storage.write_records(list(records.items()))
            begun = finished | records
            if what == "finish":
                storage.finish_checkpoint(b"head")
                finished = {key: data for key, data in begun.items() if data}
            if what == "reopen":
                storage.close()
                storage = SQLiteStorage(Path(folder))
            if what == "write":
                storage.finish_checkpoint(b"head")
                finished = {key: data for key, data in begun.items() if data}
                continue
            storage.abandon_checkpoint()
            assert dict(storage.records()) == finished
        storage.close()


# --- the contract: cutting the log -------------------------------------------------------


@pytest.mark.parametrize("after", range(7))
def test_a_cut_leaves_the_beginning_and_the_log_goes_on_from_there(storage, after):
    for first, last in ((1, 3), (4, 4), (5, 7)):
        storage.append(entries(first, last))
    assert storage.read(0, 7, MUCH) == entries(1, 7)
    assert storage.cut(after) is not None
    assert storage.last == (EntryId(1, after) if after else EntryId())
    assert storage.read(0, 7, MUCH) == entries(1, after)
    assert [epoch_of(storage, seq) for seq in range(after, 8)] == [min(after, 1)] + [None] * (
        7 - after
    )
    storage.append(entries(after + 1, 8, epoch=2))
    assert storage.read(0, 8, MUCH) == entries(1, after) + entries(after + 1, 8, epoch=2)
    assert epoch_of(storage, 8) == 2


@pytest.mark.parametrize("after", [3, 4, 99])
def test_nothing_is_cut_above_the_end(storage, after):
    storage.append(entries(1, 3))
    assert storage.cut(after) is None
    assert storage.last == EntryId(1, 3)


def test_a_cut_takes_the_messages_out_of_the_index(storage):
    storage.append(entries(1, 6))
    storage.index(rows((ALICE, 2, BOB), (EVERY_READER, 3, BOB)))
    checkpoint(storage, 3, b"image")
    storage.index(rows((EVERY_READER, 4, BOB), (ALICE, 5, BOB)))
    storage.cut(3)
    storage.append(entries(4, 4))
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2, 3]


def test_what_a_checkpoint_holds_is_not_cut(storage):
    storage.append(entries(1, 6))
    checkpoint(storage, 4, b"image")
    with pytest.raises(StorageError):
        storage.cut(3)
    assert storage.last == EntryId(1, 6)
    assert storage.cut(4) is not None
    assert storage.last == EntryId(1, 4)


def test_what_is_known_to_be_committed_is_not_cut(storage):
    storage.append(entries(1, 6))
    storage.write_committed(4)
    with pytest.raises(StorageError):
        storage.cut(3)
    assert storage.last == EntryId(1, 6)
    assert storage.cut(4) is not None


def test_what_was_noted_with_a_batch_is_committed_and_not_cut(storage):
    storage.append(entries(1, 4), 2)
    assert storage.committed == 2
    storage.append(entries(5, 6), 4)
    storage.append(entries(7, 7))
    assert storage.committed == 4
    with pytest.raises(StorageError):
        storage.cut(3)
    assert storage.cut(4) is not None
    assert storage.committed == 4


def test_what_was_read_before_a_cut_is_not_what_comes_in_its_place(storage):
    storage.append(entries(1, 3))
    storage.append(entries(4, 6))
    assert storage.read(0, 6, MUCH) == entries(1, 6)
    storage.cut(3)
    storage.append(entries(4, 6, epoch=2))
    assert storage.read(0, 6, MUCH) == entries(1, 3) + entries(4, 6, epoch=2)
    assert list(storage.entries([5])) == entries(5, 5, epoch=2)
    storage.cut(5)
    storage.append(entries(6, 6, epoch=3))
    assert storage.read(3, 6, MUCH) == entries(4, 5, epoch=2) + entries(6, 6, epoch=3)


def test_a_cut_takes_the_senders_out_of_the_index_with_the_messages(storage):
    storage.append(entries(1, 6))
    storage.index(rows((EVERY_READER, 2, BOB), (EVERY_READER, 5, BOB)))
    storage.cut(3)
    storage.append(entries(4, 6, epoch=2))
    storage.index(rows((EVERY_READER, 5, ALICE)))
    assert storage.ids_after(ALICE, 0, 10, unless_sender=ALICE) == [2]
    assert storage.ids_before(BOB, 10, 10, unless_sender=BOB) == [5]


def test_a_checkpoint_is_of_the_entry_that_it_was_begun_at(storage):
    """Though the log has gone on when it is finished."""
    storage.append(chained(EntryId(), entries(1, 2)))
    storage.begin_checkpoint(2)
    storage.append(chained(storage.last, entries(3, 4)))
    while storage.write_records([]):
        pass
    storage.finish_checkpoint(b"head")
    assert storage.newest_checkpoint() == Checkpoint(2, b"head")


def test_a_checkpoint_belongs_to_one_log(storage):
    storage.append(chained(EntryId(), entries(1, 4)))
    checkpoint(storage, 4, b"image")
    assert storage.newest_checkpoint() == Checkpoint(4, b"image")
    if isinstance(storage, MemoryStorage):
        storage._log[3] = replace(storage._log[3], digest=bytes(16))
    else:
        other = chained(EntryId(), entries(1, 3) + entries(4, 4, epoch=2))
        update = "UPDATE log SET entries = ?"
        storage._database.execute(update, (checked(encode_entries(other)),))
        storage._batches.forget()
        storage._last = storage._end()
    with pytest.raises(StorageError, match="is of another log"):
        storage.newest_checkpoint()


def test_what_is_cut_is_kept():
    storage = MemoryStorage()
    storage.append(entries(1, 6))
    storage.cut(4)
    storage.cut(3)
    assert storage.cuts == [entry(5), entry(6), entry(4)]


# --- on a disk ---------------------------------------------------------------------------


@pytest.mark.parametrize("after", [3, 5])
def test_what_a_batch_says_of_those_before_survives_reopening_and_a_cut(data, after):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.append(entries(4, 6), 3)
    storage.write_committed(2)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.committed == 3
    storage.cut(after)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.committed == 3
    with pytest.raises(StorageError):
        storage.cut(2)
    storage.close()


def test_what_is_cut_is_on_disk_before_it_leaves_the_log(data, monkeypatch):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    other = sqlite3.connect(data / DATABASE)
    seen = []

    def sync(descriptor, real=os.fsync):
        real(descriptor)
        [rows] = other.execute("SELECT count(*) FROM log WHERE last > 2").fetchone()
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        written = len(path.read_bytes().splitlines()) if path.is_file() else None
        seen.append((path.name, rows, written))

    monkeypatch.setattr(os, "fsync", sync)
    side_file = storage.cut(1)
    assert seen == [(side_file.name, 1, 2), (data.name, 1, None)]
    assert other.execute("SELECT max(last) FROM log").fetchone() == (1,)
    other.close()
    storage.close()


def test_a_checkpoint_lets_go_of_the_index_that_it_has_written(data):
    """Else every message ever said would be in memory, and written again each time."""
    storage = SQLiteStorage(data)
    storage.append(entries(1, 6))
    storage.index(rows((ALICE, 2, BOB), (EVERY_READER, 3, BOB)))
    checkpoint(storage, 3)
    assert not storage._index._newest.runs
    assert not storage._index._unwritten.runs
    storage.index(rows((ALICE, 5, BOB)))
    checkpoint(storage, 6)
    assert storage._database.execute("SELECT count(*) FROM messages").fetchone() == (3,)
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2, 3, 5]
    storage.close()


def test_records_that_come_and_go_take_no_more_and_more_of_the_disk(data):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 40))
    for seq in range(1, 41):
        gone = [(key, b"") for key in range(10 * seq - 10, 10 * seq)]
        new = [(key, b"data") for key in range(10 * seq, 10 * seq + 10)]
        checkpoint(storage, seq, b"head", *(gone if seq > 1 else []), *new)
    assert len(list(storage.records())) == 10
    storage.close()
    database = sqlite3.connect(data / DATABASE)
    [rows] = database.execute("SELECT count(*) FROM records").fetchone()
    database.close()
    assert rows < 60


def test_what_comes_while_a_checkpoint_is_written_is_not_written_with_it(data):
    """It is indexed again at the next start, and written with the next checkpoint."""
    storage = SQLiteStorage(data)
    storage.append(entries(1, 6))
    storage.index(rows((ALICE, 2, BOB)))
    storage.begin_checkpoint(3)
    storage.index(rows((ALICE, 5, BOB)))
    while storage.write_records([]):
        pass
    storage.finish_checkpoint(b"head")
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2, 5]
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2]
    storage.index(rows((ALICE, 5, BOB)))
    checkpoint(storage, 6)
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2, 5]
    storage.close()


def test_everything_survives_reopening(data):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.append(entries(4, 5, epoch=2))
    storage.write_record(b"record")
    storage.index(rows((ALICE, 4, BOB)))
    checkpoint(storage, 4, b"image")
    storage.write_committed(5)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.last == EntryId(epoch=2, seq=5)
    assert storage.committed == 5
    assert storage.read(0, 5, MUCH) == entries(1, 3) + entries(4, 5, epoch=2)
    assert storage.read_record() == b"record"
    assert storage.newest_checkpoint() == Checkpoint(4, b"image")
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [4]
    storage.append(entries(6, 6, epoch=2))
    assert epoch_of(storage, 6) == 2
    storage.close()


@pytest.mark.parametrize("command", [b"\xa2\xff\xfe", b"\x91" * 30_000], ids=["text", "nesting"])
def test_what_nobody_can_read_is_cut_off_and_kept_all_the_same(data, command):
    storage = SQLiteStorage(data)
    storage.append([entry(1), entry(2, command=command)])
    side_file = storage.cut(1)
    [line] = side_file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["command"] == repr(command)
    assert bytes.fromhex(json.loads(line)["octets"]) == command
    storage.close()


def test_a_cut_writes_a_side_file_of_its_own_and_survives_reopening(data):
    storage = SQLiteStorage(data)
    say = encode(Say("a.1.1", 5, "alice", "", (Saying("grüß euch", 0, "*"),)))
    for _ in range(2):
        storage.append([entry(1), entry(2), entry(3, command=say)])
        side_file = storage.cut(1)
        storage.cut(0)
    assert sorted(path.name for path in data.glob("*.jsonl")) == [
        "cut-1-1-1.jsonl", "cut-1-1-2.jsonl", "cut-2-3-1.jsonl", "cut-2-3-2.jsonl",
    ]  # fmt: skip
    assert side_file == data / "cut-2-3-2.jsonl"
    lines = [json.loads(line) for line in side_file.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {
        "seq": 2, "epoch": 1, "origin": "id.1", "number": 2, "time": 1_002, "span": 1,
        "command": "120", "octets": "78",
    }  # fmt: skip
    assert "'alice', '', [['grüß euch', 0, '*'" in lines[1]["command"]
    assert bytes.fromhex(lines[1]["octets"]) == say
    storage.append(entries(1, 3))
    storage.cut(2)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.read(0, 9, MUCH) == entries(1, 2)
    storage.close()


def test_only_one_can_have_the_folder_and_the_other_is_told_who(data):
    storage = SQLiteStorage(data)
    with pytest.raises(LockedError) as caught:
        SQLiteStorage(data)
    assert str(caught.value) == f"{data} is in use by process {os.getpid()}"
    storage.close()
    SQLiteStorage(data).close()


def one_line(data):
    """What the operator is told when ``data`` cannot be opened."""
    with pytest.raises(StorageError) as caught:
        SQLiteStorage(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def altered(data, *statements):
    SQLiteStorage(data).close()
    database = sqlite3.connect(data / "chainchat.sqlite", isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


READ = {
    "log": ("entries", lambda storage: storage.read(0, 9, MUCH), "the entries up to 3"),
    "messages": (
        "run",
        lambda storage: storage.ids_after(ALICE, 0, 9, unless_sender=NOBODY),
        "the messages of the index",
    ),
    "checkpoint": (
        "head",
        lambda storage: storage.newest_checkpoint(),
        "the octets of the checkpoint",
    ),
    "records": ("data", lambda storage: list(storage.records()), "the octets of the checkpoint"),
    "membership": ("record", lambda storage: storage.read_record(), "the octets of the record"),
}


@pytest.mark.parametrize("table", READ)
def test_a_bit_that_changed_on_the_disk_is_noticed(data, table):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.index(rows((ALICE, 2, BOB)))
    storage.write_record(b"record")
    checkpoint(storage, 3, b"image", (1, b"record"))
    storage.close()
    column, read, what = READ[table]
    database = sqlite3.connect(data / "chainchat.sqlite")
    [(stored,)] = database.execute(f"SELECT {column} FROM {table}").fetchall()
    changed = stored[:-1] + bytes([stored[-1] ^ 1])
    database.execute(f"UPDATE {table} SET {column} = ?", (changed,))
    database.commit()
    database.close()
    with pytest.raises(StorageError, match=f"{what} are not what was written"):
        read(SQLiteStorage(data))


def test_a_file_that_is_no_database_is_refused(data):
    data.mkdir()
    (data / "chainchat.sqlite").write_bytes(b"not a database at all. " * 100)
    assert one_line(data) == f"{data / 'chainchat.sqlite'}: file is not a database"


def test_somebody_elses_database_is_refused_and_left_as_it_is(data):
    data.mkdir()
    path = data / "chainchat.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE precious (thing)")
    database.commit()
    database.close()
    before = path.read_bytes()
    assert one_line(data) == f"{path}: a database, but not one of chainchat's"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("DELETE FROM log WHERE last = 4", "entry 3 is missing from the log"),
        ("DELETE FROM log WHERE last = 2", "entry 1 is missing from the log"),
        ("UPDATE log SET last = 3 WHERE last = 4", "the entries up to 3 are not what was written"),
    ],
)
def test_a_hole_in_the_log_is_refused_where_it_is_met(data, damage, complaint):
    storage = SQLiteStorage(data)
    for first, last in ((1, 2), (3, 4), (5, 6)):
        storage.append(entries(first, last))
    storage.close()
    altered(data, damage)
    storage = SQLiteStorage(data)
    with pytest.raises(StorageError) as caught:
        storage.read(0, 6, MUCH)
    assert str(caught.value).startswith(f"{data / 'chainchat.sqlite'}: {complaint}")
    storage.close()


def test_a_hole_within_a_batch_is_refused(data):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.close()
    holed = checked(encode_entries((entry(1), entry(3))))
    altered(data, f"UPDATE log SET entries = x'{holed.hex()}'")
    complaint = "the entries up to 3 are not what was written"
    assert one_line(data) == f"{data / 'chainchat.sqlite'}: {complaint}"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_a_refused_file_is_closed(data):
    altered(data, "PRAGMA user_version = 99")
    before = len(os.listdir("/proc/self/fd"))
    one_line(data)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_corrupt_entry_is_refused(data):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 2))
    storage.close()
    altered(data, "UPDATE log SET entries = x'93'")
    assert one_line(data).startswith(f"{data / 'chainchat.sqlite'}: ")


def test_another_schema_version_is_refused(data):
    altered(data, "PRAGMA user_version = 99")
    assert one_line(data) == (
        f"{data / 'chainchat.sqlite'}: written by another version of chainchat "
        f"(schema 99, this one knows {SCHEMA_VERSION})"
    )


def test_an_older_database_is_read_and_then_kept_from_older_programs(data):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.close()
    altered(data, f"PRAGMA user_version = {READ_TOO[0]}")
    storage = SQLiteStorage(data)
    assert storage.last.seq == 3
    storage.close()
    database = sqlite3.connect(data / "chainchat.sqlite")
    assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    database.close()


KEPT = Path(__file__).with_name("kept")


@pytest.mark.parametrize("schema", READ_TOO)
def test_a_folder_of_each_older_version_is_read(data, schema):
    """It holds what ``kept/make.py`` writes: two accounts, 60 messages, a checkpoint."""
    shutil.copytree(KEPT / f"schema-{schema}", data)
    for _ in range(2):  # as this version's from now on
        storage = SQLiteStorage(data)
        machine = StateMachine(storage)
        assert (machine.state.applied, storage.last.seq, storage.committed) == (50, 63, 63)
        for applied in storage.read(50, 63, MUCH):
            machine.apply(applied)
        assert names(machine.state) == ["alice", "bob"]
        bobs = machine.state.account_named("bob").number
        shown = [message.text for message in machine.history.oldest(bobs, 0, 100)]
        assert shown == [f"message {number}" for number in range(60)]
        storage.close()
    storage = SQLiteStorage(data)
    assert all_removed(storage, 40).beginning.seq == 40
    storage.close()


def test_an_older_folder_gives_no_room_back_and_a_new_one_does(data, tmp_path):
    shutil.copytree(KEPT / "schema-7", tmp_path / "older")
    for folder, shrinks in ((tmp_path / "older", False), (data, True)):
        storage = SQLiteStorage(folder)
        first = storage.last.seq + 1
        for seq in range(first, first + 200):
            storage.append([entry(seq, command=b"x" * 60_000)], committed=seq)
            storage.care()
        checkpoint(storage, seq)
        octets = storage.octets()
        all_removed(storage, seq - 1)
        assert storage.octets() < octets / 10
        storage.close()
        assert ((folder / DATABASE).stat().st_size < octets / 2) is shrinks


def test_a_file_in_place_of_the_folder_is_refused(data):
    data.write_text("")
    assert one_line(data) == f"{data}: File exists"
    assert one_line(data / "below") == f"{data / 'below'}: Not a directory"


def test_a_refused_folder_is_let_go(data):
    altered(data, "PRAGMA user_version = 99")
    one_line(data)
    one_line(data)  # and not LockedError
    database = sqlite3.connect(data / "chainchat.sqlite")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.close()
    SQLiteStorage(data).close()


@pytest.fixture
def unprivileged():
    """A folder for one who is not root, for whom alone there are read-only files."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_a_read_only_folder_is_refused(unprivileged):
    unprivileged.chmod(0o500)
    assert one_line(unprivileged / "data") == f"{unprivileged / 'data'}: Permission denied"
    assert one_line(unprivileged) == f"{unprivileged}: Permission denied"


def test_a_read_only_file_is_refused(unprivileged):
    SQLiteStorage(unprivileged).close()
    (unprivileged / "chainchat.sqlite").chmod(0o400)
    with pytest.raises(StorageError, match="Permission denied"):
        SQLiteStorage(unprivileged)


FILL = """
import resource, sys
from pathlib import Path
from chainchat.chain.entries import Entry
from chainchat.storage.interface import StorageError
from chainchat.storage.schema import SCHEMA_VERSION
from chainchat.storage.sqlite import SQLiteStorage

storage = SQLiteStorage(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
while True:
    seq = storage.last.seq
    try:
        storage.append([Entry(seq + n, 1, "id.1", seq + n, 0, b"x" * 5_000) for n in (1, 2, 3)])
    except StorageError as error:
        assert storage.last.seq == seq
        print(seq, error)
        break
"""


def test_what_a_full_disk_does_not_take_is_refused_and_never_seen_again(data):
    child = subprocess.run(
        [sys.executable, "-c", FILL, str(data)], capture_output=True, text=True, check=True
    )
    appended, _, error = child.stdout.strip().partition(" ")
    assert error == f"{data / 'chainchat.sqlite'}: disk I/O error"
    storage = SQLiteStorage(data)
    assert int(appended) > 0
    assert storage.last.seq == int(appended)
    assert [e.seq for e in storage.read(0, MUCH, MUCH)] == list(range(1, int(appended) + 1))
    storage.append(entries(storage.last.seq + 1, storage.last.seq + 2))
    storage.close()


ROLL_BACK = """
import resource, sys
from pathlib import Path
from chainchat.chain.entries import Entry
from chainchat.storage.interface import Indexed, StorageError
from chainchat.storage.schema import SCHEMA_VERSION
from chainchat.storage.sqlite import SQLiteStorage

storage = SQLiteStorage(Path(sys.argv[1]))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
storage.index([Indexed(5, [1], 6)])
try:
    storage.append([Entry(1, 1, "id.1", 1, 0, b"x" * 1_000_000)])
except StorageError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    print(storage.last.seq, storage.ids_after(5, 0, 10, unless_sender=-1))
"""


def test_the_index_loses_nothing_with_a_transaction_that_fails(data):
    child = subprocess.run(
        [sys.executable, "-c", ROLL_BACK, str(data)], capture_output=True, text=True, check=True
    )
    assert child.stdout == "0 [1]\n"


def test_a_torn_tail_leaves_the_log_up_to_a_whole_transaction(data, tmp_path):
    storage, chosen = SQLiteStorage(data), random.Random(7)
    ends, written = [0], []
    while ends[-1] < 60:
        batch = entries(ends[-1] + 1, ends[-1] + chosen.randint(1, 5), epoch=1 + ends[-1] // 20)
        storage.append(batch)
        written += batch
        ends.append(batch[-1].seq)
    database = (data / "chainchat.sqlite").read_bytes()
    wal = (data / "chainchat.sqlite-wal").read_bytes()  # as a process that is killed leaves it
    storage.close()
    found = set()
    for octets in [*sorted(chosen.sample(range(len(wal)), 40)), len(wal)]:
        torn = tmp_path / f"torn-{octets}"
        torn.mkdir()
        (torn / "chainchat.sqlite").write_bytes(database)
        (torn / "chainchat.sqlite-wal").write_bytes(wal[:octets])
        storage = SQLiteStorage(torn)
        last = storage.last.seq
        assert last in ends
        assert last >= max(found, default=0)
        assert storage.read(0, MUCH, MUCH) == written[:last]
        storage.append(entries(last + 1, last + 1, epoch=9))
        storage.close()
        found.add(last)
    assert ends[-1] in found
    assert len(found) > 10
