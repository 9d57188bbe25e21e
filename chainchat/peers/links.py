"""The chain port: AMP connections with the other nodes.

There are up to three lanes for each pair of nodes, so that bulk never stands in front of a ping.
The *chain* lane is kept open: of each pair, the node that is earlier in the founding order dials
(newcomers before all), and goes on dialling whenever the link is lost. Beside each it opens the
*membership* lane, for what is said about configurations, which ends with it; while there is none,
that goes on the chain lane, too. The *copy* lane is opened by a node that copies another's log.

Whoever connects can say that it is any node, so a claim alone never ends a link that works:

- *A position that this side dials* is linked only on connections that this side made. If somebody
  comes in and says that it is that position, this is a hint to dial at once, at the address known
  here. At any other address it is refused: a second process, or two different ``chain.ini`` files.
  A node that nobody dials *knocks* like that, ever more rarely, so that it learns why.
- *A position that dials this side*, if it is linked already (``claims``): who comes from the same
  address is on trial. The new connection counts if the old one is lost, or stays silent for the
  time in which it should have pinged more than once; else it is refused. That is fast whenever a
  node has restarted: its system ends the old connection, or answers the next ping on it with a
  reset. Who comes from another address is welcome if the position belongs there, by the
  configuration or else by ``chain.ini``, and the holder of the link is elsewhere; or if the holder
  was silent for ``suspect_after``. Else it is a second process of the position, and refused.
- *The membership lane* is opened by whoever has dialled the chain lane, and knows the key that it
  was answered with there.
- *The copy lane*: a newer connection takes the place of an older one of the same node. It is
  refused to a process at another address while the position is linked.

- *Whoever is linked is looked at*: this side dials the address that the other end says it has,
  and what answers there, in a Hello of its own, is told to the node. Only that is evidence of who
  is where (*source* in ``chain.membership``); what is said on a connection that came in is none.
- *A copy of the data of a member* (its id, at another place than the configuration and
  ``chain.ini`` have it) is refused, with an alarm at both ends, whoever of the two is there first.

Who was refused in words tries again ever more rarely. Strangers who have said nothing, and
positions that nobody here knows, get a few connections between them, and are forgotten with those.
"""

import math
import random
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from msgspec import msgpack
from msgspec.structs import replace
from twisted.internet import endpoints
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from chainchat.chain.configuration import Address, Member
from chainchat.chain.messages import Fetch, Held, Message
from chainchat.config import NodeSettings
from chainchat.node.interfaces import Clock, Timer
from chainchat.peers.claims import Verdict, judge
from chainchat.peers.complaints import Complaints
from chainchat.peers.detector import Detector
from chainchat.peers.lanes import CHAIN, COPY, LOOK, MEMBERSHIP, lane_of
from chainchat.peers.link import (
    ALARM,
    DialsItselfError,
    Identity,
    Link,
    LinkFactory,
    NotLinkedError,
    RefusedHelloError,
)
from chainchat.peers.places import Places, shown
from chainchat.peers.trials import Trials
from chainchat.peers.trying import Trying

CONNECT_SECONDS = 2
"""How long an attempt to connect may take: long enough for one packet to be lost."""

FIRST_REDIAL, LAST_REDIAL = 0.02, 0.5
"""Seconds before a node is dialled again: the first time, and at most."""

FIRST_RARE, LAST_RARE = 1.0, 60.0
"""The same, for a node that has refused this one in words, or that dials this one itself."""

LAST_LOOK = 5.0
"""Seconds before the address of a linked position is dialled again: the first time as above."""

TRIAL = 0.25
"""Of ``suspect_after``: how long a link may be silent while another claims its place.

Its other end pings ten times in ``suspect_after``.
"""

MOST_STRANGERS = 32
"""Incoming connections whose other end is not linked yet; with more, the oldest is closed."""

MOST_NEWCOMERS = 4
"""Linked positions that neither ``chain.ini`` nor the configuration names."""

SILENT_SUSPICIONS = 3
"""Times ``suspect_after`` after which a connection that acknowledges nothing is made anew.

TCP tries ever more seldom on an old one, and would notice late that the network is back.
"""

log = Logger()


class Receiver(Protocol):
    """What the links need of the node."""

    @property
    def held(self) -> Held:
        """What this node holds, to be said on new connections."""

    def linked(self, position: str, member: Member, its: Held) -> None:
        """A new connection is there, whose other end says that it is ``member``, and holds that."""

    def unlinked(self, position: str) -> None:
        """It ended."""

    def reached(self, position: str, host: str, port: int, member: Member) -> None:
        """This side dialled, and ``member`` answered, which says that it is at ``position``."""

    def refused(self, position: str, host: str, port: int) -> None:
        """Nobody listens any more where the node at ``position`` is, or has been."""

    def member(self, position: str) -> Member | None:
        """The member at ``position`` in the newest configuration."""

    def receive(self, sender: str, message: Message) -> None:
        """A message came from ``sender``."""

    def full(self, position: str, *, full: bool) -> None:
        """Whether more stands unsent to ``position`` than should."""

    def copy_full(self, position: str, *, full: bool) -> None:
        """The same on the copy lane."""


class Links:
    """All connections of one node with the others: its ``Network``.

    Attributes:
        identity: this node's.
        clock: the reactor.
    """

    def __init__(self, reactor: Any, identity: Identity, nodes: dict[str, NodeSettings]) -> None:
        self.clock: Clock = reactor
        self.identity = identity
        self._reactor = reactor
        self._receiver: Receiver | None = None
        self._links: dict[tuple[str, str], Link] = {}
        """By position and lane."""
        self._all: set[Link] = set()
        """Those, too, of which the other end has not said who it is."""
        self._dialling: dict[tuple[str, str], Deferred[Any]] = {}
        self._redials: dict[str, Timer] = {}
        self._looks = Trying(self.clock, self._look, first=FIRST_REDIAL, last=LAST_LOOK)
        self._asides = Trying(
            self.clock, self._open_membership, first=FIRST_REDIAL, last=LAST_REDIAL
        )
        self._rare: dict[str, float] = {}
        """The next pause before a position is dialled that refuses this node or dials itself."""
        self._first_fetch: dict[str, Message] = {}
        self._strangers: dict[Link, None] = {}
        """Incoming connections that are not linked yet, in the order in which they came."""
        self._trials = Trials(self.clock)
        self._complaints = Complaints()
        self._detector = Detector(reactor, self._refused, self._may_be_at)
        self._nodes = {p: n for p, n in nodes.items() if p != identity.member.position}
        self._places = Places(self._nodes, self._member)
        self._announced: dict[str, Member] = {}
        """What the others said of themselves when they were last linked."""

    @property
    def identity_bytes(self) -> bytes:
        """What is said of this node on a new connection."""
        held = Held() if self._receiver is None else self._receiver.held
        return msgpack.encode(replace(self.identity, held=held))

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
        self._receiver = receiver
        self.meet(member for member in members if member.id != identity.member.id)
        for position in self._nodes:
            if self._dials(position):
                self._dial(position, FIRST_REDIAL)
            else:
                self._redial(position, FIRST_RARE)
            self._watch(position)

    def stop(self) -> None:
        """End a life: close everything and dial nobody any more."""
        self._receiver = None
        self._detector.stop()
        for call in self._redials.values():
            if call.active():
                call.cancel()
        self._looks.stop()
        self._asides.stop()
        self._trials.stop()
        self._redials, self._strangers, self._rare = {}, {}, {}
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
        lane = lane_of(message)
        link = self._links.get((to, lane))
        if link is None and lane == MEMBERSHIP:
            link = self._links.get((to, CHAIN))
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
        if self._dials(position):
            self._attempt(position, pause)

    def _attempt(self, position: str, pause: float) -> None:
        if self._receiver is None or position not in self._nodes:
            return
        chain = position, CHAIN
        greeting = any((link.dialled, link.lane) == chain for link in self._all)
        if not greeting and chain not in self._links and chain not in self._dialling:
            self._connect(position, CHAIN, lambda: self._redial(position, pause))

    def _connect(
        self,
        position: str,
        lane: str,
        failed: Callable[[], None] = lambda: None,
        place: Address | None = None,
        key: bytes = b"",
    ) -> None:
        """One attempt.

        Args:
            position: who is dialled.
            lane: for what.
            failed: is called if there is nobody.
            place: where; else where the position is by ``chain.ini`` or by its own words.
            key: of the chain lane, for a membership lane.
        """
        if (position, lane) in self._dialling:
            return
        node = self._nodes[position]
        host, port = place or (node.host, node.chain_port)
        endpoint = endpoints.TCP4ClientEndpoint(self._reactor, host, port, timeout=CONNECT_SECONDS)
        factory: Any = LinkFactory(self, position, lane, (host, port), key)
        attempt = endpoint.connect(factory)
        self._dialling[position, lane] = attempt

        def connected(_: Link) -> None:
            del self._dialling[position, lane]

        def refused(_: Failure) -> None:
            del self._dialling[position, lane]
            failed()

        attempt.addCallbacks(connected, refused)

    def _redial(self, position: str, pause: float, *, rarely: bool = False) -> None:
        """Dial again after a pause; ``rarely``: one that gets longer each time."""
        if self._receiver is None or position not in self._nodes:
            return
        scheduled = self._redials.get(position)
        if scheduled is not None and scheduled.active():
            return
        if rarely or not self._dials(position):
            pause = self._rare.get(position, FIRST_RARE)
            self._rare[position] = min(2 * pause, LAST_RARE)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - keeps two nodes from dialling in step
        self._redials[position] = self.clock.callLater(
            pause * jitter, self._attempt, position, min(2 * pause, LAST_REDIAL)
        )

    def _dial_now(self, position: str) -> None:
        """There is a hint that the node is there: no need to wait any longer."""
        self._rare.pop(position, None)
        self._dial(position, FIRST_REDIAL)

    def _open_membership(self, position: str) -> bool:
        """Open the membership lane beside a chain lane that this side has dialled."""
        link = self._links.get((position, CHAIN))
        aside = position, MEMBERSHIP
        if link is None or link.dialled is None or aside in self._links:
            return False
        if not any((other.dialled, other.lane) == aside for other in self._all):
            self._connect(position, MEMBERSHIP, place=link.place, key=link.key)
        return True

    def _is_aside(self, link: Link) -> bool:
        """Whether a membership lane belongs to the chain lane that there is."""
        assert link.peer is not None
        holder = self._links.get((link.peer.member.position, CHAIN))
        if holder is None or holder.peer is None:
            return False
        mine, its = (holder.dialled, holder.key), (link.dialled, link.key)
        return mine == its and bool(link.key) and holder.peer.member == link.peer.member

    def limit_silence(self, handle: socket.socket) -> None:
        """Let the system end a connection whose other end acknowledges nothing. Proves nothing.

        Where nothing is said for long, it asks: what is between the two may have forgotten them.
        """
        seconds = self.identity.suspect_after
        options = {
            "TCP_USER_TIMEOUT": int(SILENT_SUSPICIONS * seconds * 1_000),
            "TCP_KEEPIDLE": math.ceil(seconds),
            "TCP_KEEPINTVL": math.ceil(seconds),
            "TCP_KEEPCNT": SILENT_SUSPICIONS,
        }
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):
                handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    # --- who is where

    def _look(self, position: str) -> bool:
        """Dial the address that the other end of a link says it has, until somebody answers."""
        link = self._links.get((position, CHAIN))
        if link is None or link.peer is None or self._receiver is None:
            return False
        self._connect(position, LOOK, place=link.peer.member.address)
        return True

    def _looked_at(self, link: Link) -> None:
        """*source*: somebody has answered who was dialled."""
        assert link.peer is not None
        if self._receiver is None or link.dialled is None or link.place is None:
            return
        member, (host, port) = link.peer.member, link.place
        current = self._links.get((link.dialled, CHAIN))
        linked = None if current is None or current.peer is None else current.peer.member
        if linked == member and link.place == member.address:
            self._looks.end(link.dialled)
        self._receiver.reached(link.dialled, host, port, member)

    def distrust(self, position: str, reason: str) -> None:
        """See ``Network``."""
        for lane in (CHAIN, MEMBERSHIP, COPY):
            link = self._links.get((position, lane))
            if link is not None:
                link.distrust(reason)

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
        if link.dialled is None:
            self._strangers[link] = None
            if len(self._strangers) > MOST_STRANGERS:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                oldest.close()

    def admit(self, link: Link) -> Deferred[None]:
        """Whether an incoming connection, which has said who it is, may be linked.

        Returns:
            Fires if it may; fails with a RefusedHelloError if not.
        """
        assert link.peer is not None
        member = link.peer.member
        position = member.position
        holder = self._links.get((position, CHAIN))
        held_by = holder.peer.member if holder is not None and holder.peer is not None else None
        if link.lane == LOOK:
            return succeed(None)
        if link.lane == MEMBERSHIP:
            return succeed(None) if self._is_aside(link) else fail(NotLinkedError(position))
        if not self._has_space_for(position):
            return _refused(f"is at a position unknown here, as {MOST_NEWCOMERS} others are")
        if link.lane == COPY:
            if held_by is not None and held_by.address != member.address:
                return _refused(_second(held_by))
            return succeed(None)
        if self._dials(position):
            return self._dial_back(member, held_by)
        if holder is None or held_by is None:
            return succeed(None)
        now = self.clock.seconds()
        heard = now - holder.heard < self.identity.suspect_after
        match judge(member, held_by, self._places.rightful(position), heard=heard):
            case Verdict.REFUSED:
                return _refused(_second(held_by))
            case Verdict.TRIAL:
                seconds = TRIAL * self.identity.suspect_after
                trial = self._trials.begin(link, holder, seconds)
                return trial.addCallback(self._after_trial, link, holder)
            case Verdict.WELCOME:
                link.displaces = holder
        return succeed(None)

    def _dial_back(self, member: Member, held_by: Member | None) -> Deferred[None]:
        """Somebody says that it is a node that this side dials: that is a hint, no more."""
        position = member.position
        if held_by is not None and held_by.address != member.address:
            return _refused(_second(held_by))
        if held_by is None:
            if position not in self._nodes:
                self.meet([member])
            node = self._nodes[position]
            if (node.host, node.chain_port) != member.address:
                known = shown((node.host, node.chain_port))
                return _refused(
                    f"is not at {known}, where chain.ini has {position}, but at "
                    f"{shown(member.address)!r}"
                )
            self._dial_now(position)
        return fail(DialsItselfError(f"{self.identity.member.position} dials {position}"))

    def _after_trial(self, taken: bool, link: Link, holder: Link) -> Deferred[None]:
        """The holder of a link has spoken or not while another one claimed its place."""
        assert link.peer is not None
        assert holder.peer is not None
        if not taken:
            return _refused(f"{_second(holder.peer.member)}, at the same address")
        current = self._links.get((link.peer.member.position, CHAIN))
        if current not in (None, holder):
            return self.admit(link)  # somebody else was quicker
        link.displaces = current
        return succeed(None)

    def _member(self, position: str) -> Member | None:
        return None if self._receiver is None else self._receiver.member(position)

    def _is_known(self, position: str) -> bool:
        if position in self._places.configured or position in self.identity.founding:
            return True
        return self._member(position) is not None

    def _has_space_for(self, position: str) -> bool:
        """Whether a position is known, or one of few that are not."""
        if self._is_known(position):
            return True
        for other in [p for p in self._nodes if p != position]:
            self._forget_newcomer(other)
        linked = {p for p, _ in self._links if not self._is_known(p)}
        return len(linked | {position}) <= MOST_NEWCOMERS

    def introduced(self, link: Link) -> None:
        """A connection's other end is known; one link for each pair and lane."""
        self._strangers.pop(link, None)
        assert link.peer is not None
        member = link.peer.member
        position = member.position
        if link.lane == LOOK:
            self._looked_at(link)
            link.close()
            return
        if link.lane == MEMBERSHIP and not self._is_aside(link):
            link.close()
            return
        rival = self._links.get((position, link.lane))
        late = link.dialled is None and link.lane == CHAIN and rival not in (None, link.displaces)
        if self._receiver is None or late or not self._has_space_for(position):
            link.close()
            return
        self._links[position, link.lane] = link
        if rival is not None:
            rival.close()
        if link.lane == MEMBERSHIP:
            self._asides.end(position)
            return
        if link.lane == COPY:
            self._receiver.copy_full(position, full=False)
            fetch = self._first_fetch.pop(position, None)
            if fetch is not None:
                link.send(fetch)
            self._dial_now(position)
            return
        self._rare.pop(position, None)
        self._detector.ignore(position)
        self.meet([member])
        log.info("{me}: linked with {peer}", me=self.identity.member.position, peer=position)
        if rival is not None:
            self._close(position, MEMBERSHIP)
            self._receiver.unlinked(position)
        self._receiver.linked(position, member, link.peer.held)
        self._asides.begin(position)
        self._looked_at(link)
        if link.place != member.address:
            self._looks.begin(position)
        self._watch(position)

    def lost(self, link: Link) -> None:
        """A connection ended."""
        of_this_life = link in self._all
        self._all.discard(link)
        self._strangers.pop(link, None)
        if self._receiver is None or not of_this_life:
            return
        position = link.dialled
        if link.peer is not None and position is None:
            position = link.peer.member.position
        if position is not None and self._links.get((position, link.lane)) is link:
            del self._links[position, link.lane]
            if link.lane == MEMBERSHIP:
                self._asides.begin_later(position)
            if link.lane == CHAIN:
                self._close(position, MEMBERSHIP)
                log.info("{me}: lost {peer}", me=self.identity.member.position, peer=position)
                self._receiver.unlinked(position)
                self._watch(position)
                if link.dialled is None:
                    self._redial(position, FIRST_REDIAL)
            self._forget_newcomer(position)
        self._trials.lost(link)
        if link.dialled is not None and link.lane == CHAIN:
            pause = FIRST_REDIAL if link.peer else LAST_REDIAL
            self._redial(link.dialled, pause, rarely=link.refused)

    def _close(self, position: str, lane: str) -> None:
        link = self._links.pop((position, lane), None)
        if link is not None:
            link.close()

    def _forget_newcomer(self, position: str) -> None:
        """Whom nobody here knows is forgotten with its last connection: it will dial again."""
        if self._is_known(position) or any(position == p for p, _ in self._links):
            return
        self._detector.ignore(position)
        for table in (self._nodes, self._announced, self._rare, self._first_fetch):
            table.pop(position, None)
        self._looks.end(position)
        self._asides.end(position)
        call = self._redials.pop(position, None)
        if call is not None and call.active():
            call.cancel()

    def deliver(self, position: str, link: Link, message: Message) -> None:
        """A message came.

        One from a link that was replaced is dropped: its sender says it again.
        """
        if self._links.get((position, link.lane)) is link and self._receiver is not None:
            if (
                link.lane == MEMBERSHIP
            ):  # there the pings are: the chain lane may have little to say
                self._links[position, CHAIN].heard = link.heard
            self._receiver.receive(position, message)

    def copied_from(self, member: Member) -> str:
        """Why ``member`` must be a copy of another node's data; empty if it need not be."""
        return self._places.copied_from(member, self._known_holders(member.id))

    def _known_holders(self, node_id: str) -> Iterable[Member]:
        """Who has the data ``node_id``: the member, then whoever is connected."""
        for position in [*self._nodes, self.identity.member.position]:
            other = self._member(position)
            if other is not None and other.id == node_id:
                yield other
        for (_, lane), link in self._links.items():
            if lane == CHAIN and link.peer is not None and link.peer.member.id == node_id:
                yield link.peer.member

    def full(self, link: Link, *, full: bool) -> None:
        """A link's transport is full, or empty again."""
        if link.peer is None or self._receiver is None or link.lane == MEMBERSHIP:
            return
        position = link.peer.member.position
        if self._links.get((position, link.lane)) is link:
            receiver = self._receiver
            tell = receiver.copy_full if link.lane == COPY else receiver.full
            tell(position, full=full)

    def complain(self, address: str, what: str, kind: str, *, alarm: bool = False) -> None:
        """Log what is wrong with a peer, once a minute for each host and kind of complaint."""
        host = address.rpartition(":")[0]
        if self._complaints.is_news(host, kind, self.clock.seconds()):
            log.warn(
                "{me}: {alarm}{address} {what}",
                me=self.identity.member.position,
                alarm=ALARM if alarm else "",
                address=address,
                what=what,
            )


def _refused(reason: str) -> Deferred[None]:
    return fail(RefusedHelloError(reason))


def _second(holder: Member) -> str:
    """What a process is that claims the position of another one."""
    position = holder.position
    return f"is a second {position}: {position} is linked from {shown(holder.address)}"
