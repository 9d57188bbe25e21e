"""Chain replication in one process: three nodes count together, one dies, the others count on.

The protocol is ``chainchat.chain``. Here is what it needs of the world: a disk, a clock, wires and
an application, which are some lists, a number, a queue and a counter.
Run: bin/venv python examples/counter.py
"""

from collections import deque
from itertools import permutations

from chainchat.chain.configuration import Member
from chainchat.chain.effects import Apply, Send, Tell, Write
from chainchat.chain.engine import Engine
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import ChainMessage
from chainchat.chain.record import Record
from chainchat.chain.surroundings import Application, Surroundings
from chainchat.storage.memory import MemoryStorage

CHAIN = ChainSettings(("head", "middle", "tail"), suspect_after=1.0)
now, nodes, wires = 0.0, {}, deque()


class Node:
    """An engine, and what carries its effects out."""

    def __init__(self, name):
        self.name, self.disk, self.counter = name, MemoryStorage(), 0
        self.me = Member(name, f"disk of {name}", 1, f"machine of {name}", 7000)
        record = Record(self.me.id, 1)  # of its first life, which knows of no chain yet
        application = Application(opening=lambda _: b"an epoch begins")
        world = Surroundings(clock=lambda: now)
        self.engine = Engine(
            self.me, record, self.disk, CHAIN, application=application, surroundings=world
        )

    def carry_out(self, effects):
        """Complete each effect before the engine is asked for the next one."""
        for effect in effects:
            match effect:
                case Write(entries):
                    self.disk.append(entries)
                case Send(to, message):
                    wires.append((self.name, to, message))
                case Apply(entries):
                    self.counter += sum(entry.command == b"+1" for entry in entries)
                case Tell(text):
                    print(f"  {self.name}: {text}")

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


if __name__ == "__main__":
    print("Three nodes meet, and found a chain:")
    nodes.update((name, Node(name)) for name in CHAIN.founding)
    for node, other in permutations(nodes.values(), 2):  # each dials each, and is answered
        node.carry_out(node.engine.reached(other.name, other.me.address, other.me))
        node.carry_out(node.engine.linked(other.name, other.me))
    let_time_pass(1.0)
    count("Each has added 1 ten times:", 10)

    print("The tail adds 1 more, and the head dies before it hears of that:")
    nodes["tail"].engine.submit(b"+1")
    nodes["tail"].take_turn()
    dead = nodes.pop("head")
    for node in nodes.values():  # connections end, and a port that refuses proves the death
        node.engine.unlinked(dead.name)
        node.carry_out(node.engine.refused(dead.name, *dead.me.address))
    count("The chain goes on without the head, and has lost nothing:", 0)
    count("Each has added 1 more:", 1)
