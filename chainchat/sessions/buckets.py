"""Token buckets, one for each of many keys, in bounded memory.

A bucket is one number, as in ``pace``. The older of two generations is dropped when all in it are
full again.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from chainchat.sessions.pace import Rate

LONGEST_DEBT = 5.0
"""Within so many seconds a bucket has a token again, however many were taken."""

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
