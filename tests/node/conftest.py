"""The nodes that tests of a node run on."""

import pytest
from node_house import THREE, founded, lines_logged


@pytest.fixture
def house():
    house = founded()
    assert house.committed() == dict.fromkeys(THREE, 1)
    house.later(0.2)  # until each has confirmed the others as members
    return house


@pytest.fixture
def logged():
    with lines_logged() as lines:
        yield lines
