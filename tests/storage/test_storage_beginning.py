"""Storage, the contract: the beginning of the log goes, and a checkpoint is copied."""

import pytest
from stored import (
    ALICE,
    BOB,
    MUCH,
    NOBODY,
    all_removed,
    batches,
    checkpoint,
    entries,
    epoch_of,
    rows,
)

from chainchat.chain.checkpoints import INDEX
from chainchat.chain.entries import EntryId
from chainchat.ctl import offline
from chainchat.storage.interface import EVERY_READER, Checkpoint, StorageError
from chainchat.storage.memory import MemoryStorage
from chainchat.storage.sqlite import SQLiteStorage


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
    other.write_membership(b"record")
    checkpoint(other, 1, b"old", (9, b"nine"))
    other.index(rows((BOB, 2, ALICE)))
    for _ in copied(storage, other, octets):
        assert (other.last, other.newest_checkpoint().header) == (EntryId(1, 3), b"old")
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
    assert other.read_membership() == b"record"
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
