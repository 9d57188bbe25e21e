"""A link: one AMP connection with another node.

After a Hello and its answer, each message of ``chain.messages`` is an AMP command of that name.
"""

import math
import re
import secrets
import socket
import typing
from typing import Any

from msgspec import msgpack
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress, IHandshakeListener, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from chainchat.chain.configuration import Address, Member
from chainchat.chain.entries import UNDECODABLE
from chainchat.chain.messages import KINDS, BadMessageError, Message, decode, encode, speaker
from chainchat.network.addresses import host_port
from chainchat.network.sockets import keep_alive
from chainchat.node.interfaces import Clock, Timer
from chainchat.peers.boxes import BODY, BoxReader, NotAMPError, boxed
from chainchat.peers.directory import COPIED
from chainchat.peers.endpoint import is_to_itself
from chainchat.peers.hello import (
    LONGEST_REASON,
    Hello,
    Introduction,
    Refused,
    RefusedHelloError,
)
from chainchat.peers.lanes import CHAIN, LANES, LOOK, carries
from chainchat.peers.tunables import Tunables
from chainchat.tls import failures
from chainchat.tls.layers import Encrypted, tcp, writer

LONGEST_SHOWN = 32

ALARM = "ALARM: "
"""The beginning of a line that an operator must see."""

KEY_OCTETS = 16

log = Logger()


class Owner(typing.Protocol):
    """Keeps the links, and decides which count."""

    clock: Clock
    tunables: Tunables

    @property
    def introduction(self) -> Introduction: ...

    def opened(self, link: "Link") -> None: ...

    def objection(self, peer: Introduction, link: "Link") -> str:
        """Say why a node cannot be linked; else empty."""

    def secured(self, factory: "LinkFactory", *, dials: bool) -> IProtocolFactory:
        """Put TLS below, if the chain has TLS."""

    def admit(self, link: "Link") -> Deferred[None]:
        """Fires if an incoming connection may be linked; else fails with an error of ``Hello``."""

    def introduced(self, link: "Link") -> None: ...

    def deliver(self, link: "Link", message: Message) -> None: ...

    def filled(self, link: "Link", *, full: bool) -> None: ...

    def lost(self, link: "Link") -> None: ...

    def complain(self, address: str, what: str, kind: str, *, alarm: bool = False) -> None: ...


@implementer(amp.IBoxSender, IHandshakeListener)
class Link(Protocol, amp.CommandLocator):
    """One connection with another node.

    Attributes:
        dialled, place: the position that this side dialled, if it did, and where.
        lane: empty until the dialling side says which.
        key: shared by a chain lane and its membership lane.
        heard: when something last came, monotonic seconds.
        refused: one side has said why it refuses the other.
        trusted: the other end has shown a trusted certificate.
    """

    transport: Any

    def __init__(
        self, owner: Owner, dialled: str | None, lane: str, place: Address | None, key: bytes
    ) -> None:
        self.dialled = dialled
        self.place = place
        self.lane = lane
        self.key = key
        self.peer: Introduction | None = None
        self.heard = 0.0
        self.refused = False
        self.trusted = False
        self.displaces: Link | None = None
        self._owner = owner
        self._open = True
        self._boxes = BoxReader()
        self._commands = amp.BoxDispatcher(self)
        self._asked: bytes | None = None
        """The tag of an unanswered Hello."""
        self._deadline: Timer | None = None

    @property
    def member(self) -> Member:
        """The node at the other end, after its Hello."""
        assert self.peer is not None
        return self.peer.member

    @property
    def address(self) -> str:
        peer = self.transport.getPeer()
        return host_port(peer.host, peer.port)

    # --- the connection

    def connectionMade(self) -> None:
        self._commands.startReceivingBoxes(self)
        self._owner.opened(self)
        self._outlet = writer(self.transport, self._filled)
        if is_to_itself(tcp(self.transport)):
            self.close()
            return
        self.transport.setTcpNoDelay(True)
        me, tunables = self._owner.introduction, self._owner.tunables
        handle = tcp(self.transport).getHandle()
        _limit_silence(handle, me.suspect_after, tunables.silent_suspicions)
        # The dialled side may first have to see whether an older connection is alive.
        seconds = tunables.hello + (me.suspect_after if self.dialled else 0)
        self._deadline = self._owner.clock.callLater(seconds, self.close)
        if self.dialled is not None:
            greeting: Deferred[dict[str, bytes]] = self._commands.callRemote(
                Hello, identity=msgpack.encode(me), lane=self.lane.encode(), key=self.key or None
            )
            greeting.addCallbacks(self._answered, self._refused)

    def handshakeCompleted(self) -> None:
        self.trusted = True

    def writeConnectionLost(self) -> None:
        pass

    def records_came(self, octets: int) -> None:
        """Set no limit: who has shown a certificate may send what it likes."""

    def close(self) -> None:
        """Close at once: nothing more is heard."""
        self._open = False
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._open and isinstance(self.transport, Encrypted):
            self._tls_ended(reason)
        self._open = False
        self._commands.stopReceivingBoxes(reason)
        self._on_time()
        self._owner.lost(self)

    def _close_behind_the_answer(self) -> None:
        self._outlet.close()

    def _on_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    # --- who is there

    def _answered(self, answer: dict[str, bytes]) -> None:
        try:
            self._check(answer["identity"])
        except RefusedHelloError as error:
            objection = str(error)
            self._turn_away(objection)
            self._outlet.write(self._refusal(objection))
            self._close_behind_the_answer()
        else:
            self.key = self.key or answer.get("key") or b""
            self._introduce()

    def _refused(self, failure: Failure) -> None:
        if failure.check(RefusedHelloError):
            self._was_refused(failure.getErrorMessage())
        self.close()

    def _was_refused(self, reason: str) -> None:
        self.refused = True
        shown = "".join(char if char.isprintable() else "?" for char in reason[:LONGEST_REASON])
        kind = f"{self.dialled or 'it'} refuses"  # a stranger chooses its own port
        what = f"refuses this node: {shown}"
        self._owner.complain(self.address, what, kind, alarm=COPIED in what)

    @Hello.responder
    def hello(
        self, identity: bytes, lane: bytes, key: bytes | None = None
    ) -> Deferred[dict[str, bytes]]:
        self.lane = LANES.get(lane, CHAIN)
        self.key = secrets.token_bytes(KEY_OCTETS) if self.lane == CHAIN else key or b""
        try:
            self._check(identity)
        except RefusedHelloError as error:
            admission: Deferred[None] = fail(error)
        else:
            admission = self._owner.admit(self)
        return admission.addCallbacks(self._admitted, self._not_admitted)

    def _admitted(self, _: None) -> dict[str, bytes]:
        answer = {"identity": msgpack.encode(self._owner.introduction)}
        if self.lane == LOOK:
            self._owner.clock.callLater(0, self._close_behind_the_answer)
            return answer
        # The answer must be sent before anything else.
        self._owner.clock.callLater(0, self._introduce)
        return {**answer, "key": self.key}

    def _not_admitted(self, failure: Failure) -> Failure:
        if self._open:
            self._owner.clock.callLater(0, self._close_behind_the_answer)
        if failure.check(RefusedHelloError):
            objection = failure.getErrorMessage()
            self._turn_away(objection)
            return Failure(RefusedHelloError(self._told(objection)))
        return failure

    def _told(self, objection: str) -> str:
        return f"{self._owner.introduction.member.position}: it {objection}"

    def _turn_away(self, objection: str) -> None:
        self.refused = True
        kind = re.split(r"['\d]", objection)[0]  # without the stranger's own words
        what = f"refused: it {objection}"
        self._owner.complain(self.address, what, f"refused: {kind}", alarm=COPIED in objection)

    def _introduce(self) -> None:
        if self._open:
            self._owner.introduced(self)

    def _check(self, introduction: bytes) -> None:
        try:
            peer = msgpack.decode(introduction, type=Introduction)
        except UNDECODABLE:
            raise RefusedHelloError("says what this version does not understand") from None
        objection = self._owner.objection(peer, self)
        if self.dialled not in (None, peer.member.position):
            objection = f"is {peer.member.position}, where {self.dialled} should be"
        if objection:
            raise RefusedHelloError(objection)
        self._on_time()
        self.peer = peer

    # --- messages

    def send(self, message: Message) -> None:
        self._outlet.write(boxed(*encode(message)))

    def dataReceived(self, data: bytes) -> None:
        self.heard = self._owner.clock.seconds()
        try:
            for box in self._boxes.read(data):
                if isinstance(box, tuple):
                    self._frame_received(*box)
                else:
                    self._box_received(box)
                if not self._open:
                    return
        except NotAMPError as error:
            if data[:2] in failures.RECORDS and self.peer is None:
                self._complain(failures.ENCRYPTED)
                self._outlet.write(self._refusal(failures.PLAIN))
                self._close_behind_the_answer()
            else:
                self._stranger(str(error))

    def _frame_received(self, kind: str, body: bytes) -> None:
        if self.peer is None:
            self._out_of_place(kind)
            return
        try:
            message = decode(kind, body)
        except BadMessageError as error:
            self._stranger(f"sent {error}", "sent what does not fit")
            return
        if not carries(self.lane, message):
            self._out_of_place(kind)
            return
        if speaker(message) not in (None, self.peer.member):
            self._stranger(f"sent a {kind} in another's name", "spoke for another")
            return
        self._owner.deliver(self, message)

    def _box_received(self, box: amp.AmpBox) -> None:
        name = box.get(amp.COMMAND, b"").decode("ascii", "replace")
        if name in KINDS:
            self._frame_received(name, box.get(BODY, b""))
        elif self._is_hello(name, box) or self._is_answer(box):
            self._commands.ampBoxReceived(box)
        elif name == Refused.__name__ and box.keys() == {amp.COMMAND, b"reason"}:
            self._was_refused(box[b"reason"].decode(errors="replace"))
            self.close()
        else:
            self._out_of_place(name)

    def _is_hello(self, name: str, box: amp.AmpBox) -> bool:
        return (
            name == Hello.__name__
            and self.peer is None
            and {b"identity", b"lane", amp.ASK} <= box.keys()
        )

    def _is_answer(self, box: amp.AmpBox) -> bool:
        tag = box.get(amp.ANSWER, box.get(amp.ERROR))
        whole = amp.ANSWER in box or {amp.ERROR_CODE, amp.ERROR_DESCRIPTION} <= box.keys()
        if tag is None or tag != self._asked or not whole:
            return False
        self._asked = None
        return True

    # --- for the dispatcher (``IBoxSender``)

    def sendBox(self, box: amp.AmpBox) -> None:
        if amp.COMMAND in box:
            self._asked = box[amp.ASK]
        self._outlet.write(box.serialize())

    def unhandledError(self, failure: Failure) -> None:
        log.failure("an answer to a Hello failed", failure, event="bug")
        self.close()

    # --- TLS

    def spoke_without_tls(self) -> bytes:
        self._open = False
        self._complain(failures.PLAIN)
        return self._refusal(failures.ENCRYPTED)

    def _refusal(self, objection: str) -> bytes:
        box = {amp.COMMAND: Refused.__name__.encode(), b"reason": self._told(objection).encode()}
        octets: bytes = amp.AmpBox(box).serialize()
        return octets

    def _tls_ended(self, reason: Failure) -> None:
        what = self.transport.distrust or failures.in_words(reason)
        self.refused = self.refused or bool(what)
        if not what and self.dialled is not None and not self.trusted:
            what = "ended the connection before TLS was agreed on"
        if what:
            kind = what.partition(" (")[0]  # without the certificate's own words
            self._complain(what, kind)

    # --- what no node says

    def distrust(self, reason: str) -> None:
        """Close, and dial rarely: no node sends this."""
        self.refused = True
        alarm, text = reason.startswith(ALARM), reason.removeprefix(ALARM)
        self._stranger(f"sent what no node sends: {text}", "sent what cannot be", alarm=alarm)

    def _out_of_place(self, name: str) -> None:
        what = name if name.isidentifier() and len(name) <= LONGEST_SHOWN else "a box"
        known = what in KINDS or what in (Hello.__name__, "a box")
        self._stranger(f"sent {what} out of place", f"sent {what if known else 'another box'}")

    def _stranger(self, what: str, kind: str = "", *, alarm: bool = False) -> None:
        self._complain(what, kind, alarm=alarm)
        self.close()

    def _complain(self, what: str, kind: str = "", *, alarm: bool = False) -> None:
        self._owner.complain(self.address, f"{what}: connection closed", kind or what, alarm=alarm)

    def _filled(self, full: bool) -> None:
        self._owner.filled(self, full=full)


def _limit_silence(handle: socket.socket, suspect_after: float, suspicions: int) -> None:
    options = {
        "TCP_USER_TIMEOUT": int(suspicions * suspect_after * 1_000),
        "TCP_KEEPIDLE": math.ceil(suspect_after),
        "TCP_KEEPINTVL": math.ceil(suspect_after),
        "TCP_KEEPCNT": suspicions,
    }
    keep_alive(handle, options)


class LinkFactory(Factory):
    """Makes links, for the listening port and for dialling."""

    noisy = False

    def __init__(
        self,
        owner: Owner,
        dialled: str | None = None,
        lane: str = "",
        place: Address | None = None,
        key: bytes = b"",
    ) -> None:
        self._owner = owner
        self._dialled = dialled
        self._lane = lane
        self._place = place
        self._key = key

    def buildProtocol(self, addr: IAddress | None) -> Link:
        return Link(self._owner, self._dialled, self._lane, self._place, self._key)
