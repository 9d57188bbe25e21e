"""The world that nodes live in: hosts with disks and clocks, and the network between them.

The same seed makes the same run. Nodes are the product's ``Node``; only the clock, the network and
the disk are of this package. What goes wrong is in ``faults``, ``meddler`` and the stories.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chainchat.chain.configuration import IDENTITY_BITS, Configuration, Member
from chainchat.chain.effects import Effect, Write
from chainchat.chain.entries import Entry
from chainchat.chain.log import DivergenceError
from chainchat.chain.membership.departures import FREE
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import Message
from chainchat.chain.record import Record
from chainchat.chat import commands
from chainchat.chat.commands import AnyCommand
from chainchat.node.bugs import Bugs
from chainchat.node.limits import USUAL_LIMITS, NodeLimits
from chainchat.node.lives import begin_life
from chainchat.node.node import Node
from chainchat.node.pending import Replied
from chainchat.node.surroundings import NodeSurroundings
from chainchat.storage.interface import StorageError
from tests.simulation import work
from tests.simulation.clock import HostClock, WorldClock
from tests.simulation.disk import Disk, MemoryDisk
from tests.simulation.hosts import Host, Killed, Machine, Port
from tests.simulation.network import PORT, Network
from tests.simulation.work import PricedDisk

SUSPECT_AFTER = 1.0
LONGEST_PAUSE = 2.0
"""Seconds that a position waits before it joins after it fell out repeatedly.

Less than the calm in which the chain has to become whole, and long enough to matter.
"""

WALL_START = 1_800_000_000_000
"""What the wall clocks show at the beginning, UTC milliseconds."""

DRIFT = 0.065
"""How much faster or slower than true time a host's clock runs at most."""

INCARNATION_STEP = 1_000
"""A life's number is up to so much above the one before, as in the product."""

NONCES = 2**48
"""A life's pings are numbered from a random number below this, as in the product."""

EVENTS = {
    "): without ": "splice",
    "has caught up and joins": "join",
    "): resumed: ": "resume",
    "before it joins: left out": "pause of one that fell out repeatedly",
    "completing": "completed vote",
    "not in the chain's log": "cut suffix",
    "goes on without this node": "exclusion",
    "copying first": "copied longer log",
    "was a backup restored?": "refused backup",
    "a copy of its data, or it has moved": "refused copy of a disk",
    "it was paused, or one was set": "doubt, because of its own clocks",
    " was paused; what was known": "doubt, because of another's clock",
    "those of the others": "wall clock unlike the others'",
}
"""What a run may reach, by what the nodes log of it."""


class World:
    """Hosts and the network between them.

    Attributes:
        calm: nothing goes wrong any more.
        refusal_is_death: as in ``chain.ini``.
        priced: work takes time, see ``work``.
        written: anything was written to a disk; for the checks, which set it back.
        events: what was reached, by the names in ``EVENTS``.
        on_record: called after a record was written, with the host, the old and the new one.
        on_applied: called when a node has applied entries.
        on_numbered: called with a head and the entries that it is about to write.
        on_cut: called with the entries that are about to leave the log of a host.
        on_beginning: called when a host's log is about to begin later, and how that comes.
        on_start: called when a process is about to start.
        on_death: called when a process has died.
        on_log: called with each line that a node logs.
    """

    def __init__(
        self,
        seed: int,
        founding: Sequence[str],
        spares: Sequence[str] = (),
        *,
        node_class: type["TracedNode"],
        trace: Callable[[str], None] | None = None,
        priced: bool = False,
        refusal_is_death: bool = True,
        free_departures: int = FREE,
        new_disk: Callable[[Any], Disk] = MemoryDisk,
        hidden: str = "",
        chance: random.Random | None = None,
        limits: NodeLimits = USUAL_LIMITS,
    ) -> None:
        """A world in which nothing runs yet.

        Args:
            founding: positions in founding order.
            spares: the other positions.
            trace: takes the lines of a readable trace.
            priced: work takes time, see ``work``.
            refusal_is_death: as in ``chain.ini``.
            free_departures: see ``Departures``.
            new_disk: makes an empty disk, for a machine.
            hidden: what is left out of the trace, because it is not the same in each replay.
            chance: decides in place of the seed.
        """
        self.random = chance or random.Random(seed)
        self.clock = WorldClock()
        self.network = Network(self)
        self.founding = tuple(founding)
        self.positions = (*founding, *spares)
        self.calm = self.written = False
        self.priced = priced
        self.refusal_is_death = refusal_is_death
        self.settings = ChainSettings(
            self.founding,
            SUSPECT_AFTER,
            longest_pause=LONGEST_PAUSE,
            free_departures=free_departures,
            refusal_is_death=refusal_is_death,
        )
        self.events: Counter[str] = Counter()
        self.on_record: list[Callable[[Host, Record | None, Record], None]] = []
        self.on_applied: list[Callable[[Node, Sequence[Entry]], None]] = []
        self.on_numbered: list[Callable[[Node, Sequence[Entry]], None]] = []
        self.on_cut: list[Callable[[Host, Sequence[Entry]], None]] = []
        self.on_beginning: list[Callable[[Host, str], None]] = []
        self.on_start: list[Callable[[Host], None]] = []
        self.on_death: list[Callable[[Host], None]] = []
        self.on_log: list[Callable[[str], None]] = []
        self.after_step: list[Callable[[], None]] = []
        self._node_class = node_class
        self._trace = trace
        self._new_disk = new_disk
        self._hidden = hidden
        self._limits = limits
        self._lives: set[tuple[str, int]] = set()
        self._identities = random.Random(seed)
        self.hosts = {position: self._new_host(position) for position in self.positions}
        self.copies: dict[str, Host] = {}
        """Machines with the copied disk of another, by name."""

    def _new_host(self, position: str, name: str = "") -> Host:
        name = name or position
        rate = self.random.uniform(1 - DRIFT, 1 + DRIFT)
        clock = HostClock(self.clock, rate, lambda call: self.on_host(name, call))
        host = Host(position, name, clock)
        host.disk = self._new_disk(Machine(self, host))
        return host

    def machine(self, name: str) -> Host:
        return self.hosts.get(name) or self.copies[name]

    @property
    def machines(self) -> list[Host]:
        return [*self.hosts.values(), *self.copies.values()]

    def copy(self, position: str) -> Host:
        """Another machine with a copy of a disk as it is now. Its process is not started."""
        original = self.hosts[position]
        host = self._new_host(position, f"copy of {position}")
        host.disk = original.disk.copy(machine=Machine(self, host))
        self.copies[host.name] = host
        self.note(f"the disk of {position} is copied")
        return host

    def remove_copies(self) -> None:
        for host in self.copies.values():
            self.kill(host)

    def note(self, text: str) -> None:
        if self._trace is not None:
            said = text.replace(self._hidden, "") if self._hidden else text
            self._trace(f"{self.clock.now:9.4f}  {said}")

    # --- running

    def run(self, until: float) -> None:
        while self.clock.now < until:
            try:
                if not self.clock.step():
                    return
            except Killed as killed:
                self.kill(self.machine(str(killed)))
            for check in self.after_step:
                check()

    def later(self, delay: float, function: Callable[..., object], *args: object) -> None:
        self.clock.after(delay, partial(function, *args))

    def on_host(self, name: str, call: Callable[[], Any]) -> None:
        """Run something on a host, when it runs and has done what came before."""
        host = self.machine(name)
        if host.paused:
            host.kept.append(call)
        else:
            call()
            self._be_busy(host)

    def work(self, host: Host, seconds: float) -> None:
        """A process works for so long in what it does just now."""
        if self.priced:
            host.clock.worked += seconds * host.slowness

    def _be_busy(self, host: Host) -> None:
        """What was done has taken its time: whatever comes meanwhile waits."""
        if host.clock.worked and host.node is not None and not host.paused:
            seconds, host.clock.worked = host.clock.worked, 0.0
            host.busy = True
            self._stand_still(host, seconds)

    def outward(self, host: Host, call: Callable[[], Any]) -> None:
        """What a process does to others: when what it does just now is done.

        If it stands still in a write, or has worked for some time, that is later.
        """
        if host.paused or host.clock.worked:
            host.kept.append(call)
        else:
            call()

    # --- processes

    def start(self, host: Host) -> None:
        if host.node is not None:
            return
        host.dying = host.stalling = 0.0
        host.life += 1
        try:
            record = begin_life(host.disk, lambda: f"{host.position}{host.disks}", self._step(host))
        except StorageError as error:
            self.note(f"{host.name} does not start: {error}")
            host.disk.crash()
            return
        self._lives.add((record.id, record.incarnation))
        try:
            host.node = node = self._new_node(host, record)
        except StorageError as error:
            raise DivergenceError(f"{host.name} cannot start any more: {error}") from error
        self.note(f"{host.name} starts as {node.me.origin}")
        for told in self.on_start:
            told(host)
        node.start()
        self._be_busy(host)
        for other in self.positions:
            if host.name in self.hosts and other != host.position:
                self.later(self.network.soon(), self.network.dial, host.name, other)

    def _new_node(self, host: Host, record: Record) -> "TracedNode":
        node = self._node_class(
            Member(host.position, record.id, record.incarnation, host.name, PORT),
            record,
            PricedDisk(host.disk, partial(self.work, host)) if self.priced else host.disk,
            Port(self, host),
            host.clock,
            settings=self.settings,
            surroundings=NodeSurroundings(
                wall=lambda: self.wall(host, host.wall_offset),
                fail=lambda error: self._failed(host, error),
                excluded=lambda: self.outward(host, partial(self._begin_anew, host, host.life)),
                new_identity=lambda: self._identities.getrandbits(IDENTITY_BITS),
                first_nonce=self.random.randrange(NONCES),
            ),
            limits=self._limits,
        )
        node.world = self
        node.bugs = node._questions._bugs = StrictBugs(host.position)
        return node

    def _step(self, host: Host) -> int:
        """How far to count the next life: at random, so that a backup's lives are its own."""
        record = host.disk.record
        while True:
            step = self.random.randint(1, INCARNATION_STEP)
            if record is None or (record.id, record.incarnation + step) not in self._lives:
                return step

    def _begin_anew(self, host: Host, life: int) -> None:
        """The chain went on without this node: a new life begins in the same process."""

        def begin() -> None:
            if host.life == life and host.node is not None:
                self.kill(host)
                self.start(host)

        self.later(0.0, begin)

    def _failed(self, host: Host, error: Exception) -> None:
        if not isinstance(error, StorageError):
            raise error
        self.note(f"{host.name}: {error}")
        raise Killed(host.name)

    def kill(self, host: Host) -> None:
        if host.node is None:
            return
        self.note(f"{host.name} dies")
        host.node.stop()
        host.node = None
        host.paused = host.busy = False
        host.kept = []
        host.clock.stalled_until = host.clock.worked = 0.0
        host.disk.crash()
        for connection in self.network.connections:
            if host.name in connection.ends:
                self.network.end(connection, dead=host.name)
        for told in self.on_death:
            told(host)

    def pause(self, host: Host, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while.

        If it comes while the process does something, the rest of that is done afterwards.
        """
        if (host.paused and not host.busy) or host.node is None:
            return
        self.note(f"{host.name} is paused")
        if host.busy:
            seconds += host.clock.stalled_until - self.clock.now
            host.busy = False
        self._stand_still(host, seconds)

    def freeze(self, host: Host, seconds: float, *, wall: bool) -> None:
        """A hypervisor stops the machine, with the clock that timeouts follow.

        ``seconds`` of true time; ``wall``: its wall clock stands still as well.
        """
        if (host.paused and not host.busy) or host.node is None:
            return
        self.note(f"the clock of {host.position} stands still")
        host.clock.frozen += seconds
        if wall:
            host.wall_offset -= int(seconds * 1000)
        self.pause(host, seconds)

    def wall(self, host: Host, offset: int) -> int:
        """What its wall clock says if it is ``offset`` milliseconds ahead of true time."""
        return WALL_START + int(host.clock.true() * 1000) + offset

    def set_wall(self, host: Host, offset: int) -> None:
        """Somebody sets its wall clock: it is ``offset`` milliseconds ahead of true time."""
        self.note(f"the wall clock of {host.position} is set to {offset / 1000:+.0f} s")
        host.wall_offset = offset
        host.wall_most = max(host.wall_most, offset)

    def _stand_still(self, host: Host, seconds: float) -> None:
        host.paused = True
        host.pauses += 1
        host.clock.stalled_until = self.clock.now + seconds
        self.later(seconds, self._wake, host, host.pauses)

    def _wake(self, host: Host, pause: int) -> None:
        if not host.paused or host.pauses != pause:
            return
        if not host.busy:
            self.note(f"{host.name} wakes up")
        host.paused = host.busy = False
        kept, host.kept = host.kept, []
        for call in kept:
            # As a poll gives them: one after another, at the present time.
            self.later(0.0, self.on_host, host.name, call)

    def crash_point(self, host: Host, where: str) -> None:
        """A place where a process may die."""
        if host.dying and self.random.random() < host.dying:
            host.dying = 0.0
            self.note(f"{host.name} dies {where}")
            raise Killed(host.name)

    # --- disks

    def wipe(self, host: Host) -> None:
        self.note(f"{host.name} gets an empty disk")
        host.disks += 1
        host.disk = self._new_disk(Machine(self, host))
        host.newest_disk = None

    def newest_configuration(self) -> Configuration:
        records = [host.disk.record for host in self.hosts.values()]
        known = [record.configuration for record in records if record is not None]
        return max(known, key=lambda configuration: configuration.epoch, default=Configuration())

    def kept_from(self) -> int:
        """The first id that no running node has removed."""
        nodes = [host.node for host in self.hosts.values() if host.node is not None]
        return max((node.state.removed.before for node in nodes), default=0)


class StrictBugs(Bugs):
    """In a simulation, no bug ends one client alone."""

    def note(self, error: Exception, ended: str) -> None:
        raise error


class TracedNode(Node):
    """The product's node, whose log lines go into the world's trace."""

    world: World

    def _log(self, text: str, *, event: str, alarm: bool = False) -> None:
        self.world.note(f"{self.me.host}: {text}")
        if "the state as of entry" in text:
            raise DivergenceError(text)
        for words, reached in EVENTS.items():
            if words in text:
                self.world.events[reached] += 1
        for told in self.world.on_log:
            told(text)

    @property
    def host(self) -> Host:
        return self.world.machine(self.me.host)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Write) and self.configuration.head == self.me.position:
            for told in self.world.on_numbered:
                told(self, effect.entries)
        super()._perform(effect)

    def receive(self, sender: str, message: Message) -> None:
        self.world.work(self.host, work.price(message))
        super().receive(sender, message)

    def submit(self, command: AnyCommand, replied: Replied | None = None) -> None:
        self.world.work(self.host, work.REQUEST * commands.span(command))
        super().submit(command, replied)

    def _apply(self, entries: Sequence[Entry]) -> None:
        self.world.work(self.host, work.APPLIED * work.span(entries))
        super()._apply(entries)
        for told in self.world.on_applied:
            told(self, entries)
