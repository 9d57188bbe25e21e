"""What a node says of itself: the snapshot, what is drawn from it, and the replay of a log."""

from node_house import THREE, founded

from chainchat.node.status import REPLAYED_AT_LEAST, Replay

# --- one snapshot --------------------------------------------------------------------------


def test_a_status_of_a_chain_that_is_well_has_nothing_to_note():
    house = founded()
    house.later(0.2)
    statuses = {position: house[position].status for position in THREE}
    assert {p: status.standing for p, status in statuses.items()} == {p: p for p in THREE}
    for status in statuses.values():
        assert status.configuration.positions == THREE
        assert (status.committed, status.in_flight, status.silent) == (1, 0, ())
        assert (status.notes, status.writes_paused) == ((), 0.0)
        assert status.line == f"serving in {status.configuration}"


def test_a_status_tells_for_how_long_writes_stand_still_and_what_is_in_flight():
    house = founded()
    house.later(0.2)
    house.slow = {("middle", "tail"), ("tail", "middle")}
    house.say("head")
    house.later(0.5)
    status = house["head"].status
    assert 0.4 < status.writes_paused <= 0.5
    assert (status.committed, status.in_flight) == (1, 1)
    assert status.view.notes == status.notes == ("in flight here: 1 entries",)


def test_a_change_of_configuration_is_in_the_status_once_its_outcome_is_known(logged):
    house = founded()
    house.later(0.2)
    old = house["head"].configuration
    house.kill("tail")
    house.later(0.5)
    status = house["head"].status
    assert (status.change.old, status.change.new) == (old, status.configuration)
    assert status.change_line.startswith(f"{old} is followed by {status.configuration}: without ")
    assert f"head: {status.change_line}" in [text for _, text in logged]


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
