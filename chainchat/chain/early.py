"""Messages of an epoch that this node has yet to adopt: their senders would not repeat them."""

from collections.abc import Sequence

from chainchat.chain.messages import (
    Answer,
    BadMessageError,
    ChainMessage,
    Forward,
    Read,
    Submit,
)

MOST_OCTETS = 8_000_000
"""Octets kept of one sender; no honest node sends so many."""

OVERHEAD = 500
"""Memory of a message or entry besides its content, in octets."""


class EarlyMessages:
    """Early messages, in the order of their arrival."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, ChainMessage]] = []
        self._octets: dict[str, int] = {}

    def keep(self, sender: str, message: ChainMessage) -> None:
        """Keep a message for ``all``.

        Raises:
            BadMessageError: the sender's exceed ``MOST_OCTETS``; all of them are dropped.
        """
        octets = self._octets.get(sender, 0) + _octets(message)
        if octets > MOST_OCTETS:
            self.forget(sender)
            raise BadMessageError("too much of an epoch that is still to come")
        self._octets[sender] = octets
        self._kept.append((sender, message))

    def forget(self, sender: str) -> None:
        """Drop the sender's messages: its next connection starts over."""
        if self._octets.pop(sender, None) is not None:
            self._kept = [(who, message) for who, message in self._kept if who != sender]

    def all(self) -> Sequence[tuple[str, ChainMessage]]:
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
