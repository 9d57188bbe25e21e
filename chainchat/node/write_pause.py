"""How long writes stood still when the configuration changed."""

from collections.abc import Callable

from msgspec import Struct

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.membership.changes import change
from chainchat.node.interfaces import Clock


class CompletedChange(Struct, frozen=True):
    """A configuration followed by another.

    Attributes:
        outcome: how long writes stood still, for people.
        paused: the same in seconds, if known.
    """

    old: Configuration
    new: Configuration
    outcome: str
    paused: float | None = None

    @property
    def kind(self) -> str:
        """``found``, ``resume``, ``shrink``, ``join``; ``other``: several at once."""
        kind = change(self.old, self.new)
        return "other" if kind is None else kind.value

    def __str__(self) -> str:
        return f"{self.old} is followed by {self.new}: {self.new.why}; {self.outcome}"


class WritePause:
    """One life's view of a pause of writes."""

    def __init__(
        self, me: Member, clock: Clock, changed: Callable[[CompletedChange], None]
    ) -> None:
        """``changed`` takes each change whose outcome is known."""
        self._me = me
        self._clock = clock
        self._changed = changed
        self._since: float | None = None
        self._moved = 0, clock.seconds()
        """Committed, and when, at the last tick with progress or no work."""
        self._change: tuple[Configuration, Configuration] | None = None
        """A change, until the new configuration confirms an entry."""

    def begins(self) -> None:
        """Note that writes may stand still until ``ends``."""
        if self._since is None:
            self._since = self._clock.seconds()

    def tick(self, committed: int, *, idle: bool) -> None:
        if committed != self._moved[0] or idle:
            self._moved = committed, self._clock.seconds()
        elif self._since is None:
            self._since = self._moved[1]

    def changed(self, old: Configuration, new: Configuration) -> None:
        """Tell of a change once it confirms an entry; at once if this node is no member."""
        if self._change is not None:
            self._told("it confirmed nothing; writes have stood still for {:.3f} s", self.seconds)
        self._change = old, new
        if not new.has(self._me.life):
            self._told("this node is no member, and cannot tell how long writes stood still")

    def ends(self) -> None:
        """Note that the newest configuration has confirmed an entry."""
        if self._change is not None:
            old, _ = self._change
            if old.members and not old.has_node(self._me.id):
                self._told("this node is new, and cannot tell how long writes stood still")
            else:
                self._told("writes stood still for {:.3f} s", self.seconds)
        self._since = None

    @property
    def may_end(self) -> bool:
        return self._since is not None or self._change is not None

    @property
    def seconds(self) -> float:
        """The pause so far."""
        now = self._clock.seconds()
        return 0.0 if self._since is None else now - self._since

    def _told(self, outcome: str, paused: float | None = None) -> None:
        assert self._change is not None
        (old, new), self._change = self._change, None
        self._changed(CompletedChange(old, new, outcome.format(paused), paused))
