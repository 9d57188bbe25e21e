"""Whom to try next, and when: exponential backoff with full jitter.

Full jitter: each wait is drawn evenly between nothing and a bound that doubles, so that the clients
of a node that died do not all come back at the same moment.
"""

from collections.abc import Iterable
from random import Random

from chainchat.client.wire import Address

LASTING = 5.0
"""Seconds of service after which a session has shown that its node is well."""


class Backoff:
    """Waits that grow with each failure in a row."""

    def __init__(self, random: Random, first: float, longest: float) -> None:
        """Start afresh.

        Args:
            random: where the jitter comes from.
            first: the bound of the first wait, in seconds.
            longest: what the bound grows to, in seconds.
        """
        self._random = random
        self._first = first
        self._longest = longest
        self._bound = first

    def next(self) -> float:
        """The next wait, in seconds."""
        wait = self._random.uniform(0.0, self._bound)
        self._bound = min(self._longest, 2 * self._bound)
        return wait

    def reset(self) -> None:
        """It worked: the next wait is a short one again."""
        self._bound = self._first


class Nodes:
    """The nodes of the chain as far as they are known, and which one's turn it is."""

    def __init__(self, addresses: Iterable[Address], random: Random) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._turn = 0
        self._failures = 0
        self._backoff = Backoff(random, first=0.5, longest=15.0)
        assert self._addresses, "a client needs at least one node"

    @property
    def current(self) -> Address:
        """The node whose turn it is."""
        return self._addresses[self._turn]

    def learn(self, addresses: Iterable[Address]) -> None:
        """Add what a node said about the others; nothing is forgotten for it."""
        for address in addresses:
            if address not in self._addresses:
                self._addresses.append(address)

    def lost(self, served: float | None, *, sent_on: bool = False) -> float:
        """The current node failed or refused: it is the next one's turn.

        A whole round of failures is waited out. The break of a session is no failure yet, or at
        most the first one: the next node is tried at once.

        Args:
            served: how many seconds the session lasted, None if there was none.
            sent_on: whether the node has said that it is about to go, and where to go on.

        Returns:
            How many seconds to wait before trying it.
        """
        if served is not None and (sent_on or served >= LASTING):
            self._failures = 0
            self._backoff.reset()
        first_break = served is not None and self._failures == 0
        self._failures += 1
        self._turn = (self._turn + 1) % len(self._addresses)
        if first_break or self._failures % len(self._addresses):
            return 0.0
        return self._backoff.next()
