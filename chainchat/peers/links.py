"""The links: AMP connections with other nodes, up to three lanes for each pair.

The earlier node in the founding order (a spare dials everybody) keeps the *chain* lane open, and
opens the *membership* lane; without it, its messages go on the chain lane. A node opens the *copy*
lane to copy another's log.

*Whoever is linked is looked at*: this side dials the address that the other end says it has, and
tells the node who answers. Only this is evidence of who is where (*source* in
``chain.membership``).
"""

from collections.abc import Iterable
from typing import cast

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Fetch, Message
from chainchat.config import NodeSettings
from chainchat.logs.complaints import Complaints
from chainchat.node.interfaces import Clock
from chainchat.peers.admission import Admission
from chainchat.peers.detector import Detector
from chainchat.peers.dialling import Dialling
from chainchat.peers.directory import Directory
from chainchat.peers.hello import REMOVING_VERSION, Introduction
from chainchat.peers.interfaces import Reactor, Receiver
from chainchat.peers.lanes import CHAIN, COPY, LOOK, MEMBERSHIP, lane_of
from chainchat.peers.link import ALARM, Link, LinkFactory
from chainchat.peers.table import Table
from chainchat.peers.tunables import USUAL, Tunables
from chainchat.tls.chain import ChainTLS

MOST_COMPLAINTS = 256
"""Complaints logged in a minute, about all hosts."""

log = Logger()


class Links:
    """The links of one node: its ``Network``, and their ``Owner``."""

    def __init__(
        self,
        reactor: Reactor,
        me: Introduction,
        nodes: dict[str, NodeSettings],
        tunables: Tunables = USUAL,
        tls: ChainTLS | None = None,
    ) -> None:
        """``nodes``: by position, from ``chain.ini``."""
        self.clock: Clock = reactor
        self.tunables = tunables
        self._me = me
        self._tls = tls
        self._receiver: Receiver | None = None
        self._first_fetch: dict[str, Message] = {}
        self._complaints: Complaints[tuple[str, str]] = Complaints(
            self.clock.seconds, MOST_COMPLAINTS
        )
        self._differences: dict[str, tuple[str, ...]] = {}
        self._detector = Detector(reactor, self._refused, self._may_be_at)
        self._table = Table()
        self._directory = Directory(me.member.position, nodes, self._member)
        self._dialling = Dialling(reactor, self, self._directory, self._table)
        self._admission = Admission(
            self, self._directory, self._table, self._dialling, self._has_space_for
        )

    @property
    def lanes(self) -> list[tuple[str, str]]:
        return list(self._table.linked)

    @property
    def differences(self) -> tuple[str, ...]:
        return tuple(text for told in self._differences.values() for text in told)

    @property
    def introduction(self) -> Introduction:
        me, node = self._me, self._receiver
        if node is None:
            return me
        oldest = max(me.oldest, REMOVING_VERSION) if node.has_removed else me.oldest
        return replace(me, held=node.held, oldest=oldest)

    def factory(self) -> IProtocolFactory:
        return self.secured(LinkFactory(self), dials=False)

    def secured(self, factory: LinkFactory, *, dials: bool) -> IProtocolFactory:
        if self._tls is not None:
            return self._tls.secured(factory, dials=dials)
        return cast(IProtocolFactory, factory)

    def dial_again(self) -> None:
        """Dial whoever is not linked: what kept them apart may be mended."""
        if self._receiver is not None:
            for position in list(self._directory.dialled):
                self._dialling.dial_now(position)

    def start(self, me: Introduction, receiver: Receiver, members: Iterable[Member] = ()) -> None:
        """Begin a life: dial everybody; ``members``: of the newest configuration."""
        self._me = me
        self._receiver = receiver
        for member in members:
            if member.id != me.member.id:
                self._directory.meet(member)
        self._dialling.start()
        for position in self._directory.dialled:
            self._watch(position)

    def stop(self) -> None:
        self._receiver = None
        self._detector.stop()
        self._admission.stop()
        self._dialling.stop()
        self._table.close_all()
        self._differences = {}
        self._first_fetch = {}

    # --- the node's network

    def send(self, to: str, message: Message) -> None:
        lane = lane_of(message)
        link = self._table.linked.get((to, lane))
        if link is None and lane == MEMBERSHIP:
            link = self._table.chain(to)
        if link is not None:
            link.send(message)
        elif isinstance(message, Fetch) and to in self._directory.dialled:
            self._first_fetch[to] = message
            self._dialling.connect(to, COPY)

    def distrust(self, position: str, reason: str) -> None:
        for lane in (CHAIN, MEMBERSHIP, COPY):
            link = self._table.linked.get((position, lane))
            if link is not None:
                link.distrust(reason)

    # --- deaths

    def _watch(self, position: str) -> None:
        if position in self._directory.dialled and self._receiver is not None:
            for host, port in sorted(self._unlinked_places(position)):
                self._detector.watch(position, host, port)

    def _may_be_at(self, position: str, host: str, port: int) -> bool:
        return self._receiver is not None and (host, port) in self._unlinked_places(position)

    def _unlinked_places(self, position: str) -> set[tuple[str, int]]:
        linked = self._table.member(position)
        places = self._directory.places(position)
        return places if linked is None else places - {linked.address}

    def _refused(self, position: str, host: str, port: int) -> None:
        if self._receiver is not None:
            self._receiver.refused(position, host, port)

    # --- links come

    def opened(self, link: Link) -> None:
        self._table.every.add(link)
        if link.dialled is None:
            self._admission.opened(link)

    def objection(self, peer: Introduction, link: Link) -> str:
        unfit = self.introduction.objection(peer)
        if not unfit and self._tls is not None:
            unfit = self._tls.objection(link.transport, peer.member)
        return unfit or self._directory.copied_from(peer.member, self._table.members())

    def admit(self, link: Link) -> Deferred[None]:
        return self._admission.admit(link)

    def introduced(self, link: Link) -> None:
        """Let one link count for each pair and lane."""
        self._admission.introduced(link)
        if self._tls is not None:
            self._warn_of_expiry(link, self._tls)
        if link.lane == LOOK:
            self._looked_at(link)
        position, receiver = link.member.position, self._receiver
        if receiver is None or not self._may_count(link):
            link.close()
            return
        rival = self._table.linked.get((position, link.lane))
        self._table.linked[position, link.lane] = link
        if rival is not None:
            rival.close()
        if link.lane == MEMBERSHIP:
            self._dialling.membership_lanes.end(position)
        elif link.lane == COPY:
            self._copy_lane_is_there(link, receiver)
        else:
            self._chain_lane_is_there(link, rival, receiver)

    def _warn_of_expiry(self, link: Link, tls: ChainTLS) -> None:
        warning = tls.warning(link.member.position)
        if warning:
            self.complain(link.address, f"is linked, but {warning}", "expires")

    def _may_count(self, link: Link) -> bool:
        if link.lane == LOOK:
            return False
        if link.lane == MEMBERSHIP:
            return self._table.is_beside(link)
        position = link.member.position
        if link.dialled is None and link.lane == CHAIN:
            rival = self._table.chain(position)
            if rival not in (None, link.displaces):
                return False  # another claim was quicker
        return self._has_space_for(position)

    def _copy_lane_is_there(self, link: Link, receiver: Receiver) -> None:
        position = link.member.position
        receiver.copy_full(position, full=False)
        fetch = self._first_fetch.pop(position, None)
        if fetch is not None:
            link.send(fetch)
        self._dialling.dial_now(position)

    def _chain_lane_is_there(self, link: Link, rival: Link | None, receiver: Receiver) -> None:
        assert link.peer is not None
        member = link.member
        position = member.position
        self._dialling.linked(position)
        self._detector.ignore(position)
        self._directory.meet(member)
        me = self._me.member.position
        log.info("{me}: linked with {peer}", me=me, peer=position, event="linked")
        self._differences[position] = self._me.differences(link.peer)
        for told in self._differences[position]:
            self.complain(link.address, told, told.partition(" is ")[0])
        if rival is not None:
            self._table.close(position, MEMBERSHIP)
            receiver.unlinked(position)
        receiver.linked(position, member, link.peer.held, older=link.peer.is_older)
        self._dialling.membership_lanes.begin(position)
        self._looked_at(link)
        if link.place != member.address:
            self._dialling.looks.begin(position)
        self._watch(position)

    def _looked_at(self, link: Link) -> None:
        """*source*: tell the node who answered."""
        if self._receiver is None or link.dialled is None or link.place is None:
            return
        member, (host, port) = link.member, link.place
        if self._table.member(link.dialled) == member and link.place == member.address:
            self._dialling.looks.end(link.dialled)
        self._receiver.reached(link.dialled, host, port, member)

    # --- who is known

    def _member(self, position: str) -> Member | None:
        return None if self._receiver is None else self._receiver.member(position)

    def _is_known(self, position: str) -> bool:
        if position in self._directory.configured or position in self._me.founding:
            return True
        return self._member(position) is not None

    def _has_space_for(self, position: str) -> bool:
        if self._is_known(position):
            return True
        for other in [p for p in self._directory.dialled if p != position]:
            self._forget_unknown(other)
        linked = {p for p, _ in self._table.linked if not self._is_known(p)}
        return len(linked | {position}) <= self.tunables.most_unknown

    def _forget_unknown(self, position: str) -> None:
        if self._is_known(position) or any(position == p for p, _ in self._table.linked):
            return
        self._detector.ignore(position)
        self._directory.forget(position)
        self._dialling.forget(position)
        self._first_fetch.pop(position, None)

    # --- links speak, and go

    def deliver(self, link: Link, message: Message) -> None:
        """Drop what comes on a replaced link: its sender says it again."""
        position = link.member.position
        if self._table.linked.get((position, link.lane)) is link and self._receiver is not None:
            if link.lane == MEMBERSHIP:  # the pings go here, and the chain lane may be quiet
                self._table.linked[position, CHAIN].heard = link.heard
            self._receiver.receive(position, message)

    def filled(self, link: Link, *, full: bool) -> None:
        if self._receiver is not None and self._table.counts(link):
            if link.lane == COPY:
                self._receiver.copy_full(link.member.position, full=full)
            elif link.lane == CHAIN:
                self._receiver.full(link.member.position, full=full)

    def lost(self, link: Link) -> None:
        of_this_life = link in self._table.every
        self._table.every.discard(link)
        if self._receiver is None or not of_this_life:
            return
        if self._table.counts(link):
            self._no_longer_linked(link, self._receiver)
            self._forget_unknown(link.member.position)
        self._admission.lost(link)
        if link.dialled is not None and link.lane == CHAIN:
            tunables = self.tunables
            pause = tunables.first_redial if link.peer else tunables.last_redial
            self._dialling.redial(link.dialled, pause, rarely=link.refused)

    def _no_longer_linked(self, link: Link, receiver: Receiver) -> None:
        position = link.member.position
        del self._table.linked[position, link.lane]
        if link.lane == MEMBERSHIP:
            self._dialling.membership_lanes.begin_later(position)
        if link.lane == CHAIN:
            self._differences.pop(position, None)
            self._table.close(position, MEMBERSHIP)
            me = self._me.member.position
            log.info("{me}: lost {peer}", me=me, peer=position, event="lost")
            receiver.unlinked(position)
            self._watch(position)
            if link.dialled is None:
                self._dialling.redial(position, self.tunables.first_redial)

    def complain(self, address: str, what: str, kind: str, *, alarm: bool = False) -> None:
        """Log each kind once a minute for each host."""
        host = address.rpartition(":")[0]
        if self._complaints.count((host, kind)):
            log.warn(
                "{me}: {alarm}{address} {what}",
                me=self._me.member.position,
                alarm=ALARM if alarm else "",
                address=address,
                what=what,
                event="alarm" if alarm else "peer",
            )
