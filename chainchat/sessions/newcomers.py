"""Connections that have not logged in: when all places are taken, one of them gives up its own.

So no stranger, nor a crowd of them, keeps out those who log in.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

LEAST_SECONDS = 10.0
"""Nobody gives way sooner, since a name and a password take time to type …"""

FEW = 4
"""… but who has more newcomers than these, and than the one that comes: an office has few."""

MOST_ASKED = 16
"""Newcomers that are asked in one turn."""


class Newcomer(Protocol):
    """A connection whose client has not logged in."""

    def give_way(self) -> bool:
        """Leave at once, unless the chain is about to answer the login."""


Owner = str | Newcomer
"""The widest of ``Limits.owners``; who has none, as an exempt one, is its own."""


class Newcomers:
    """Those of one node, by owner, in the order in which they came."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[Newcomer, tuple[Owner, float]] = {}
        """Whose each is, and since when."""
        self._of: dict[Owner, dict[Newcomer, None]] = {}
        self._with: list[dict[Owner, None]] = [{}]
        """At each number, the owners that have so many; the last is of the greediest."""

    def came(self, newcomer: Newcomer, owners: Sequence[str]) -> None:
        self._add(newcomer, owners[-1] if owners else newcomer)

    def _add(self, newcomer: Newcomer, owner: Owner) -> None:
        self._known[newcomer] = owner, self._clock()
        of_owner = self._of.setdefault(owner, {})
        of_owner[newcomer] = None
        self._counted(owner, len(of_owner) - 1, len(of_owner))

    def settled(self, newcomer: Newcomer) -> None:
        """Note that a newcomer has logged in, or is gone."""
        if newcomer not in self._known:
            return
        owner, _ = self._known.pop(newcomer)
        of_owner = self._of[owner]
        del of_owner[newcomer]
        self._counted(owner, len(of_owner) + 1, len(of_owner))
        if not of_owner:
            del self._of[owner]

    def _counted(self, owner: Owner, was: int, now: int) -> None:
        owners = self._with
        owners[was].pop(owner, None)
        if now:
            if now == len(owners):
                owners.append({})
            owners[now][owner] = None
        if len(owners) > 1 and not owners[-1]:
            owners.pop()

    def who_gives_way(self, owners: Sequence[str]) -> Newcomer | None:
        """The oldest of the greediest, in its time, or of these owners if nobody has more."""
        most = len(self._with) - 1
        if not most:
            return None
        has = len(self._of.get(owners[-1], ())) if owners else 0
        greediest = owners[-1] if has == most else next(iter(self._with[most]))
        oldest = next(iter(self._of[greediest]))
        _, since = self._known[oldest]
        if most > max(has + 1, FEW) or self._clock() >= since + LEAST_SECONDS:
            return oldest
        return None

    def give_way(self, owners: Sequence[str]) -> bool:
        """Let one leave for another of these owners; False if nobody does."""
        for _ in range(MOST_ASKED):
            newcomer = self.who_gives_way(owners)
            if newcomer is None:
                return False
            owner, _ = self._known[newcomer]
            self.settled(newcomer)
            if newcomer.give_way():
                return True
            self._add(newcomer, owner)
        return False
