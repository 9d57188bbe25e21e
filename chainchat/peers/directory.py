"""Where positions are, as far as this node knows, and who has a copy of another's data."""

from collections.abc import Callable, Iterable, Mapping

from chainchat.chain.configuration import Address, Member
from chainchat.config import NodeSettings

COPIED = "has a copy of the data of "
"""How an objection begins that is an alarm at both ends."""


class Directory:
    """Positions and addresses.

    Attributes:
        configured: where ``chain.ini`` has the other positions.
        dialled: where each other position is dialled: newcomers where they say that they are.
        announced: what the others said of themselves when they were last linked.
    """

    def __init__(
        self, me: str, nodes: Mapping[str, NodeSettings], member: Callable[[str], Member | None]
    ) -> None:
        """Nobody is known but who is in ``chain.ini``.

        Args:
            me: this node's position.
            nodes: by position, from ``chain.ini``.
            member: gives the member at a position in the newest configuration.
        """
        self.configured = {p: (n.host, n.chain_port) for p, n in nodes.items() if p != me}
        self.dialled = dict(self.configured)
        self.announced: dict[str, Member] = {}
        self._me = me
        self._member = member

    def meet(self, member: Member) -> None:
        """Note what a node says of itself, be it in ``chain.ini`` or not."""
        self.announced[member.position] = member
        self.dialled.setdefault(member.position, member.address)

    def forget(self, position: str) -> None:
        """A position that nobody knows has nobody connected any more."""
        self.dialled.pop(position, None)
        self.announced.pop(position, None)

    def rightful(self, position: str) -> Address | None:
        """Where a position should be; None if nobody knows.

        That is where the configuration has it, or else ``chain.ini``.
        """
        member = self._member(position)
        return self.configured.get(position) if member is None else member.address

    def is_rightful(self, member: Member) -> bool:
        """Whether ``member`` is where its position should be."""
        return member.address == self.rightful(member.position)

    def places(self, position: str) -> set[Address]:
        """Where a position may be.

        This is the address of whoever was last linked as this position, and the one that the
        configuration has: only there is a refusal a proof, but somebody else may have called since.
        """
        known = self.announced.get(position), self._member(position)
        places = {member.address for member in known if member is not None}
        return places or {self.dialled[position]}

    def copied_from(self, member: Member, linked: Iterable[Member]) -> str:
        """Why ``member`` must be a copy of another node's data; empty if it need not be.

        Two that have the same data are told apart by their places: a member's is the one that the
        configuration has, or ``chain.ini``, by which an operator says that it has moved.

        Args:
            member: who has just said who it is.
            linked: who is linked.
        """
        members = (self._member(position) for position in [*self.dialled, self._me])
        for other in (*members, *linked):
            if other is None or other.id != member.id:
                continue
            if _same_place(other, member) or self._is_at_home(member, other):
                continue
            return f"{COPIED}{other.position}, which is at {shown(other.address)}"
        return ""

    def _is_at_home(self, member: Member, other: Member) -> bool:
        """Whether ``member`` is where its position should be, and ``other`` is not."""
        if member.position != other.position and not self.is_rightful(member):
            return False
        moved = member.address == self.configured.get(member.position)
        return moved or (self.is_rightful(member) and not self.is_rightful(other))


def shown(address: Address) -> str:
    """An address, for people."""
    return f"{address[0]}:{address[1]}"


def _same_place(one: Member, other: Member) -> bool:
    """Whether two lives are of one node, where it was."""
    return one.position == other.position and one.address == other.address
