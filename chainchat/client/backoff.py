"""Whom to try next, and when: drawn by lot, so that many clients do not all do the same.

The clients of a node that died are spread over the others, and over some time if they are many.
After failures there is exponential backoff with full jitter: each wait is drawn evenly between
nothing and a bound that doubles.
"""

from collections.abc import Iterable
from random import Random

from chainchat.client.wire import Address

LASTING = 5.0
"""Seconds of service after which a session has shown that its node is well."""

SPREAD = 0.001
"""Seconds for each other session of a node, over which they come back when it has died."""

LONGEST_SPREAD = 2.0
"""The most of these seconds, however many sessions there are."""

MOST_NODES = 32
"""Addresses that are remembered; what a node says beyond them is ignored."""


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
    """The nodes of the chain as far as they are known, and which one's turn it is.

    Attributes:
        current: the node whose turn it is; at first, the first one.
        sessions: how many the current node has, ours included, as far as it has said.
    """

    def __init__(self, addresses: Iterable[Address], random: Random) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        assert self._addresses, "a client needs at least one node"
        self.current = self._addresses[0]
        self.sessions = 1
        self._untried: list[Address] = self._addresses[1:]  # in this round
        self._failures = 0
        self._random = random
        self._backoff = Backoff(random, first=0.5, longest=15.0)

    def learn(self, addresses: Iterable[Address]) -> None:
        """Add what a node said about the others; nothing is forgotten for it."""
        for address in addresses:
            if len(self._addresses) < MOST_NODES and address not in self._addresses:
                self._addresses.append(address)
                self._untried.append(address)

    def lost(
        self, served: float | None, *, sent_on: bool = False, unanswered: bool = False
    ) -> float:
        """The current node failed or refused: it is another one's turn.

        A whole round of failures is waited out. The break of a session is no failure yet, or at
        most the first one: who was alone at the node tries the next one at once, and many spread.

        Args:
            served: how many seconds the session lasted, None if there was none.
            sent_on: whether the node has said that it is about to go, and where to go on.
            unanswered: whether it took the connection and said nothing: a frozen node, or one that
                has too many to greet. Coming back at once would make the latter worse.

        Returns:
            How many seconds to wait before trying it.
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
        """Choose the next among those that this round has not tried."""
        if not self._untried:
            others = [address for address in self._addresses if address != self.current]
            self._untried = others or [self.current]
        self.current = self._untried.pop(self._random.randrange(len(self._untried)))
