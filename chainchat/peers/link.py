"""One AMP connection with another node.

It begins with a Hello in both directions (the answer to one is the other). After that each message
of ``chain.messages`` is an AMP command of its own name, with the one argument ``body`` and no
answer.
"""

import re
import secrets
from typing import TYPE_CHECKING, Any

from msgspec import Struct, msgpack
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from chainchat.addresses import is_loopback, objection_to
from chainchat.chain.configuration import Address, Member
from chainchat.chain.messages import (
    KINDS,
    UNDECODABLE,
    BadMessageError,
    Held,
    Message,
    decode,
    encode,
    speaker,
)
from chainchat.config import is_position
from chainchat.node.interfaces import Timer
from chainchat.peers.boxes import BODY, boxed, leading_messages
from chainchat.peers.lanes import CHAIN, LANES, LOOK
from chainchat.peers.places import COPIED
from chainchat.sockets import write_at_once

if TYPE_CHECKING:
    from chainchat.peers.links import Links

PROTOCOL_VERSION = 5

HELLO_SECONDS = 5.0
"""How long a new connection may take to say who it is."""

LONGEST_SHOWN = 32
"""Letters of a name that a stranger has chosen, in the log."""

ALARM = "ALARM: "
"""How a line begins that an operator has to see."""

KEY_OCTETS = 16
"""Of a link's key."""

MAX_UNFINISHED = 262_144
"""Octets after which a box that has not ended is none that a node sends."""


class Identity(Struct, frozen=True):
    """What a node says of itself on a new connection.

    Attributes:
        version: of the protocol between nodes.
        chain: the chain's name.
        founding: positions in founding order.
        suspect_after: seconds; has to be the same everywhere.
        member: this life of the node.
        refusal_is_death: whether a refused connection proves a death; the same everywhere.
        held: what it holds at this moment.
    """

    version: int
    chain: str
    founding: tuple[str, ...]
    suspect_after: float
    member: Member
    refusal_is_death: bool = True
    held: Held = Held()

    def objection(self, other: "Identity") -> str:
        """Why ``other`` cannot be in a chain with this node; empty if it can."""
        for what, mine, its in (
            ("speaks protocol version", self.version, other.version),
            ("belongs to the chain", self.chain, other.chain),
            ("has the founding order", " ".join(self.founding), " ".join(other.founding)),
            ("has suspect-after", self.suspect_after, other.suspect_after),
            ("has refusal-is-death", _word(self), _word(other)),
        ):
            if mine != its:
                return f"{what} {its!r}, not {mine!r}"
        if not is_position(other.member.position):
            return "is at no position"
        host = other.member.host
        unusable = objection_to(host)
        if unusable:
            return f"says it is at {host!r}: {unusable}"
        if is_loopback(host) != is_loopback(self.member.host):
            here = self.member.host
            return f"says it is at {host!r}, and this node is at {here!r}: one of them is loopback"
        if other.member.id == self.member.id:
            return f"{COPIED}{self.member.position}, which this is"
        if other.member.position == self.member.position:
            return f"is another {other.member.position}"
        return ""


def _word(identity: Identity) -> str:
    """What it has in chain.ini."""
    return "yes" if identity.refusal_is_death else "no"


class RefusedHelloError(Exception):
    """The other node does not accept this one; says why."""


class DialsItselfError(Exception):
    """The other node dials this one: that it was dialled is a hint to do so now."""


class NotLinkedError(Exception):
    """A lane was dialled beside a chain lane that is not there, or not any more."""


class Hello(amp.Command):
    """The first command on a connection, answered with the receiver's own identity.

    The answer on a chain lane has a key: who brings that, and nobody else, opens a membership lane
    beside it.
    """

    arguments = [
        (b"identity", amp.String()),
        (b"lane", amp.String()),
        (b"key", amp.String(optional=True)),
    ]
    response = [(b"identity", amp.String()), (b"key", amp.String(optional=True))]
    errors = {
        RefusedHelloError: b"REFUSED",
        DialsItselfError: b"DIALS",
        NotLinkedError: b"NOT LINKED",
    }


@implementer(IPushProducer)
class Link(amp.AMP):
    """One connection with another node.

    Attributes:
        dialled: the position that this side has dialled, None if the other side did.
        place: the address that it has dialled.
        lane: one of ``lanes``; empty until the side that has dialled says it.
        key: what a chain lane and the membership lane beside it have in common.
        peer: the other's identity, None before its Hello.
        heard: when something came last, monotonic seconds.
        refused: whether one side has refused the other in words.
        displaces: the link whose place this one is to take.
    """

    transport: Any

    def __init__(
        self, links: "Links", dialled: str | None, lane: str, place: Address | None, key: bytes
    ) -> None:
        super().__init__()
        self.dialled = dialled
        self.place = place
        self.lane = lane
        self.key = key
        self.peer: Identity | None = None
        self.heard = 0.0
        self.refused = False
        self.displaces: Link | None = None
        self._links = links
        self._open = True
        self._unfinished = 0
        """Octets that came since AMP found a box, counted by whole reads of the socket."""
        self._deadline: Timer | None = None

    # --- the connection

    def connectionMade(self) -> None:
        super().connectionMade()
        self._links.opened(self)
        self.transport.setTcpNoDelay(True)
        self._links.limit_silence(self.transport.getHandle())
        self.transport.registerProducer(self, True)
        # Who is dialled may have to see first whether an older connection is alive.
        seconds = HELLO_SECONDS + (self._links.identity.suspect_after if self.dialled else 0)
        self._deadline = self._links.clock.callLater(seconds, self.close)
        if self.dialled is not None:
            greeting = self.callRemote(
                Hello,
                identity=self._links.identity_bytes,
                lane=self.lane.encode(),
                key=self.key or None,
            )
            greeting.addCallbacks(self._answered, self._refused)

    def makeConnection(self, transport: Any) -> None:
        # Not AMP's own, which logs every connection: ``Links`` logs those that come to something.
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def close(self) -> None:
        """End it at once: nobody is introduced on it, and nothing heard, any more."""
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
        except RefusedHelloError as error:
            self._turn_away(str(error))
            self.close()
        else:
            self.key = self.key or answer.get("key") or b""
            self._introduce()

    def _refused(self, failure: Failure) -> None:
        if failure.check(RefusedHelloError):
            self.refused = True
            what = f"refuses this node: {failure.getErrorMessage()}"
            kind = f"{self.address} refuses"
            self._links.complain(self.address, what, kind, alarm=COPIED in what)
        self.close()

    @Hello.responder
    def hello(
        self, identity: bytes, lane: bytes, key: bytes | None = None
    ) -> Deferred[dict[str, bytes]]:
        """The other side has dialled and says who it is."""
        self.lane = LANES.get(lane, CHAIN)
        self.key = secrets.token_bytes(KEY_OCTETS) if self.lane == CHAIN else key or b""
        try:
            self._check(identity)
        except RefusedHelloError as error:
            admission: Deferred[None] = fail(error)
        else:
            admission = self._links.admit(self)
        return admission.addCallbacks(self._admitted, self._not_admitted)

    def _admitted(self, _: None) -> dict[str, bytes]:
        if self.lane == LOOK:
            self._links.clock.callLater(0, self.transport.loseConnection)
            return {"identity": self._links.identity_bytes}
        # The answer has to be sent before anything else is.
        self._links.clock.callLater(0, self._introduce)
        return {"identity": self._links.identity_bytes, "key": self.key}

    def _not_admitted(self, failure: Failure) -> Failure:
        if self._open:
            self._links.clock.callLater(0, self.transport.loseConnection)  # behind the answer
        if failure.check(RefusedHelloError):
            objection = failure.getErrorMessage()
            self._turn_away(objection)
            me = self._links.identity.member.position
            return Failure(RefusedHelloError(f"{me}: it {objection}"))
        return failure

    def _turn_away(self, objection: str) -> None:
        self.refused = True
        kind = re.split(r"['\d]", objection)[0]  # without what the other side has chosen
        what = f"refused: it {objection}"
        self._links.complain(self.address, what, f"refused: {kind}", alarm=COPIED in objection)

    def _introduce(self) -> None:
        if self._open:
            self._links.introduced(self)

    def _check(self, identity: bytes) -> None:
        """Raises RefusedHelloError if the two do not belong together."""
        try:
            peer = msgpack.decode(identity, type=Identity)
        except UNDECODABLE:
            raise RefusedHelloError("says what this version does not understand") from None
        objection = self._links.identity.objection(peer)
        if self.dialled not in (None, peer.member.position):
            objection = f"is {peer.member.position}, where {self.dialled} should be"
        objection = objection or self._links.copied_from(peer.member)
        if objection:
            raise RefusedHelloError(objection)
        self._on_time()
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
        self.heard = self._links.clock.seconds()
        if self.peer is not None and self.state == "init" and not self.recvd:  # between two boxes
            messages, data = leading_messages(data)
            for kind, body in messages:
                self._deliver(kind, body)
            if not data:
                return
        self._unfinished += len(data)
        try:
            super().dataReceived(data)
        except amp.AmpError:
            self._stranger("does not speak AMP")
        if self._unfinished > MAX_UNFINISHED:
            self._stranger("sent a box without an end")

    def ampBoxReceived(self, box: amp.AmpBox) -> None:
        """Keep from AMP what would make it log a traceback."""
        self._unfinished = 0
        name = box.get(amp.COMMAND, b"").decode("ascii", "replace")
        if name in KINDS and self.peer is not None:
            self._deliver(name, box.get(BODY, b""))
        elif self._is_hello(name, box) or self._is_reply(box):
            super().ampBoxReceived(box)
        else:
            self._out_of_place(name)

    def _out_of_place(self, name: str) -> None:
        what = name if name.isidentifier() and len(name) <= LONGEST_SHOWN else "a box"
        known = what in KINDS or what in (Hello.__name__, "a box")
        self._stranger(f"sent {what} out of place", f"sent {what if known else 'another box'}")

    def _is_hello(self, name: str, box: amp.AmpBox) -> bool:
        return (
            name == Hello.__name__
            and self.peer is None
            and {b"identity", b"lane", amp.ASK} <= set(box)
        )

    def _is_reply(self, box: amp.AmpBox) -> bool:
        """Whether it answers what this side has asked, with all that AMP takes for granted."""
        expected: dict[bytes, object] = self._outstandingRequests or {}
        if box.get(amp.ERROR) in expected:
            return {amp.ERROR_CODE, amp.ERROR_DESCRIPTION} <= set(box)
        return box.get(amp.ANSWER) in expected

    def _deliver(self, kind: str, body: bytes) -> None:
        assert self.peer is not None
        if not self._open:
            return
        try:
            message = decode(kind, body)
        except BadMessageError as error:
            self._stranger(f"sent {error}", "sent what does not fit")
            return
        if speaker(message) not in (None, self.peer.member):
            self._stranger(f"sent a {kind} in another's name", "spoke for another")
            return
        self._links.deliver(self.peer.member.position, self, message)

    def lengthLimitExceeded(self, length: int) -> None:  # noqa: ARG002 - Twisted's
        """AMP's word for octets that cannot be a box."""
        self._stranger("does not speak AMP")

    def distrust(self, reason: str) -> None:
        """It has sent what can be read, and what no node sends: it is to try again rarely."""
        self.refused = True
        alarm, text = reason.startswith(ALARM), reason.removeprefix(ALARM)
        self._stranger(f"sent what no node sends: {text}", "sent what cannot be", alarm=alarm)

    def _stranger(self, what: str, kind: str = "", *, alarm: bool = False) -> None:
        self._links.complain(self.address, f"{what}: connection closed", kind or what, alarm=alarm)
        self.close()

    # --- the transport has more to send than it should, or no more

    def pauseProducing(self) -> None:
        self._links.full(self, full=True)

    def resumeProducing(self) -> None:
        self._links.full(self, full=False)

    def stopProducing(self) -> None:
        pass


class LinkFactory(Factory):
    """Makes links, for the listening port and for dialling."""

    noisy = False
    protocol = Link

    def __init__(
        self,
        links: "Links",
        dialled: str | None = None,
        lane: str = "",
        place: Address | None = None,
        key: bytes = b"",
    ) -> None:
        self._links = links
        self._dialled = dialled
        self._lane = lane
        self._place = place
        self._key = key

    def buildProtocol(self, addr: object) -> Link:  # noqa: ARG002 - Twisted's
        return Link(self._links, self._dialled, self._lane, self._place, self._key)
