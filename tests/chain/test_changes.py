"""What a configuration may do to the one before it, and who may go on without whom."""

from itertools import combinations

import pytest
from membership_house import THREE, configuration, member

from chainchat.chain.configuration import Configuration
from chainchat.chain.membership.changes import Change, change, may_shrink

LIVES = dict(zip("hmt", configuration(1, *THREE).lives, strict=True))


def lives(letters):
    return [LIVES[letter] for letter in letters]


def chain_of(letters):
    members = [m for m in configuration(1, *THREE).members if m.life in lives(letters)]
    return Configuration(1, tuple(members))


# --- who may go on (rule 4) --------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "remaining", "clean", "allowed"),
    [
        # nobody is proved dead: a majority, or half with the first
        ("hmt", "hm", "", True),
        ("hmt", "ht", "", True),
        ("hmt", "mt", "", True),
        ("hmt", "h", "", False),
        ("hmt", "m", "", False),
        ("hmt", "t", "", False),
        ("ht", "h", "", True),
        ("ht", "t", "", False),
        # the dead are not counted
        ("ht", "t", "h", True),
        ("ht", "h", "t", True),
        ("hmt", "h", "mt", True),
        ("hmt", "m", "ht", True),
        ("hmt", "t", "hm", True),
        # one of two is dead, the other silent: half of those left, and the tie-break
        ("hmt", "h", "m", True),
        ("hmt", "h", "t", True),
        ("hmt", "m", "h", True),
        ("hmt", "m", "t", False),
        ("hmt", "t", "h", False),
        ("hmt", "t", "m", False),
        # a proof takes nothing from a majority
        ("hmt", "mt", "h", True),
    ],
)
def test_a_majority_of_those_not_proved_dead_goes_on_or_half_with_the_first(
    base, remaining, clean, allowed
):
    assert may_shrink(chain_of(base), lives(remaining), lives(clean)) is allowed


@pytest.mark.parametrize("base", ["hm", "mt", "ht", "hmt"])
def test_of_two_groups_that_do_not_know_each_other_dead_at_most_one_goes_on(base):
    groups = [set(c) for n in range(1, len(base)) for c in combinations(base, n)]
    for one in groups:
        for other in groups:
            # The clean dead of one are not of the other: those who live are nobody's dead.
            dead = set(base) - one - other
            if one & other:
                continue
            both = [may_shrink(chain_of(base), lives(g), lives(dead)) for g in (one, other)]
            assert both != [True, True], (one, other, dead)


# --- what may be done --------------------------------------------------------------------

TWO = ("head", "tail")


@pytest.mark.parametrize(
    ("base", "proposed", "kind"),
    [
        (Configuration(), configuration(1, *THREE), Change.FOUND),
        (configuration(1, *THREE), configuration(2, *THREE), Change.RESUME),
        (configuration(1, *THREE), configuration(2, *THREE, tail=2, head=5), Change.RESUME),
        (configuration(1, *THREE), configuration(2, *TWO), Change.SHRINK),
        (configuration(1, *THREE), configuration(2, "middle"), Change.SHRINK),
        (configuration(1, *TWO), configuration(2, *TWO, "middle"), Change.JOIN),
        (configuration(1, "tail"), configuration(2, "tail", "head"), Change.JOIN),
        # not the next epoch
        (configuration(1, *THREE), configuration(1, *TWO), None),
        (configuration(1, *THREE), configuration(3, *TWO), None),
        # nobody, or too many
        (configuration(1, *THREE), configuration(2), None),
        (configuration(1, *THREE), configuration(2, *THREE, "newcomer"), None),
        # another order
        (configuration(1, *THREE), configuration(2, "tail", "head"), None),
        (configuration(1, *TWO), configuration(2, "tail", "head"), None),
        # a newcomer elsewhere than at the tail
        (configuration(1, *TWO), configuration(2, "middle", *TWO), None),
        (configuration(1, *TWO), configuration(2, "head", "middle", "tail"), None),
        # two changes at once
        (configuration(1, *THREE), configuration(2, *TWO, tail=2), None),
        (configuration(1, *TWO), configuration(2, *TWO, "middle", tail=2), None),
        (configuration(1, "head"), configuration(2, *THREE), None),
        # another disk at a member's position
        (
            configuration(1, *TWO),
            Configuration(2, (member("head"), member("tail", 1, "id-new"))),
            None,
        ),
    ],
)
def test_a_proposal_does_one_thing_or_nothing_that_may_be_done(base, proposed, kind):
    assert change(base, proposed) is kind
