"""Clients' requests on their way through the chain, and their bounds."""

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from chainchat.chain.own_requests import OwnRequests
from chainchat.chat.outcomes import Result
from chainchat.node.tally import Distribution

Replied = Callable[[Sequence[Result]], None]


class PendingLimits(Struct, frozen=True):
    """How much may be on its way.

    Attributes:
        requests: of one node's clients; no more than are remembered of a program
            (``Bounds.sends``). Above, sessions with their share stop reading their sockets.
        octets: of these requests.
        patient: above, those who say much at once wait: people, and programs if others say little.
        share: requests of one session that are taken even then: the greedy keep nobody out.
        most: above, nobody's are taken.
        again: congestion ends below this part of the limits.
    """

    requests: int = 1_024
    octets: int = 160 * 1024
    patient: int = 64
    share: int = 16
    most: int = 4 * 1_024
    again: float = 7 / 8


USUAL_PENDING = PendingLimits()


class Pending:
    """One node's requests without an answer.

    Attributes:
        congested: too many are on their way, until enough are answered.
        untimed: something was submitted since ``note_time``.
        awaited: a patient client found no room, and there is none yet.
    """

    def __init__(self, requests: OwnRequests, limits: PendingLimits = USUAL_PENDING) -> None:
        self.congested = self.untimed = self.awaited = False
        self._requests = requests
        self._limits = limits
        self._repliers: dict[int, Replied] = {}
        self._newest = 0
        self._waiting: deque[tuple[int, float]] = deque()
        """Of each turn: its newest request, and when it began."""
        self._answered_turns: list[float] = []
        """When the turns of answered requests began."""

    def room_for(self, on_their_way: int, *, patient: bool = False, at_least: int = 0) -> int:
        """Return how many more a session may submit.

        ``patient``: the session can wait, with more than ``at_least`` on their way.
        """
        limits, pending = self._limits, self._requests.pending
        if patient:
            self.awaited = self.awaited or pending >= limits.patient
            share = max(0, at_least - on_their_way) if pending < limits.most else 0
            return max(share, limits.patient - pending)
        share = max(0, limits.share - on_their_way) if pending < limits.most else 0
        return share if self.congested else max(share, limits.requests - pending)

    def submitted(self, number: int, replied: Replied | None) -> None:
        self._newest, self.untimed = number, True
        requests, limits = self._requests, self._limits
        if requests.pending > limits.requests or requests.octets > limits.octets:
            self.congested = True
        if replied is not None:
            self._repliers[number] = replied

    def note_time(self, now: float) -> None:
        """Begin a turn: what came since the last one waits from now on."""
        self.untimed = False
        self._waiting.append((self._newest, now))

    def answered(self, number: int, results: Sequence[Result]) -> None:
        while self._waiting and self._waiting[0][0] <= number:
            self._answered_turns.append(self._waiting.popleft()[1])
        replied = self._repliers.pop(number, None)
        if replied is not None:
            replied(results)

    def count_answered(self, clock: Callable[[], float], commits: Distribution) -> None:
        """Count how long the requests waited that were answered since the last count."""
        if self._answered_turns:
            now = clock()
            for began in self._answered_turns:
                commits.add(now - began)
            self._answered_turns.clear()

    def has_room_again(self) -> bool:
        """End congestion, or the patient's wait, if there is room; return whether that changed."""
        own, limits = self._requests, self._limits
        waited = self.congested, self.awaited
        requests, octets = own.pending / limits.requests, own.octets / limits.octets
        self.congested = self.congested and max(requests, octets) >= limits.again
        self.awaited = self.awaited and own.pending > limits.patient // 2
        return waited != (self.congested, self.awaited)

    @property
    def idle(self) -> bool:
        return not self._waiting

    def waits_since(self, moment: float) -> bool:
        return bool(self._waiting) and self._waiting[0][1] < moment
