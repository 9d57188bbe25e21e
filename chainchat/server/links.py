"""The chain port: AMP connections with the other nodes.

There are two lanes for each pair of nodes. The *chain* lane is kept open: of each pair, the node
that is earlier in the founding order dials, and goes on dialling, so the two never dial each other
at once; a newer connection takes the place of an older one. The *copy* lane is opened by a node
that copies another's log, so that bulk never stands in front of a ping.
"""

import random
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from msgspec import msgpack
from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Copied, Differs, Fetch, Message, Synced
from chainchat.config import NodeSettings
from chainchat.server.detector import Detector
from chainchat.server.interfaces import Clock, Timer
from chainchat.server.link import CHAIN, COPY, Identity, Link, LinkFactory

CONNECT_SECONDS = 2
"""How long an attempt to connect may take: long enough for one packet to be lost."""

FIRST_REDIAL, LAST_REDIAL = 0.02, 0.5
"""Seconds before a node is dialled again: the first time, and at most."""

SILENT_SUSPICIONS = 3
"""Times ``suspect_after`` after which a connection that acknowledges nothing is made anew.

TCP tries ever more seldom on an old one, and would notice late that the network is back.
"""

REPEATED_COMPLAINT = 60.0
"""Seconds before the same complaint about the same peer is logged again."""

COPYING = (Fetch, Differs, Copied, Synced)
"""The messages of the copy lane."""

log = Logger()


class Receiver(Protocol):
    """What the links need of the node."""

    def linked(self, position: str, member: Member) -> None:
        """A new connection is there, whose other end says that it is ``member``."""

    def unlinked(self, position: str) -> None:
        """It ended."""

    def refused(self, position: str, host: str, port: int) -> None:
        """Nobody listens any more where the node at ``position`` is, or has been."""

    def member(self, position: str) -> Member | None:
        """The member at ``position`` in the newest configuration."""

    def receive(self, sender: str, message: Message) -> None:
        """A message came from ``sender``."""

    def paused(self, position: str, *, paused: bool) -> None:
        """Whether more stands unsent to ``position`` than should."""


class Links:
    """All connections of one node with the others: its ``Network``.

    Attributes:
        identity: this node's.
        identity_bytes: the same as it is sent.
        clock: the reactor.
    """

    def __init__(self, reactor: Any, identity: Identity, nodes: dict[str, NodeSettings]) -> None:
        self.clock: Clock = reactor
        self.identity = identity
        self.identity_bytes = msgpack.encode(identity)
        self._reactor = reactor
        self._receiver: Receiver | None = None
        self._links: dict[tuple[str, str], Link] = {}
        """By position and lane."""
        self._all: set[Link] = set()
        """Those, too, of which the other end has not said who it is."""
        self._dialling: dict[tuple[str, str], Deferred[Any]] = {}
        self._redials: dict[str, Timer] = {}
        self._first_fetch: dict[str, Message] = {}
        self._complaints: dict[tuple[str, str], float] = {}
        self._detector = Detector(reactor, self._refused, self._may_be_at)
        self._nodes = {p: n for p, n in nodes.items() if p != identity.member.position}
        self._announced: dict[str, Member] = {}
        """What the others said of themselves when they were last linked."""

    def factory(self) -> LinkFactory:
        """For the listening port."""
        return LinkFactory(self)

    def start(self, identity: Identity, receiver: Receiver, members: Iterable[Member] = ()) -> None:
        """Begin a life: dial everybody.

        Args:
            identity: of this life.
            receiver: is told of links and messages.
            members: of the configuration that this node knows.
        """
        self.identity = identity
        self.identity_bytes = msgpack.encode(identity)
        self._receiver = receiver
        self.meet(member for member in members if member.id != identity.member.id)
        for position in self._nodes:
            self._dial(position, FIRST_REDIAL)
            self._watch(position)

    def stop(self) -> None:
        """End a life: close everything and dial nobody any more."""
        self._receiver = None
        self._detector.stop()
        for call in self._redials.values():
            if call.active():
                call.cancel()
        for attempt in list(self._dialling.values()):
            attempt.cancel()
        ended, self._all = self._all, set()
        for link in ended:
            link.close()
        self._links = {}
        self._first_fetch = {}

    def meet(self, members: Iterable[Member]) -> None:
        """Get to know members, also those that ``chain.ini`` does not name here."""
        for member in members:
            position = member.position
            self._announced[position] = member
            if position not in self._nodes:
                self._nodes[position] = NodeSettings(
                    position, member.host, member.client_port, member.chain_port, Path()
                )
                self._dial(position, FIRST_REDIAL)

    # --- the node's network

    def send(self, to: str, message: Message) -> None:
        """See ``Network``."""
        lane = COPY if isinstance(message, COPYING) else CHAIN
        link = self._links.get((to, lane))
        if link is not None:
            link.send(message)
        elif isinstance(message, Fetch) and to in self._nodes:
            self._first_fetch[to] = message
            self._connect(to, COPY)

    # --- dialling

    def _dials(self, position: str) -> bool:
        """Whether this side dials: newcomers dial everybody, founders those after them."""
        founding = self.identity.founding
        mine, its = (
            (founding.index(p) if p in founding else -1, p)
            for p in (self.identity.member.position, position)
        )
        return mine < its

    def _dial(self, position: str, pause: float) -> None:
        """Dial until there is a link; ``pause``: seconds before the next attempt."""
        if self._receiver is None or not self._dials(position):
            return
        chain = position, CHAIN
        greeting = any((link.dialled, link.lane) == chain for link in self._all)
        if not greeting and chain not in self._links and chain not in self._dialling:
            self._connect(position, CHAIN, lambda: self._redial(position, pause))

    def _connect(self, position: str, lane: str, failed: Callable[[], None] = lambda: None) -> None:
        """One attempt; ``failed`` is called if there is nobody."""
        if (position, lane) in self._dialling:
            return
        node = self._nodes[position]
        endpoint = endpoints.TCP4ClientEndpoint(
            self._reactor, node.host, node.chain_port, timeout=CONNECT_SECONDS
        )
        factory: Any = LinkFactory(self, position, lane)
        attempt = endpoint.connect(factory)
        self._dialling[position, lane] = attempt

        def connected(_: Link) -> None:
            del self._dialling[position, lane]

        def refused(_: Failure) -> None:
            del self._dialling[position, lane]
            failed()

        attempt.addCallbacks(connected, refused)

    def _redial(self, position: str, pause: float) -> None:
        if self._receiver is None or position not in self._nodes:
            return
        scheduled = self._redials.get(position)
        if scheduled is not None and scheduled.active():
            return
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - keeps two nodes from dialling in step
        self._redials[position] = self.clock.callLater(
            pause * jitter, self._dial, position, min(2 * pause, LAST_REDIAL)
        )

    def limit_silence(self, handle: socket.socket) -> None:
        """Let the system end a connection whose other end acknowledges nothing. Proves nothing."""
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(SILENT_SUSPICIONS * self.identity.suspect_after * 1_000)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    # --- deaths

    def _watch(self, position: str) -> None:
        """Try the ports at which a position may be, except where it is linked."""
        if position in self._nodes and self._receiver is not None:
            for host, port in sorted(self._addresses(position, self._receiver)):
                self._detector.watch(position, host, port)

    def _may_be_at(self, position: str, host: str, port: int) -> bool:
        """Whether that port is to be tried again; the configuration may be another by now."""
        return self._receiver is not None and (host, port) in self._addresses(
            position, self._receiver
        )

    def _addresses(self, position: str, receiver: Receiver) -> set[tuple[str, int]]:
        """Where a position may be, except where it is linked.

        This is the address of whoever was last linked as this position, and the one that the
        configuration has: only there is a refusal a proof, but somebody else may have called since.
        """
        node, link = self._nodes[position], self._links.get((position, CHAIN))
        known = self._announced.get(position), receiver.member(position)
        addresses = {member.address for member in known if member is not None}
        if not addresses:
            addresses = {(node.host, node.chain_port)}
        if link is not None and link.peer is not None:
            addresses.discard(link.peer.member.address)
        return addresses

    def _refused(self, position: str, host: str, port: int) -> None:
        if self._receiver is not None:
            self._receiver.refused(position, host, port)

    # --- links come and go

    def opened(self, link: Link) -> None:
        """A connection is there; whose, nobody knows yet."""
        self._all.add(link)

    def introduced(self, link: Link) -> None:
        """A connection's other end is known; one link for each pair and lane."""
        if self._receiver is None:
            link.close()
            return
        assert link.peer is not None
        member = link.peer.member
        position = member.position
        rival = self._links.get((position, link.lane))
        self._links[position, link.lane] = link
        if rival is not None:
            rival.close()
        if link.lane == COPY:
            fetch = self._first_fetch.pop(position, None)
            if fetch is not None:
                link.send(fetch)
            self._dial(position, FIRST_REDIAL)  # it is there now: no need to wait any longer
            return
        self._detector.ignore(position)
        self.meet([member])
        log.info("{me}: linked with {peer}", me=self.identity.member.position, peer=position)
        if rival is not None:
            self._receiver.unlinked(position)
        self._receiver.linked(position, member)
        self._watch(position)

    def lost(self, link: Link) -> None:
        """A connection ended."""
        of_this_life = link in self._all
        self._all.discard(link)
        if self._receiver is None or not of_this_life:
            return
        if link.peer is not None:
            position = link.peer.member.position
            if self._links.get((position, link.lane)) is link:
                del self._links[position, link.lane]
                if link.lane == CHAIN:
                    me = self.identity.member.position
                    log.info("{me}: lost {peer}", me=me, peer=position)
                    self._receiver.unlinked(position)
                    self._watch(position)
        if link.dialled is not None and link.lane == CHAIN:
            self._redial(link.dialled, FIRST_REDIAL if link.peer else LAST_REDIAL)

    def deliver(self, position: str, link: Link, message: Message) -> None:
        """A message came.

        One from a link that was replaced is dropped: its sender says it again.
        """
        if self._links.get((position, link.lane)) is link and self._receiver is not None:
            self._receiver.receive(position, message)

    def copied_from(self, member: Member) -> str:
        """Why ``member`` must be a copy of another node's data; empty if it need not be."""
        for (_, lane), link in self._links.items():
            other = link.peer.member if link.peer else None
            if lane == CHAIN and other and other.id == member.id and not _same_place(other, member):
                return (
                    f"has a copy of the data of {other.position} at "
                    f"{other.host}:{other.chain_port}, which is connected"
                )
        return ""

    def paused(self, link: Link, *, paused: bool) -> None:
        """A link's transport is full, or empty again."""
        if link.peer is None or self._receiver is None or link.lane == COPY:
            return
        position = link.peer.member.position
        if self._links.get((position, CHAIN)) is link:
            self._receiver.paused(position, paused=paused)

    def complain(self, address: str, what: str) -> None:
        """Log what is wrong with a peer, once a minute for each host and complaint."""
        host = address.rpartition(":")[0]
        now = self.clock.seconds()
        last = self._complaints.get((host, what))
        if last is None or now - last > REPEATED_COMPLAINT:
            if len(self._complaints) > 1_000:
                self._complaints.clear()
            self._complaints[host, what] = now
            log.warn(
                "{me}: {address} {what}",
                me=self.identity.member.position,
                address=address,
                what=what,
            )


def _same_place(one: Member, other: Member) -> bool:
    """Whether two lives are of one node, where it was."""
    return one.position == other.position and one.address == other.address
