"""Slices and the clock of turns, with a clock that counts work."""

from chainchat.node.budget import (
    ALARMING_SECONDS,
    LONG_TURN_SECONDS,
    TOLD_SECONDS,
    Slice,
    TurnClock,
)
from chainchat.sessions.pace import NEWCOMER, PERSON, PROGRAM, Pace


class Work:
    """Seconds of work, as the test says."""

    def __init__(self):
        self.done = 0.0

    def __call__(self):
        return self.done


def test_a_slice_lasts_for_its_seconds_of_work():
    work = Work()
    share = Slice(work, 2.0)
    assert (share.left(), share.spent()) == (True, 0.0)
    work.done = 1.9
    assert share.left()
    work.done = 2.0
    assert (share.left(), share.spent()) == (False, 2.0)


def turn(clock, work, *, follows=False, **parts):
    clock.begin()
    for name, seconds in parts.items():
        work.done += seconds
        if name == "sync":
            clock.synced()
        else:
            clock.part(name)
    clock.end(follows=follows)


def test_a_long_turn_is_told_with_its_longest_parts_and_the_sync_apart():
    work, told = Work(), []
    clock = TurnClock(work, lambda text, alarm: told.append((text, alarm)))
    turn(clock, work, hearing=0.02, chain=0.01, applying=0.2, telling=0.03, sync=0.4)
    text = "a turn took 0.26 s: applying 0.200 s, telling 0.030 s, hearing 0.020 s; sync 0.400 s"
    assert told == [(text, True)]
    assert round(clock.longest, 6) == 0.26


def test_the_disks_sync_makes_no_turn_long_and_is_told_if_it_is_long_itself():
    work, told = Work(), []
    clock = TurnClock(work, lambda text, _: told.append(text))
    turn(clock, work, chain=0.01, sync=0.4)
    assert told == []
    turn(clock, work, chain=0.01, sync=10.0)
    assert told == ["the log's sync took 10.00 s: the disk is slow"]


def test_the_time_between_two_turns_that_follow_each_other_belongs_to_the_second():
    work, told = Work(), []
    clock = TurnClock(work, lambda text, _: told.append(text))
    turn(clock, work, follows=True, chain=0.01)
    work.done += 5 * LONG_TURN_SECONDS
    turn(clock, work, follows=False, chain=0.01)
    assert told[0].startswith("a turn took 0.11 s: sockets and timers 0.100 s, chain 0.010 s")
    work.done += 1_000.0  # nobody asked for a turn
    turn(clock, work, chain=0.01)
    assert len(told) == 1


def test_a_turn_that_is_long_but_not_alarming_is_told_and_no_warning():
    work, told = Work(), []
    clock = TurnClock(work, lambda _, alarm: told.append(alarm))
    turn(clock, work, applying=1.01 * LONG_TURN_SECONDS)
    turn(clock, work, applying=2.2 * ALARMING_SECONDS)
    assert told == [False, True]


def test_of_many_long_turns_one_a_minute_is_told_and_one_that_is_twice_as_long():
    work, told = Work(), []
    clock = TurnClock(work, lambda text, _: told.append(text.split(":")[0] + text.split(";")[-1]))
    for seconds in (0.06, 0.05, 0.11, 0.13, 0.2):
        turn(clock, work, applying=seconds)
    assert told == ["a turn took 0.06 s sync 0.000 s", "a turn took 0.13 s not told before: 2"]
    work.done += TOLD_SECONDS
    turn(clock, work, applying=0.03)
    assert told[2:] == ["a turn took 0.03 s not told before: 1"]


# --- the pace of one client ----------------------------------------------------------------


def sent_in(pace, seconds, step=0.01):
    """How many units a client sends if it sends whenever it may."""
    paid_until, now, sent = 0.0, 0.0, 0
    while now < seconds:
        while not pace.wait(paid_until, now):
            paid_until = pace.pay(paid_until, now, 1)
            sent += 1
        now += step
    return sent


def test_a_client_may_send_so_much_at_once_and_so_much_a_second():
    for pace in (NEWCOMER, PERSON, Pace(per_second=7, at_once=3, octets=1)):
        assert abs(sent_in(pace, 0.01) - pace.at_once) <= 1
        assert abs(sent_in(pace, 10.0) - pace.at_once - 10 * pace.per_second) <= 1


def test_after_a_pause_a_client_may_send_as_much_at_once_again():
    paid_until = 0.0
    for _ in range(int(PERSON.at_once)):
        paid_until = PERSON.pay(paid_until, 0.0, 1)
    assert PERSON.wait(paid_until, 0.0) > 0
    later = PERSON.at_once / PERSON.per_second
    assert PERSON.wait(paid_until, later, PERSON.at_once - 1) == 0


def test_programs_may_send_more_than_people_and_people_more_than_newcomers():
    assert PROGRAM.per_second > PERSON.per_second > NEWCOMER.per_second
    assert PROGRAM.at_once > PERSON.at_once > NEWCOMER.at_once
