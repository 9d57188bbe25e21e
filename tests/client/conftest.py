"""The room that tests of the client run in."""

from collections.abc import Iterator

import pytest
from fake_room import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running
