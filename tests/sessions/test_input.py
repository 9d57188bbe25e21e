"""Lines that wait for their turn, and lines that overtake."""

import pytest

from chainchat.chat.lines import TOO_LONG, LineSplitter
from chainchat.sessions.input import InputQueue


@pytest.fixture
def splitter():
    splitter = LineSplitter(5)
    splitter.add(b"one\n!two\nlonger\nthree\n")
    return splitter


@pytest.fixture
def intake(splitter):
    return InputQueue(splitter)


def overtakes(line):
    return line is not TOO_LONG and line.startswith(b"!")


def test_lines_come_out_as_they_came_in(intake):
    assert intake.next(3) == [b"one", b"!two", TOO_LONG]
    intake.take(1)
    assert intake.next(1) == [b"!two"]
    intake.take(2)
    assert intake.next(9) == [b"three"]
    intake.take(1)
    assert not intake


def test_some_overtake_and_the_others_keep_their_order(splitter, intake):
    assert list(intake.take_overtaking(overtakes, 100)) == [b"!two"]
    splitter.add(b"!four\nfive\n")
    assert list(intake.take_overtaking(overtakes, 100)) == [b"!four"]
    assert intake.next(9) == [b"one", TOO_LONG, b"three", b"five"]
    assert intake.next(1) == [b"one"]


def test_each_line_is_looked_at_once_until_all_are_looked_at_again(intake):
    looked_at = []
    for _ in range(2):
        assert list(intake.take_overtaking(looked_at.append, 100)) == []
    assert looked_at == [b"one", b"!two", TOO_LONG, b"three"]
    intake.look_again()
    assert list(intake.take_overtaking(overtakes, 100)) == [b"!two"]
    assert intake.next(9) == [b"one", TOO_LONG, b"three"]


def test_octets_are_counted_with_one_for_each_ending(intake):
    counts = [intake.octets]
    list(intake.take_overtaking(overtakes, 100))
    counts.append(intake.octets)
    intake.take(1)
    counts.append(intake.octets)
    assert counts == [22, 11, 7]


def test_lines_are_cut_when_it_is_their_turn(splitter, intake):
    assert len(splitter.complete) == 22
    assert intake.next(1) == [b"one"]
    assert len(splitter.complete) == 18
    intake.take(1)
    assert intake.take_overtaking(overtakes, 1) == [b"!two"]
    assert (len(splitter.complete), intake.octets) == (13, 13)
    assert len(intake) == 2
    assert intake.next(9) == [TOO_LONG, b"three"]
    assert (len(splitter.complete), intake.octets) == (0, 7)


def test_so_many_lines_are_looked_at_and_no_more():
    splitter = LineSplitter(5)
    splitter.add(b"".join(b"!%d\n" % n if n % 2 else b"%d\n" % n for n in range(10)))
    intake = InputQueue(splitter)
    looked_at = []

    def may_overtake(line):
        looked_at.append(line)
        return line.startswith(b"!")

    assert intake.take_overtaking(may_overtake, 4) == [b"!1", b"!3"]
    assert (len(looked_at), intake.has_more_to_look_at) == (4, True)
    assert intake.take_overtaking(may_overtake, 100) == [b"!5", b"!7", b"!9"]
    assert (len(looked_at), intake.has_more_to_look_at) == (10, False)
    assert intake.next(100) == [b"0", b"2", b"4", b"6", b"8"]
