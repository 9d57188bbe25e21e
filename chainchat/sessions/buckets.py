"""Token buckets, one for each of many keys, in bounded memory.

A bucket is one number, as in ``pace``. The older of two generations is dropped when all in it are
full again.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from chainchat.sessions.pace import Rate

LONGEST_DEBT = 5.0
"""Within so many seconds a bucket has a token again, however many were taken."""

WIDER = 16
"""What an IPv6 /48 may in all, in units of what each /64 may: one customer can have it."""

Key = TypeVar("Key", int, str)


class Buckets(Generic[Key]):
    """The buckets of one kind, full at first."""

    def __init__(self, clock: Callable[[], float], most: int = 65_536) -> None:
        """``clock``: monotonic seconds; ``most``: keys of a generation, then the next begins."""
        self._clock = clock
        self._most = most
        self._newer: dict[Key, float] = {}
        """When everything will be paid for, by key."""
        self._older: dict[Key, float] = {}
        self._next_generation = 0.0

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def left(self, key: Key, rate: Rate) -> int:
        """Whole tokens in a bucket; 0 or less if there are none."""
        paid_until = self._paid_until(key)
        return int(rate.at_once if paid_until is None else rate.left(paid_until, self._clock()))

    def wait(self, key: Key, rate: Rate, tokens: float = 1) -> float:
        """Seconds until the bucket has so many tokens."""
        return rate.wait(self._paid_until(key) or 0.0, self._clock(), tokens)

    def take(self, key: Key, rate: Rate, tokens: float = 1) -> None:
        """Take tokens, even if there are none; a negative number puts them back."""
        now = self._clock()
        if now >= self._next_generation or len(self._newer) >= self._most:
            self._older, self._newer = self._newer, {}
            self._next_generation = now + rate.seconds_to_fill + LONGEST_DEBT
        paid_until = rate.pay(self._paid_until(key) or 0.0, now, tokens)
        self._newer[key] = min(paid_until, now + rate.seconds_to_fill + LONGEST_DEBT)

    def forget(self, key: Key) -> None:
        self._newer.pop(key, None)
        self._older.pop(key, None)

    def _paid_until(self, key: Key) -> float | None:
        paid_until = self._newer.get(key)
        return self._older.get(key) if paid_until is None else paid_until


class AddressBuckets:
    """Buckets of addresses by their ``owners_of``, the second with a WIDER rate; None: no limit."""

    def __init__(self, clock: Callable[[], float], most: int = 65_536) -> None:
        """See ``Buckets``."""
        self._buckets: Buckets[str] = Buckets(clock, most)

    def waits(self, owners: Sequence[str], rate: Rate | None) -> Iterator[tuple[str, Rate, float]]:
        """Yield each, its rate, and the seconds until it has a token."""
        for owner, its in rates_of(owners, rate):
            yield owner, its, self._buckets.wait(owner, its)

    def wait(self, owners: Sequence[str], rate: Rate | None) -> float:
        """Seconds until all have a token."""
        return max([seconds for _, _, seconds in self.waits(owners, rate)], default=0.0)

    def taken(self, owners: Sequence[str], rate: Rate) -> float:
        """Tokens that are missing where most are, by the rate of a site."""
        rates = rates_of(owners, rate)
        left = min(self._buckets.left(owner, its) / its.at_once for owner, its in rates)
        return rate.at_once * (1 - left)

    def take_one(self, owners: Sequence[str], rate: Rate | None) -> float:
        """Take a token of each, or return the seconds until all have one."""
        wait = self.wait(owners, rate)
        if not wait:
            self.take(owners, rate)
        return wait

    def take(self, owners: Sequence[str], rate: Rate | None, tokens: float = 1) -> None:
        for owner, its in rates_of(owners, rate):
            self._buckets.take(owner, its, tokens)


def rates_of(owners: Sequence[str], rate: Rate | None) -> Iterator[tuple[str, Rate]]:
    """Yield each owner with its rate."""
    if rate is not None:
        for number, owner in enumerate(owners):
            yield owner, rate.times(WIDER**number)
