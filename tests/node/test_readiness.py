"""Readiness: how far a learner says it has come, and a node that replays its log."""

import pytest

from chainchat.chain.configuration import Member
from chainchat.chain.copying import Learner
from chainchat.chain.messages import EntryId
from chainchat.node.readiness import REPLAYED_AT_LEAST, Replay, progress
from chainchat.storage.memory import MemoryStorage


@pytest.fixture
def learner():
    """One that has copied 2,000 entries since second 10, of which the source has 2,500."""
    learner = Learner(Member("head", "id-head", 1), MemoryStorage(), 1.0)
    learner.source = "tail"
    learner.began = 10.0
    learner.copied_entries = 2_000
    learner.copied_octets = 6_400_000
    learner.end = EntryId(3, 2_500)
    return learner


def test_progress_is_entries_octets_rate_what_is_missing_and_the_time_left(learner):
    text = "copied 2000 entries (6.4 MB, 1.6 MB/s) from tail, 500 to go, 1 s left"
    assert progress(learner, 2_000, 14.0) == text


@pytest.mark.parametrize(
    ("last", "now", "left"),
    [(2_000, 14.0, "1 s"), (1_500, 14.0, "2 s"), (1_500, 50.0, "20 s"), (0, 30.0, "25 s")],
)
def test_the_time_left_is_what_is_missing_at_the_rate_so_far(learner, last, now, left):
    assert progress(learner, last, now).endswith(f" to go, {left} left")


def test_there_is_no_time_left_when_nothing_is_missing(learner):
    text = "copied 2000 entries (6.4 MB, 1.6 MB/s) from tail, 0 to go"
    assert progress(learner, 2_500, 14.0) == text


def test_a_log_that_goes_beyond_the_last_known_end_of_the_source_lacks_nothing(learner):
    assert progress(learner, 2_600, 14.0).endswith(", 0 to go")


def test_before_anything_was_copied_nobody_knows_how_long_it_takes(learner):
    learner.copied_entries = learner.copied_octets = 0
    text = "copied 0 entries (0.0 MB, 0.0 MB/s) from tail, 2500 to go"
    assert progress(learner, 0, 10.0) == text


# --- a long log to apply -------------------------------------------------------------------


def test_a_short_log_is_applied_without_a_word():
    assert Replay().look(10, 10 + REPLAYED_AT_LEAST - 1, 1.0) == ""


def test_of_a_long_log_it_is_told_in_tenths_how_far_it_is_and_how_long_it_takes():
    replay, last = Replay(), 10 * REPLAYED_AT_LEAST
    assert replay.look(0, last, 100.0) == "0 %"
    assert replay.look(last // 20, last, 101.0) == "0 %"
    assert replay.look(last // 5, last, 102.0) == "20 %, 8 s left"
    assert replay.look(last // 5 + 1, last, 103.0) == "20 %, 8 s left"
    assert replay.look(last - 1, last, 110.0) == ""
    assert replay.look(last - 1, 2 * last, 200.0) == "0 %"
