"""Folders and databases that are refused, each in one line."""

import gc
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from stored import ALICE, BOB, MUCH, NOBODY, all_removed, checkpoint, entries, entry, rows

from chainchat.chain.entries import encode_entries
from chainchat.node.state_machine import StateMachine
from chainchat.storage.checksums import checked
from chainchat.storage.interface import StorageError
from chainchat.storage.schema import READ_TOO, SCHEMA_VERSION
from chainchat.storage.sqlite import DATABASE, SQLiteStorage
from tests.chat.applied import names


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
    "membership": ("record", lambda storage: storage.read_membership(), "the octets of the record"),
}


@pytest.mark.parametrize("table", READ)
def test_a_bit_that_changed_on_the_disk_is_noticed(data, table):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.index(rows((ALICE, 2, BOB)))
    storage.write_membership(b"record")
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
    gc.collect()  # or what an earlier test has left open is closed meanwhile
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
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(dir="/tmp" if root else None) as folder:  # where all get to
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


def test_a_lock_of_somebody_else_is_named(unprivileged):
    lock = unprivileged / "lock"
    lock.touch(0o400)
    assert one_line(unprivileged) == f"{lock}: Permission denied"


def test_a_read_only_file_is_refused(unprivileged):
    SQLiteStorage(unprivileged).close()
    (unprivileged / "chainchat.sqlite").chmod(0o400)
    with pytest.raises(StorageError, match="Permission denied"):
        SQLiteStorage(unprivileged)
