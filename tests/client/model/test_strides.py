"""How a client looks back for the newest messages, wherever they are among the ids."""

from random import Random

import pytest

from chainchat.client.model.strides import MOST_LISTED, Stride


def look_back(ids_of_messages: list[int], newest: int, wanted: int) -> tuple[int, list[int]]:
    """How many messages were listed in all, and the last list."""
    stride, listed = Stride(4 * wanted, wanted), 0
    while True:
        after = max(0, newest - stride.ids)
        found = [number for number in ids_of_messages if number > after][:MOST_LISTED]
        listed += len(found)
        if stride.suits(len(found), all_there_are=not after):
            return listed, found


def test_behind_many_other_ids_it_does_not_read_all_that_was_said_before() -> None:
    said = [*range(1, 60_001), *range(90_000, 90_010)]
    listed, found = look_back(said, 90_010, 20)
    assert found[-20:] == said[-20:]
    assert listed < 5 * MOST_LISTED


@pytest.mark.parametrize("wanted", [1, 20, 500])
def test_wherever_messages_are_the_newest_are_found(wanted: int) -> None:
    chosen = Random(wanted)
    for _ in range(50):
        newest = chosen.randrange(1, 30_000)
        step = chosen.choice((1, 2, 50, 2_000))
        start = chosen.randrange(newest)
        said = [number for number in range(1, newest + 1) if number < start or number % step == 0]
        assert look_back(said, newest, wanted)[1][-wanted:] == said[-wanted:]
