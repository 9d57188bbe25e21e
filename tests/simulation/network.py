"""The network of a world: connections, in order until they break, and ways that carry nothing.

Its ends are machines, by name. A process says which position it is; whoever has a copied disk says
the same as its original, and can take its link.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Message, Newest
from chainchat.node.node import Node
from chainchat.peers.lanes import CHAIN, COPY, MEMBERSHIP, lane_of

if TYPE_CHECKING:
    from tests.simulation.hosts import Host
    from tests.simulation.world import World

PORT = 1
"""Of every process: its address is the name of its machine, and this."""

DELAY = 0.004
"""Mean delay of the network, seconds."""

Way = tuple[str, str]
"""Sender and receiver."""

Watcher = Callable[[str, str, Message], None]
"""Is told of a message: who sends it, to whom, and what it is."""


@dataclass(eq=False)
class Connection:
    """What connects two nodes: FIFO on each lane in each direction, until it breaks.

    Attributes:
        draining: ends at which still arrives what the other one had sent before it died.
        due: when the newest message arrives, by receiver and lane.
        held: what waits for a blocked way, by receiver.
        breaks: how often the membership lane has broken.
        whole_at: when that is there again; until then, what goes on it goes on the chain lane.
    """

    ends: tuple[str, str]
    open: bool = True
    draining: set[str] = field(default_factory=set)
    due: dict[tuple[str, str], float] = field(default_factory=dict)
    held: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    breaks: int = 0
    whole_at: float = 0.0

    def other(self, end: str) -> str:
        """The end that is not this one."""
        return self.ends[1] if self.ends[0] == end else self.ends[0]

    def last_due(self, end: str) -> float:
        """When the newest of all messages arrives there; 0 if none was sent."""
        return max((due for (to, _), due in self.due.items() if to == end), default=0.0)


class Network:
    """All connections, and the ways between the hosts.

    Attributes:
        delay: mean seconds that a message takes.
        doubled: probability that a message arrives a second time, later.
        blocked: ways on which nothing arrives for now; it is kept for later.
        walls: ways on which no connection is made: something in between refuses, though the machine
            at the other end listens.
        sending: called before a message is on its way; may slow or break its connection.
        arriving: called when the receiver is about to handle a message; may kill or pause it.
    """

    def __init__(self, world: "World") -> None:
        self.delay = DELAY
        self.doubled = 0.0
        self.blocked: set[Way] = set()
        self.walls: set[Way] = set()
        self.sending: list[Watcher] = []
        self.arriving: list[Watcher] = []
        self._world = world
        self._connections: dict[frozenset[str], Connection] = {}
        self._ended: dict[frozenset[str], Connection] = {}
        self._taken: dict[tuple[str, str], str] = {}
        """Which machine is linked at one as a position, if it is not the one of that name."""

    def soon(self) -> float:
        return self._world.random.expovariate(1 / self.delay)

    # --- connections

    @property
    def connections(self) -> list[Connection]:
        return list(self._connections.values())

    def between(self, one: str, other: str) -> Connection | None:
        return self._connections.get(frozenset((one, other)))

    def link(self, name: str, position: str) -> Connection | None:
        """The connection that a machine has with whoever is a position to it."""
        return self.between(name, self._taken.get((name, position), position))

    def dial(self, one: str, other: str) -> None:
        """An attempt by ``one``; a dead process's port refuses it, a cut network says nothing."""
        hosts = self._world.hosts
        if self.between(one, other) is not None or hosts[one].node is None:
            return
        taken = (one, other) in self._taken or (other, one) in self._taken
        blocked = self.blocked.intersection(((one, other), (other, one)))
        walled = (one, other) in self.walls
        if not taken and not blocked and not walled and hosts[other].node is not None:
            self._establish(hosts[one], hosts[other])
            return
        if walled or (not blocked and hosts[other].node is None):
            self._world.on_host(one, partial(_refused, hosts[one], hosts[one].life, other))
        self._world.later(self._world.random.uniform(0.02, 0.2), self.dial, one, other)

    def _establish(self, *hosts: "Host") -> None:
        """The first has dialled."""
        connection = Connection((hosts[0].name, hosts[1].name))
        pair = frozenset(connection.ends)
        self._connections[pair] = connection
        if pair in self._ended:
            self._ended.pop(pair).draining = set()
        for host, peer in permutations(hosts):
            assert peer.node is not None
            do = partial(_linked, peer.position, peer.node.me, peer.node.held)
            self._carry(connection, peer.name, host.name, do, None)
            for lane in (MEMBERSHIP, COPY):  # they are opened beside a chain lane that is there
                connection.due[host.name, lane] = connection.due[host.name, CHAIN]
        dialler, answerer = hosts
        assert answerer.node is not None
        self._carry(connection, answerer.name, dialler.name, _reached(answerer.node.me), None)
        self._world.later(self.soon(), self._look, connection, answerer.name, dialler.name)

    def _look(self, connection: Connection, one: str, other: str) -> None:
        """Who was dialled dials the address that the other says it has, until that answers."""
        if not connection.open:
            return
        cut = self.blocked.intersection(((one, other), (other, one)))
        node = self._world.machine(other).node
        if cut or (one, other) in self.walls or node is None:
            self._world.later(
                self._world.random.uniform(0.02, 0.2), self._look, connection, one, other
            )
            return
        self._carry(connection, other, one, _reached(node.me), None)

    # --- impostors

    def take_link(self, name: str, at: str) -> None:
        """A machine with a copied disk is linked at another, in the place of its original."""
        copy, host = self._world.machine(name), self._world.hosts[at]
        if copy.node is None or host.node is None:
            return
        original = self.between(copy.position, at)
        if original is not None:
            self.end(original)
        self._world.note(f"{name} is {copy.position} to {at}")
        self._taken[at, copy.position] = name
        self._establish(copy, host)

    def forge(self, at: str, member: Member) -> None:
        """A stranger says at a machine that it is ``member``, takes its link, and leaves."""
        original = self.between(member.position, at)
        if original is not None:
            self.end(original)
        self._world.note(f"a stranger says at {at} that it is {member.origin} of {member.position}")
        host = self._world.hosts[at]
        self._world.on_host(at, partial(_lied_to, host, host.life, member))

    def end(self, connection: Connection, *, dead: str = "") -> None:
        """It ends, and each side learns of it; what was on its way is lost.

        If a process died, what it had sent may be in the other's hands already.
        """
        connection.open = False
        pair = frozenset(connection.ends)
        self._connections.pop(pair, None)
        for name, peer in permutations(connection.ends):
            position = self._world.machine(peer).position
            if self._taken.get((name, position)) == peer:
                del self._taken[name, position]
            notice = self.soon()
            if dead == peer and self._world.random.random() < 0.5:
                connection.draining = {name}
                self._ended[pair] = connection
                notice += max(0.0, connection.last_due(name) - self._world.clock.now)
            life = self._world.machine(name).life
            lost = partial(self._lost, name, peer, life, connection)
            self._world.later(notice, self._world.on_host, name, lost)

    def _lost(self, name: str, peer: str, life: int, connection: Connection) -> None:
        host, position = self._world.machine(name), self._world.machine(peer).position
        connection.draining.discard(name)
        if host.node is None or host.life != life:
            return
        if self.link(name, position) is not None:
            return  # a newer one has taken its place already
        host.node.unlinked(position)
        if name in self._world.hosts:
            self._world.later(self.soon(), self.dial, name, position)

    def break_lane(self, connection: Connection, seconds: float) -> None:
        """The membership lane alone breaks: what is on its way there is lost."""
        self._world.note(f"the membership lane {' - '.join(connection.ends)} breaks")
        connection.breaks += 1
        connection.whole_at = self._world.clock.now + seconds

    # --- messages

    def transmit(self, connection: Connection, sender: str, to: str, message: Message) -> None:
        """Send a message over a connection; if that has ended, it is lost."""
        if not connection.open:
            return
        for told in self.sending:
            told(sender, to, message)
        do = partial(_received, self._world.machine(sender).position, message)
        self._carry(connection, sender, to, do, message)
        if self.doubled and self._world.random.random() < self.doubled:
            again = self._handler(connection, sender, to, do, message)
            late = self._world.random.uniform(0.0, 0.5)
            self._world.later(late, self._world.on_host, to, again)

    def slow(self, sender: str, to: str, seconds: float, lanes: Iterable[str]) -> None:
        """What is sent that way on these lanes from now on arrives so much later."""
        connection = self.between(sender, to)
        if connection is not None:
            for lane in lanes:
                due = max(self._world.clock.now, connection.due.get((to, lane), 0.0))
                connection.due[to, lane] = due + seconds

    def _carry(
        self,
        connection: Connection,
        sender: str,
        to: str,
        do: Callable[[Node], None],
        message: Message | None,
    ) -> None:
        """Deliver in order, after a delay; hold back while the way is blocked."""
        lane = self._lane(connection, message)
        due = max(self._world.clock.now + self.soon(), connection.due.get((to, lane), 0.0))
        connection.due[to, lane] = due
        handle = self._handler(connection, sender, to, do, message)

        def arrive() -> None:
            held = connection.held.setdefault(to, [])
            if held or (sender, to) in self.blocked:
                held.append(handle)
            else:
                self._world.on_host(to, handle)

        self._world.later(due - self._world.clock.now, arrive)

    def _lane(self, connection: Connection, message: Message | None) -> str:
        lane = CHAIN if message is None else lane_of(message)
        broken = lane == MEMBERSHIP and self._world.clock.now < connection.whole_at
        return CHAIN if broken else lane

    def _handler(
        self,
        connection: Connection,
        sender: str,
        to: str,
        do: Callable[[Node], None],
        message: Message | None,
    ) -> Callable[[], None]:
        """What the receiver does with a message, if it still lives then."""
        host = self._world.machine(to)
        life, breaks = host.life, connection.breaks
        breakable = self._lane(connection, message) == MEMBERSHIP

        def alive() -> bool:
            here = connection.open or to in connection.draining
            lost = breakable and connection.breaks > breaks
            return here and not lost and host.node is not None and host.life == life

        def handle() -> None:
            if not alive():
                return
            if message is not None:
                for told in self.arriving:
                    told(sender, to, message)
                if not alive():
                    return
            if host.paused:
                host.kept.append(handle)
                return
            assert host.node is not None
            do(host.node)

        return handle

    # --- ways

    def block(self, ways: Iterable[Way]) -> None:
        self.blocked.update(ways)

    def unblock(self, ways: Iterable[Way] | None = None) -> None:
        """These ways, or all, are open again: what was held back arrives."""
        self.blocked.difference_update(set(self.blocked) if ways is None else ways)
        for connection in self.connections:
            for sender, to in permutations(connection.ends):
                if (sender, to) not in self.blocked:
                    waiting, connection.held[to] = connection.held.get(to, []), []
                    for handle in waiting:
                        self._world.later(0.0, self._world.on_host, to, handle)


def _linked(peer: str, member: Member, its: Newest, node: Node) -> None:
    """A new connection takes the place of an older one, whose end this side may not know of."""
    node.unlinked(peer)
    node.linked(peer, member, its)


def _reached(member: Member) -> Callable[[Node], None]:
    return lambda node: node.reached(member.position, *member.address, member)


def _received(sender: str, message: Message, node: Node) -> None:
    node.receive(sender, message)


def _refused(host: "Host", life: int, position: str) -> None:
    if host.node is not None and host.life == life:
        host.node.refused(position, position, PORT)


def _lied_to(host: "Host", life: int, member: Member) -> None:
    if host.node is not None and host.life == life:
        _linked(member.position, member, Newest(), host.node)
        host.node.unlinked(member.position)
