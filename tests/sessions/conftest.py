"""The node that tests of sessions run on, and two people who are there."""

import pytest
from sessions_house import House

from chainchat.sessions.announcements import NOTICE_PAUSE


@pytest.fixture
def house():
    return House()


@pytest.fixture
def pair(house):
    """alice and bob, who have read their greetings."""
    both = house.client("alice", "/notices off"), house.client("bob", "/notices off")
    for client in both:
        client.reads(NOTICE_PAUSE)
        client.reads(NOTICE_PAUSE)
    return both
