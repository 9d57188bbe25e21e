"""The index: what is skipped at once hides nobody's messages."""

import random
from array import array
from itertools import chain

import pytest

from chainchat.storage.index import SKIPPED, SKIPPED_FEW, Run

ALICE, BOB = 5, 6

STRETCHES = (1, 2, SKIPPED_FEW - 1, SKIPPED_FEW, SKIPPED - 1, SKIPPED, 2 * SKIPPED + 1)


def run_of(senders):
    """Messages of these senders, with odd numbers."""
    run = Run()
    run.ids = array("q", range(1, 2 * len(senders), 2))
    run.senders = array("q", senders)
    return run


class Counted(array):
    """An array that counts how many items were read one by one."""

    read = 0

    def __getitem__(self, place):
        self.read += isinstance(place, int)
        return super().__getitem__(place)


@pytest.mark.parametrize("seed", range(40))
def test_all_but_one_senders_messages_are_found_in_order_however_much_that_one_said(seed):
    chance = random.Random(seed)
    stretches = [[chance.choice((ALICE, BOB))] * chance.choice(STRETCHES) for _ in range(8)]
    senders = list(chain.from_iterable(stretches))
    run = run_of(senders)
    others = [id_ for id_, sender in zip(run.ids, senders, strict=True) if sender != ALICE]
    end = chance.randrange(2 * len(senders))
    assert list(run.after(end, ALICE)) == [id_ for id_ in others if id_ > end]
    assert list(run.before(end, ALICE)) == [id_ for id_ in reversed(others) if id_ < end]


def test_of_a_thousand_of_one_sender_with_one_of_another_only_that_one_is_found():
    run = run_of([ALICE] * SKIPPED + [BOB] + [ALICE] * SKIPPED)
    assert list(run.after(0, ALICE)) == [2 * SKIPPED + 1]
    assert list(run.before(4 * SKIPPED, ALICE)) == [2 * SKIPPED + 1]


def test_to_find_the_few_messages_of_others_few_are_looked_at():
    senders = ([ALICE] * 999 + [BOB]) * 20
    run = run_of(senders)
    run.senders = Counted("q", senders)
    others = [id_ for id_, sender in zip(run.ids, senders, strict=True) if sender == BOB]
    assert [*run.after(0, ALICE)] == others
    assert [*run.before(2 * len(senders), ALICE)] == others[::-1]
    assert run.senders.read < len(senders) / 5
