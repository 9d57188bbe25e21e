"""What a node keeps is its owner's alone, whoever starts it and whatever the umask."""

import os
import sqlite3
import stat

import pytest

from chainchat.chain.entries import Entry
from chainchat.storage.cuts import write_side_file
from chainchat.storage.private import narrowed, open_private
from chainchat.storage.sqlite import SQLiteStorage


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask():
    """Whoever runs the tests may have another."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def any_umask():
    before = os.umask(0)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("umask", [0, 0o022, 0o377])
def test_all_that_a_storage_makes_is_its_owners(tmp_path, any_umask, umask):
    data = tmp_path / "data"
    any_umask(umask)
    storage = SQLiteStorage(data)
    storage.write_membership(b"x")  # so that there is a write-ahead log
    write_side_file(data, 1, 1, [Entry(1, 1, "a.1", 1, 0, b"x")])
    modes = {path.name: mode(path) for path in data.iterdir()}
    storage.close()
    assert mode(data) == 0o700
    assert set(modes) == {
        "lock",
        "chainchat.sqlite",
        "chainchat.sqlite-wal",
        "chainchat.sqlite-shm",
        "cut-1-1-1.jsonl",
    }
    assert set(modes.values()) == {0o600}


def test_what_others_could_reach_is_narrowed_and_named(tmp_path):
    data = tmp_path / "data"
    SQLiteStorage(data).close()
    assert narrowed(data) == []
    data.chmod(0o755)
    (data / "chainchat.sqlite").chmod(0o640)
    (data / "cut-1-2-1.jsonl").touch(0o604)
    assert narrowed(data) == ["data", "chainchat.sqlite", "cut-1-2-1.jsonl"]
    assert mode(data) == 0o700
    assert {mode(path) for path in data.iterdir()} == {0o600}


def test_files_that_are_not_chainchats_and_targets_of_links_stay_as_they_are(tmp_path):
    data = tmp_path / "data"
    data.mkdir(0o700)
    (data / "chain.ini").touch(0o644)
    (tmp_path / "elsewhere").touch(0o644)
    (data / "cut-1-2-1.jsonl").symlink_to(tmp_path / "elsewhere")
    assert narrowed(data) == []
    assert mode(data / "chain.ini") == mode(tmp_path / "elsewhere") == 0o644


def test_a_folder_behind_a_link_is_narrowed(tmp_path):
    (tmp_path / "disk").mkdir(0o755)
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    assert narrowed(tmp_path / "data") == ["data"]
    assert mode(tmp_path / "disk") == 0o700


def test_a_folder_that_is_not_there_has_nothing_to_narrow(tmp_path):
    assert narrowed(tmp_path / "data") == []


def test_an_existing_file_keeps_its_mode_until_it_is_narrowed(tmp_path):
    path = tmp_path / "lock"
    path.touch(0o644)
    path.chmod(0o644)
    os.close(open_private(path, os.O_RDWR))
    assert mode(path) == 0o644


def test_a_database_of_an_older_version_gets_private_companions(tmp_path):
    data = tmp_path / "data"
    SQLiteStorage(data).close()
    for path in data.iterdir():
        path.chmod(0o644)
    narrowed(data)
    storage = SQLiteStorage(data)
    storage.write_membership(b"x")
    reader = sqlite3.connect(data / "chainchat.sqlite")
    reader.execute("SELECT count(*) FROM log").fetchone()
    assert {mode(path) for path in data.iterdir()} == {0o600}
    reader.close()
    storage.close()
