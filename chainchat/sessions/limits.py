"""Limits for clients, and what is used of them."""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from msgspec import Struct

from chainchat.chat.bounds import USUAL_BOUNDS
from chainchat.chat.refusals import Code
from chainchat.config import Network
from chainchat.network.addresses import owners_of
from chainchat.sessions.buckets import AddressBuckets, Buckets
from chainchat.sessions.pace import Rate

NO_LIMIT: Final = 1 << 62

LINES_PER_TOKEN = 10
"""Lines of an answer for the price of one message."""

CHANGE_TOKENS = 20
"""The price of a change of accounts: it is an entry, and mostly a line of a node's log."""

LAST_CHANGES = Rate(per_second=1, at_once=100)
"""Changes of accounts by all operators of a node while a disk is nearly full."""

LAST_LOGINS = Rate(per_second=5, at_once=2_000)
"""Logins at a node while a disk is nearly full: with its end, each takes some 700 octets.

A hundred addresses would fill 100 MB within a quarter of an hour.
"""

LAST_LOGINS_OF = Rate(per_second=0.5, at_once=200), Rate(per_second=2, at_once=800)
"""Of these, by ``owners_of`` an address: a single stranger would take them all."""

SLOWED_SECONDS = 0.05
"""The least wait of an account without tokens, so that it wakes rarely."""


class ClientLimits(Struct, frozen=True):
    """The limits of one node; a rate of None is no limit.

    Attributes:
        per_address: connections of one IPv4 address, or one IPv6 /64; of a /48, WIDER times that.
        exempt: networks without limits by address.
        files: open files for clients.
        connecting, new_accounts: the same.
        refused_logins: likewise, that the chain refused: each is an entry or two.
    """

    connections: int
    per_address: int
    exempt: tuple[Network, ...]
    files: int
    connecting: Rate | None = None
    new_accounts: Rate | None = None
    refused_logins: Rate | None = None
    most_accounts: int = USUAL_BOUNDS.accounts
    saying: Rate | None = None


UNLIMITED: Final = ClientLimits(
    connections=NO_LIMIT, per_address=NO_LIMIT, exempt=(), files=NO_LIMIT
)


class Ration:
    """What all clients of a node share while a disk is nearly full, or they would fill the rest."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._paid_until = 0.0

    def take(self) -> float:
        """Take one, or return the seconds until there is one."""
        now = self._clock()
        wait = self._rate.wait(self._paid_until, now)
        if not wait:
            self._paid_until = self._rate.pay(self._paid_until, now, 1)
        return wait


class Limits:
    """The limits in force at one node; ``current`` is replaceable: read it each time.

    ``last_changes``, ``last_logins``: while a disk is nearly full.
    """

    def __init__(
        self,
        current: ClientLimits,
        clock: Callable[[], float],
        exempt: Callable[[int], bool] = lambda account: False,  # noqa: ARG005
    ) -> None:
        """``clock`` gives monotonic seconds; an ``exempt`` account may say as much as it likes."""
        self.current = current
        self.connected = AddressBuckets(clock)
        self._made = AddressBuckets(clock)
        self._refused = AddressBuckets(clock)
        self._said: Buckets[int] = Buckets(clock)
        self.last_changes = Ration(LAST_CHANGES, clock)
        self.last_logins = Ration(LAST_LOGINS, clock)
        self._last_logins_of: Buckets[str] = Buckets(clock)
        self._exempt = exempt

    def owners(self, text: str) -> tuple[str, ...]:
        """For whom an address counts (``owners_of``): nobody if it is exempt, or no IP address."""
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return ()
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self.current.exempt):
            return ()
        return owners_of(text)

    # --- who makes an account

    def new_account(self, address: str, there_are: int) -> Code | None:
        """Count a new account, or tell why not; ``there_are`` so many now."""
        limits = self.current
        if there_are >= limits.most_accounts:
            return Code.TOO_MANY_ACCOUNTS
        if self._made.take_one(self.owners(address), limits.new_accounts) > 0:
            return Code.TOO_MANY_NEW_ACCOUNTS
        return None

    def not_new(self, address: str) -> None:
        """Take back the count of an account that has not been made."""
        self._made.take(self.owners(address), self.current.new_accounts, -1)

    # --- whose logins are refused

    def wait_for_login(self, address: str) -> float:
        """Seconds until an address of too many refused logins may try again."""
        return self._refused.wait(self.owners(address), self.current.refused_logins)

    def login_refused(self, address: str) -> None:
        self._refused.take(self.owners(address), self.current.refused_logins)

    def take_last_login(self, address: str) -> float:
        """Take a login while a disk is nearly full, or return the seconds until there is one."""
        buckets, owners = self._last_logins_of, self.owners(address)
        rates = LAST_LOGINS_OF[: len(owners)]
        wait = max(map(buckets.wait, owners, rates), default=0.0) or self.last_logins.take()
        if not wait:
            for owner, rate in zip(owners, rates, strict=True):
                buckets.take(owner, rate)
        return wait

    # --- what an account says and reads

    def may_say(self, account: int) -> int:
        """How many messages an account may say now; 0 or less: none."""
        rate = self.current.saying
        if rate is None or not account:
            return NO_LIMIT
        left = self._said.left(account, rate)
        return NO_LIMIT if left <= 0 and self._exempt(account) else left

    def said(self, account: int, messages: int) -> None:
        rate = self.current.saying
        if rate is not None:
            self._said.take(account, rate, messages)

    def read(self, account: int, lines: int) -> None:
        rate = self.current.saying
        if rate is not None:
            self._said.take(account, rate, lines / LINES_PER_TOKEN)

    def changed(self, account: int) -> None:
        """Count a request to change accounts, done or refused."""
        self.said(account, CHANGE_TOKENS)

    def wait(self, account: int) -> float:
        """Seconds until an account may say something."""
        rate = self.current.saying
        if rate is None:
            return 0.0
        some = min(max(1.0, rate.per_second * SLOWED_SECONDS), rate.at_once)
        return self._said.wait(account, rate, some)
