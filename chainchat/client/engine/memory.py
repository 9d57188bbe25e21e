"""What a client remembers between runs, so that an end or a crash says nothing twice.

``Memory`` forgets with the process; ``kept_memory`` keeps on disk.
"""

import base64
import hashlib

from msgspec import Struct

from chainchat.client.engine.wire import Address

MOST_LINES = 1024
"""SENDs of a named run: the chain remembers so many results."""

PARTS = 1 << 28
"""Parts of a block of numbers, each for one name."""


class Outgoing(Struct, frozen=True):
    """One SEND."""

    number: int
    to: str
    text: str


class Memory:
    """The memory of one account in one chain.

    Attributes:
        finishes: nothing is repeated after the end, as the chain may forget it.
        open: SENDs without a final answer, by number, in order.
        last_number: the highest of this client ID's SENDs.
        numbered_from: added to these numbers on the wire; None before the first login.
        token: resumes the session; mostly empty.
        seen: id of the newest acknowledged message, if any.
    """

    finishes = True

    def __init__(self) -> None:
        self.open: dict[int, Outgoing] = {}
        self.last_number = 0
        self.numbered_from: int | None = None
        self.token = ""
        self.seen: int | None = None

    def begin(self, client: str) -> str:
        """The client ID of what is open, or else ``client``."""
        return client

    def added(self, outgoing: Outgoing) -> None:
        self.last_number = outgoing.number
        self.open[outgoing.number] = outgoing

    def settled(self, number: int) -> None:
        del self.open[number]

    def numbered(self, offset: int) -> None:
        self.numbered_from = offset

    def logged_in(self, token: str, mark: int | None) -> None:
        """``mark``: the account's read mark, if known."""
        self.token = token
        if mark is not None:
            self.seen = mark

    def acknowledged(self, identifier: int) -> None:
        """Note that everything up to this id was seen."""
        self.seen = identifier

    def learned(self, addresses: list[Address]) -> None: ...

    def ended(self, reason: str) -> None:  # noqa: ARG002 - for those who keep more
        """End; after ``logout``, nothing is open, and the client ID is forgotten."""
        self.token = ""

    def keep(self, now: float) -> None:
        """Bring to the disk what must be there before more is sent."""


class NamedMemory(Memory):
    """The memory of a named run, which may be repeated anywhere: nothing is said twice.

    Client ID and numbers follow from the name. A new client ID's offset may grow between runs, but
    only an unknown one begins there: so numbers come in blocks, and their middle part tells whether
    the highest is of this name.
    """

    finishes = False

    def __init__(self, name: str) -> None:
        super().__init__()
        digest = hashlib.sha256(name.encode()).digest()
        self._client = f"id-{base64.b32encode(digest[:16]).decode().rstrip('=').lower()}"
        self._part = 1 + int.from_bytes(digest[16:20]) % (PARTS - 1)

    def begin(self, client: str) -> str:  # noqa: ARG002 - of a run without a name
        return self._client

    def numbered(self, offset: int) -> None:
        """Begin where an earlier run of this name did, or else in the next block."""
        block, rest = divmod(offset, PARTS * MOST_LINES)
        if rest // MOST_LINES != self._part:
            block += 1
        super().numbered((block * PARTS + self._part) * MOST_LINES)
