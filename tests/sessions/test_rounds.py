"""Rounds: whose turn it is, with a clock that counts work."""

import pytest
from twisted.internet.task import Clock

from chainchat.node.budget import PATIENT_SHARE, Slice
from chainchat.sessions.rounds import FORGOTTEN_RESTS, WAKE_SECONDS, Rounds


class Speaker:
    """A session with so many pieces of work, each of which costs a second."""

    def __init__(self, house, name, pieces=1):
        self.house, self.name, self.pieces = house, name, pieces

    def hear(self, _=None):
        self.house.trace.append(self.name)
        self.house.clock.advance(1.0)
        self.pieces -= 1
        return self.pieces > 0

    go_on = hear

    def rested(self):
        self.house.trace.append(f"{self.name} rested")


class House:
    def __init__(self):
        self.clock, self.wakes, self.trace = Clock(), 0, []
        self.rounds = Rounds(self.clock, self.wake)

    def wake(self):
        self.wakes += 1

    def slice(self, seconds):
        return Slice(self.clock.seconds, seconds)

    def speaks(self, seconds=0.5):
        """Serve a turn of those who speak; returns who had it."""
        self.trace.clear()
        self.rounds.serve_speaking(self.slice(seconds))
        return list(self.trace)

    def is_patient(self, seconds=0.5):
        self.trace.clear()
        self.rounds.serve_patient(self.slice(seconds))
        return list(self.trace)


@pytest.fixture
def house():
    return House()


def test_those_who_say_much_come_after_all_who_say_little_and_one_does_in_every_turn(house):
    for name in ("much", "more"):
        house.rounds.says_much(Speaker(house, name, 9))
    for name in ("ann", "bea"):
        house.rounds.speaks(Speaker(house, name))
    assert house.speaks(seconds=100) == ["ann", "bea", "much", "more"]
    house.rounds.speaks(Speaker(house, "ann", 9))
    assert house.speaks() == ["ann", "much"]
    assert house.speaks() == ["ann", "more"]


def test_in_one_turn_everybody_is_heard_once_if_there_is_time(house):
    for name, pieces in (("greedy", 9), ("ann", 1), ("bea", 1)):
        house.rounds.speaks(Speaker(house, name, pieces))
    assert house.speaks(seconds=100) == ["greedy", "ann", "bea"]
    assert house.speaks(seconds=100) == ["greedy"]


def test_a_turn_ends_with_its_slice_and_the_next_goes_on_where_it_ended(house):
    for name in ("ann", "bea", "cat", "dan"):
        house.rounds.speaks(Speaker(house, name, 2))
    turns = [house.speaks(seconds=1.5) for _ in range(4)]
    assert turns == [["ann", "bea"], ["cat", "dan"], ["ann", "bea"], ["cat", "dan"]]
    assert not house.rounds.somebody_speaks


def test_at_least_one_is_heard_however_short_the_slice(house):
    house.rounds.speaks(Speaker(house, "ann"))
    assert house.speaks(seconds=0) == ["ann"]


def test_who_comes_waits_for_one_round_of_a_hundred_greedy_ones_and_no_longer(house):
    for number in range(100):
        house.rounds.speaks(Speaker(house, f"greedy{number}", 1_000))
    house.speaks(seconds=10)
    house.rounds.speaks(Speaker(house, "ann"))
    turns = 0
    while "ann" not in house.speaks(seconds=9.5):
        turns += 1
    assert turns <= 10


def test_what_is_left_over_asks_for_another_turn(house):
    house.rounds.speaks(Speaker(house, "ann", 2))
    house.wakes = 0
    house.speaks()
    assert house.wakes == 1
    house.wakes = 0
    house.speaks()
    assert house.wakes == 0


def test_the_patient_get_their_share_of_the_time_and_no_more(house):
    house.rounds.waits(Speaker(house, "reader", 1_000))
    served = 0
    while house.clock.seconds() < 100.0:
        served += len(house.is_patient())
        house.clock.advance(0.5)
    assert served == pytest.approx(100 * PATIENT_SHARE, abs=1)


def test_the_patient_are_served_at_once_when_there_was_nothing_to_do(house):
    house.rounds.waits(Speaker(house, "ann"))
    assert house.wakes == 1
    assert house.is_patient() == ["ann"]


def test_while_the_patient_rest_nobody_wakes_the_node_for_them(house):
    house.rounds.waits(Speaker(house, "ann", 2))
    house.is_patient()
    house.wakes = 0
    house.rounds.waits(Speaker(house, "bea"))
    assert (house.is_patient(), house.wakes) == ([], 0)
    house.clock.advance(1 / PATIENT_SHARE - 1)
    assert house.wakes == 1
    assert house.is_patient(seconds=9) == ["ann", "bea"]


def test_newcomers_go_before_those_who_read_on_and_take_not_all_of_the_time(house):
    for number in range(3):
        house.rounds.waits(Speaker(house, f"reader{number}", 9))
        house.rounds.arrives(Speaker(house, f"newcomer{number}"))
    turns = []
    for _ in range(3):
        turns.append(house.is_patient(seconds=1.5))
        house.clock.advance(20)
    assert turns == [
        ["newcomer0", "newcomer1", "reader0"],
        ["newcomer2", "reader1"],
        ["reader2", "reader0"],
    ]


def test_who_rests_is_woken_in_time_one_after_another(house):
    for name, seconds in (("ann", 2.0), ("bea", 1.0), ("cat", 1.0)):
        house.rounds.rests(Speaker(house, name), seconds)
    house.clock.advance(1.0)
    assert house.trace == ["bea rested"]
    house.clock.advance(WAKE_SECONDS)
    assert house.trace == ["bea rested", "cat rested"]
    house.clock.advance(2.0)
    assert house.trace[-1] == "ann rested"


def test_those_who_are_gone_take_no_time_of_those_who_rest(house):
    for number in range(3_000):
        gone = Speaker(house, f"gone{number}")
        house.rounds.rests(gone, 0.5)
        house.rounds.forget(gone)
    house.rounds.rests(Speaker(house, "ann"), 1.0)
    house.clock.advance(1.0)
    assert house.trace == ["ann rested"]
    assert len(house.rounds._ends) <= FORGOTTEN_RESTS


def test_who_is_forgotten_has_no_turn(house):
    gone = Speaker(house, "gone")
    house.rounds.speaks(gone)
    house.rounds.waits(gone)
    house.rounds.forget(gone)
    assert (house.speaks(), house.is_patient()) == ([], [])
