"""Departures: how long a position that keeps falling out waits before it joins again."""

import pytest
from membership_house import founded

from chainchat.chain.membership.departures import (
    FIRST_PAUSE,
    FREE,
    LONGEST_PAUSE,
    WINDOW,
    Departures,
)


def departed(times, **options):
    departures = Departures(**options)
    for when in times:
        departures.left("tail", when)
    return departures


@pytest.mark.parametrize(
    ("count", "pause"), [(0, 0), (1, 0), (2, 0), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (9, 60)]
)
def test_the_pause_doubles_with_each_departure_after_the_first_two(count, pause):
    assert departed([100.0] * count).wait("tail", 100.0) == pause


def test_the_pause_counts_from_the_newest_departure():
    departures = departed([100.0, 200.0, 300.0])
    assert departures.wait("tail", 301.0) == FIRST_PAUSE - 1
    assert departures.wait("tail", 300.0 + FIRST_PAUSE) == 0


def test_a_departure_counts_for_ten_minutes():
    departures = departed([0.0, 100.0, 101.0])
    assert departures.count("tail", WINDOW - 1) == 3
    assert departures.count("tail", WINDOW) == 2
    departures.left("tail", WINDOW)
    assert departures.wait("tail", WINDOW) == FIRST_PAUSE


def test_each_position_has_its_own_departures():
    assert departed([100.0] * 9).wait("middle", 100.0) == 0


def test_an_operator_can_do_without_pauses():
    assert departed([100.0] * 9, longest_pause=0.0).wait("tail", 100.0) == 0


def test_a_position_that_leaves_for_ever_takes_bounded_memory():
    departures = departed([float(n) for n in range(10_000)])
    assert departures.wait("tail", 10_000.0) == LONGEST_PAUSE - 1
    assert departures.count("tail", 10_000.0) < 100


def test_who_waits_is_told_how_long_and_why():
    departures = departed([100.0] * 4)
    assert departures.reason("tail", 100.0) == (
        "waits 8 s before it joins: left out 4 times in ten minutes"
    )
    assert departures.reason("tail", 108.0) == ""


# --- in the chain


def flap(house, times):
    """Let the tail die and come back, and give the others time to take it in."""
    for _ in range(times):
        house.kill("tail")
        house.run(0.2)
        assert house["head"].configuration.positions == ("head", "middle")
        house.start("tail")
        house.run(0.5)


def test_the_first_departures_delay_nobody():
    house = founded()
    flap(house, FREE)
    assert house["head"].configuration.positions == ("head", "middle", "tail")


def test_who_falls_out_again_and_again_waits_and_everybody_says_why():
    house = founded()
    flap(house, FREE + 1)
    assert house["head"].configuration.positions == ("head", "middle")
    for position in ("head", "middle"):
        assert house.said(
            f"{position}: tail waits 4 s before it joins: left out 3 times in ten minutes"
        )
        reason = house[position].learners(house.now)["tail"]
        assert reason == "waits 3 s before it joins: left out 3 times in ten minutes"
    house.run(FIRST_PAUSE)
    assert house["head"].configuration.positions == ("head", "middle", "tail")
    assert "tail" not in house["head"].learners(house.now)


def test_a_new_head_has_counted_too():
    house = founded()
    flap(house, FREE + 1)
    house.kill("head")
    house.run(0.5)
    assert house["middle"].configuration.positions == ("middle",)
    house.run(FIRST_PAUSE)
    assert house["middle"].configuration.positions == ("middle", "tail")


def test_who_does_not_flap_does_not_wait_for_who_does():
    house = founded()
    flap(house, FREE + 1)
    house.kill("middle")
    house.run(0.2)
    house.start("middle")
    house.run(0.5)
    assert house["head"].configuration.positions == ("head", "middle")


def test_a_restart_of_all_is_no_departure():
    house = founded()
    for _ in range(FREE + 2):
        house.kill("head", "middle", "tail")
        house.start("head", "middle", "tail")
        house.run(0.5)
    assert house["head"].configuration.positions == ("head", "middle", "tail")


def test_positions_that_nobody_knows_are_forgotten_with_their_link():
    house = founded()
    head = house["head"]
    before = len(list(head._others()))
    for n in range(100):
        stranger = f"stranger-{n}"
        head._presence.pinged(stranger, house.now)
        head.unlinked(stranger)
    assert len(list(head._others())) == before
