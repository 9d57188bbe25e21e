"""Runs in which old messages go, and servers come back that lack what the others have removed.

Little is kept, checkpoints are frequent, and again and again a server is away for longer than
entries are kept, or comes back with an empty disk. So learners copy checkpoints, and their links
break and their processes die in the middle of it.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from chainchat.chain.entries import Entry
from chainchat.chain.limits import ProtocolLimits
from chainchat.node.budget import CheckpointPace
from chainchat.node.limits import NodeLimits
from chainchat.node.node import Node
from chainchat.node.retention import Keep
from tests.simulation.checks import Checks, everything_shown, require
from tests.simulation.clients import READ_MESSAGES, Client, Records
from tests.simulation.configurations import ConfigurationChecks
from tests.simulation.disk import MemoryDisk
from tests.simulation.faults import Faults
from tests.simulation.hosts import Host
from tests.simulation.mishaps import Mishaps
from tests.simulation.scenario import BOUNDS, QUIET, Summary, calm_down
from tests.simulation.sqlite_disk import Cabinet, cabinet
from tests.simulation.world import TracedNode, World

KEPT_OCTETS = (6_000, 12_000)
"""Of the log: some dozens of entries."""

CHECKPOINT_ENTRIES = (20, 10_000)
"""Often, or only when entries are to go that no checkpoint covers."""

TROUBLE = 9.0
"""Seconds of virtual time in which things go wrong."""

CALM = 20.0
"""Seconds after that in which the chain has to be whole again."""

FILES_EACH = 5
"""One in so many runs is on the product's own disks."""

REACHED = {
    "goes on from the checkpoint as of": "installed checkpoint",
    "nobody can tell any more whether": "log that ends before the other begins",
}
"""What a run may reach, by what the nodes log of it."""


class DisksThatAreReplaced(Mishaps):
    """No disk is set back or loses its end: the others may have removed what such a disk lacks."""

    def lie(self, host: Host) -> None:
        self.wipe(host)

    def restore(self, host: Host) -> None:
        self.wipe(host)


class RetentionChecks(Checks):
    """What must hold though messages go."""

    def __init__(self, world: World, records: Records, clients: Sequence[Client], keep: Keep):
        self._keep = keep
        super().__init__(world, records, clients)

    def _applied(self, node: Node, entries: Sequence[Entry]) -> None:
        super()._applied(node, entries)
        state = node.state
        behind = state.furthest_behind()
        seen = behind is None or state.removed.before <= behind.seen + 1
        text = f"{node.me.position} removes up to {state.removed.before} what somebody has not seen"
        self._require(seen or not self._keep.unread, text)

    def _acknowledged(self, text: str, seq: int, node: Node) -> None:
        """A repeated message may be acknowledged again when it was removed."""
        if seq >= node.state.removed.before:
            super()._acknowledged(text, seq, node)

    def _cut(self, host: Host, entries: Sequence[Entry]) -> None:
        """What leaves a log for a side file was never confirmed, or the chain has removed it."""
        beginning = max(other.disk.beginning.seq for other in self._world.hosts.values())
        super()._cut(host, [entry for entry in entries if entry.seq > beginning])

    def _messages(self, node: Node) -> None:
        """What was not removed is shown, the same everywhere; the rest is nowhere shown."""
        kept = node.state.removed.before
        for position in self._world.newest_configuration().positions:
            other = self._world.hosts[position].node
            assert other is not None
            shown = everything_shown(other)
            self.shown = {message.text: message.id for message in shown}
            for text, seq in self._records.acknowledged.items():
                there = self.shown.get(text) == (seq if seq >= kept else None)
                self._require(there, f"{text!r}, acknowledged as {seq}, at {position}: {kept} on")
            gone = [id_ for id_ in self.shown.values() if id_ < kept]
            self._require(not gone, f"{position} shows {gone}, which were removed")
        self._senders_order(list(self.shown))

    def _linearizable(self) -> None:
        """Reads show nothing old and nothing out of order; the oldest may be gone meanwhile."""
        for text, id_ in self.shown.items():
            told_before = self._records.sent[text]
            self._require(id_ > told_before, f"{text!r} became {id_}, after {told_before}")
        for read in self._records.reads:
            newest = read.shown[-1] if read.shown else 0
            in_order = read.shown == sorted(set(read.shown))
            fresh = newest >= read.told_before or read.told_before < read.kept_from
            right = in_order and fresh and len(read.shown) <= READ_MESSAGES
            self._require(right, f"a read{read.about} showed {read.shown}, of {read.told_before}")


class Absences:
    """Servers that are away for long, and learners that die while they install what they copied."""

    def __init__(self, world: World, mishaps: Mishaps) -> None:
        self._world = world
        self._mishaps = mishaps
        self._random = world.random
        world.on_beginning.append(self._perhaps_kill)
        self._next()

    def _next(self) -> None:
        if not self._world.calm:
            self._world.later(self._random.uniform(0.5, 1.5), self._leave)

    def _leave(self) -> None:
        if self._world.calm:
            return
        host = self._world.hosts[self._random.choice(self._world.positions)]
        self._world.kill(host)
        self._world.later(self._random.uniform(1.5, 3.0), self._return, host)

    def _return(self, host: Host) -> None:
        if not self._world.calm:
            if host.node is None and self._random.random() < 0.5:
                self._mishaps.wipe(host)
            self._world.start(host)
        self._next()

    def _perhaps_kill(self, host: Host, how: str) -> None:
        likely = 0.5 if how == "installs a checkpoint" else 0.1
        if not self._world.calm and self._random.random() < likely:
            host.dying = self._random.choice((0.5, 0.2))
            self._world.later(self._random.choice((0.1, 1.0)), self._mishaps.revive, host)


def run_retained(
    seed: int, *, trace: Callable[[str], None] | None = None, files: bool = False
) -> Summary:
    """Run one seed.

    Raises:
        InvariantError: a promise was broken.
    """
    on_files = files or seed % FILES_EACH == FILES_EACH - 1
    with cabinet() if on_files else nullcontext() as disks:
        return _run(seed, trace, disks)


def _run(seed: int, trace: Callable[[str], None] | None, disks: Cabinet | None) -> Summary:
    octets = KEPT_OCTETS[seed % 2] if disks is None else 30 * KEPT_OCTETS[seed % 2]
    keep = Keep(octets=octets, unread=seed // 2 % 2 == 0, look_seconds=0.2, at_least=10)
    world = World(
        seed,
        ("head", "middle", "tail"),
        ("spare",) if seed % 3 == 2 else (),
        node_class=TracedNode,
        trace=trace,
        new_disk=MemoryDisk if disks is None else disks.new_disk,
        hidden="" if disks is None else f"{disks.root}/",
        limits=NodeLimits(
            protocol=ProtocolLimits(checkpoint_worth=40, near_entries=20, answer_octets=2_000),
            pace=CheckpointPace(
                CHECKPOINT_ENTRIES[seed % 3 == 1], records_at_once=1, checkpoint_seconds=0.0
            ),
            bounds=BOUNDS,
            keep=keep,
        ),
    )
    if disks is not None:
        disks.clock = lambda: world.clock.now
    records = Records()
    clients = [
        Client(world, name, records, window=world.random.choice((1, 4)), person=name == "dan")
        for name in ("ann", "bea", "cat", "dan")
    ]
    checks = RetentionChecks(world, records, clients, keep)
    ConfigurationChecks(world, checks, watch_votes=True)
    world.on_log.append(lambda line: _note(world, line))
    for host in world.hosts.values():
        world.later(world.random.random() / 2, world.start, host)
    mishaps = DisksThatAreReplaced(world, checks)
    world.run(2.0)
    Absences(world, mishaps)
    if seed % 4 != 3:
        Faults(world, mishaps)
    world.run(2.0 + TROUBLE)
    calm_down(world)
    end, quiet = world.clock.now + CALM, 0.0
    while world.clock.now < end and quiet < QUIET:
        world.run(world.clock.now + QUIET / 4)
        quiet = quiet + QUIET / 4 if checks.settled() else 0.0
    checks.at_end()
    before = world.kept_from()
    for host in world.hosts.values():
        if host.disk.beginning.seq:
            world.events["log that lost its beginning"] += 1
        text = f"{host.position} has removed more than was to go"
        require(world, host.disk.beginning.seq < max(1, before), text)
    epoch = world.newest_configuration().epoch
    return Summary(epoch, len(records.acknowledged), len(records.reads), world.events)


def _note(world: World, line: str) -> None:
    for words, event in REACHED.items():
        if words in line:
            world.events[event] += 1
