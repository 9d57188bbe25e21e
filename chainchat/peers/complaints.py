"""Which complaints about whoever reaches the chain port are logged: few, whatever strangers do."""

PERIOD = 60.0
"""Seconds before a complaint of the same kind about the same host is logged again."""

MOST = 256
"""Complaints that are logged in one period, about all hosts together."""


class Complaints:
    """Remembers what was complained about in the last minute, and no more than so much of it."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], float] = {}
        """By host and kind: when; the oldest comes first."""

    def is_news(self, host: str, kind: str, now: float) -> bool:
        """True if a complaint of this kind about this host is to be logged now.

        ``kind`` must not hold what a stranger chooses: that would always be new.
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
