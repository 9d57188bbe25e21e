"""The chain port: AMP connections with the other nodes.

A connection begins with a Hello in both directions (the answer to one is the other). After that
each message of ``chain.messages`` is an AMP command of its own name, with the one argument ``body``
and no answer.

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

from msgspec import DecodeError, Struct, msgpack
from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from chainchat.chain.configuration import Member
from chainchat.chain.messages import (
    KINDS,
    BadMessageError,
    Copied,
    Differs,
    Fetch,
    Message,
    Synced,
    decode,
    encode,
)
from chainchat.config import NodeSettings
from chainchat.server.boxes import BODY, boxed, leading_messages
from chainchat.server.detector import Detector
from chainchat.server.interfaces import Clock, Timer
from chainchat.server.writing import write_at_once

PROTOCOL_VERSION = 2

HELLO_SECONDS = 5.0
"""How long a new connection may take to say who it is."""

CONNECT_SECONDS = 2
"""How long an attempt to connect may take: long enough for one packet to be lost."""

FIRST_REDIAL, LAST_REDIAL = 0.02, 0.5
"""Seconds before a node is dialled again: the first time, and at most."""

SILENT_SUSPICIONS = 3
"""Times ``suspect_after`` after which a connection on which nothing arrives is made anew.

TCP tries ever more seldom on an old one, and would notice late that the network is back.
"""

REPEATED_COMPLAINT = 60.0
"""Seconds before the same complaint about the same peer is logged again."""

log = Logger()


class Identity(Struct, frozen=True):
    """What a node says of itself on a new connection.

    Attributes:
        version: of the protocol between nodes.
        chain: the chain's name.
        founding: positions in founding order.
        suspect_after: seconds; has to be the same everywhere.
        member: this life of the node.
    """

    version: int
    chain: str
    founding: tuple[str, ...]
    suspect_after: float
    member: Member

    def objection(self, other: "Identity") -> str:
        """Why ``other`` cannot be in a chain with this node; empty if it can."""
        for what, mine, its in (
            ("speaks protocol version", self.version, other.version),
            ("belongs to the chain", self.chain, other.chain),
            ("has the founding order", " ".join(self.founding), " ".join(other.founding)),
            ("has suspect-after", self.suspect_after, other.suspect_after),
        ):
            if mine != its:
                return f"{what} {its!r}, not {mine!r}"
        if other.member.position == self.member.position:
            return f"is another {other.member.position}"
        if other.member.id == self.member.id:
            return f"has a copy of the data of {self.member.position}"
        return ""


class RefusedHelloError(Exception):
    """The other node does not accept this one; says why."""


class Hello(amp.Command):
    """The first command on a connection, answered with the receiver's own identity."""

    arguments = [(b"identity", amp.String()), (b"lane", amp.String())]
    response = [(b"identity", amp.String())]
    errors = {RefusedHelloError: b"REFUSED"}


CHAIN, COPY = "chain", "copy"
"""The lanes."""

COPYING = (Fetch, Differs, Copied, Synced)
"""The messages of the copy lane."""


@implementer(IPushProducer)
class Link(amp.AMP):
    """One connection with another node.

    Attributes:
        dialled: the position that this side has dialled, None if the other side did.
        lane: CHAIN or COPY; empty until the side that has dialled says it.
        peer: the other's identity, None before its Hello.
    """

    transport: Any

    def __init__(self, links: "Links", dialled: str | None, lane: str) -> None:
        super().__init__()
        self.dialled = dialled
        self.lane = lane
        self.peer: Identity | None = None
        self._links = links
        self._open = True
        self._deadline: Timer | None = None

    # --- the connection

    def connectionMade(self) -> None:
        super().connectionMade()
        self._links.opened(self)
        self.transport.setTcpNoDelay(True)
        self._links.limit_silence(self.transport.getHandle())
        self.transport.registerProducer(self, True)
        self._deadline = self._links.clock.callLater(HELLO_SECONDS, self.transport.abortConnection)
        if self.dialled is not None:
            greeting = self.callRemote(
                Hello, identity=self._links.identity_bytes, lane=self.lane.encode()
            )
            greeting.addCallbacks(self._answered, self._refused)

    def makeConnection(self, transport: Any) -> None:
        # Not AMP's own, which logs every connection: ``Links`` logs those that come to something.
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def close(self) -> None:
        """End it at once: nobody is introduced on it any more."""
        self._open = False
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open = False
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self._on_time()
        self._links.lost(self)

    def _on_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _answered(self, answer: dict[str, bytes]) -> None:
        try:
            self._check(answer["identity"])
        except RefusedHelloError:
            self.transport.abortConnection()
        else:
            self._introduce()

    def _refused(self, failure: Failure) -> None:
        if failure.check(RefusedHelloError):
            self._links.complain(self.address, f"refuses this node: {failure.getErrorMessage()}")
        self.transport.abortConnection()

    @Hello.responder
    def hello(self, identity: bytes, lane: bytes) -> dict[str, bytes]:
        """The other side has dialled and says who it is."""
        self._check(identity)
        self.lane = COPY if lane == COPY.encode() else CHAIN
        # The answer has to be sent before anything else is.
        self._links.clock.callLater(0, self._introduce)
        return {"identity": self._links.identity_bytes}

    def _introduce(self) -> None:
        if self._open:
            self._links.introduced(self)

    def _check(self, identity: bytes) -> None:
        """Raises RefusedHelloError if the two do not belong together."""
        self._on_time()
        try:
            peer = msgpack.decode(identity, type=Identity)
        except DecodeError:
            objection = "says what this version does not understand"
        else:
            objection = self._links.identity.objection(peer)
            if self.dialled not in (None, peer.member.position):
                objection = f"is {peer.member.position}, where {self.dialled} should be"
            objection = objection or self._links.copied_from(peer.member)
        if objection:
            self._links.complain(self.address, f"refused: it {objection}")
            raise RefusedHelloError(f"{self._links.identity.member.position}: it {objection}")
        self.peer = peer

    @property
    def address(self) -> str:
        """The other end, for the log."""
        peer = self.transport.getPeer()
        return f"{peer.host}:{peer.port}"

    # --- messages

    def send(self, message: Message) -> None:
        """Send one message."""
        write_at_once(self.transport, boxed(*encode(message)))

    def dataReceived(self, data: bytes) -> None:
        """Take the messages that are there as a whole; AMP takes what else there is."""
        if self.peer is not None and self.state == "init" and not self.recvd:  # between two boxes
            messages, data = leading_messages(data)
            for kind, body in messages:
                self._deliver(kind, body)
            if not data:
                return
        try:
            super().dataReceived(data)
        except amp.AmpError:
            self._stranger("does not speak AMP")

    def ampBoxReceived(self, box: amp.AmpBox) -> None:
        """Keep from AMP what would make it log a traceback."""
        name = box.get(amp.COMMAND, b"").decode("ascii", "replace")
        reply = box.get(amp.ANSWER) or box.get(amp.ERROR)
        expected: dict[bytes, object] = self._outstandingRequests or {}
        if name in KINDS and self.peer is not None:
            self._deliver(name, box.get(BODY, b""))
        elif (
            name == Hello.__name__ and self.peer is None and {b"identity", b"lane"} <= set(box)
        ) or (reply in expected):
            super().ampBoxReceived(box)
        else:
            self._stranger(f"sent {name or 'a box'} out of place")

    def _deliver(self, kind: str, body: bytes) -> None:
        assert self.peer is not None
        try:
            message = decode(kind, body)
        except BadMessageError as error:
            self._stranger(f"sent {error}")
            return
        self._links.deliver(self.peer.member.position, self, message)

    def lengthLimitExceeded(self, length: int) -> None:  # noqa: ARG002 - Twisted's
        """AMP's word for octets that cannot be a box."""
        self._stranger("does not speak AMP")

    def _stranger(self, what: str) -> None:
        self._links.complain(self.address, f"{what}: connection closed")
        self.transport.abortConnection()

    # --- the transport has more to send than it should, or no more

    def pauseProducing(self) -> None:
        self._links.paused(self, paused=True)

    def resumeProducing(self) -> None:
        self._links.paused(self, paused=False)

    def stopProducing(self) -> None:
        pass


class LinkFactory(Factory):
    """Makes links, for the listening port and for dialling."""

    noisy = False
    protocol = Link

    def __init__(self, links: "Links", dialled: str | None = None, lane: str = "") -> None:
        self._links = links
        self._dialled = dialled
        self._lane = lane

    def buildProtocol(self, addr: object) -> Link:  # noqa: ARG002 - Twisted's
        return Link(self._links, self._dialled, self._lane)


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
        for link in list(self._all):
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
        if (position, CHAIN) not in self._links and (position, CHAIN) not in self._dialling:
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
            link.transport.abortConnection()
            return
        assert link.peer is not None
        member = link.peer.member
        position = member.position
        rival = self._links.get((position, link.lane))
        self._links[position, link.lane] = link
        if rival is not None:
            rival.transport.abortConnection()
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
        self._all.discard(link)
        if self._receiver is None:
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
