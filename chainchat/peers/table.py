"""Which connection counts for each position and lane."""

from collections.abc import Iterator

from chainchat.chain.configuration import Member
from chainchat.peers.lanes import CHAIN
from chainchat.peers.link import Link


class Table:
    """All connections in one life; ``linked`` are those that count, by position and lane."""

    def __init__(self) -> None:
        self.linked: dict[tuple[str, str], Link] = {}
        self.every: set[Link] = set()

    def chain(self, position: str) -> Link | None:
        return self.linked.get((position, CHAIN))

    def member(self, position: str) -> Member | None:
        link = self.chain(position)
        return None if link is None else link.member

    def members(self) -> Iterator[Member]:
        for (_, lane), link in self.linked.items():
            if lane == CHAIN:
                yield link.member

    def counts(self, link: Link) -> bool:
        return link.peer is not None and self.linked.get((link.member.position, link.lane)) is link

    def is_dialled(self, position: str, lane: str) -> bool:
        return any((link.dialled, link.lane) == (position, lane) for link in self.every)

    def is_beside(self, link: Link) -> bool:
        """Return whether this membership lane belongs to the chain lane."""
        chain = self.chain(link.member.position)
        if chain is None:
            return False
        its, known = (chain.dialled, chain.key), (link.dialled, link.key)
        return its == known and bool(link.key) and chain.member == link.member

    def close(self, position: str, lane: str) -> None:
        link = self.linked.pop((position, lane), None)
        if link is not None:
            link.close()

    def close_all(self) -> None:
        ended, self.every = self.every, set()
        self.linked = {}
        for link in ended:
            link.close()
