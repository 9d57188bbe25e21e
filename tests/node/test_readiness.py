"""Readiness: a node that replays its log."""

from chainchat.node.readiness import REPLAYED_AT_LEAST, Replay

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
