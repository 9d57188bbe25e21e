"""The write-ahead log: small, whoever reads; and whoever keeps it from that is named."""

import ctypes
import errno
import os
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise
from threading import Event

import pytest
from patience import DEADLINE
from twisted.internet.task import Clock

from chainchat.chain.entries import Entry
from chainchat.storage import long_copy, wal
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import DATABASE, SQLiteStorage
from chainchat.storage.wal import (
    FRAME,
    KEPT_OCTETS,
    MUCH,
    PAGE,
    PAGES,
    RETRY_SECONDS,
    SHRUNK_OCTETS,
    WriteAheadLog,
    log_of,
    readers,
)

ROW = 100_000
HEADER = 32
MUCH_HERE, NAMED_HERE = 600, 4_000_000

READER = """import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("BEGIN")
database.execute("SELECT count(*) FROM rows").fetchall()
print("reading", flush=True)
sys.stdin.readline()
"""


class Database:
    """A database, its writer, and what cares for its write-ahead log."""

    def __init__(self, path):
        self.path, self.clock = path, Clock()
        self.writer = sqlite3.connect(path, isolation_level=None)
        self.writer.execute("PRAGMA journal_mode = WAL")
        self.writer.execute("CREATE TABLE rows (content BLOB)")
        self.log = WriteAheadLog(
            path, self.writer, self.clock.seconds, much=MUCH_HERE, named=NAMED_HERE
        )
        self.said = []

    def write(self, octets):
        """Write so much, a row at a time, with some care after each."""
        for _ in range(octets // ROW):
            self.writer.execute("INSERT INTO rows VALUES (?)", (bytes(ROW),))
            self.care()

    def care(self):
        self.clock.advance(RETRY_SECONDS)
        said = self.log.care()
        if said:
            self.said.append(said)

    def care_until(self, condition):
        give_up = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < give_up, "it did not come to that"
            self.care()

    def let_it_copy(self):
        if self.log._long_copy is not None:
            self.log._long_copy._thread.join(DEADLINE)

    def length(self):
        return log_of(self.path).stat().st_size

    def uncopied(self):
        _, pages, copied = self.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return pages - copied

    def log_name(self):
        """Of this writing of the log: another one when it is written over."""
        with log_of(self.path).open("rb") as file:
            return file.read(32)[16:24]

    def close(self):
        self.writer.close()
        self.log.close()


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "database")
    yield database
    database.close()


@pytest.fixture
def reader(database):
    """Another process that holds a read transaction."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(database.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "reading\n"
    yield process
    lets_go(process)


def lets_go(process):
    process.stdin.close()
    process.wait(DEADLINE)
    process.stdout.close()


def test_nothing_is_copied_but_by_care(database):
    for _ in range(50):
        database.writer.execute("INSERT INTO rows VALUES (?)", (bytes(ROW),))
    assert database.length() > 50 * ROW


def test_with_care_the_log_is_written_over_and_over(database):
    database.write(20_000_000)
    assert database.length() < 2 * PAGES * FRAME
    assert database.said == []


def test_what_is_not_copied_is_counted_as_sqlite_counts_it(database):
    for rows in range(1, 4):
        database.writer.execute("INSERT INTO rows VALUES (?)", (bytes(ROW),))
        copied, uncopied = database.log.state()
        assert copied == 0
        assert FRAME * uncopied == database.length() - HEADER
        assert uncopied >= rows * ROW // PAGE
    assert database.uncopied() == 0  # it copies, to tell
    assert database.log.state() == (uncopied, 0)
    database.writer.execute("INSERT INTO rows VALUES ('another writing of the log')")
    assert database.log.state() == (0, 1)


def test_a_reader_that_keeps_it_growing_is_named_at_each_doubling(database, reader):
    if sys.platform != "linux":
        pytest.skip("only Linux tells who reads")
    for count, octets in ((1, 5_000_000), (2, 7_000_000)):  # a slow thread looks seldom
        database.write(octets)
        database.care_until(lambda count=count: len(database.said) == count)
    for said in database.said:
        assert " MB of the write-ahead log cannot be copied into the database: it is " in said
        assert f"it is read by process {reader.pid} (" in said
    assert database.length() > 12_000_000


def test_when_the_reader_lets_go_a_thread_copies_and_the_log_can_be_written_meanwhile(
    database, reader
):
    database.write(12_000_000)
    database.let_it_copy()  # as far as the reader lets it
    lets_go(reader)
    database.care_until(lambda: database.log._long_copy is not None)
    database.writer.execute("INSERT INTO rows VALUES ('meanwhile')")
    database.care_until(lambda: database.log.state().uncopied < PAGES)
    assert database.uncopied() < PAGES
    assert database.writer.execute("SELECT count(*) FROM rows").fetchone() == (121,)


def test_a_log_that_was_long_shrinks_by_steps(database, reader):
    database.write(22_000_000)
    lets_go(reader)
    lengths = [database.length()]
    while lengths[-1] > KEPT_OCTETS + FRAME:
        database.let_it_copy()
        database.write(ROW)
        lengths.append(database.length())
        assert len(lengths) < 1_000
    steps = [before - after for before, after in pairwise(lengths)]
    assert max(steps) <= SHRUNK_OCTETS + FRAME


def test_readers_are_other_processes(database, reader):
    if sys.platform != "linux":
        pytest.skip("only Linux tells who reads")
    database.writer.execute("BEGIN")
    database.writer.execute("SELECT * FROM rows").fetchall()
    [line] = readers(database.path.with_name("database-shm"))
    assert line.startswith(f"process {reader.pid} (")
    command = f"{sys.executable} -c import sqlite3, sys"
    assert line.partition(" (")[2].startswith(command[:80])
    database.writer.execute("COMMIT")


def test_of_what_is_not_there_nobody_reads(tmp_path):
    assert list(readers(tmp_path / "none")) == []


@pytest.fixture
def held(monkeypatch):
    """The sync of what a thread has copied waits: whether it has begun, and whether it may end."""
    begun, may_end, fsync = Event(), Event(), os.fsync

    def wait_and_sync(file):
        begun.set()
        may_end.wait(DEADLINE)
        fsync(file)

    monkeypatch.setattr(long_copy.os, "fsync", wait_and_sync)
    return begun, may_end


def test_the_log_is_kept_until_what_a_thread_has_copied_is_synced(database, reader, held):
    begun, may_end = held
    database.write(12_000_000)
    database.let_it_copy()  # as far as the reader lets it
    lets_go(reader)
    database.care_until(begun.is_set)
    name = database.log_name()
    assert database.uncopied() == 0
    database.writer.execute("INSERT INTO rows VALUES ('meanwhile')")
    assert database.log_name() == name
    may_end.set()
    database.care_until(lambda: database.log._long_copy is None)
    database.write(PAGES * FRAME)
    database.writer.execute("INSERT INTO rows VALUES ('afterwards')")
    assert database.log_name() != name


def test_what_a_thread_has_begun_is_synced_before_it_is_stopped(database, reader, held):
    begun, may_end = held
    database.write(12_000_000)
    database.let_it_copy()  # as far as the reader lets it
    lets_go(reader)
    database.care_until(begun.is_set)
    may_end.set()
    assert database.log.stop()


def test_the_log_is_kept_when_what_a_thread_has_copied_cannot_be_synced(
    database, reader, held, monkeypatch
):
    begun, may_end = held
    wait_and_sync = long_copy.os.fsync
    monkeypatch.setattr(long_copy.os, "fsync", lambda file: sync_error(wait_and_sync(file)))
    database.write(12_000_000)
    database.let_it_copy()  # as far as the reader lets it
    lets_go(reader)
    database.care_until(begun.is_set)
    may_end.set()
    database.let_it_copy()
    name = database.log_name()
    database.writer.execute("INSERT INTO rows VALUES ('before anybody knows of the failure')")
    assert database.log_name() == name
    with pytest.raises(OSError, match="disk I/O error"):
        database.care()


def disk_error(*_):
    raise sqlite3.OperationalError("disk I/O error")


def sync_error(_):
    raise OSError(errno.EIO, "disk I/O error")


def piece_error(*_):
    ctypes.set_errno(errno.EIO)
    return -1


def piece_unknown(*_):
    ctypes.set_errno(errno.ENOSYS)
    return -1


@pytest.mark.parametrize(
    ("octets", "broken", "error"),
    [
        (PAGES * FRAME, (wal, "copy"), disk_error),
        (2 * MUCH * FRAME, (long_copy, "copy"), disk_error),
        (2 * MUCH * FRAME, (long_copy.os, "fsync"), sync_error),
        (2 * MUCH * FRAME, (long_copy, "_write_out"), piece_error),
    ],
    ids=["turn", "thread", "sync", "piece"],
)
def test_what_cannot_be_copied_stops_the_node(tmp_path, monkeypatch, octets, broken, error):
    storage = SQLiteStorage(tmp_path)
    monkeypatch.setattr(*broken, error)
    storage.append([Entry(1, 1, "id.1", 1, 1_000, bytes(octets))])
    with pytest.raises(StorageError, match=r"(disk I|Input)/(O|output) error"):
        until_it_fails(storage)
    monkeypatch.undo()
    storage.close()


def test_a_thread_syncs_the_log_by_a_descriptor_of_its_own(database, reader, monkeypatch):
    """The system tells each descriptor once of a failure: nobody may hear it in another's place."""
    by_thread, sync_data = [], long_copy.sync_data
    monkeypatch.setattr(
        long_copy, "sync_data", lambda file: by_thread.append(file) or sync_data(file)
    )
    by_node = []
    monkeypatch.setattr(wal, "sync_data", by_node.append)
    database.log.sync()
    database.write(12_000_000)
    database.let_it_copy()  # as far as the reader lets it
    lets_go(reader)
    database.care_until(lambda: by_thread)
    assert not {*by_thread} & {*by_node}


def test_a_system_that_knows_no_pieces_syncs_the_whole(database, reader, monkeypatch):
    monkeypatch.setattr(long_copy, "_write_out", piece_unknown)
    database.write(12_000_000)
    database.let_it_copy()  # as far as the reader lets it
    lets_go(reader)
    database.care_until(lambda: not database.log.state().uncopied)
    database.let_it_copy()
    database.care()


def until_it_fails(storage):
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up:
        storage.care()


def test_a_storage_with_care_stays_small(tmp_path):
    storage = SQLiteStorage(tmp_path)
    for seq in range(1, 400):
        storage.append([Entry(seq, 1, "id.1", seq, 1_000, bytes(50_000))])
        storage.care()
    assert (tmp_path / f"{DATABASE}-wal").stat().st_size < 2 * PAGES * FRAME
    storage.close()


def test_a_checkpoint_is_copied_in_small_pieces_too(tmp_path, monkeypatch):
    pieces = []

    def counted(connection):
        copied = long_copy.copy(connection)
        pieces.append(copied.pages)
        return copied

    monkeypatch.setattr(wal, "copy", counted)
    storage = SQLiteStorage(tmp_path)
    for seq in (1, 2):  # the second one writes next to the records of the first, one on each page
        storage.append([Entry(seq, 1, "id.1", seq, 1_000, b"")])
        storage.care()
        storage.begin_checkpoint(seq)
        for part in range(60 if seq == 1 else 20):
            step = 2 * seq - 1
            keys = range(64 * part * step, 64 * (part + 1) * step, step)
            storage.write_records([(key, bytes(1_300)) for key in keys])
            storage.care()
        storage.finish_checkpoint(b"")
        storage.care()
    assert sum(pieces) > 60 * 64 // 3
    assert max(pieces) < PAGES + 3 * 64
    storage.close()
