"""Repeated attempts: their pauses and their end."""

import pytest
from twisted.internet.task import Clock

from chainchat.peers.retries import Retries


class Attempts:
    """Tries on a clock, for as long as ``wanted``."""

    def __init__(self):
        self.clock = Clock()
        self.wanted = True
        self.made = []
        self.retries = Retries(self.clock, self._attempt, first=1.0, last=5.0)

    def _attempt(self, position):
        self.made.append((self.clock.seconds(), position))
        return self.wanted

    def wait(self, seconds):
        self.clock.pump([0.5] * int(2 * seconds))
        return [when for when, _ in self.made]


@pytest.fixture
def attempts():
    return Attempts()


def test_the_pauses_grow_up_to_the_longest(attempts):
    attempts.retries.begin("head")
    assert attempts.wait(20) == [0, 1, 3, 7, 12, 17]
    assert len(attempts.retries) == 1


def test_nothing_is_tried_after_the_end(attempts):
    attempts.retries.begin("head")
    attempts.wait(1)
    attempts.retries.end("head")
    assert attempts.wait(20) == [0, 1]
    assert not attempts.retries


def test_what_nobody_wants_is_tried_no_more(attempts):
    attempts.retries.begin("head")
    attempts.wanted = False
    assert attempts.wait(20) == [0, 1]
    assert not attempts.retries


def test_what_did_not_last_is_tried_after_the_longest_pause_and_then_as_at_first(attempts):
    attempts.retries.begin_later("head")
    assert attempts.wait(8) == [5, 6, 8]


def test_one_that_begins_again_is_tried_once_at_a_time(attempts):
    attempts.retries.begin_later("head")
    attempts.retries.begin("head")
    attempts.retries.begin("head")
    assert attempts.wait(2) == [0, 0, 1]


def test_each_position_has_its_own_pauses_and_all_end_together(attempts):
    attempts.retries.begin("head")
    attempts.wait(1)
    attempts.retries.begin("tail")
    attempts.wait(1)
    assert attempts.made == [(0, "head"), (1, "head"), (1, "tail"), (2, "tail")]
    attempts.retries.stop()
    attempts.wait(20)
    assert len(attempts.made) == 4
