"""Where positions belong, and who has a copy of another's data."""

from collections.abc import Callable, Iterable, Mapping

from chainchat.chain.configuration import Address, Member
from chainchat.config import NodeSettings

COPIED = "has a copy of the data of "
"""How an objection begins that is an alarm at both ends."""


class Places:
    """Where each position should be: by the configuration, or else by ``chain.ini``.

    Attributes:
        configured: what ``chain.ini`` has, by position.
    """

    def __init__(
        self, configured: Mapping[str, NodeSettings], member: Callable[[str], Member | None]
    ) -> None:
        """``member`` gives the member at a position in the newest configuration."""
        self.configured = dict(configured)
        self._member = member

    def rightful(self, position: str) -> Address | None:
        """Where a position should be; None if nobody knows."""
        member = self._member(position)
        return self._configured(position) if member is None else member.address

    def is_rightful(self, member: Member) -> bool:
        """Whether ``member`` is where its position should be."""
        return member.address == self.rightful(member.position)

    def copied_from(self, member: Member, holders: Iterable[Member]) -> str:
        """Why ``member`` must be a copy of another node's data; empty if it need not be.

        Two that have the same data are told apart by their places: a member's is the one that the
        configuration has, or ``chain.ini``, by which an operator says that it has moved.

        Args:
            member: who has just said who it is.
            holders: who is known to have the same data.
        """
        for other in holders:
            if _same_place(other, member) or self._is_at_home(member, other):
                continue
            return f"{COPIED}{other.position}, which is at {shown(other.address)}"
        return ""

    def _configured(self, position: str) -> Address | None:
        node = self.configured.get(position)
        return None if node is None else (node.host, node.chain_port)

    def _is_at_home(self, member: Member, other: Member) -> bool:
        """Whether ``member`` is where its position should be, and ``other`` is not."""
        if member.position != other.position and not self.is_rightful(member):
            return False
        moved = member.address == self._configured(member.position)
        return moved or (self.is_rightful(member) and not self.is_rightful(other))


def shown(address: Address) -> str:
    """An address, for people."""
    return f"{address[0]}:{address[1]}"


def _same_place(one: Member, other: Member) -> bool:
    """Whether two lives are of one node, where it was."""
    return one.position == other.position and one.address == other.address
