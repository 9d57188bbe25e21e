"""What is on the disk: syncs are recorded in place of a disk that could lose something."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from chainchat.chain.entries import Entry
from chainchat.storage.durable import (
    ROOM,
    make_folder,
    sync,
    sync_data,
    sync_folder,
    try_room,
    write_again,
)
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import SQLiteStorage


@pytest.fixture
def synced(monkeypatch):
    """The paths that were synced, in this order."""
    paths = []
    fsync = os.fsync

    def note(descriptor):
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


@pytest.fixture
def written(monkeypatch):
    """What was written: place and octets."""
    parts = []
    pwrite = os.pwrite

    def note(descriptor, data, place):
        parts.append((place, bytes(data)))
        return pwrite(descriptor, data, place)

    monkeypatch.setattr(os, "pwrite", note)
    return parts


def test_a_file_is_written_again_as_it_is_and_synced(tmp_path, written, synced):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    write_again(path, at_once=4)
    assert written == [(0, b"0123"), (4, b"4567"), (8, b"89")]
    assert synced == [path]
    assert path.read_bytes() == b"0123456789"


def test_of_a_file_only_the_beginning_may_be_written_again(tmp_path, written, synced):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    write_again(path, 4)
    assert written == [(0, b"0123")]
    assert synced == [path]


def test_a_part_of_which_not_all_was_taken_is_written_on(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"0123")
    places = []

    def reluctant(descriptor, data, place):
        places.append((place, bytes(data)))
        return 1

    monkeypatch.setattr(os, "pwrite", reluctant)
    write_again(path)
    assert places == [(0, b"0123"), (1, b"123"), (2, b"23"), (3, b"3")]


def test_no_file_is_nothing_to_be_written(tmp_path):
    write_again(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_new_folder_is_synced_in_the_one_that_it_is_in(tmp_path, synced):
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_room_is_tried_and_given_back(tmp_path, synced):
    try_room(tmp_path)
    assert synced == [tmp_path / "room"]
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_an_error_and_nothing_is_left(tmp_path, monkeypatch):
    sizes = []

    def fail(descriptor):
        sizes.append(os.fstat(descriptor).st_size)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left on device"):
        try_room(tmp_path)
    assert sizes == [ROOM]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_synced_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")


def test_a_start_puts_the_log_of_the_last_life_on_the_disk_and_then_the_names(tmp_path, synced):
    data = tmp_path / "data"
    storage = SQLiteStorage(data)
    assert synced == [tmp_path, data]  # SQLite syncs its files itself
    storage.append([Entry(1, 1, "id.1", 1, 0, b"x")])
    twin = tmp_path / "twin"
    twin.mkdir()
    for name in ("chainchat.sqlite", "chainchat.sqlite-wal"):  # as a dead process leaves them
        (twin / name).write_bytes((data / name).read_bytes())
    storage.close()
    synced.clear()
    storage = SQLiteStorage(twin)
    assert synced == [twin / "chainchat.sqlite", twin / "chainchat.sqlite-wal", twin]
    assert storage.last.seq == 1
    storage.close()


def test_a_log_that_cannot_be_written_again_is_not_believed(tmp_path, monkeypatch):
    SQLiteStorage(tmp_path).close()

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=r"chainchat\.sqlite: Input/output error$"):
        SQLiteStorage(tmp_path)


def test_after_a_failure_nothing_more_is_written(tmp_path):
    storage = SQLiteStorage(tmp_path)
    storage.failure = "the disk failed"
    for write in (
        lambda: storage.append([Entry(1, 1, "id.1", 1, 0, b"x")]),
        lambda: storage.write_committed(1),
        lambda: storage.write_membership(b"x"),
        lambda: storage.write_records([]),
    ):
        with pytest.raises(StorageError, match=r"^the disk failed$"):
            write()
    assert storage.last.seq == 0
    assert (storage.committed, storage.read_membership()) == (0, None)
    storage.close()


FULL = 51


@pytest.mark.parametrize("how", [sync, sync_data])
@pytest.mark.parametrize("error", [0, errno.ENOTSUP, errno.EIO])
def test_where_a_disk_has_a_cache_of_its_own_it_is_synced_too(tmp_path, monkeypatch, how, error):
    asked, plain = [], []

    def flush(descriptor, command):
        asked.append((descriptor, command))
        if error:
            raise OSError(error, os.strerror(error))

    monkeypatch.setitem(vars(fcntl), "F_FULLFSYNC", FULL)
    monkeypatch.setattr(fcntl, "fcntl", flush)
    monkeypatch.setattr(os, "fsync", plain.append)
    monkeypatch.setattr(os, "fdatasync", plain.append)
    if error == errno.EIO:
        with pytest.raises(OSError, match="Input/output"):
            how(7)
    else:
        how(7)
    assert asked == [(7, FULL)]
    assert plain == ([7] if error == errno.ENOTSUP else [])
