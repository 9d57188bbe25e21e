"""The newest Ping and Pong from each position, member or not: whom to ask, let in and show.

``evidence``, which is of lives, tells whom to exclude.
"""

from collections.abc import Iterable

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Pong
from chainchat.chain.timing import Timing


class Presence:
    """The positions around one life of one node."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._links: dict[str, Member] = {}
        self._pongs: dict[str, Pong] = {}
        self._pinged: dict[str, float] = {}
        self._met: set[str] = set()

    # --- what comes in

    def linked(self, position: str, member: Member) -> None:
        self._links[position] = member
        self._pongs.pop(position, None)

    def unlinked(self, position: str) -> None:
        self._links.pop(position, None)

    def forget(self, position: str) -> None:
        self._pongs.pop(position, None)
        self._pinged.pop(position, None)
        self._met.discard(position)

    def pinged(self, position: str, now: float) -> None:
        self._pinged[position] = now

    def answered(self, position: str, pong: Pong) -> None:
        self._pongs[position] = pong
        self._met.add(position)

    def refused(self, position: str) -> None:
        self._met.add(position)

    # --- what it comes to

    def link(self, position: str) -> Member | None:
        """Return who the other end of the connection claims to be."""
        return self._links.get(position)

    def is_heard(self, position: str, now: float) -> bool:
        pinged = self._pinged.get(position)
        return pinged is not None and now - pinged < self._timing.suspect_after

    def silences(self, now: float) -> dict[str, float]:
        return {position: now - pinged for position, pinged in self._pinged.items()}

    def pong(self, position: str) -> Pong | None:
        """Return the newest Pong of this connection, however old."""
        return self._pongs.get(position)

    def pongs(self, now: float) -> dict[str, Pong]:
        return {p: pong for p, pong in self._pongs.items() if self.is_heard(p, now)}

    @property
    def callers(self) -> Iterable[str]:
        return self._pinged.keys()

    def has_met(self, positions: Iterable[str]) -> bool:
        """Return whether each has answered, or refused a connection."""
        return self._met.issuperset(positions)
