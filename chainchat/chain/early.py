"""Messages of an epoch that this node is still to adopt.

Their senders do not know that it is late, and would not say them again on this connection. So they
are kept, up to a bound that no node reaches by what it says while another is late.
"""

from collections.abc import Sequence

from chainchat.chain.messages import (
    Ack,
    Answer,
    BadMessageError,
    Forward,
    Holding,
    Read,
    StateDigest,
    Submit,
)

ChainMessage = Submit | Forward | Ack | Holding | Read | Answer | StateDigest
"""What is said in an epoch, in distinction from what is said about epochs."""

MOST_OCTETS = 8_000_000
"""Of one sender's messages, as ``_octets`` counts them."""

OVERHEAD = 500
"""Octets of memory that a message or an entry takes, about, besides what it carries."""


class EarlyMessages:
    """What came too early, in its order."""

    def __init__(self) -> None:
        """Nothing did."""
        self._kept: list[tuple[str, ChainMessage]] = []
        self._octets: dict[str, int] = {}

    def keep(self, sender: str, message: ChainMessage) -> None:
        """Keep a message.

        Raises:
            BadMessageError: its sender has said so much that it is no node, or will have to say all
                again on another connection.
        """
        octets = self._octets.get(sender, 0) + _octets(message)
        if octets > MOST_OCTETS:
            self.forget(sender)
            raise BadMessageError("too much of an epoch that is still to come")
        self._octets[sender] = octets
        self._kept.append((sender, message))

    def forget(self, sender: str) -> None:
        """The connection with ``sender`` ended: on the next, it begins anew."""
        if self._octets.pop(sender, None) is not None:
            self._kept = [(who, message) for who, message in self._kept if who != sender]

    def all(self) -> Sequence[tuple[str, ChainMessage]]:
        """Everything that is kept, which is kept no more."""
        kept, self._kept, self._octets = self._kept, [], {}
        return kept


def _octets(message: ChainMessage) -> int:
    match message:
        case Forward():
            carried = sum(len(entry.command) + OVERHEAD for entry in message.entries)
        case Submit():
            carried = sum(len(request.command) + OVERHEAD for request in message.requests)
        case Read():
            carried = len(message.query)
        case Answer():
            carried = len(message.answer)
        case _:
            carried = 0
    return carried + OVERHEAD
