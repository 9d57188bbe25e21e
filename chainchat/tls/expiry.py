"""Warnings of certificates that expire soon, before a restart finds out."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from cryptography.x509 import Certificate

WARNED = timedelta(days=30)


class Expiry:
    """When certificates expire, by whose they are."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._expires: dict[str, datetime] = {}

    def note(self, whose: str, certificates: Iterable[Certificate]) -> None:
        """Note when the first of these expires; without any, forget what was noted."""
        expires = min((each.not_valid_after_utc for each in certificates), default=None)
        if expires is None:
            self._expires.pop(whose, None)
        else:
            self._expires[whose] = expires

    def warning(self, whose: str) -> str:
        """A warning if this certificate expires soon; else empty."""
        expires = self._expires.get(whose)
        left = WARNED if expires is None else expires - self._now()
        if expires is None or left >= WARNED:
            return ""
        when = f"in {left.days} days" if left.days > 0 else "within a day"
        if left <= timedelta():
            return f"{whose} expired on {expires:%F}; the next connection will fail: renew it"
        return f"{whose} expires {when}, on {expires:%F}: renew it"

    @property
    def expires(self) -> dict[str, datetime]:
        return dict(self._expires)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(filter(None, map(self.warning, self._expires)))
