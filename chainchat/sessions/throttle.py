"""Slows down guessers of passwords: per account, and per address.

A lock-out would be a weapon, so whoever has logged in to an account has a bucket of their own for
it, at that address. An attempt counts when it begins, so many at once gain nothing.
"""

from collections.abc import Callable
from math import ceil

from chainchat.chat.refusals import Code, RefusedError
from chainchat.network.addresses import owners_of, site_of
from chainchat.sessions.buckets import AddressBuckets, Buckets
from chainchat.sessions.pace import Rate

OF_ACCOUNT = Rate(per_second=0.1, at_once=10)
OF_ADDRESS = Rate(per_second=20 / 60, at_once=20)

OF_HASHES = Rate(per_second=0.2, at_once=100)
"""Hashes remembered: one less every five seconds."""

STRANGERS_RANK = 5.0
"""So many hashes may whoever is known have had, and still go before a stranger without any."""

MOST_REMEMBERED = 10_000
"""Keys of a generation (``buckets``), and successes."""

MOST_PLACES = 16
"""Successes of one account: by those of many addresses it would make others unknown."""

MEMORY = 16
"""About so many of the last attempts say how many are wrong now."""

MOST_REST = 7.0
"""The rest after a check while all are wrong, in units of the check's time."""


class Throttle:
    """The attempts at one node; ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_REMEMBERED) -> None:
        self._of_account: Buckets[str] = Buckets(clock, most)
        """Attempts by name, or by name and address once known there."""
        self._of_address = AddressBuckets(clock, most)
        self._hashes = AddressBuckets(clock, most)
        self._most = most
        self._known: dict[str, None] = {}
        self._places: dict[str, dict[str, None]] = {}
        """By name: its part of ``_known``."""
        self._wrong = 0.0
        """The part of the last attempts that were wrong."""

    def knows(self, name: str, host: str) -> bool:
        """True if somebody has logged in as ``name`` from ``host``."""
        return _pair(name, host) in self._known

    @property
    def rest(self) -> float:
        """The rest after a check, in units of its time: longer while many are wrong."""
        return 1.0 + (MOST_REST - 1.0) * self._wrong

    def rank(self, host: str, known_as: str) -> float:
        """The place in the queue for hashing: who had much hashed comes last.

        ``known_as``: a name, if that is known there; else the whole address counts as one.
        """
        whose, least = _hasher(host, known_as), 0.0 if known_as else STRANGERS_RANK
        return least + self._hashes.taken(whose, OF_HASHES)

    def hashes(self, host: str, known_as: str, price: float) -> None:
        """Note a hash that takes ``price`` times the usual work; below 0: it was not done."""
        self._hashes.take(_hasher(host, known_as), OF_HASHES, price)

    def begin(self, name: str, host: str) -> None:
        """Count an attempt to log in.

        Raises:
            RefusedError: 435, with the seconds to wait.
        """
        whose = self._whose(name, host)
        wait = self._of_account.wait(whose, OF_ACCOUNT)
        if not self.knows(name, host):
            wait = max(wait, self._of_address.wait(owners_of(host), OF_ADDRESS))
        if wait > 0:
            text = f"too many attempts: wait {ceil(wait)} seconds"
            raise RefusedError(Code.TOO_MANY_ATTEMPTS, text)
        self._of_account.take(whose, OF_ACCOUNT)
        self._of_address.take(owners_of(host), OF_ADDRESS)

    def _whose(self, name: str, host: str) -> str:
        return _pair(name, host) if self.knows(name, host) else name.lower()

    def succeeded(self, name: str, host: str, *, counts: bool = False) -> None:
        """Take back all the bucket's attempts, unless this one ``counts``; remember the address."""
        self._wrong -= self._wrong / MEMORY
        if not counts:
            self._of_account.forget(self._whose(name, host))
        self._of_address.take(owners_of(host), OF_ADDRESS, -1)
        self.met(name, host)

    def met(self, name: str, host: str) -> None:
        """Remember that whoever is ``name`` was at ``host``."""
        pair = _pair(name, host)
        places = self._places.setdefault(name.lower(), {})
        for pairs in (self._known, places):
            pairs.pop(pair, None)
            pairs[pair] = None
        if len(places) > MOST_PLACES:
            self._forget(next(iter(places)))
        elif len(self._known) > self._most:
            self._forget(next(iter(self._known)))

    def _forget(self, pair: str) -> None:
        del self._known[pair]
        name, _, _ = pair.partition(" ")
        places = self._places[name]
        del places[pair]
        if not places:
            del self._places[name]

    def failed(self) -> None:
        self._wrong += (1 - self._wrong) / MEMORY

    def undone(self, name: str, host: str) -> None:
        """Take back an attempt that was not checked."""
        self._of_account.take(self._whose(name, host), OF_ACCOUNT, -1)
        self._of_address.take(owners_of(host), OF_ADDRESS, -1)


def _hasher(host: str, known_as: str) -> tuple[str, ...]:
    return (_pair(known_as, host),) if known_as else owners_of(host)


def _pair(name: str, host: str) -> str:
    return f"{name.lower()} {site_of(host)}"
