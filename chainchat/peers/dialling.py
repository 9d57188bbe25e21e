"""Dialling: whom this node dials, where, for which lane, and when again."""

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from chainchat.chain.configuration import Address
from chainchat.node.interfaces import Timer
from chainchat.peers.directory import Directory
from chainchat.peers.endpoint import endpoint_of
from chainchat.peers.interfaces import Reactor
from chainchat.peers.lanes import CHAIN, LOOK, MEMBERSHIP
from chainchat.peers.link import LinkFactory, Owner
from chainchat.peers.retries import Retries
from chainchat.peers.table import Table


class Dialling:
    """One node's dialling; ``looks``: at linked positions' addresses, to see who answers."""

    def __init__(self, reactor: Reactor, owner: Owner, directory: Directory, table: Table) -> None:
        clock, tunables = owner.clock, owner.tunables
        first = tunables.first_redial
        self.looks = Retries(clock, self._look, first=first, last=tunables.last_look)
        self.membership_lanes = Retries(
            clock, self._open_membership_lane, first=first, last=tunables.last_redial
        )
        self._reactor = reactor
        self._owner = owner
        self._directory = directory
        self._table = table
        self._tunables = tunables
        self._alive = False
        self._attempts: dict[tuple[str, str], Deferred[IProtocol]] = {}
        self._timers: dict[str, Timer] = {}
        self._rare: dict[str, float] = {}
        """The next pause for a position that refuses or dials this node."""

    def start(self) -> None:
        """Begin a life: dial, or knock at, everybody."""
        self._alive = True
        for position in self._directory.dialled:
            if self.dials(position):
                self.dial(position)
            else:
                self.redial(position)

    def stop(self) -> None:
        self._alive = False
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers, self._rare = {}, {}
        self.looks.stop()
        self.membership_lanes.stop()
        for attempt in list(self._attempts.values()):
            attempt.cancel()

    def dials(self, position: str) -> bool:
        """Return whether this side dials: spares dial everybody, founders those after them."""
        me = self._owner.introduction
        mine, its = (
            (me.founding.index(p) if p in me.founding else -1, p)
            for p in (me.member.position, position)
        )
        return mine < its

    def dial(self, position: str) -> None:
        """Dial until linked, if this side dials."""
        if self.dials(position):
            self._attempt(position, self._tunables.first_redial)

    def dial_now(self, position: str) -> None:
        self._rare.pop(position, None)
        self.dial(position)

    def redial(self, position: str, pause: float = 0.0, *, rarely: bool = False) -> None:
        """Dial again in about ``pause`` seconds, or ever more rarely."""
        if not self._alive or position not in self._directory.dialled:
            return
        scheduled = self._timers.get(position)
        if scheduled is not None and scheduled.active():
            return
        tunables = self._tunables
        if rarely or not self.dials(position):
            pause = self._rare.get(position, tunables.first_rare)
            self._rare[position] = min(2 * pause, tunables.last_rare)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - keeps two nodes from dialling in step
        self._timers[position] = self._owner.clock.callLater(
            pause * jitter, self._attempt, position, min(2 * pause, tunables.last_redial)
        )

    def linked(self, position: str) -> None:
        self._rare.pop(position, None)

    def forget(self, position: str) -> None:
        self._rare.pop(position, None)
        self.looks.end(position)
        self.membership_lanes.end(position)
        timer = self._timers.pop(position, None)
        if timer is not None and timer.active():
            timer.cancel()

    def connect(
        self,
        position: str,
        lane: str,
        failed: Callable[[], None] = lambda: None,
        place: Address | None = None,
        key: bytes = b"",
    ) -> None:
        """Make one attempt, unless one is under way.

        Args:
            place: by default the address known.
            key: of the chain lane, for a membership lane.
        """
        if (position, lane) in self._attempts:
            return
        host, port = place = place or self._directory.dialled[position]
        endpoint = endpoint_of(self._reactor, host, port, self._tunables.connect)
        factory = LinkFactory(self._owner, position, lane, place, key)
        attempt = endpoint.connect(self._owner.secured(factory, dials=True))
        self._attempts[position, lane] = attempt

        def connected(_: IProtocol) -> None:
            del self._attempts[position, lane]

        def refused(_: Failure) -> None:
            del self._attempts[position, lane]
            failed()

        attempt.addCallbacks(connected, refused)

    def _attempt(self, position: str, pause: float) -> None:
        if not self._alive or position not in self._directory.dialled:
            return
        if self._table.chain(position) is None and not self._table.is_dialled(position, CHAIN):
            self.connect(position, CHAIN, lambda: self.redial(position, pause))

    def _look(self, position: str) -> bool:
        member = self._table.member(position)
        if member is None:
            return False
        self.connect(position, LOOK, place=member.address)
        return True

    def _open_membership_lane(self, position: str) -> bool:
        link = self._table.chain(position)
        if link is None or link.dialled is None or (position, MEMBERSHIP) in self._table.linked:
            return False
        if not self._table.is_dialled(position, MEMBERSHIP):
            self.connect(position, MEMBERSHIP, place=link.place, key=link.key)
        return True
