"""Complaints are told rarely, counted, and bounded."""

import pytest
from twisted.internet.task import Clock

from chainchat.logs.complaints import PERIOD, Complaints

MOST = 8


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def complaints(clock):
    return Complaints(clock.seconds, MOST)


def test_each_is_told_once_a_minute_and_the_others_are_counted(complaints, clock):
    assert [complaints.count("a") for _ in range(4)] == [1, 0, 0, 0]
    assert complaints.count("b") == 1
    clock.advance(PERIOD - 1)
    assert complaints.count("a") == 0
    clock.advance(1)
    assert complaints.count("a") == 5
    clock.advance(PERIOD)
    assert complaints.count("a") == 1


def test_few_are_told_in_a_minute_whatever_they_are_about(complaints, clock):
    for _ in range(3):
        assert sum(complaints.count(number) > 0 for number in range(100)) <= MOST
        clock.advance(PERIOD / 3)
    clock.advance(PERIOD)
    assert sum(complaints.count(number) > 0 for number in range(100, 200)) == MOST


def test_who_comes_again_is_told_of_however_many_there_are(complaints, clock):
    for number in range(MOST):
        complaints.count(number)
    clock.advance(PERIOD)
    assert complaints.count(0) == 1
    assert complaints.count("new") == 1  # in place of the one told longest ago
    assert complaints.count(0) == 0
