"""The upkeep of a disk: a checkpoint takes its share of the time, and turns of others no more."""

from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock

from chainchat.node.budget import CHECKPOINT_SHARE, Slice, TurnClock
from chainchat.node.upkeep import Upkeep

PIECE_SECONDS = 0.004


class House:
    """A checkpoint of so many pieces, each a slice; the machine of one node does nothing else."""

    def __init__(self, pieces):
        self.clock, self.left, self.written, self.cares = Clock(), pieces, [], 0
        unused = SimpleNamespace()
        self.upkeep = Upkeep(
            SimpleNamespace(configuration=SimpleNamespace(successor=lambda _: None),
                            me=SimpleNamespace(position="head")),
            self,
            SimpleNamespace(care=self.care),
            unused,
            self.clock,
            retention=SimpleNamespace(make_room=lambda: False),
            disk=SimpleNamespace(has_written=False),
            turn_clock=TurnClock(self.clock.seconds, print),
            new_slice=lambda: Slice(self.clock.seconds, PIECE_SECONDS),
            wake=self.turn,
            tell=print,
        )  # fmt: skip

    def turn(self):
        self.upkeep.turn()

    def care(self):
        self.cares += 1
        return ""

    # --- its state machine

    @property
    def checkpointing(self):
        return self.left > 0

    def write_checkpoint(self, left):
        assert left()
        self.written.append(self.clock.seconds())
        self.clock.rightNow += PIECE_SECONDS
        self.left -= 1


@pytest.fixture
def house():
    return House(pieces=10)


def test_a_checkpoint_goes_on_by_itself_in_its_share_of_the_time(house):
    house.turn()
    house.clock.pump([PIECE_SECONDS / 8] * 1_000)
    every = PIECE_SECONDS / CHECKPOINT_SHARE
    assert house.written == pytest.approx([n * every for n in range(10)], abs=PIECE_SECONDS / 4)
    assert not house.clock.getDelayedCalls()


def test_turns_between_two_slices_write_nothing_of_it(house):
    house.turn()
    cares = house.cares
    for _ in range(5):
        house.turn()
    assert len(house.written) == 1
    assert house.cares == cares


def test_what_was_written_is_looked_after_in_the_same_turn(house):
    house.turn()
    assert house.cares == 1


def test_after_a_stop_it_asks_for_no_turn(house):
    house.turn()
    house.upkeep.stop()
    assert not house.clock.getDelayedCalls()
