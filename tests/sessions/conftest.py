"""The node that tests of sessions run on."""

import pytest
from sessions_house import House


@pytest.fixture
def house():
    return House()
