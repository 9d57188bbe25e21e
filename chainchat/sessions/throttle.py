"""Slows down who guesses passwords: per account, and per address.

Nobody is ever locked out, since a lock-out would be a weapon. Each attempt counts as soon as it
begins, so many at once gain nothing. A node counts for itself, and forgets at its restart.
"""

from collections.abc import Callable
from math import ceil

from chainchat.chat.refusals import Code, RefusedError
from chainchat.network.addresses import site_of
from chainchat.sessions.buckets import Buckets
from chainchat.sessions.pace import Rate

OF_ACCOUNT = Rate(per_second=0.1, at_once=10)
OF_ADDRESS = Rate(per_second=20 / 60, at_once=20)

MOST_REMEMBERED = 10_000
"""Accounts, and addresses, of one generation (``buckets``)."""


class Throttle:
    """The attempts at one node; ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_REMEMBERED) -> None:
        self._of_account: Buckets[str] = Buckets(clock, most)
        self._of_address: Buckets[str] = Buckets(clock, most)

    def begin(self, name: str, host: str) -> None:
        """Count an attempt to log in as ``name`` from the address ``host``.

        Raises:
            RefusedError: 435, with the seconds to wait.
        """
        account, address = name.lower(), site_of(host)
        of_account = self._of_account.wait(account, OF_ACCOUNT)
        wait = max(of_account, self._of_address.wait(address, OF_ADDRESS))
        if wait > 0:
            text = f"too many attempts: wait {ceil(wait)} seconds"
            raise RefusedError(Code.TOO_MANY_ATTEMPTS, text)
        self._of_account.take(account, OF_ACCOUNT)
        self._of_address.take(address, OF_ADDRESS)

    def succeeded(self, name: str, host: str) -> None:
        """Take back an attempt, and all others at this account."""
        self._of_account.forget(name.lower())
        self._of_address.take(site_of(host), OF_ADDRESS, -1)

    def undone(self, name: str, host: str) -> None:
        """Take back an attempt that could not be looked at."""
        self._of_account.take(name.lower(), OF_ACCOUNT, -1)
        self._of_address.take(site_of(host), OF_ADDRESS, -1)
