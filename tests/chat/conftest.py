"""The log that tests of the state apply."""

import pytest
from applied import HERE, THERE, Log


@pytest.fixture
def log():
    return Log(HERE, THERE)
