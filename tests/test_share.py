"""A share of the time: what is short is done at once, what is endless rests."""

from twisted.internet.task import Clock

from chainchat.server.budget import Slice
from chainchat.server.share import Share


class House:
    """Work that never ends, in slices of a second, a quarter of the time."""

    def __init__(self):
        self.clock, self.begun = Clock(), []
        self.share = Share(self.clock, self.turn, 0.25)

    def turn(self):
        if self.share.is_due:
            piece = Slice(self.clock.seconds, 0.5)
            self.begun.append(self.clock.seconds())
            self.clock.rightNow += 1.0
            self.share.took(piece)
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


class RoundingClock(Clock):
    """A clock that shows whole microseconds of a moment far from its beginning."""

    def seconds(self):
        return round(1e9 + super().seconds(), 6)


def test_a_clock_that_rounds_is_not_asked_for_ever():
    house = House()
    house.clock = RoundingClock()
    house.share = Share(house.clock, house.turn, 0.25)
    house.turn()
    house.clock.advance(3.0 - 1e-7)
    house.clock.advance(1e-3)
    assert len(house.begun) == 2


def test_after_a_stop_nothing_is_asked_for():
    house = House()
    house.turn()
    house.share.stop()
    assert house.clock.getDelayedCalls() == []
