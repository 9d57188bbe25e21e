"""The lock of a data folder, and what becomes of it when the folder does not stay."""

import shutil

import pytest

from chainchat.storage.interface import LockedError, StorageError
from chainchat.storage.lock import DataLock


@pytest.fixture
def lock(tmp_path):
    held = DataLock(tmp_path / "data")
    yield held
    held.release()


def removed(data):
    shutil.rmtree(data)


def emptied(data):
    (data / "lock").unlink()


def replaced(data):
    data.rename(data.with_name("moved"))
    DataLock(data).release()


@pytest.mark.parametrize("what", [removed, emptied, replaced])
def test_a_folder_that_is_not_the_locked_one_is_noticed(lock, tmp_path, what):
    lock.check()
    what(tmp_path / "data")
    with pytest.raises(StorageError, match="/data: these are not the files that this node works"):
        lock.check()


@pytest.mark.usefixtures("lock")
def test_a_second_lock_is_refused(tmp_path):
    with pytest.raises(LockedError, match="/data is in use by process"):
        DataLock(tmp_path / "data")
