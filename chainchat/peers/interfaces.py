"""What the chain port needs of reactor and node."""

from typing import Protocol

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Message, Newest
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
    ) -> object: ...


class Receiver(Protocol):
    """The node, as its links see it."""

    @property
    def held(self) -> Newest: ...

    @property
    def has_removed(self) -> bool:
        """Whether old messages were removed: older releases cannot follow this log."""

    def linked(self, position: str, member: Member, its: Newest, *, older: bool) -> None:
        """Note that ``member`` is linked, and says that it holds ``its``."""

    def unlinked(self, position: str) -> None: ...

    def reached(self, position: str, host: str, port: int, member: Member) -> None:
        """Note that ``member`` answered where this side dialled."""

    def refused(self, position: str, host: str, port: int) -> None: ...

    def member(self, position: str) -> Member | None:
        """Return the newest configuration's member there."""

    def receive(self, sender: str, message: Message) -> None: ...

    def full(self, position: str, *, full: bool) -> None:
        """Note whether too much is unsent."""

    def copy_full(self, position: str, *, full: bool) -> None: ...
