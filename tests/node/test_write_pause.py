"""How long writes stood still: the line for each change of configuration."""

import pytest
from twisted.internet.task import Clock

from chainchat.chain.configuration import Configuration, Member
from chainchat.node.write_pause import WritePause

HEAD, TAIL = (Member(p, f"id-{p}", 1, "127.0.0.1", 1) for p in ("head", "tail"))
BOTH = Configuration(1, (HEAD, TAIL), "founded")
ALONE = Configuration(2, (HEAD,), "without tail")
AGAIN = Configuration(3, (HEAD, TAIL), "tail joins")


class House:
    def __init__(self, me):
        self.clock = Clock()
        self.told = []
        self.write_pause = WritePause(me, self.clock, lambda change: self.told.append(str(change)))

    def what_came_of_it(self):
        return [line.rpartition("; ")[2] for line in self.told]


@pytest.fixture
def house():
    return House(HEAD)


def test_a_change_is_told_when_the_new_configuration_has_confirmed_something(house):
    house.write_pause.begins()
    house.clock.advance(0.5)
    house.write_pause.changed(BOTH, ALONE)
    house.clock.advance(0.25)
    assert house.told == []
    house.write_pause.ends()
    assert house.told == [
        "epoch 1 (head -> tail) is followed by epoch 2 (head): without tail; "
        "writes stood still for 0.750 s"
    ]


def test_it_is_told_once(house):
    house.write_pause.changed(BOTH, ALONE)
    house.write_pause.ends()
    house.write_pause.ends()
    assert len(house.told) == 1


def test_what_began_first_counts(house):
    house.write_pause.begins()
    house.clock.advance(1)
    house.write_pause.begins()
    house.clock.advance(1)
    house.write_pause.changed(BOTH, ALONE)
    house.write_pause.ends()
    assert house.what_came_of_it() == ["writes stood still for 2.000 s"]


def test_a_change_without_a_standstill_took_no_time(house):
    house.clock.advance(9)
    house.write_pause.changed(ALONE, AGAIN)
    house.write_pause.ends()
    assert house.what_came_of_it() == ["writes stood still for 0.000 s"]


@pytest.mark.parametrize(("idle", "seconds"), [(False, "0.750"), (True, "0.000")])
def test_it_began_when_what_waits_came_further_for_the_last_time(house, idle, seconds):
    house.write_pause.tick(7, idle=idle)
    for _ in range(3):
        house.clock.advance(0.25)
        house.write_pause.tick(7, idle=idle)
    house.write_pause.changed(BOTH, ALONE)
    house.write_pause.ends()
    assert house.what_came_of_it() == [f"writes stood still for {seconds} s"]


def test_a_change_that_confirmed_nothing_is_told_with_the_next(house):
    house.write_pause.begins()
    house.write_pause.changed(BOTH, ALONE)
    house.clock.advance(0.5)
    house.write_pause.changed(ALONE, AGAIN)
    house.clock.advance(0.5)
    house.write_pause.ends()
    assert house.what_came_of_it() == [
        "writes have stood still for 0.500 s",
        "writes stood still for 1.000 s",
    ]
    assert "it confirmed nothing" in house.told[0]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ((BOTH, ALONE), "this node is no member, and cannot tell how long writes stood still"),
        ((ALONE, AGAIN), "this node is new, and cannot tell how long writes stood still"),
    ],
)
def test_who_did_not_see_all_of_it_says_so(change, line):
    house = House(TAIL)
    house.write_pause.begins()
    house.write_pause.changed(*change)
    house.write_pause.ends()
    assert house.what_came_of_it() == [line]


def test_the_first_configuration_is_new_to_nobody():
    house = House(TAIL)
    house.write_pause.changed(Configuration(), BOTH)
    house.write_pause.ends()
    assert house.what_came_of_it() == ["writes stood still for 0.000 s"]
