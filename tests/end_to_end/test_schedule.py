"""What a seed draws, and the bounds that keep it within what the chain promises."""

from itertools import pairwise

import pytest
from schedule import (
    ALONE,
    BESIDE_DISKS,
    CLOCKS,
    DISKS,
    FOR_ALL,
    KINDS,
    LEFT_BEHIND,
    LEFT_BEHIND_EACH,
    LOSES_ALL_TIME,
    NETWORK,
    POWER,
    SPARE,
    STANDING,
    Schedule,
)

POSITIONS = ("head", "middle", "tail", "spare")
SEEDS = range(20)
MANY = 100
"""Blows, more than a round has."""


def blows(seed, kinds=KINDS, count=MANY):
    schedule = Schedule(seed, POSITIONS, kinds)
    return [schedule.next() for _ in range(count)]


def faults(*arguments):
    return [fault for blow in blows(*arguments) for fault in blow]


def test_the_same_seed_draws_the_same():
    assert blows(5) == blows(5)
    assert blows(5) != blows(6)


def test_every_kind_is_drawn():
    assert {fault.kind for seed in SEEDS for fault in faults(seed)} == set(KINDS)


def test_what_cannot_be_done_here_is_not_drawn():
    without = [kind for kind in KINDS if kind not in (*POWER, *CLOCKS)]
    assert {fault.kind for seed in SEEDS for fault in faults(seed, without)} == set(without)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_spare_starts_once_and_early(seed):
    starts = [i for i, blow in enumerate(blows(seed)) for fault in blow if fault.kind == SPARE]
    assert len(starts) == 1
    assert starts[0] < 8


@pytest.mark.parametrize("seed", SEEDS)
def test_some_server_is_left_behind_again_and_again(seed):
    places = [i for i, blow in enumerate(blows(seed)) if blow[0].kind == LEFT_BEHIND]
    assert places[0] < 2 * LEFT_BEHIND_EACH
    assert {after - before for before, after in pairwise(places)} <= {
        LEFT_BEHIND_EACH,
        2 * LEFT_BEHIND_EACH,
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_while_a_disk_is_changed_nobody_else_ends(seed):
    for blow in blows(seed):
        kinds = [fault.kind for fault in blow]
        if kinds[0] in ALONE:
            assert len(kinds) == 1
        if kinds[0] in DISKS:
            assert set(kinds[1:]) <= set(BESIDE_DISKS)
        assert not set(kinds[1:]) & {*DISKS, *ALONE, SPARE}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wall_clock_stops_too_only_where_no_refusal_is_a_death(seed):
    schedule = Schedule(seed, POSITIONS, KINDS)
    drawn = [fault for _ in range(3 * MANY) for fault in schedule.next()]
    amounts = {fault.amount for fault in drawn if fault.kind == "stop the clock"}
    assert amounts == ({0} if schedule.refusal_is_death else {0, 1})
    behind = {fault.amount for fault in drawn if fault.kind == LEFT_BEHIND}
    assert behind
    assert not (schedule.refusal_is_death and LOSES_ALL_TIME in behind)


def test_without_clocks_that_can_stand_still_who_is_left_behind_has_right_ones():
    without = [kind for kind in KINDS if kind not in CLOCKS]
    drawn = [fault for seed in SEEDS for fault in faults(seed, without)]
    assert {fault.amount for fault in drawn if fault.kind == LEFT_BEHIND} == {0, 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_struck(seed):
    for blow in blows(seed):
        assert len({fault.kind for fault in blow}) == len(blow)
        assert not {fault.kind for fault in blow} >= STANDING
        for fault in blow:
            assert len(set(fault.who)) == len(fault.who)
            if fault.kind not in FOR_ALL:
                usual = {"part": 2, "part one way": 2, "shatter": 0, SPARE: 0}
                assert len(fault.who) == usual.get(fault.kind, 1)
            if fault.amount and fault.kind in NETWORK:
                assert fault.amount <= 1.2
