"""An origin's requests: kept, and offered to each new head, until applied."""

from collections import deque
from collections.abc import Iterator

from chainchat.chain.configuration import Configuration
from chainchat.chain.entries import Submission
from chainchat.chain.log import FRAME_ENTRIES, MAX_COMMAND, fitting
from chainchat.chain.messages import Submit


class OwnRequests:
    """The requests of a ``Member.origin``, in order.

    Attributes:
        pending: sequence numbers not applied yet.
        octets: of their commands.
        unoffered: not sent to this head.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.pending = self.octets = 0
        self.unoffered: list[Submission] = []
        self._kept: deque[Submission] = deque()
        self._numbered = 0

    @property
    def settled(self) -> int:
        return self._kept[0].number - 1 if self._kept else self._numbered

    def submit(self, command: bytes, span: int) -> int:
        """Take in a request; return its number, which its entry will carry."""
        assert len(command) <= MAX_COMMAND
        self._numbered += 1
        self.pending += span
        self.octets += len(command)
        request = Submission(self._numbered, command, span)
        self._kept.append(request)
        self.unoffered.append(request)
        return self._numbered

    def offer_again(self) -> None:
        """Offer all to a head that is another, or may have lost some."""
        self.unoffered = list(self._kept)

    def offer(self) -> list[Submission]:
        offered, self.unoffered = self._still_pending(), []
        return offered

    def frames(self, configuration: Configuration, full: set[str]) -> Iterator[Submit]:
        """Send what the head was not offered yet, until its connection is full."""
        requests, self.unoffered = self._still_pending(), []
        epoch, identity = configuration.epoch, configuration.identity
        while requests and configuration.head not in full:
            batch = tuple(fitting(requests, FRAME_ENTRIES))
            requests = requests[len(batch) :]
            yield Submit(epoch, self.origin, batch, identity)
        self.unoffered = requests + self.unoffered

    def _still_pending(self) -> list[Submission]:
        settled = self.settled
        return [request for request in self.unoffered if request.number > settled]

    def settle(self, number: int) -> None:
        """Note an applied entry; one out of order had no effect."""
        if not self._kept:
            return
        first = self._kept[0].number
        if number == first:
            settled = self._kept.popleft()
            self.pending -= settled.span
            self.octets -= len(settled.command)
        elif number > first:
            self.offer_again()
