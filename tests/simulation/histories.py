"""Runs in which an assumption fails, and two chains confirm different entries under the same names.

The rules cannot prevent that: a machine stands still with all its clocks, and when it wakes, those
who went on without it are dead. They make it loud, and keep the two histories apart: neither passes
for the other, and what a node knows to be committed never leaves its log.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from chainchat.chain.configuration import Configuration
from chainchat.chain.entries import Content, Entry
from chainchat.chain.limits import ProtocolLimits
from chainchat.chain.log import DivergenceError
from chainchat.chain.messages import Message, Ping, Pong
from chainchat.chain.record import Record
from chainchat.chat import commands
from chainchat.node.budget import CheckpointPace
from chainchat.node.limits import USUAL_LIMITS, NodeLimits
from chainchat.node.node import Node
from chainchat.node.retention import Keep
from tests.simulation import scenario
from tests.simulation.checks import require
from tests.simulation.clock import HostClock
from tests.simulation.hosts import Host, Killed
from tests.simulation.scenario import Summary
from tests.simulation.world import SUSPECT_AFTER, World
from tests.taking_part import takes_part

FOUNDED_BY = 3.0
"""Seconds of virtual time."""

RETAINED_EACH = 3
"""In one of so many runs, little is kept: a log may end before another begins."""

KEPT_OCTETS = 2_000
"""A dozen entries."""

CALM = 6.0 * SUSPECT_AFTER
"""Seconds in which whoever has another history has to have stopped."""


NOTHING = commands.encode(commands.Nothing())
"""What clients say."""

RETAINED = NodeLimits(
    protocol=ProtocolLimits(checkpoint_worth=40, near_entries=20, answer_octets=2_000),
    pace=CheckpointPace(20, records_at_once=1, checkpoint_seconds=0.0),
    keep=Keep(octets=KEPT_OCTETS, unread=False, look_seconds=0.2, at_least=5),
)


class StoppedClock(HostClock):
    """A clock that can stand still with its machine.

    Attributes:
        lost: seconds of true time that it knows nothing of.
    """

    lost = 0.0

    def seconds(self) -> float:
        return super().seconds() - self.lost * self._rate


class StoppingWorld(World):
    """A world whose nodes may stop for good when they find another history.

    Attributes:
        stopped: by position, why.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None) -> None:
        super().__init__(
            seed,
            ("head", "middle", "tail"),
            node_class=scenario.TracedNode,
            trace=trace,
            limits=RETAINED if seed % RETAINED_EACH == RETAINED_EACH - 1 else USUAL_LIMITS,
        )
        self.stopped: dict[str, str] = {}

    def _new_host(self, position: str, name: str = "") -> Host:
        host = super()._new_host(position, name)
        host.clock.__class__ = StoppedClock
        return host

    def _failed(self, host: Host, error: Exception) -> None:
        if not isinstance(error, DivergenceError):
            super()._failed(host, error)
        self.note(f"{host.position} stops: {error}")
        self.stopped[host.position] = str(error)
        raise Killed(host.position)

    def start(self, host: Host) -> None:
        if host.position not in self.stopped:  # an operator reads its log first
            super().start(host)


class TwoHistories:
    """One run: the frozen machine, the others, and what each of them confirms."""

    def __init__(self, world: StoppingWorld) -> None:
        self.world = world
        self.random = world.random
        self.acknowledged = 0
        self.alarms: list[str] = []
        self._writing = True
        self._known: dict[str, dict[int, Content]] = defaultdict(dict)
        """By position and number, what it has applied in any of its lives."""
        self._named: dict[tuple[int, int], Configuration] = {}
        """By epoch and identity, the configurations that were on any disk."""
        self._asked: dict[tuple[str, str, int], Ping] = {}
        """The pings, by who sent them, to whom, and nonce."""
        world.on_applied.append(self._applied)
        world.on_cut.append(self._cut)
        world.on_log.append(self._logged)
        world.on_record.append(self._recorded)
        world.network.sending.append(self._sending)
        world.after_step.append(self._one_history)
        for position in world.positions:
            world.later(self.random.random() / 2, world.start, world.hosts[position])
            self._write(position)

    def _require(self, fact: bool, otherwise: str) -> None:
        require(self.world, fact, otherwise)

    # --- what goes on

    def play(self) -> None:
        """The frozen machine goes on alone, and then the others come back."""
        self.world.run(FOUNDED_BY)
        members = self.world.newest_configuration().positions
        self._require(len(members) == 3, "three that nothing happened to are no chain yet")
        alone = self.random.choice(members)
        others = [position for position in members if position != alone]
        asleep = self.random.uniform(2.8, 3.2) * SUSPECT_AFTER
        if self.random.random() < 0.5:  # it never hears what they say meanwhile, nor their clocks
            self.world.network.block((other, alone) for other in others)
        self._freeze(self.world.hosts[alone], asleep)
        self._run(2.2)
        self._pause_writing()
        for other in others:
            self.world.kill(self.world.hosts[other])
        self.world.network.unblock()
        self._run(asleep - 2.2 + self.random.uniform(0.5, 1.0))
        self._pause_writing()
        if self.random.random() < 0.3:
            self.world.kill(self.world.hosts[alone])
            self.world.later(self.random.uniform(0.0, 2.0), self._start, alone)
        for other in others:
            self.world.later(self.random.uniform(0.0, 0.3), self._start, other)
        self._run(CALM)
        self._at_end(alone, others)

    def _start(self, position: str) -> None:
        self.world.start(self.world.hosts[position])

    def _run(self, seconds: float) -> None:
        self.world.run(self.world.clock.now + seconds)

    def _freeze(self, host: Host, seconds: float) -> None:
        """It stands still, and none of its clocks knows."""
        clock = host.clock
        assert isinstance(clock, StoppedClock)
        clock.lost += seconds
        host.wall_offset -= int(seconds * 1_000)
        self.world.pause(host, seconds)

    def _write(self, position: str) -> None:
        node = self.world.hosts[position].node
        if self._writing and node is not None and takes_part(node):
            say = partial(node.submit, commands.Nothing(), self._told)
            self.world.on_host(position, say)
        self.world.later(self.random.uniform(0.02, 0.2), self._write, position)

    def _told(self, _: object) -> None:
        self.acknowledged += 1

    def _pause_writing(self) -> None:
        self._writing = False
        self._run(0.3 * SUSPECT_AFTER)
        self._writing = True

    # --- what must hold

    def _applied(self, node: Node, entries: Sequence[Entry]) -> None:
        self._known[node.me.position].update((entry.seq, entry.content) for entry in entries)

    def _cut(self, host: Host, entries: Sequence[Entry]) -> None:
        """The last that a life does, after what clients say, may not be noted as committed."""
        for entry in entries:
            known = self._known[host.position].get(entry.seq) == entry.content
            known = known and entry.command == NOTHING
            self._require(not known, f"{host.position} cuts {entry}, which it knows is committed")

    def _logged(self, line: str) -> None:
        if "ALARM" in line:
            self.alarms.append(line)

    def _recorded(self, _: Host, __: Record | None, record: Record) -> None:
        """Of two chains that have the same epoch, each has a name for it."""
        new = record.configuration
        known = self._named.setdefault((new.epoch, new.identity), new)
        self._require(known == new, f"{known} and {new} have one name")

    def _sending(self, sender: str, to: str, message: Message) -> None:
        """Nobody confirms a ping of another chain."""
        if isinstance(message, Ping):
            self._asked[sender, to, message.nonce] = message
        elif isinstance(message, Pong) and message.confirms:
            ping = self._asked.get((to, sender, message.nonce))
            its, mine = ping and (ping.epoch, ping.identity), message.configuration
            another = ping is not None and ping.epoch == mine.epoch
            another = another and its != (mine.epoch, mine.identity)
            self._require(not another, f"{sender} confirms a ping of another chain, from {to}")

    def _one_history(self) -> None:
        """Of two neighbours at work in one configuration, one's log is a part of the other's."""
        if not self.world.written:
            return
        self.world.written = False
        for one, other in pairwise(self._at_work()):
            if one.configuration == other.configuration:
                mine, its = (self._log(node.me.position) for node in (one, other))
                same = all(mine[seq] == its[seq] for seq in mine.keys() & its.keys())
                names = f"{one.me.position} and {other.me.position}"
                self._require(same, f"{names} serve in one chain, and have two histories")

    def _at_work(self) -> list[Node]:
        nodes = [host.node for host in self.world.hosts.values()]
        return [node for node in nodes if node is not None and takes_part(node)]

    def _log(self, position: str) -> dict[int, Content]:
        """What is left of it, by number."""
        disk = self.world.hosts[position].disk
        entries = disk.read(disk.beginning.seq, disk.last.seq, 1 << 40)
        return {entry.seq: entry.content for entry in entries}

    def _at_end(self, alone: str, others: Sequence[str]) -> None:
        """Two histories are two for ever, and somebody has said so."""
        known = self._known[alone], self._known[others[0]]
        both = known[0].keys() & known[1].keys()
        apart = [seq for seq in sorted(both) if known[0][seq] != known[1][seq]]
        if not apart:
            return  # it went on with the others, or they with it
        self.world.events["two histories"] += 1
        said = self.alarms or self.world.stopped
        self._require(bool(said), f"{alone} has another history, and nobody says so")
        newest = max((node.configuration.epoch for node in self._at_work()), default=0)
        behind = [node for node in self._at_work() if node.configuration.epoch < newest]
        self._require(not behind, "somebody with another history serves in an older chain")
        if self.world.stopped:
            self.world.events["a stop for another history"] += 1
        for position in (alone, *others):
            log, beginning = self._log(position), self.world.hosts[position].disk.beginning.seq
            known_here = self._known[position].items()
            kept = all(log.get(seq) == content for seq, content in known_here if seq > beginning)
            self._require(kept, f"{position} lost what it knew to be committed")


def run_two_histories(seed: int, *, trace: Callable[[str], None] | None = None) -> Summary:
    """Run one seed.

    Raises:
        InvariantError: two histories passed for one.
    """
    world = StoppingWorld(seed, trace)
    run = TwoHistories(world)
    run.play()
    epoch = world.newest_configuration().epoch
    return Summary(epoch, run.acknowledged, 0, Counter(world.events))
