"""The edges of the chain port: what it needs of the reactor and of the node."""

from typing import Protocol

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Held, Message
from chainchat.node.interfaces import Clock


class Reactor(Clock, Protocol):
    """A part of the reactor: time, and connections."""

    def connectTCP(  # noqa: N802 - Twisted's name
        self,
        host: str,
        port: int,
        factory: object,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,  # noqa: N803 - Twisted's name
    ) -> object:
        """Connect; ``factory`` makes the protocol, and is told of a failure."""


class Receiver(Protocol):
    """What the links need of the node."""

    @property
    def held(self) -> Held:
        """What this node holds, to be said on new connections."""

    def linked(self, position: str, member: Member, its: Held) -> None:
        """A new connection is there, whose other end says that it is ``member``, and holds that."""

    def unlinked(self, position: str) -> None:
        """It ended."""

    def reached(self, position: str, host: str, port: int, member: Member) -> None:
        """This side dialled, and ``member`` answered, which says that it is at ``position``."""

    def refused(self, position: str, host: str, port: int) -> None:
        """Nobody listens any more where the node at ``position`` is, or has been."""

    def member(self, position: str) -> Member | None:
        """The member at ``position`` in the newest configuration."""

    def receive(self, sender: str, message: Message) -> None:
        """A message came from ``sender``."""

    def full(self, position: str, *, full: bool) -> None:
        """Whether more stands unsent to ``position`` than should."""

    def copy_full(self, position: str, *, full: bool) -> None:
        """The same on the copy lane."""
