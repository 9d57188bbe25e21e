"""Where positions are, as this node knows."""

from collections.abc import Callable, Iterable, Mapping

from chainchat.chain.configuration import Address, Member
from chainchat.config import NodeSettings
from chainchat.network.addresses import host_port

COPIED = "has a copy of the data of "
"""The beginning of an alarm at both ends."""


class Directory:
    """The other positions.

    Attributes:
        configured: addresses in ``chain.ini``.
        dialled: where to dial each; of an unknown position, where it says it is.
        announced: what each said when last linked.
    """

    def __init__(
        self, me: str, nodes: Mapping[str, NodeSettings], member: Callable[[str], Member | None]
    ) -> None:
        """``member`` gives the newest configuration's member at a position."""
        self.configured = {p: (n.host, n.chain_port) for p, n in nodes.items() if p != me}
        self.dialled = dict(self.configured)
        self.announced: dict[str, Member] = {}
        self._me = me
        self._member = member

    def meet(self, member: Member) -> None:
        self.announced[member.position] = member
        self.dialled.setdefault(member.position, member.address)

    def forget(self, position: str) -> None:
        self.dialled.pop(position, None)
        self.announced.pop(position, None)

    def rightful(self, position: str) -> Address | None:
        """Return where a position belongs, by the configuration, or else ``chain.ini``."""
        member = self._member(position)
        return self.configured.get(position) if member is None else member.address

    def is_rightful(self, member: Member) -> bool:
        return member.address == self.rightful(member.position)

    def places(self, position: str) -> set[Address]:
        """Return where a refusal proves a death: where it linked last, and where it is a member."""
        known = self.announced.get(position), self._member(position)
        places = {member.address for member in known if member is not None}
        return places or {self.dialled[position]}

    def copied_from(self, member: Member, linked: Iterable[Member]) -> str:
        """Say why ``member`` must have a copy of another node's data; else empty."""
        members = (self._member(position) for position in [*self.dialled, self._me])
        for other in (*members, *linked):
            if other is None or other.id != member.id:
                continue
            if _same_place(other, member) or self._is_at_home(member, other):
                continue
            return f"{COPIED}{other.position}, which is at {shown(other.address)}"
        return ""

    def _is_at_home(self, member: Member, other: Member) -> bool:
        if member.position != other.position and not self.is_rightful(member):
            return False
        moved = member.address == self.configured.get(member.position)
        return moved or (self.is_rightful(member) and not self.is_rightful(other))


def shown(address: Address) -> str:
    return host_port(*address)


def _same_place(one: Member, other: Member) -> bool:
    return one.position == other.position and one.address == other.address
