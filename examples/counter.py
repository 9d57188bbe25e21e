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
from chainchat.chain.messages import EntryId
from chainchat.chain.record import Record

CHAIN = ChainSettings(("head", "middle", "tail"), suspect_after=1.0)
now, nodes = 0.0, {}
wires = deque()  # (from, to, message)


class Disk(list):
    """The log. Entry number n is the n-th of the list."""

    committed = 0  # as noted by an earlier life

    @property
    def last(self):
        return self.id_of(len(self))

    def id_of(self, seq):
        return EntryId() if not seq else self[seq - 1].id if seq <= len(self) else None

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
            *(self.me, Record(self.me.id, 1), self.disk, CHAIN),
            clock=lambda: now,
            opening=lambda _: b"an epoch begins",
        )

    def carry_out(self, effects):
        """Complete each effect before the engine is asked for the next one."""
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

    def meet(self, other):
        """Dial another node, which answers: they are connected."""
        self.carry_out(self.engine.reached(other.name, other.me.address, other.me))
        self.carry_out(self.engine.linked(other.name, other.me))

    def hear(self, sender, message):
        """Note a message of the log for the next turn; act at once on any other."""
        if isinstance(message, ChainMessage):
            self.engine.note(sender, message)
        else:
            self.carry_out(self.engine.receive(sender, message))

    def take_turn(self):
        """Do all that follows for the log from what was noted."""
        self.carry_out(self.engine.turn())
        self.carry_out(self.engine.apply(lambda: True))


def let_time_pass(seconds):
    """Every node pings the others ten times a second, and every message arrives."""
    global now
    for _ in range(round(seconds * 10)):
        now += 0.1
        for node in nodes.values():
            node.carry_out(node.engine.tick())
        while wires or any(node.engine.due for node in nodes.values()):
            if wires:
                sender, to, message = wires.popleft()
                if to in nodes:
                    nodes[to].hear(sender, message)
            for node in nodes.values():
                node.take_turn()


def count(what, times):
    """Let each node add 1 so many times, and print what each has counted."""
    for node in nodes.values():
        for _ in range(times):
            node.engine.submit(b"+1")
    let_time_pass(1.0)
    print(what, ", ".join(f"{node.name} has {node.counter}" for node in nodes.values()))


def kill(name):
    """A process dies: its connections end, and its port refuses, which proves its death."""
    dead = nodes.pop(name)
    for node in nodes.values():
        node.engine.unlinked(name)
        node.carry_out(node.engine.refused(name, *dead.me.address))


if __name__ == "__main__":
    print("Three nodes meet, and found a chain:")
    nodes.update((name, Node(name)) for name in CHAIN.founding)
    for node in nodes.values():
        for other in nodes.values():
            if node is not other:
                node.meet(other)
    let_time_pass(1.0)
    count("Each has added 1 ten times:", 10)
    print("The tail adds 1 more, and the head dies before it hears of that:")
    nodes["tail"].engine.submit(b"+1")
    nodes["tail"].take_turn()
    kill("head")
    count("The chain goes on without the head, and has lost nothing:", 0)
    count("Each has added 1 more:", 1)
