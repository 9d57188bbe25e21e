"""What a client remembers from one run to the next, so that an end or a crash says nothing twice.

``Memory`` itself forgets everything with the process; ``kept_memory`` keeps it on the disk.
"""

from msgspec import Struct


class Outgoing(Struct, frozen=True):
    """One SEND."""

    number: int
    to: str
    text: str


class Memory:
    """The memory of one account in one chain.

    Attributes:
        open: the SENDs without a final answer, by number, in order.
        last_number: the highest number of a SEND of this client ID.
        numbered_from: what is added to these numbers on the wire; None before the first login.
        token: with which the session can be resumed; mostly empty.
        seen: id of the newest message that was acknowledged; None if none was.
    """

    def __init__(self) -> None:
        self.open: dict[int, Outgoing] = {}
        self.last_number = 0
        self.numbered_from: int | None = None
        self.token = ""
        self.seen: int | None = None

    def begin(self, client: str) -> str:
        """The client ID of what is open; ``client``, if there is no earlier one."""
        return client

    def added(self, outgoing: Outgoing) -> None:
        """Remember a new SEND."""
        self.last_number = outgoing.number
        self.open[outgoing.number] = outgoing

    def settled(self, number: int) -> None:
        """Forget a SEND that has its final answer."""
        del self.open[number]

    def numbered(self, offset: int) -> None:
        """Note what is added to the numbers, from the first login on."""
        self.numbered_from = offset

    def logged_in(self, token: str, mark: int | None) -> None:
        """Note a login; ``mark``: the account's read mark, if the server told it."""
        self.token = token
        if mark is not None:
            self.seen = mark

    def acknowledged(self, identifier: int) -> None:
        """Note that everything up to this id was seen."""
        self.seen = identifier

    def ended(self, reason: str) -> None:  # noqa: ARG002 - for those who keep more
        """Note the end, with the reason of ``Ended``.

        After a logout nothing is open, and nobody knows the client ID any more.
        """
        self.token = ""

    def keep(self, now: float) -> None:
        """Bring to the disk what must not be lost before anything more is written to the server."""
