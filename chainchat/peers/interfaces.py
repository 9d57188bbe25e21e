"""What the chain port needs of the reactor and of the node."""

from typing import Protocol

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Held, Message
from chainchat.node.interfaces import Clock


class Reactor(Clock, Protocol):
    """Time, and connections."""

    def connectTCP(  # noqa: N802 - Twisted's name
        self,
        host: str,
        port: int,
        factory: object,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,  # noqa: N803 - Twisted's name
    ) -> object:
        """Connect; ``factory`` makes the protocol."""


class Receiver(Protocol):
    """The node, as its links see it."""

    @property
    def held(self) -> Held:
        """The newest configuration and committed entry, for new connections."""

    @property
    def has_removed(self) -> bool:
        """True if old messages were removed: older releases cannot follow this log."""

    def linked(self, position: str, member: Member, its: Held, *, older: bool) -> None:
        """A link with ``member``, which says that it holds ``its``."""

    def unlinked(self, position: str) -> None:
        """The link ended."""

    def reached(self, position: str, host: str, port: int, member: Member) -> None:
        """``member`` answered where this side dialled."""

    def refused(self, position: str, host: str, port: int) -> None:
        """Nobody listens any more at an address of ``position``."""

    def member(self, position: str) -> Member | None:
        """The member at ``position`` in the newest configuration."""

    def receive(self, sender: str, message: Message) -> None:
        """Take in a message from ``sender``."""

    def full(self, position: str, *, full: bool) -> None:
        """Note whether too much is unsent to ``position``."""

    def copy_full(self, position: str, *, full: bool) -> None:
        """Note whether too much is unsent on the copy lane."""
