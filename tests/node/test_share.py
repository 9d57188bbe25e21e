"""A share of the time: short work is done at once, endless work rests."""

import pytest
from twisted.internet.task import Clock

from chainchat.node.share import SHORTEST_REST, Share


class House:
    """Work that never ends, in slices of a second, a quarter of the time."""

    def __init__(self):
        self.clock, self.begun = Clock(), []
        self.share = Share(self.clock, self.turn, 0.25)

    def turn(self):
        if self.share.is_due:
            self.begun.append(self.clock.seconds())
            self.clock.rightNow += 1.0
            self.share.took(1.0)
        self.share.wake_when_due()


def test_what_is_endless_takes_its_part_of_the_time():
    house = House()
    house.share.wake_when_due()
    assert house.begun == [0.0]
    house.clock.pump([0.5] * 20)
    assert house.begun == [0.0, 4.0, 8.0, 12.0]


def test_turns_of_others_bring_it_no_more_and_ask_for_no_second_wake():
    house = House()
    house.turn()
    for _ in range(10):
        house.turn()
    assert house.begun == [0.0]
    assert len(house.clock.getDelayedCalls()) == 1


class OldClock:
    """A clock that moves in steps, far from its beginning, and shows more digits than it has."""

    def __init__(self):
        self.inner = Clock()
        self.inner.rightNow = self.begin = 1e9
        self.callLater = self.inner.callLater

    def seconds(self):
        return self.inner.seconds() - self.begin


@pytest.mark.parametrize("thirtieths", range(1, 40))
def test_a_clock_that_cannot_move_by_so_little_is_not_asked_for_ever(thirtieths):
    clock, asked = OldClock(), []

    def turn():
        asked.append(clock.inner.seconds())
        assert len(asked) < 10, "it is asked again and again, at one moment"
        if not share.is_due:
            share.wake_when_due()

    share = Share(clock, turn, 0.25)
    share.took(thirtieths / 30)
    share.wake_when_due()
    [due] = clock.inner.getDelayedCalls()
    clock.inner.rightNow = due.getTime()  # and no later
    clock.inner.advance(0)
    clock.inner.advance(SHORTEST_REST)
    assert share.is_due
    assert asked


def test_after_a_stop_nothing_is_asked_for():
    house = House()
    house.turn()
    house.share.stop()
    assert house.clock.getDelayedCalls() == []
