"""What clients of this node have asked for and is on its way through the chain: how much may be."""

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from chainchat.chain.replica import Replica
from chainchat.chat.state import Result

Replied = Callable[[Sequence[Result]], None]
"""Is called with the results of what was submitted."""


class PendingLimits(Struct, frozen=True):
    """How much may be on its way.

    Attributes:
        requests: messages and other requests of one node's clients. So many keep the chain busy;
            more would only make everybody's wait longer. And they are no more than are remembered
            of a program (``programs.REMEMBERED_SENDS``), so each can be told its result. With so
            many, sessions that have their share of them stop reading from their sockets.
        octets: the same in octets: a thousand long messages keep the chain busy for a tenth of a
            second.
        share: so many of one session are taken even then, so that the greedy do not keep out the
            others.
        most: with so many requests, nobody's are taken.
        again: when there were too many, more are taken when this part of them is left: soon, or
            the chain runs dry.
    """

    requests: int = 1_024
    octets: int = 160 * 1024
    share: int = 16
    most: int = 4 * 1_024
    again: float = 7 / 8


USUAL_PENDING = PendingLimits()


class Pending:
    """The requests of one node that are not answered yet.

    Attributes:
        congested: True from when too many are on their way until enough of them are answered.
        untimed: True if something was submitted since ``note_time`` was called.
    """

    def __init__(self, replica: Replica, limits: PendingLimits = USUAL_PENDING) -> None:
        """None yet; ``replica`` knows what is on its way."""
        self.congested = self.untimed = False
        self._replica = replica
        self._limits = limits
        self._repliers: dict[int, Replied] = {}
        self._newest = 0
        """Number of the newest request."""
        self._waiting: deque[tuple[int, float]] = deque()
        """Of each turn's requests that are not all answered: the newest's number, and when."""

    def room_for(self, on_their_way: int) -> int:
        """How many more requests a session may submit that has so many on their way."""
        limits, pending = self._limits, self._replica.pending
        share = max(0, limits.share - on_their_way) if pending < limits.most else 0
        return share if self.congested else max(share, limits.requests - pending)

    def submitted(self, number: int, replied: Replied | None) -> None:
        """A request was submitted; ``replied`` takes its results."""
        self._newest, self.untimed = number, True
        replica, limits = self._replica, self._limits
        if replica.pending > limits.requests or replica.pending_octets > limits.octets:
            self.congested = True
        if replied is not None:
            self._repliers[number] = replied

    def note_time(self, now: float) -> None:
        """A turn begins: what was submitted since the last one waits from now on."""
        self.untimed = False
        self._waiting.append((self._newest, now))

    def answered(self, number: int, results: Sequence[Result]) -> None:
        """A request was applied here."""
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()
        replied = self._repliers.pop(number, None)
        if replied is not None:
            replied(results)

    def has_room_again(self) -> bool:
        """End the congestion, if there is room; True if this has ended it."""
        replica, limits = self._replica, self._limits
        requests, octets = replica.pending / limits.requests, replica.pending_octets / limits.octets
        self.congested = max(requests, octets) >= limits.again
        return not self.congested

    @property
    def idle(self) -> bool:
        """True if nothing waits for an answer."""
        return not self._waiting

    def waits_since(self, moment: float) -> bool:
        """True if something was submitted before ``moment`` and is not answered."""
        return bool(self._waiting) and self._waiting[0][1] < moment
