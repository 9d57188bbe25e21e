"""The storages that tests run on."""

import pytest

from chainchat.storage.memory import MemoryStorage
from chainchat.storage.sqlite import SQLiteStorage


@pytest.fixture(params=["disk", "memory"])
def storage(request, tmp_path):
    storage = SQLiteStorage(tmp_path / "data") if request.param == "disk" else MemoryStorage()
    yield storage
    storage.close()


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"
