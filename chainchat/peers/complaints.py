"""Complaints about visitors of the chain port: few are logged."""

PERIOD = 60.0
"""Seconds before the same kind of complaint about the same host is logged again."""

MOST = 256
"""Complaints logged in one period, about all hosts together."""


class Complaints:
    """Remembers the complaints of the last period, up to a limit."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], float] = {}
        """The time of each, by host and kind, oldest first."""

    def is_news(self, host: str, kind: str, now: float) -> bool:
        """True if this complaint is to be logged now.

        A stranger must not choose any part of ``kind``.
        """
        while self._told:
            oldest = next(iter(self._told))
            if now - self._told[oldest] < PERIOD:
                break
            del self._told[oldest]
        if (host, kind) in self._told or len(self._told) >= MOST:
            return False
        self._told[host, kind] = now
        return True
