"""Connections that have not logged in: when all places are taken, one of them gives up its own.

So no stranger, nor a crowd of them, keeps out those who log in.
"""

from collections.abc import Callable
from typing import Protocol

LEAST_SECONDS = 10.0
"""Nobody gives way sooner, since a name and a password take time to type …"""

FEW = 4
"""… but who has more newcomers than these, and than the one that comes: an office has few."""

MOST_ASKED = 16
"""Newcomers that are asked in one turn."""


class Newcomer(Protocol):
    """A connection whose client has not logged in; ``owner``: whose it is."""

    owner: str

    def give_way(self) -> bool:
        """Leave at once, unless the chain is about to answer the login."""


class Newcomers:
    """Those of one node, in the order in which they came."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._came: dict[Newcomer, float] = {}
        self._of: dict[str, dict[Newcomer, None]] = {}
        self._with: list[dict[str, None]] = [{}]
        """At each number, the owners that have so many; the last is of the greediest."""

    def came(self, newcomer: Newcomer) -> None:
        self._came[newcomer] = self._clock()
        of_owner = self._of.setdefault(newcomer.owner, {})
        of_owner[newcomer] = None
        self._counted(newcomer.owner, len(of_owner) - 1, len(of_owner))

    def settled(self, newcomer: Newcomer) -> None:
        """Note that a newcomer has logged in, or is gone."""
        if self._came.pop(newcomer, None) is None:
            return
        of_owner = self._of[newcomer.owner]
        del of_owner[newcomer]
        self._counted(newcomer.owner, len(of_owner) + 1, len(of_owner))
        if not of_owner:
            del self._of[newcomer.owner]

    def _counted(self, owner: str, was: int, now: int) -> None:
        owners = self._with
        owners[was].pop(owner, None)
        if now:
            if now == len(owners):
                owners.append({})
            owners[now][owner] = None
        if len(owners) > 1 and not owners[-1]:
            owners.pop()

    def who_gives_way(self, owner: str) -> Newcomer | None:
        """The oldest of the greediest, in its time, or of ``owner`` if nobody has more."""
        has, most = len(self._of.get(owner, ())), len(self._with) - 1
        if not most:
            return None
        greediest = owner if has == most else next(iter(self._with[most]))
        oldest = next(iter(self._of[greediest]))
        if most > max(has + 1, FEW) or self._clock() >= self._came[oldest] + LEAST_SECONDS:
            return oldest
        return None

    def give_way(self, owner: str) -> bool:
        """Let one leave for another of ``owner``; False if nobody does."""
        for _ in range(MOST_ASKED):
            newcomer = self.who_gives_way(owner)
            if newcomer is None:
                return False
            self.settled(newcomer)
            if newcomer.give_way():
                return True
            self.came(newcomer)
        return False
