"""Which nodes form the chain, in which order, in which epoch.

Roles are computed, not stored: a splice has no flag to update.
"""

from enum import Enum
from typing import Annotated, Self

from msgspec import Meta, Struct

IDENTITY_BITS = 53

MAX_MEMBERS = 3
"""The rules were checked for chains of one to three."""

MOST = 2**53
"""The highest epoch, sequence number or incarnation that a node believes."""

Number = Annotated[int, Meta(ge=0, le=MOST)]

Port = Annotated[int, Meta(ge=0, le=65_535)]

Name = Annotated[str, Meta(max_length=64)]

Address = tuple[str, int]

Life = tuple[str, int]
"""A node's id and incarnation."""


class Role(Enum):
    """The work of a member (paper, section 2)."""

    HEAD = "head"
    MIDDLE = "middle"
    TAIL = "tail"
    ONLY = "only"


class Member(Struct, frozen=True):
    """One life of one node.

    Attributes:
        position: unique in a configuration.
        id: of its data; an empty disk gets a new one.
        incarnation: grows with every start on these data.
    """

    position: Name
    id: Name
    incarnation: Number
    host: Annotated[str, Meta(max_length=255)] = ""
    chain_port: Port = 0
    client_port: Port = 0

    @property
    def life(self) -> Life:
        return self.id, self.incarnation

    @property
    def address(self) -> Address:
        return self.host, self.chain_port

    @property
    def origin(self) -> str:
        return f"{self.id}.{self.incarnation}"


class Configuration(Struct, frozen=True):
    """The members in chain order; on a new disk, epoch 0 without members.

    Attributes:
        epoch: grows; each has one configuration.
        why: the reason, for operators.
        identity: random; tells apart two chains that, against the rules, share an epoch.
    """

    epoch: Number = 0
    members: Annotated[tuple[Member, ...], Meta(max_length=MAX_MEMBERS)] = ()
    why: Annotated[str, Meta(max_length=2_000)] = ""
    identity: Number = 0

    @property
    def flaw(self) -> str:
        """Why nobody can have decided this; empty if somebody can."""
        if (self.epoch == 0) != (not self.members):
            return "an epoch without members"
        if len({m.position for m in self.members}) < len(self.members):
            return "a position twice"
        if len({m.id for m in self.members}) < len(self.members):
            return "a node twice"
        return ""

    @property
    def positions(self) -> tuple[str, ...]:
        return tuple(member.position for member in self.members)

    @property
    def head(self) -> str:
        return self.members[0].position

    @property
    def tail(self) -> str:
        return self.members[-1].position

    def member(self, position: str) -> Member | None:
        return next((member for member in self.members if member.position == position), None)

    @property
    def lives(self) -> tuple[Life, ...]:
        return tuple(member.life for member in self.members)

    def has(self, life: Life) -> bool:
        node_id, incarnation = life
        for member in self.members:  # asked some ten times for each message about configurations
            if member.id == node_id:
                return member.incarnation == incarnation
        return False

    def has_node(self, node_id: str) -> bool:
        return any(member.id == node_id for member in self.members)

    def role(self, position: str) -> Role | None:
        if position not in self.positions:
            return None
        match position == self.head, position == self.tail:
            case True, True:
                return Role.ONLY
            case True, _:
                return Role.HEAD
            case _, True:
                return Role.TAIL
            case _:
                return Role.MIDDLE

    def predecessor(self, position: str) -> str | None:
        return self._neighbour(position, -1)

    def successor(self, position: str) -> str | None:
        return self._neighbour(position, +1)

    def _neighbour(self, position: str, step: int) -> str | None:
        for place, member in enumerate(self.members):
            if member.position == position:
                beside = place + step
                return self.members[beside].position if 0 <= beside < len(self.members) else None
        return None

    def followed_by(self, members: tuple[Member, ...], why: str) -> Self:
        return type(self)(self.epoch + 1, members, why)

    def is_another(self, epoch: int, identity: int) -> bool:
        """Return whether these name another chain's configuration of the same epoch."""
        return epoch == self.epoch and identity != self.identity

    def __str__(self) -> str:
        chain = " -> ".join(self.positions) or "nobody"
        return f"epoch {self.epoch} ({chain})"
