"""The next node to try, and when: drawn at random, so that clients do not move together.

The clients of a dead node spread over the others, and over time if they are many. After failures,
waits are drawn evenly up to a bound that doubles (exponential backoff with full jitter).
"""

from collections.abc import Iterable
from random import Random

from chainchat.client.engine.wire import Address

LASTING = 5.0
"""Seconds of a session that show that its node is well."""

SPREAD = 0.001
"""Seconds per session of a dead node, over which all reconnect."""

LONGEST_SPREAD = 2.0
"""The most seconds of this, however many sessions."""

MOST_NODES = 32
"""Further addresses are ignored."""


class Backoff:
    """Waits whose bound doubles from ``first`` to ``longest`` seconds."""

    def __init__(self, random: Random, first: float, longest: float) -> None:
        self._random = random
        self._first = first
        self._longest = longest
        self._bound = first

    def next(self) -> float:
        wait = self._random.uniform(0.0, self._bound)
        self._bound = min(self._longest, 2 * self._bound)
        return wait

    def reset(self) -> None:
        self._bound = self._first


class Nodes:
    """The chain's known nodes, and which to try; ``sessions``: the current one's, as last told."""

    def __init__(self, addresses: Iterable[Address], random: Random) -> None:
        self._addresses = list(dict.fromkeys(Address(*address) for address in addresses))
        assert self._addresses, "a client needs at least one node"
        self.current = self._addresses[0]
        self.sessions = 1
        self._untried: list[Address] = self._addresses[1:]  # in this round
        self._failures = 0
        self._random = random
        self._backoff = Backoff(random, first=0.5, longest=15.0)

    def learn(self, addresses: Iterable[Address]) -> list[Address]:
        """Add addresses while there is room; return those that are new."""
        learned = []
        for address in addresses:
            if len(self._addresses) < MOST_NODES and address not in self._addresses:
                self._addresses.append(address)
                self._untried.append(address)
                learned.append(address)
        return learned

    def lost(
        self, served: float | None, *, sent_on: bool = False, unanswered: bool = False
    ) -> float:
        """Move on to another node, after the current one failed or refused.

        Returns the seconds to wait: none until a whole round of failures, except to spread the many
        clients of a lost node.

        Args:
            served: seconds of the session, if there was one.
            sent_on: the node announced its end, and named the others.
            unanswered: the node accepted the connection, but said nothing: it is frozen or too
                busy, and coming back at once would make that worse.
        """
        if served is not None and (sent_on or served >= LASTING):
            self._failures = 0
            self._untried = [address for address in self._addresses if address != self.current]
            self._backoff.reset()
        first_break = served is not None and self._failures == 0
        self._failures += 1
        self._draw()
        others, self.sessions = self.sessions - 1, 1
        if first_break:
            spread = min(LONGEST_SPREAD, SPREAD * others)
            return self._random.uniform(0.0, spread) if spread > 0 else 0.0
        if unanswered or self._failures % len(self._addresses) == 0:
            return self._backoff.next()
        return 0.0

    def _draw(self) -> None:
        if not self._untried:
            others = [address for address in self._addresses if address != self.current]
            self._untried = others or [self.current]
        self.current = self._untried.pop(self._random.randrange(len(self._untried)))
