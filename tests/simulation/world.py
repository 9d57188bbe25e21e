"""The world that nodes live in: time, network, disks and what goes wrong with them.

A world is made from a seed; the same seed makes the same run. Nodes are the product's ``Node`` with the product's replica,
membership and chat state; only the clock, the network and the disk are of this file.
"""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Entry, Message
from chainchat.server.node import Node, begin_life
from chainchat.storage.memory import MemoryStorage

SUSPECT_AFTER = 1.0
EPOCH_MS = 1_800_000_000_000
"""What the wall clock shows at the beginning, UTC milliseconds."""


class Killed(BaseException):
    """Thrown where a process dies; nothing in a node may catch it."""


class Timer:
    """A call to come, for ``Node`` and for the world itself."""

    def __init__(self, clock: "Clock", function: Callable[..., object], args: tuple) -> None:
        self._clock = clock
        self._function = function
        self._args = args
        self._due = 0.0

    def schedule(self, due: float) -> None:
        self._due = due
        self._clock.push(due, self)

    def active(self) -> bool:
        return self._function is not None

    def cancel(self) -> None:
        self._function = None

    def reset(self, delay: float) -> None:
        self.schedule(self._clock.now + delay)

    def run(self, due: float) -> None:
        function = self._function
        if function is not None and due == self._due:
            self._function = None
            function(*self._args)


class Clock:
    """Virtual time: the calls to come, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Timer]] = []
        self._order = count()

    def push(self, due: float, timer: Timer) -> None:
        heapq.heappush(self._calls, (due, next(self._order), timer))

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, function: Callable[..., object], *args: object) -> Timer:  # noqa: N802
        timer = Timer(self, function, args)
        timer.schedule(self.now + delay)
        return timer

    def step(self) -> bool:
        """Run the next call; False if there is none."""
        if not self._calls:
            return False
        due, _, timer = heapq.heappop(self._calls)
        self.now = due
        timer.run(due)
        return True


class Disk(MemoryStorage):
    """A disk whose process may die just before or just after any write."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self.world = world
        self.position = ""

    def append(self, entries: Sequence[Entry]) -> None:
        self.world.perhaps_die(self.position, "before a log write")
        super().append(entries)
        self.world.perhaps_die(self.position, "after a log write")

    def write_record(self, record: bytes) -> None:
        self.world.perhaps_die(self.position, "before a record write")
        super().write_record(record)
        self.world.perhaps_die(self.position, "after a record write")


@dataclass(eq=False)
class Connection:
    """One TCP connection between two nodes: FIFO in each direction, until it breaks."""

    ends: tuple[str, str]
    lives: tuple[int, int]
    open: bool = True
    arrival: dict[str, float] = field(default_factory=dict)


class Network:
    """What one node sees of the network."""

    def __init__(self, world: "World", position: str) -> None:
        self._world = world
        self._position = position

    def send(self, to: str, message: Message) -> None:
        self._world.perhaps_die(self._position, "before a send")
        self._world.transmit(self._position, to, message)


@dataclass
class Host:
    """One machine: a disk, and perhaps a living node."""

    position: str
    disk: Disk
    node: Node | None = None
    life: int = 0
    wall_offset: int = 0
    dying: float = 0.0
    """Probability that the process dies at the next crash point."""


@dataclass(frozen=True)
class Faults:
    """How much goes wrong, in times a second, or seconds."""

    kills: float = 0.4
    breaks: float = 1.0
    down_for: float = 0.4
    delay: float = 0.01


def _linked(peer: str, node: Node) -> None:
    """A new connection takes the place of an older one, whose end this side may not know of."""
    node.unlinked(peer)
    node.linked(peer)


class World:
    """Nodes, the network between them, and the faults."""

    def __init__(
        self,
        seed: int,
        positions: Sequence[str] = ("head", "middle", "tail"),
        *,
        faults: Faults | None = None,
        node_class: type[Node] = Node,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.clock = Clock()
        self.faults = faults or Faults()
        self.positions = tuple(positions)
        self.hosts = {position: Host(position, Disk(self)) for position in positions}
        for position, host in self.hosts.items():
            host.disk.position = position
        self.connections: dict[frozenset[str], Connection] = {}
        self.calm = False
        self.after_step: list[Callable[[], None]] = []
        self.on_start: list[Callable[[Host], None]] = []
        self.on_death: list[Callable[[Host], None]] = []
        self.failures: list[str] = []
        self._node_class = node_class
        self._trace = trace

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
        self.clock.callLater(delay, function, *args)

    def soon(self) -> float:
        """A network's delay."""
        return self.random.expovariate(1 / self.faults.delay)

    # --- processes

    def start(self, host: Host) -> None:
        """Start a process on the host's disk."""
        if host.node is not None:
            return
        host.dying = 0.0
        host.life += 1
        try:
            record = begin_life(host.disk, lambda: f"{host.position}-disk")
            me = Member(host.position, record.id, record.incarnation)
            host.node = self._node_class(
                me,
                record,
                host.disk,
                Network(self, host.position),
                self.clock,
                founding=self.positions,
                suspect_after=SUSPECT_AFTER,
                wall=lambda: EPOCH_MS + int(self.clock.now * 1000) + host.wall_offset,
                fail=lambda error: self._failed(host, error),
            )
        except Killed:
            host.node = None
            return
        self.note(f"{host.position} starts, incarnation {record.incarnation}")
        host.node.start()
        for told in self.on_start:
            told(host)
        for other in self.positions:
            if other != host.position:
                self.later(self.soon(), self._connect, host.position, other)

    def _failed(self, host: Host, error: Exception) -> None:
        self.failures.append(f"{host.position}: {error!r}")
        raise error

    def kill(self, host: Host) -> None:
        """kill -9."""
        if host.node is None:
            return
        self.note(f"{host.position} is killed")
        host.node.stop()
        host.node = None
        for pair, connection in list(self.connections.items()):
            if host.position in pair:
                self._break(connection)
        for told in self.on_death:
            told(host)

    def perhaps_die(self, position: str, where: str) -> None:
        """A crash point."""
        host = self.hosts[position]
        if host.dying and self.random.random() < host.dying:
            host.dying = 0.0
            self.note(f"{position} dies {where}")
            raise Killed(position)

    # --- connections

    def _connect(self, one: str, other: str) -> None:
        pair = frozenset((one, other))
        hosts = [self.hosts[one], self.hosts[other]]
        if pair in self.connections or any(host.node is None for host in hosts):
            return
        connection = Connection((one, other), (hosts[0].life, hosts[1].life))
        self.connections[pair] = connection
        for position, peer in ((one, other), (other, one)):
            self._arrive(connection, position, partial(_linked, peer))

    def _break(self, connection: Connection) -> None:
        """The connection ends: what was on its way is lost, and each side learns of it."""
        connection.open = False
        self.connections.pop(frozenset(connection.ends), None)
        one, other = connection.ends
        for position, peer, life in zip((one, other), (other, one), connection.lives, strict=True):
            self.later(self.soon(), self._lost, position, peer, life, connection)

    def _lost(self, position: str, peer: str, life: int, connection: Connection) -> None:
        host = self.hosts[position]
        if host.node is None or host.life != life:
            return
        if frozenset(connection.ends) in self.connections:
            return  # a newer one has taken its place already
        host.node.unlinked(peer)
        self.later(self.soon() + 0.02, self._connect, position, peer)

    def transmit(self, sender: str, to: str, message: Message) -> None:
        """Send over the present connection; without one it is lost."""
        connection = self.connections.get(frozenset((sender, to)))
        if connection is not None:
            self._arrive(connection, to, lambda node: node.receive(sender, message))

    def _arrive(
        self, connection: Connection, position: str, do: Callable[[Node], None]
    ) -> None:
        """Deliver in order, after a delay, if the connection and the receiver's life last."""
        due = max(self.clock.now + self.soon(), connection.arrival.get(position, 0.0))
        connection.arrival[position] = due
        host, life = self.hosts[position], self.hosts[position].life

        def arrive() -> None:
            if connection.open and host.node is not None and host.life == life:
                do(host.node)

        self.later(due - self.clock.now, arrive)

    # --- faults

    def begin_faults(self) -> None:
        """From now on things go wrong."""
        self._later_at_rate(self.faults.kills, self._kill_somebody)
        self._later_at_rate(self.faults.breaks, self._break_something)

    def _later_at_rate(self, rate: float, fault: Callable[[], None]) -> None:
        if rate:
            self.later(self.random.expovariate(rate), self._happen, rate, fault)

    def _happen(self, rate: float, fault: Callable[[], None]) -> None:
        if not self.calm:
            fault()
            self._later_at_rate(rate, fault)

    def _kill_somebody(self) -> None:
        """Kill one, some or all, between two events or at one of the next crash points."""
        how_many = self.random.choice((1, 1, 1, 2, len(self.positions)))
        for position in self.random.sample(self.positions, min(how_many, len(self.positions))):
            host = self.hosts[position]
            if self.random.random() < 0.5:
                self.kill(host)
            else:
                host.dying = self.random.choice((1.0, 0.3))
            self.later(
                self.random.expovariate(1 / self.faults.down_for) + 0.01, self._revive, host
            )

    def _revive(self, host: Host) -> None:
        self.kill(host) if host.dying else None
        self.start(host)

    def _break_something(self) -> None:
        if self.connections:
            connection = self.random.choice(list(self.connections.values()))
            pair = connection.ends
            self.note(f"the connection {' - '.join(sorted(pair))} breaks")
            self._break(connection)

    def end_faults(self) -> None:
        """From now on nothing goes wrong, and everybody is started."""
        self.note("faults end")
        self.calm = True
        for host in self.hosts.values():
            host.dying = 0.0
            self.start(host)
