"""Three nodes of which some are killed, cut off, paused or silent: who goes on."""

from itertools import permutations

import pytest
from membership_house import SUSPECT_AFTER, THREE, TICK, House, founded


@pytest.mark.parametrize("killed", list(permutations(THREE, 2)))
def test_two_of_three_may_be_killed_one_after_another_and_the_last_goes_on_alone(killed):
    house = founded()
    [last] = set(THREE) - set(killed)
    house.kill(killed[0])
    house.deliver()
    rest = tuple(position for position in THREE if position != killed[0])
    assert house.chains() == dict.fromkeys(rest, rest)
    house.run(5 * TICK)
    house.kill(killed[1])
    assert house.chains() == {last: (last,)}
    assert house[last].configuration.epoch == 3


@pytest.mark.parametrize("killed", list(permutations(THREE, 2)))
def test_two_of_three_may_be_killed_at_once_and_the_last_goes_on_alone(killed):
    house = founded()
    [last] = set(THREE) - set(killed)
    house.kill(*killed)
    assert house.chains() == {last: (last,)}


@pytest.mark.parametrize("killed", list(permutations(THREE, 2)))
@pytest.mark.parametrize("delivered", range(6))
def test_the_second_may_be_killed_in_the_middle_of_the_splice(killed, delivered):
    house = founded()
    [last] = set(THREE) - set(killed)
    house.kill(killed[0])
    budget = iter(range(delivered))
    house.lost = lambda sender, to, message: next(budget, None) is None
    house.deliver()
    house.lost = lambda sender, to, message: False
    house.kill(killed[1])
    house.run()
    assert house.chains() == {last: (last,)}


@pytest.mark.parametrize("killed", list(permutations(THREE, 2)))
def test_two_of_three_may_be_killed_just_after_the_founding(killed):
    house = House(*THREE)
    house.start(*THREE)
    while not all(node.active for node in house.lives.values()):
        house.run(TICK)  # ends with everything delivered, before the next tick
    [last] = set(THREE) - set(killed)
    house.kill(*killed)
    house.run(5.0)
    assert house.chains() == {last: (last,)}


@pytest.mark.parametrize("killed", list(permutations(THREE, 2)))
def test_two_of_three_may_be_killed_just_after_a_join(killed):
    house = founded()
    house.kill("tail")
    house.run()
    house.start("tail")
    while "tail" not in house.chains():
        house.run(TICK)
    [last] = set(THREE) - set(killed)
    house.kill(*killed)
    house.run(5.0)
    assert house.chains() == {last: (last,)}


@pytest.mark.parametrize("killed", list(permutations(THREE, 2)))
def test_two_of_three_may_be_killed_just_after_a_resume(killed):
    house = founded()
    house.stop(*THREE)
    house.start(*THREE)
    while len(house.chains()) < len(THREE):
        house.run(TICK)
    [last] = set(THREE) - set(killed)
    house.kill(*killed)
    house.run(5.0)
    assert house.chains() == {last: (last,)}


@pytest.mark.parametrize("alone", THREE)
def test_of_a_partition_only_the_majority_goes_on(alone):
    house = founded()
    majority = tuple(position for position in THREE if position != alone)
    house.partition({alone}, set(majority))
    house.run(5 * SUSPECT_AFTER)
    assert house[alone].configuration.epoch == 1
    assert house[alone].active  # it does not know; nobody acknowledges what it takes
    assert not house[alone].holds_lease(house.now)
    assert {p: house[p].configuration.positions for p in majority} == dict.fromkeys(
        majority, majority
    )
    house.heal()
    house.run(1.0)
    assert house.chains() == dict.fromkeys(THREE, (*majority, alone))


@pytest.mark.parametrize("killed", THREE)
def test_of_two_that_are_cut_apart_after_a_clean_splice_only_the_first_goes_on(killed):
    house = founded()
    house.kill(killed)
    house.run()
    first, second = (position for position in THREE if position != killed)
    house.partition({first}, {second})
    house.run(5 * SUSPECT_AFTER)
    assert house[first].configuration.positions == (first,)
    assert house[second].configuration.positions == (first, second)
    assert not house[second].holds_lease(house.now)
    house.heal()
    house.run(1.0)
    assert house.chains() == dict.fromkeys((first, second), (first, second))


def test_if_nobody_reaches_anybody_nobody_goes_on():
    house = founded()
    house.partition({"head"}, {"middle"}, {"tail"})
    house.run(5 * SUSPECT_AFTER)
    assert set(house.epochs().values()) == {1}
    house.heal()
    house.run(1.0)
    assert len(set(house.epochs().values())) == 1
    assert sorted(house.chains()) == sorted(THREE)


def test_a_second_host_that_falls_silent_stops_its_pairs_other_member():
    house = founded()
    house.stop("head")
    house.run(2 * SUSPECT_AFTER)
    assert house.chains() == dict.fromkeys(("middle", "tail"), ("middle", "tail"))
    house.stop("middle")
    house.run(5 * SUSPECT_AFTER)
    assert house["tail"].configuration.positions == ("middle", "tail")
    assert house["tail"].silent(house.now) == ("middle",)


def test_a_paused_node_that_wakes_up_is_not_believed_and_joins_again():
    house = founded()
    head = house.lives.pop("head")
    house.run(2 * SUSPECT_AFTER)
    house.lives["head"] = head
    assert head.active  # for it no time has passed
    assert not head.holds_lease(house.now)
    house.run(1.0)
    assert house.chains() == dict.fromkeys(THREE, ("middle", "tail", "head"))
    assert house["head"].me.incarnation == 2
