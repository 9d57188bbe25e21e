"""Membership: the consequences of clocks that stood still, or differ."""

import pytest
from membership_house import (
    THREE,
    active,
    configuration,
    confirm,
    die,
    hear,
    member,
    of_kind,
    reach,
)

from chainchat.chain.effects import Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.membership import Membership
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import ClockReading, Ping, Pong, Propose
from chainchat.chain.record import Record

NOON = 1_800_000_000_000


class Wall:
    """A wall clock that is ``ahead`` seconds ahead of the monotonic one."""

    def __init__(self):
        self.now = self.ahead = 0.0

    def __call__(self):
        return NOON + round(1000 * (self.now + self.ahead))


def member_of_two(position="head", **options):
    """A member of a chain of two, and its wall clock."""
    held, wall = configuration(1, "head", "tail"), Wall()
    me = held.member(position)
    record = Record(me.id, 1, ("head", "tail"), held)
    own = active("head").own_log
    settings = ChainSettings(record.founding, suspect_after=1.0, **options)
    node = Membership(me, record, settings, own, wall=wall)
    [other] = (m for m in held.members if m != me)
    reach(node, other)
    return node, wall


def confirmed(node, wall, now, position="tail"):
    wall.now = now
    confirm(node, position, now)


def goes_on_alone(node, wall, now):
    wall.now = now
    die(node, "tail", now)
    return node.configuration.positions == ("head",)


def test_the_last_goes_on_if_no_clock_has_jumped():
    node, wall = member_of_two("head")
    confirmed(node, wall, 0.0)
    wall.now = 0.1
    assert node.holds_lease(0.1)
    assert goes_on_alone(node, wall, 0.1)


@pytest.fixture
def second():
    """The second of two, which needs a clean death of the first; and its wall clock."""
    node, wall = member_of_two("tail")
    confirmed(node, wall, 0.0, "head")
    return node, wall


def second_goes_on(node, wall, now):
    wall.now = now
    die(node, "head", now)
    return node.configuration.positions == ("tail",)


def test_the_second_goes_on_if_no_clock_has_jumped(second):
    assert second_goes_on(*second, 0.1)


def doubts(node, wall, now):
    wall.now = now
    texts = [report.text for report in of_kind(node.tick(now), Tell)]
    return [text.split(":")[0].split(" of the others")[0] for text in texts if "paused" in text]


@pytest.mark.parametrize("ahead", [-3600.0, -1.0, 1.0, 3600.0])
def test_what_was_proved_before_the_wall_clock_jumped_proves_nothing(second, ahead):
    node, wall = second
    wall.ahead = ahead
    assert not second_goes_on(node, wall, 0.1)
    assert doubts(node, wall, 0.2) == ["this machine's clocks do not agree"]
    assert doubts(node, wall, 0.3) == []


def test_a_tail_does_not_answer_by_what_was_proved_before_the_wall_clock_jumped(second):
    node, wall = second
    assert node.holds_lease(0.0)
    wall.now, wall.ahead = 0.1, 5.0
    assert not node.holds_lease(0.1)
    confirmed(node, wall, 0.2, "head")
    assert node.holds_lease(0.2)


def clocks_of(node, position, their, now):
    ping = Ping(node.configuration.member(position), 1, 1, ClockReading(their, NOON))
    return list(node.receive(position, ping, now))


def answer_with(node, wall, their, now):
    """The head confirms a ping, with its clock."""
    wall.now = now
    sends = [effect.message for effect in node.tick(now) if effect.to == "head"]
    [nonce] = [message.nonce for message in sends if isinstance(message, Ping)]
    pong = Pong(
        member("head"),
        nonce,
        node.configuration,
        True,
        EntryId(),
        False,
        answers=node.me.life,
        clocks=ClockReading(their, NOON),
    )
    list(node.receive("head", pong, now))


@pytest.mark.parametrize("jump", [0.05, 10.0])
def test_what_was_proved_before_the_others_clock_jumped_proves_nothing(second, jump):
    node, wall = second
    answer_with(node, wall, 500.0, 0.05)
    wall.now = 0.1
    clocks_of(node, "head", 500.0 + jump, 0.1)
    if jump < 0.1:
        assert second_goes_on(node, wall, 0.1)
        return
    assert not second_goes_on(node, wall, 0.1)
    assert doubts(node, wall, 0.2) == ["this machine or that of head was paused; what was known"]


def test_the_clock_of_one_that_is_not_even_linked_is_not_looked_at(second):
    node, wall = second
    stranger = member("newcomer")
    for now, their in ((0.02, 500.0), (0.04, 900.0)):
        wall.now = now
        nonce = [e.message.nonce for e in node.tick(now) if isinstance(e.message, Ping)][-1]
        said = ClockReading(their, NOON)
        answer = (stranger, nonce, node.configuration, True, EntryId(), False)
        list(node.receive("newcomer", Ping(stranger, 1, 1, said), now))
        list(node.receive("newcomer", Pong(*answer, answers=node.me.life, clocks=said), now))
    assert node.clocks._walls.keys() <= set(node.configuration.lives)  # nor is it remembered
    assert second_goes_on(node, wall, 0.1)


def test_a_member_that_is_not_dead_by_proof_is_left_out_when_it_is_silent(second):
    node, _ = second
    node.clocks.look(0.0, 1)
    hear(node, "head", 0.0)
    assert node.evidence.is_silent(member("head").life, 1.0)


def test_an_answer_to_another_life_confirms_nothing():
    node, wall = member_of_two("tail")
    [ping] = [e.message for e in node.tick(0.0) if isinstance(e.message, Ping)]
    for answers in ((node.me.id, 2), ("another", 1), ("", 0)):
        pong = Pong(
            member("head"),
            ping.nonce,
            node.configuration,
            True,
            EntryId(),
            False,
            answers=answers,
        )
        list(node.receive("head", pong, 0.0))
    assert not second_goes_on(node, wall, 0.0)


def test_where_a_refusal_proves_nothing_two_of_three_go_on_and_the_second_of_two_waits():
    node, wall = member_of_two("tail", refusal_is_death=False)
    confirmed(node, wall, 0.0, "head")
    assert not node.holds_lease(0.0)
    assert not second_goes_on(node, wall, 0.1)
    first, wall = member_of_two("head", refusal_is_death=False)
    assert goes_on_alone(first, wall, 0.1)
    assert first.holds_lease(0.1)
    three = active("head")
    three.evidence.refusal_is_death = False
    assert of_kind(die(three, "tail", 0.0), Propose)


def answered(node, position, ahead, now):
    """A member pings, with a wall clock so many seconds ahead of noon."""
    reading = ClockReading(500.0 + now, NOON + round(1000 * (ahead + now)))
    list(node.receive(position, Ping(member(position), 1, 1, reading), now))


def told_of_clocks(node, now):
    return [r for r in of_kind(node.tick(now), Tell) if "those of the others" in r.text]


def test_a_head_whose_clock_is_odd_says_so_once_and_takes_the_nearest_time_allowed():
    node = active("head")
    wall = node._wall = Wall()
    wall.ahead = 3600.0
    for position in ("middle", "tail"):
        answered(node, position, 0.0, 0.0)
    assert node.time(0.0) == NOON + 60_000
    assert node.odd_clock(0.0) == "this machine's clock is 3600.0 s ahead of those of the others"
    assert [report.alarm for report in told_of_clocks(node, 0.0)] == [True]
    assert told_of_clocks(node, 0.0) == []
    wall.ahead = -100.0
    assert node.time(0.0) == NOON - 100_000
    assert node.odd_clock(0.0) == "this machine's clock is 100.0 s behind those of the others"
    wall.ahead = 1.0
    assert [report.alarm for report in told_of_clocks(node, 0.0)] == [False]
    assert node.odd_clock(0.0) == ""


def test_who_is_no_member_says_nothing_of_clocks():
    me = member("head", 2)
    record = Record(me.id, 2, THREE, configuration(1, *THREE))
    settings = ChainSettings(THREE, suspect_after=1.0)
    node = Membership(me, record, settings, active("head").own_log, wall=Wall())
    answered(node, "middle", 9_000.0, 0.0)
    assert node.odd_clock(0.0) == ""
