"""Whole nodes under a virtual clock, joined by wires: FIFO for each pair and direction.

``House`` starts and kills them on disks that last. A node that the chain went on without begins
another life, as ``service`` does.
"""

from collections import deque
from contextlib import contextmanager

from taking_part import takes_part
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from chainchat.chain.configuration import Member
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chat import commands
from chainchat.node.lives import begin_life
from chainchat.node.node import Node
from chainchat.node.space import Space
from chainchat.node.surroundings import NodeSurroundings
from chainchat.storage.memory import MemoryStorage

SUSPECT_AFTER = 1.0
STOP = 100_000_000
THREE = ("head", "middle", "tail")
PORTS = {"head": 7101, "middle": 7102, "tail": 7103, "newcomer": 7104}


class Wire:
    """The network of one node."""

    def __init__(self, house, position):
        self.house, self.position = house, position

    def send(self, to, message):
        if (self.position, to) in self.house.wires:
            self.house.wires[self.position, to].append(message)

    def distrust(self, position, reason):
        self.house.distrusted.append((self.position, position, reason))


class House:
    """Nodes that all know each other.

    ``options``: further arguments of each node. ``slow``: directions that stand still;
    ``kept(sender, to, message)`` holds one message back. ``free``: free octets of each disk, which
    is low below ``STOP``.
    """

    def __init__(self, *founding, refusal_is_death=True, **options):
        self.founding = founding
        self.options = options
        self.settings = ChainSettings(founding, SUSPECT_AFTER, refusal_is_death=refusal_is_death)
        self.clock = Clock()
        self.disks = {}
        self.nodes = {}
        self.wires = {}
        self.slow = set()
        self.kept = lambda sender, to, message: False
        self.held_back = []
        self.excluded = []
        self.new_identity = lambda: 0
        self.distrusted = []
        self.free = dict.fromkeys(PORTS, 10 * STOP)

    def __getitem__(self, position):
        return self.nodes[position]

    def start(self, *positions):
        for position in positions:
            storage = self.disks.setdefault(position, MemoryStorage())
            record = begin_life(storage, lambda position=position: f"id-{position}")
            self.nodes[position] = Node(
                self.member(position, record),
                record,
                storage,
                Wire(self, position),
                self.clock,
                settings=self.settings,
                surroundings=NodeSurroundings(
                    wall=lambda: 1_000 + int(1_000 * self.clock.seconds()),
                    fail=self.fail,
                    excluded=lambda position=position: self.begin_anew(position),
                    new_identity=self.new_identity,
                    space=Space(lambda position=position: self.free[position], STOP),
                ),
                **self.options,
            )
            others = [other for other in self.nodes if other != position]
            for other in others:
                self.wires[position, other] = deque()
                self.wires[other, position] = deque()
            self.nodes[position].start()
            for other in others:
                self.link(position, other)

    @staticmethod
    def member(position, record):
        return Member(position, record.id, record.incarnation, "here", PORTS[position])

    def begin_anew(self, position):
        self.excluded.append(position)
        del self.nodes[position]
        for other in self.nodes.values():
            other.unlinked(position)
        self.start(position)

    def link(self, one, other):
        for here, there in ((one, other), (other, one)):
            peer = self.nodes[there].me
            self.nodes[here].linked(there, peer)
            self.nodes[here].reached(there, *peer.address, peer)

    def fail(self, error):
        raise error

    def kill(self, *positions):
        """Kill processes; then their ports refuse."""
        for position in positions:
            self.nodes.pop(position).stop()
        for position in positions:
            for other in self.nodes.values():
                other.unlinked(position)
                other.refused(position, "here", PORTS[position])

    def bounce(self, one, other):
        """End a connection, with what is on it, and make another."""
        for here, there in ((one, other), (other, one)):
            self.wires[here, there].clear()
            self.nodes[here].unlinked(there)
        self.link(one, other)

    def run(self, rounds=20):
        """Give turns and deliver messages, while no time passes."""
        for _ in range(rounds):
            for (sender, to), wire in list(self.wires.items()):
                while wire and (sender, to) not in self.slow and {sender, to} <= self.nodes.keys():
                    message = wire.popleft()
                    if self.kept(sender, to, message):
                        self.held_back.append((sender, to, message))
                    else:
                        self.nodes[to].receive(sender, message)
            self.clock.advance(0)

    def let_go(self):
        """Deliver what was held back."""
        self.kept = lambda sender, to, message: False
        held, self.held_back = self.held_back, []
        for sender, to, message in held:
            self.nodes[to].receive(sender, message)

    def later(self, seconds):
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.run(6)

    def say(self, position):
        """Submit something; returns the list that will hold the result."""
        results = []
        self.nodes[position].submit(commands.Nothing(), results.extend)
        return results

    def chains(self):
        """The chain of each node that takes part in one."""
        return {p: n.configuration.positions for p, n in self.nodes.items() if takes_part(n)}

    def committed(self):
        return {position: node.view().committed for position, node in self.nodes.items()}

    def log(self, position):
        disk = self.disks[position]
        return disk.read(0, disk.last.seq, 1 << 40)


def founded(*positions, **options):
    """A chain that was just founded."""
    house = House(*(positions or THREE), **options)
    house.start(*house.founding)
    house.run()
    assert house.chains() == dict.fromkeys(house.founding, house.founding)
    return house


@contextmanager
def lines_logged():
    """Level and text of what nodes log while a block runs."""
    lines = []

    def observe(event):
        if "text" in event:
            lines.append((event["log_level"], f"{event['node']}: {event['text']}"))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)
