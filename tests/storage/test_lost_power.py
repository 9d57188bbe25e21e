"""What is on the disk when a machine loses its power just after a write has returned."""

import random
from unittest.mock import patch

import pytest

from chainchat.chain.entries import Entry, EntryId
from chainchat.storage.interface import Indexed, StorageError
from chainchat.storage.sqlite import SQLiteStorage
from tests.simulation.pages import FileSystem, Pages, System

MUCH = 1 << 20


def entries(first, last):
    return [Entry(seq, 1, "id.1", seq, 1_000 + seq, b"x" * 2_000) for seq in range(first, last + 1)]


class Machine:
    """One that can lose its power, with a storage on its disk."""

    def __init__(self, root, files):
        self._root = root
        self._files = files
        self._powered = 0
        self._limits = {}
        self.pages = Pages(self._folder())
        self.open()

    def _folder(self):
        self._powered += 1
        folder = self._root / str(self._powered)
        folder.mkdir()
        return folder

    def open(self):
        self._files.watched[self.pages.folder] = self.pages
        self.storage = SQLiteStorage(self.pages.folder, **self._limits)

    def limit(self, **limits):
        self.storage.close()
        self._limits = limits
        self.open()

    def ends(self, *, power):
        """The process ends in the middle of its work, and begins again."""
        del self._files.watched[self.pages.folder]
        folder, ended = self._folder(), self.storage
        lost = self.pages.lose_power(folder, random.Random(0)) if power else None
        self.pages = lost or self.pages.move(folder)
        self.open()
        ended.close()


@pytest.fixture
def machine(tmp_path):
    files = FileSystem()
    system = System(files.watched)
    with (
        files.in_use(),
        patch("chainchat.storage.durable.os", system),
        patch("chainchat.storage.long_copy.os", system),
    ):
        machine = Machine(tmp_path.resolve(), files)
        yield machine
        machine.storage.close()


def checkpoint(storage, seq):
    storage.begin_checkpoint(seq)
    while storage.write_records([(1, b"state")]):
        pass
    storage.finish_checkpoint(b"head")


def test_what_is_appended_and_synced_is_on_the_disk(machine):
    for seq in range(1, 4):
        machine.storage.append(entries(seq, seq), committed=seq - 1)
        machine.storage.sync()
        machine.ends(power=True)
        assert machine.storage.read(0, 9, MUCH) == entries(1, seq)
        assert machine.storage.committed == seq - 1


def test_what_is_appended_in_several_rows_and_synced_is_on_the_disk(machine):
    machine.storage.append(entries(1, 100))
    machine.storage.sync()
    machine.ends(power=True)
    assert machine.storage.last.seq == 100


@pytest.mark.parametrize("count", [1, 100])
def test_what_is_appended_outlives_the_process_and_a_loss_of_power_takes_all_or_nothing(
    machine, count
):
    machine.storage.append(entries(1, 1))
    machine.storage.sync()
    machine.storage.append(entries(2, 1 + count), committed=1)
    machine.ends(power=False)
    assert (machine.storage.last.seq, machine.storage.committed) == (1 + count, 1)
    machine.storage.append(entries(2 + count, 1 + 2 * count), committed=1 + count)
    machine.ends(power=True)
    end = machine.storage.last.seq, machine.storage.committed
    assert end in ((1 + count, 1), (1 + 2 * count, 1 + count))


def test_appending_syncs_nothing_and_a_sync_syncs_the_log_once(machine):
    """The trace of what the system is asked for, in order."""
    for seq in range(1, 4):
        before = len(machine.pages.trace)
        machine.storage.append(entries(seq, seq))
        written = machine.pages.trace[before:]
        machine.storage.sync()
        assert {name for _, name in written} == {"chainchat.sqlite-wal"}
        assert {what for what, _ in written} == {"write"}
        assert machine.pages.trace[before + len(written) :] == [("sync", "chainchat.sqlite-wal")]


@pytest.mark.parametrize("write", ["append", "write_membership", "write_committed"])
def test_after_a_checkpoint_all_is_on_the_disk_as_before(machine, write):
    """A checkpoint itself may be lost, but only as a whole: it is made again then."""
    storage = machine.storage
    storage.append(entries(1, 2))
    storage.index([Indexed(5, [1], 6)])
    checkpoint(storage, 2)
    match write:
        case "append":
            storage.append(entries(3, 3))
            storage.sync()
        case "write_membership":
            storage.write_membership(b"a vote")
        case "write_committed":
            storage.write_committed(2)
    machine.ends(power=True)
    storage = machine.storage
    assert storage.last.seq == (3 if write == "append" else 2)
    assert storage.read_membership() == (b"a vote" if write == "write_membership" else None)
    assert storage.committed == (2 if write == "write_committed" else 0)
    assert storage.newest_checkpoint().seq == 2  # it was written before
    assert list(storage.records()) == [(1, b"state")]
    assert storage.ids_after(5, 0, 9, unless_sender=0) == [1]


def test_a_checkpoint_that_was_just_finished_is_there_as_a_whole_or_not_at_all(machine):
    machine.storage.append(entries(1, 2))
    checkpoint(machine.storage, 1)
    machine.ends(power=True)
    machine.storage.abandon_checkpoint()
    found = machine.storage.newest_checkpoint()
    assert found is None or list(machine.storage.records()) == [(1, b"state")]
    assert machine.storage.last.seq == 2


def test_the_record_is_on_the_disk(machine):
    for record in (b"first", b"second"):
        machine.storage.write_membership(record)
        machine.ends(power=True)
        assert machine.storage.read_membership() == record


def test_what_is_cut_is_in_a_side_file_on_the_disk(machine):
    machine.storage.append(entries(1, 3))
    name = machine.storage.cut(1).name
    machine.ends(power=True)
    assert machine.storage.last.seq == 1
    assert len((machine.pages.folder / name).read_text().splitlines()) == 2


def test_whenever_the_write_ahead_log_is_written_over_the_database_has_what_it_had(
    machine,
):
    machine.limit(pages=4)
    for seq in range(1, 60):
        machine.storage.append(entries(seq, seq))
        machine.storage.care()
        if seq % 7 == 0:
            machine.ends(power=True)
            assert machine.storage.read(0, 99, MUCH) == entries(1, seq)


@pytest.mark.parametrize("much", [5, 6])
def test_what_a_thread_copies_is_on_the_disk_before_the_log_is_written_over(machine, much):
    """Also what it copies after SQLite has begun the log anew, while the thread ended."""
    machine.limit(pages=4, much=much)
    for seq in range(1, 60):
        machine.storage.append(entries(seq, seq))
        machine.storage.care()
        long_copy = machine.storage._wal._long_copy
        if long_copy is not None:
            long_copy._thread.join()
        if seq % 7 == 0:
            machine.ends(power=True)
            assert machine.storage.read(0, 99, MUCH) == entries(1, seq)


@pytest.mark.parametrize("closed", [False, True])
def test_what_a_life_reads_is_on_the_disk_though_the_sync_of_the_one_before_failed(machine, closed):
    machine.storage.append(entries(1, 1))
    machine.pages.failing = True
    machine.storage.append(entries(2, 2))
    with pytest.raises(StorageError):
        machine.storage.sync()
    if closed:
        machine.storage.close()
        machine.open()
    else:
        machine.ends(power=False)
    assert machine.storage.last.seq in (1, 2)
    last = machine.storage.last
    machine.storage.append(entries(last.seq + 1, last.seq + 1))
    machine.storage.sync()
    machine.ends(power=True)
    assert machine.storage.read(0, 9, MUCH) == entries(1, last.seq + 1)


@pytest.mark.parametrize("closed", [False, True])
def test_what_copying_failed_to_sync_is_still_in_the_write_ahead_log(machine, closed):
    machine.limit(pages=4)
    machine.storage.append(entries(1, 9))
    machine.pages.failing, machine.pages.fails_in = True, ".sqlite"
    with pytest.raises(StorageError):
        machine.storage.care()
    if closed:
        machine.storage.close()
        machine.open()
    machine.ends(power=True)
    assert machine.storage.read(0, 99, MUCH) == entries(1, 9)


def test_after_a_failed_sync_nothing_is_copied_any_more_nor_is_the_log_removed(machine):
    """Also not by SQLite, when the last connection is closed."""
    folder = machine.pages.folder
    machine.storage.append(entries(1, 1))
    database = (folder / "chainchat.sqlite").read_bytes()
    machine.pages.failing = True
    machine.storage.append(entries(2, 2))
    with pytest.raises(StorageError):
        machine.storage.sync()
    machine.storage.close()
    assert (folder / "chainchat.sqlite").read_bytes() == database
    assert (folder / "chainchat.sqlite-wal").stat().st_size
    machine.open()


def test_a_new_disk_is_there_under_its_name(machine):
    machine.ends(power=True)
    assert (machine.pages.folder / "chainchat.sqlite").stat().st_size
    assert machine.storage.last == EntryId()
