"""Slows down who guesses passwords: per account, and per address.

Nobody is ever locked out, since a lock-out would be a weapon. Each attempt counts as soon as it
begins, so many at once gain nothing; one that succeeds is taken back.

A node counts for itself, and forgets at its restart: three nodes admit three times as many guesses,
which changes nothing about passwords that are hard to guess.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from chainchat.addresses import site_of
from chainchat.chat.refusals import Code, RefusedError
from chainchat.sessions.pace import Pace

OF_ACCOUNT = Pace(per_second=0.1, at_once=10, octets=1)
OF_ADDRESS = Pace(per_second=20 / 60, at_once=20, octets=1)

MOST_REMEMBERED = 10_000
"""Accounts, and addresses, that are remembered; then the one not tried for longest is forgotten."""


class Attempts:
    """How often each of many was tried lately, ``most`` at most."""

    def __init__(self, pace: Pace, clock: Callable[[], float], most: int) -> None:
        self._pace = pace
        self._most = most
        self._clock = clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()
        """See ``pace``."""

    def wait(self, key: str) -> float:
        """Seconds until the next attempt; 0 for now."""
        return self._pace.wait(self._paid_until.get(key, 0.0), self._clock())

    def add(self, key: str, count: float = 1) -> None:
        """Count an attempt, or take one back: -1."""
        paid_until = self._pace.pay(self._paid_until.pop(key, 0.0), self._clock(), count)
        if paid_until > self._clock():
            self._paid_until[key] = paid_until
        if len(self._paid_until) > self._most:
            self._paid_until.popitem(last=False)

    def forget(self, key: str) -> None:
        """Forget all attempts."""
        self._paid_until.pop(key, None)


class Throttle:
    """The attempts at one node; ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_REMEMBERED) -> None:
        self._of_account = Attempts(OF_ACCOUNT, clock, most)
        self._of_address = Attempts(OF_ADDRESS, clock, most)

    def begin(self, name: str, host: str) -> None:
        """Count an attempt to log in as ``name`` from the address ``host``.

        Raises:
            RefusedError: 435, with the seconds to wait.
        """
        account, address = name.lower(), site_of(host)
        wait = max(self._of_account.wait(account), self._of_address.wait(address))
        if wait > 0:
            text = f"too many attempts: wait {ceil(wait)} seconds"
            raise RefusedError(Code.TOO_MANY_ATTEMPTS, text)
        self._of_account.add(account)
        self._of_address.add(address)

    def succeeded(self, name: str, host: str) -> None:
        """Take back an attempt, and all others at this account."""
        self._of_account.forget(name.lower())
        self._of_address.add(site_of(host), -1)

    def undone(self, name: str, host: str) -> None:
        """Take back an attempt that could not be looked at."""
        self._of_account.add(name.lower(), -1)
        self._of_address.add(site_of(host), -1)
