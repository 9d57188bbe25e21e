"""Chain replication in one process: three nodes count together, one dies, the others count on.

The protocol is ``chainchat.chain``. Here is what it needs of the world: a disk, a clock, wires and
an application, which are a list, a number, a queue and a counter. Run: python examples/counter.py
"""

from collections import deque

from chainchat.chain.configuration import Member
from chainchat.chain.early import ChainMessage
from chainchat.chain.effects import Apply, Persist, Report, Send
from chainchat.chain.engine import Engine
from chainchat.chain.log import fitting
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import Entry, EntryId
from chainchat.chain.record import Record

NAMES = ("head", "middle", "tail")
now = 0.0
wires = deque()  # (from, to, message)
nodes = {}


class Disk(list[Entry]):
    """The log, which the engine reads. Entry number n is the n-th."""

    committed = 0  # what earlier lives knew to be committed: here nobody has any

    @property
    def last(self):
        return self[-1].id if self else EntryId()

    def id_of(self, seq):
        return self[seq - 1].id if 0 < seq <= len(self) else None if seq else EntryId()

    def end_before(self, seq):
        return min(seq, len(self))

    def read(self, after, up_to, octets):
        return fitting(self[after:up_to], octets)


class Node:
    """An engine, and what carries its effects out."""

    def __init__(self, name):
        self.name, self.disk, self.counter = name, Disk(), 0
        self.me = Member(name, f"disk of {name}", 1, f"machine of {name}", 7000)
        self.engine = Engine(
            *(self.me, Record(self.me.id, 1), self.disk, ChainSettings(NAMES, suspect_after=1.0)),
            clock=lambda: now,
            opening=lambda _: b"an epoch begins",
        )

    def carry_out(self, effects):
        """Each effect is complete before the engine is asked for the next one."""
        for effect in effects:
            match effect:
                case Persist(entries):
                    self.disk += entries
                case Send(to, message):
                    wires.append((self.name, to, message))
                case Apply(entries):
                    self.counter += sum(entry.command == b"+1" for entry in entries)
                case Report(text):
                    print(f"  {self.name}: {text}")

    def take_turn(self):
        """Do all that follows for the log from what has come."""
        self.carry_out(self.engine.turn())
        self.carry_out(self.engine.apply(lambda: True))


def meet(node, other):
    """``node`` dials ``other``, which answers: they are connected."""
    node.carry_out(node.engine.reached(other.name, other.me.address, other.me))
    node.carry_out(node.engine.linked(other.name, other.me))


def deliver(sender, to, message):
    """What belongs to the log is noted for the next turn, the rest acted on at once."""
    if to in nodes and isinstance(message, ChainMessage):
        nodes[to].engine.note(sender, message)
    elif to in nodes:
        nodes[to].carry_out(nodes[to].engine.receive(sender, message))


def let_time_pass(seconds):
    """Every node pings the others ten times a second, and whatever anybody says arrives."""
    global now
    for _ in range(round(seconds * 10)):
        now += 0.1
        for node in nodes.values():
            node.carry_out(node.engine.tick())
        while wires or any(node.engine.due for node in nodes.values()):
            if wires:
                deliver(*wires.popleft())
            for node in nodes.values():
                node.take_turn()


def kill(name):
    """A process dies: its connections end, and its port refuses, which proves that it is dead."""
    dead = nodes.pop(name)
    for node in nodes.values():
        node.engine.unlinked(name)
        node.carry_out(node.engine.refused(name, *dead.me.address))


def tell(what):
    """Say what happens, and what everybody has counted to."""
    print(what, ", ".join(f"{node.name} has {node.counter}" for node in nodes.values()))


def main():
    """Found a chain, count, kill the head, count on."""
    print("Three nodes meet, and found a chain:")
    nodes.update((name, Node(name)) for name in NAMES)
    for node in nodes.values():
        for other in nodes.values():
            if node is not other:
                meet(node, other)
    let_time_pass(1.0)
    for node in nodes.values():
        for _ in range(10):
            node.engine.submit(b"+1")
    let_time_pass(0.1)
    tell("Each has added 1 ten times:")
    print("The tail adds 1 more, and the head dies before it hears of that:")
    nodes["tail"].engine.submit(b"+1")
    nodes["tail"].take_turn()
    kill("head")
    let_time_pass(1.0)
    tell("The chain goes on without the head, and has lost nothing:")
    for node in nodes.values():
        node.engine.submit(b"+1")
    let_time_pass(0.1)
    tell("Each has added 1 more:")


if __name__ == "__main__":
    main()
