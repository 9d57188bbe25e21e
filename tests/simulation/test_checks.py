"""The judge of what simulated clients were told sees what is wrong; and what planted bugs are."""

import pytest

from tests.simulation.checks import read_in_time, sent_in_time
from tests.simulation.clients import READ_MESSAGES, Read
from tests.simulation.planted import PLANTED

IDS = [3, 5, 8]


def test_a_message_comes_after_what_was_known_when_it_was_sent():
    assert sent_in_time("late", 5, told_before=3)[0]


def test_a_message_that_comes_before_what_was_known_is_noticed():
    assert not sent_in_time("early", 3, told_before=5)[0]


def test_a_read_shows_everything_up_to_some_moment():
    assert read_in_time(Read(0, []), IDS)[0]
    assert read_in_time(Read(0, [3, 5]), IDS)[0]
    assert read_in_time(Read(5, [3, 5]), IDS)[0]


def test_a_read_that_misses_what_was_known_is_noticed():
    assert not read_in_time(Read(8, [3, 5]), IDS)[0]
    assert not read_in_time(Read(3, []), IDS)[0]


def test_a_read_with_a_hole_is_noticed():
    assert not read_in_time(Read(0, [3, 8]), IDS)[0]


def test_a_read_that_begins_too_late_is_noticed():
    assert not read_in_time(Read(0, [5, 8]), IDS)[0]


def test_a_read_of_what_is_not_there_is_noticed():
    assert not read_in_time(Read(0, [3, 5, 7]), IDS)[0]
    assert not read_in_time(Read(0, [9]), IDS)[0]


def test_a_read_shows_as_many_as_were_asked_for():
    many = list(range(1, READ_MESSAGES + 11))
    assert read_in_time(Read(0, many[-READ_MESSAGES:]), many)[0]
    assert not read_in_time(Read(0, many[-READ_MESSAGES + 1 :]), many)[0]
    assert not read_in_time(Read(0, many[-READ_MESSAGES - 1 :]), many)[0]


@pytest.mark.parametrize("name", PLANTED)
def test_no_planted_bug_depends_on_what_a_constructor_takes(name):
    bug, _ = PLANTED[name]
    own = [kind for kind in getattr(bug, "__mro__", ()) if kind.__module__.startswith("tests.")]
    assert not any({"__init__", "__new__"} & vars(kind).keys() for kind in own)
