"""The changes from one configuration to the next, and who may go on without whom."""

from collections.abc import Iterable
from enum import Enum
from itertools import combinations

from chainchat.chain.configuration import MAX_MEMBERS, Configuration, Life


class Change(Enum):
    """A proposal's kind (see ``membership``)."""

    FOUND = "found"
    RESUME = "resume"
    SHRINK = "shrink"
    JOIN = "join"


def change(base: Configuration, proposed: Configuration) -> Change | None:
    """Return what ``proposed`` does to ``base``; None: no rule allows it."""
    before, after = base.members, proposed.members
    if proposed.epoch != base.epoch + 1 or not 1 <= len(after) <= MAX_MEMBERS:
        return None
    if not before:
        return Change.FOUND
    if [(m.position, m.id) for m in before] == [(m.position, m.id) for m in after]:
        return Change.RESUME
    if after == tuple(member for member in before if member in after):
        return Change.SHRINK
    if after[:-1] == before and after[-1].position not in base.positions:
        return Change.JOIN
    return None


def may_shrink(base: Configuration, remaining: Iterable[Life], clean: Iterable[Life]) -> bool:
    """Return whether ``remaining`` may go on without the other members of ``base`` (rule 4).

    Of those that are not ``clean``, they must be a majority, or half with the first in chain order:
    of two groups that do not know each other to be dead, at most one passes.
    """
    stay, dead = set(remaining), list(clean)
    for left_out in (out for size in range(len(dead) + 1) for out in combinations(dead, size)):
        counted = [life for life in base.lives if life not in left_out]
        half = 2 * len(stay) - len(counted)
        if half > 0 or (half == 0 and counted[0] in stay):
            return True
    return False
