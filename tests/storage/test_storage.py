"""Storage: one contract, which the disk and its stand-in in memory both keep."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs_made_up import chained
from msgspec.structs import replace
from stored import (
    ALICE,
    BOB,
    MUCH,
    NOBODY,
    checkpoint,
    deterministic,
    entries,
    entry,
    epoch_of,
    rows,
)

from chainchat.chain.entries import Entry, EntryId, encode_entries
from chainchat.chain.log import fitting, size
from chainchat.storage.checksums import checked
from chainchat.storage.interface import EVERY_READER, Checkpoint, Indexed, StorageError
from chainchat.storage.memory import MemoryStorage
from chainchat.storage.sqlite import SQLiteStorage

# --- the contract: the log ---------------------------------------------------------------


def test_new_storage_holds_nothing(storage):
    assert storage.last == EntryId(0, 0)
    assert storage.read(0, 10, MUCH) == []
    assert storage.id_of(0) == EntryId()
    assert storage.id_of(1) is None
    assert storage.read_membership() is None
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


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_search_ends_where_it_is_to_end(storage, checkpointed):
    storage.append([entry(seq) for seq in range(1, 3_001)])
    storage.index([Indexed(EVERY_READER, range(1, 3_001), BOB)])
    storage.index([Indexed(ALICE, range(500, 2_501, 500), BOB)])
    if checkpointed:
        checkpoint(storage, 3_000)
    found = storage.ids_after(ALICE, 990, 99, unless_sender=ALICE, up_to=1_002)
    assert found == list(range(991, 1_003))
    found = storage.ids_before(ALICE, 1_003, 99, unless_sender=ALICE, above=990)
    assert found == list(range(1_002, 990, -1))
    assert storage.ids_after(ALICE, 990, 99, unless_sender=BOB, up_to=2_000) == []
    assert storage.ids_before(ALICE, 990, 99, unless_sender=BOB, above=10) == []


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
    storage.write_membership(b"a long first record")
    storage.write_membership(b"second")
    assert storage.read_membership() == b"second"


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
