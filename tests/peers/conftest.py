"""The rim that tests of links run on."""

import pytest
from links_rim import lines_logged, open_rim
from tcp import held_ports


@pytest.fixture(autouse=True)
def ports_are_let_go():
    yield
    held_ports.let_go()


@pytest.fixture
def logged():
    with lines_logged() as lines:
        yield lines


@pytest.fixture
def rim():
    with open_rim() as rim:
        yield rim


@pytest.fixture
def alone(rim):
    rim.start_tail_alone()
    return rim
