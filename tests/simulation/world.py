"""The world that nodes live in: hosts, disks, connections between them.

A world is made from a seed; the same seed makes the same run. Nodes are the product's ``Node``
with the product's replica, membership and chat state; only the clock, the network and the disk are
of this package. What goes wrong is in ``faults``.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from typing import Any

from msgspec import msgpack

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.messages import Entry, Message
from chainchat.chain.record import Record
from chainchat.server.node import Node, begin_life
from chainchat.storage import StorageError
from chainchat.storage.memory import MemoryStorage
from tests.simulation.clock import HostClock, WorldClock

SUSPECT_AFTER = 1.0
WALL_START = 1_800_000_000_000
"""What the wall clocks show at the beginning, UTC milliseconds."""

DELAY = 0.004
"""Mean delay of the network, seconds."""

EVENTS = {
    "without": "splice",
    "joins": "join",
    "resumed": "resume",
    "completing": "completed vote",
    "not in the chain's log": "cut suffix",
    "goes on without this node": "exclusion",
}
"""What a run may reach, by what the nodes log of it."""


class Killed(BaseException):
    """Thrown where a process dies; nothing in a node may catch it."""


class Disk(MemoryStorage):
    """A disk whose process may die just before or just after any write, or which may fail."""

    def __init__(
        self, crash_point: Callable[[str], None], on_record: list[Callable[[], None]]
    ) -> None:
        super().__init__()
        self._crash_point = crash_point
        self._on_record = on_record
        self.failing = False

    def append(self, entries: Sequence[Entry]) -> None:
        self._before_a_write("log")
        super().append(entries)
        self._crash_point("after a log write")

    def write_record(self, record: bytes) -> None:
        self._before_a_write("record")
        super().write_record(record)
        for told in self._on_record:
            told()
        self._crash_point("after a record write")

    def _before_a_write(self, what: str) -> None:
        self._crash_point(f"before a {what} write")
        if self.failing:
            self.failing = False
            raise StorageError("the disk failed on fsync")


@dataclass(eq=False)
class Connection:
    """One TCP connection: FIFO in each direction, until it breaks."""

    ends: tuple[str, str]
    open: bool = True
    arrival: dict[str, float] = field(default_factory=dict)
    held: dict[str, list[Callable[[Node], None]]] = field(default_factory=dict)


class Network:
    """What one node sees of the network."""

    def __init__(self, world: "World", position: str) -> None:
        self._world = world
        self._position = position

    def send(self, to: str, message: Message) -> None:
        self._world.crash_point(self._position, "before a send")
        self._world.transmit(self._position, to, message)


@dataclass(eq=False)
class Host:
    """One machine: a disk, a clock, and perhaps a living node."""

    position: str
    disk: Disk
    clock: HostClock
    node: Node | None = None
    life: int = 0
    disks: int = 1
    wall_offset: int = 0
    paused: bool = False
    kept: list[Callable[[], Any]] = field(default_factory=list)
    """What is to run when the host is not paused any more."""
    dying: float = 0.0
    """Probability that the process dies at the next crash point."""


class World:
    """Hosts and the network between them."""

    def __init__(
        self,
        seed: int,
        founding: Sequence[str],
        spares: Sequence[str] = (),
        *,
        node_class: type[Node],
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.clock = WorldClock()
        self.founding = tuple(founding)
        self.positions = (*founding, *spares)
        self.on_record: list[Callable[[], None]] = []
        self.hosts = {position: self._new_host(position) for position in self.positions}
        self.connections: dict[frozenset[str], Connection] = {}
        self.blocked: set[tuple[str, str]] = set()
        """(from, to): what is sent that way does not arrive for now."""
        self.calm = False
        self.delay = DELAY
        self.doubled = 0.0
        """Probability that a message arrives a second time, later."""
        self.events: Counter[str] = Counter()
        self.after_step: list[Callable[[], None]] = []
        self.on_death: list[Callable[[Host], None]] = []
        self._node_class = node_class
        self._trace = trace

    def _new_host(self, position: str) -> Host:
        clock = HostClock(
            self.clock, self.random.uniform(0.96, 1.04), lambda call: self._on_host(position, call)
        )
        return Host(position, self._new_disk(position), clock)

    def _new_disk(self, position: str) -> Disk:
        return Disk(partial(self.crash_point, position), self.on_record)

    def note(self, text: str) -> None:
        """A line of the readable trace."""
        if self._trace is not None:
            self._trace(f"{self.clock.now:9.4f}  {text}")

    # --- running

    def run(self, until: float) -> None:
        """Let the world go on to a point in virtual time."""
        while self.clock.now < until:
            try:
                if not self.clock.step():
                    return
            except Killed as killed:
                self.kill(self.hosts[str(killed)])
            for check in self.after_step:
                check()

    def later(self, delay: float, function: Callable[..., object], *args: object) -> None:
        """Call it in virtual time."""
        self.clock.after(delay, partial(function, *args))

    def soon(self) -> float:
        """A network's delay."""
        return self.random.expovariate(1 / self.delay)

    def _on_host(self, position: str, call: Callable[[], Any]) -> None:
        """Run something on a host, when it runs."""
        host = self.hosts[position]
        if host.paused:
            host.kept.append(call)
        else:
            call()

    def resume(self, host: Host) -> None:
        """SIGCONT."""
        self.note(f"{host.position} wakes up")
        host.paused = False
        kept, host.kept = host.kept, []
        for call in kept:
            # As a poll gives them: one after another, at the present time.
            self.later(0.0, self._on_host, host.position, call)

    # --- processes

    def start(self, host: Host) -> None:
        """Start a process on the host's disk."""
        if host.node is not None:
            return
        host.dying = 0.0
        host.life += 1
        life = host.life
        try:
            record = begin_life(host.disk, lambda: f"{host.position}{host.disks}")
        except (Killed, StorageError):
            return
        host.node = node = self._node_class(
            Member(host.position, record.id, record.incarnation),
            record,
            host.disk,
            Network(self, host.position),
            host.clock,
            founding=self.founding,
            suspect_after=SUSPECT_AFTER,
            wall=lambda: WALL_START + int(self.clock.now * 1000) + host.wall_offset,
            fail=lambda error: self._failed(host, error),
            excluded=lambda: self.later(0.0, self._begin_anew, host, life),
        )
        node.world = self
        self.note(f"{host.position} starts as {node.me.origin}")
        node.start()
        for other in self.positions:
            if other != host.position:
                self.later(self.soon(), self._connect, host.position, other)

    def _begin_anew(self, host: Host, life: int) -> None:
        """The chain went on without this node: a new life begins in the same process."""
        if host.life == life and host.node is not None:
            self.kill(host)
            self.start(host)

    def _failed(self, host: Host, error: Exception) -> None:
        if not isinstance(error, StorageError):
            raise error
        self.note(f"{host.position}: {error}")
        raise Killed(host.position)

    def kill(self, host: Host) -> None:
        """kill -9."""
        if host.node is None:
            return
        self.note(f"{host.position} dies")
        host.node.stop()
        host.node = None
        host.paused = False
        host.kept = []
        for pair, connection in list(self.connections.items()):
            if host.position in pair:
                self.break_connection(connection)
        for told in self.on_death:
            told(host)

    def wipe(self, host: Host) -> None:
        """An empty disk, in place of a dead process's."""
        self.note(f"{host.position} gets an empty disk")
        host.disks += 1
        host.disk = self._new_disk(host.position)

    def crash_point(self, position: str, where: str) -> None:
        """A place where a process may die."""
        host = self.hosts[position]
        if host.dying and self.random.random() < host.dying:
            host.dying = 0.0
            self.note(f"{position} dies {where}")
            raise Killed(position)

    def newest_configuration(self) -> Configuration:
        """The newest that is on any disk."""
        records = [host.disk.read_record() for host in self.hosts.values()]
        known = [msgpack.decode(r, type=Record).configuration for r in records if r is not None]
        return max(known, key=lambda configuration: configuration.epoch, default=Configuration())

    # --- connections

    def reachable(self, one: str, other: str) -> bool:
        """Whether packets go both ways."""
        return (one, other) not in self.blocked and (other, one) not in self.blocked

    def _connect(self, one: str, other: str) -> None:
        """An attempt by ``one``; a dead process's port refuses it, a cut network says nothing."""
        pair = frozenset((one, other))
        caller, called = self.hosts[one], self.hosts[other]
        if pair in self.connections or caller.node is None:
            return
        if self.reachable(one, other):
            if called.node is not None:
                self._establish(pair, caller, called)
                return
            self._on_host(one, partial(_refused, caller, caller.life, other))
        self.later(self.random.uniform(0.02, 0.2), self._connect, one, other)

    def _establish(self, pair: frozenset[str], *hosts: Host) -> None:
        connection = Connection((hosts[0].position, hosts[1].position))
        self.connections[pair] = connection
        for host, peer in permutations(hosts):
            assert peer.node is not None
            do = partial(_linked, peer.position, peer.node.me)
            self._arrive(connection, peer.position, host.position, do)

    def break_connection(self, connection: Connection) -> None:
        """It ends: what was on its way is lost, and each side learns of it."""
        connection.open = False
        self.connections.pop(frozenset(connection.ends), None)
        for position, peer in permutations(connection.ends):
            life = self.hosts[position].life
            self.later(self.soon(), self._on_host, position,
                       partial(self._lost, position, peer, life, connection))  # fmt: skip

    def _lost(self, position: str, peer: str, life: int, connection: Connection) -> None:
        host = self.hosts[position]
        if host.node is None or host.life != life:
            return
        if frozenset(connection.ends) in self.connections:
            return  # a newer one has taken its place already
        host.node.unlinked(peer)
        self.later(self.soon(), self._connect, position, peer)

    def transmit(self, sender: str, to: str, message: Message) -> None:
        """Send over the present connection; without one it is lost."""
        connection = self.connections.get(frozenset((sender, to)))
        if connection is None:
            return
        do = partial(_received, sender, message)
        self._arrive(connection, sender, to, do)
        if self.doubled and self.random.random() < self.doubled:
            late = partial(self._deliver, connection, to, self.hosts[to].life, do)
            self.later(self.random.uniform(0.0, 0.5), late)

    def _arrive(
        self, connection: Connection, sender: str, to: str, do: Callable[[Node], None]
    ) -> None:
        """Deliver in order, after a delay; hold back while the way is blocked."""
        due = max(self.clock.now + self.soon(), connection.arrival.get(to, 0.0))
        connection.arrival[to] = due
        life = self.hosts[to].life

        def arrive() -> None:
            held = connection.held.setdefault(to, [])
            if held or (sender, to) in self.blocked:
                held.append(do)
            else:
                self._deliver(connection, to, life, do)

        self.later(due - self.clock.now, arrive)

    def _deliver(
        self, connection: Connection, to: str, life: int, do: Callable[[Node], None]
    ) -> None:
        host = self.hosts[to]

        def handle() -> None:
            if connection.open and host.node is not None and host.life == life:
                do(host.node)

        self._on_host(to, handle)

    def unblock(self) -> None:
        """The network heals: what was held back arrives."""
        self.note("the network heals")
        self.blocked.clear()
        for connection in list(self.connections.values()):
            for to, held in connection.held.items():
                waiting, held[:] = list(held), []
                for do in waiting:
                    self.later(0.0, self._deliver, connection, to, self.hosts[to].life, do)


def _linked(peer: str, member: Member, node: Node) -> None:
    """A new connection takes the place of an older one, whose end this side may not know of."""
    node.unlinked(peer)
    node.linked(peer, member)


def _received(sender: str, message: Message, node: Node) -> None:
    node.receive(sender, message)


def _refused(host: Host, life: int, position: str) -> None:
    if host.node is not None and host.life == life:
        host.node.refused(position)


class TracedNode(Node):
    """The product's node, whose log lines go into the world's trace."""

    world: World | None = None

    def _log(self, text: str, *, alarm: bool = False) -> None:
        if self.world is not None:
            self.world.note(f"{self.me.position}: {text}")
            for words, event in EVENTS.items():
                if words in text:
                    self.world.events[event] += 1
