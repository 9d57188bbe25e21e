"""Replicas joined by wires.

``Chain`` carries out their effects and holds their messages until a test delivers them.
"""

from collections import defaultdict, deque

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Apply, Send, Sync, Write
from chainchat.chain.limits import USUAL_PROTOCOL
from chainchat.chain.replica import Replica
from chainchat.storage.memory import MemoryStorage

NOW = 1_000
THREE = ("head", "middle", "tail")


def as_long_as_it_takes():
    return True


def opening(configuration):
    return f"opening {configuration.epoch}".encode()


class Chain:
    """Replicas, their disks and the wires between them, FIFO for each pair and direction."""

    def __init__(self, *positions, limits=USUAL_PROTOCOL):
        self.members = positions
        self.epoch = 0
        self.now = NOW
        self.logs = {p: MemoryStorage() for p in positions}
        self.replicas = {
            p: Replica(p, f"{p}.1", log, opening=opening, applied=0, limits=limits)
            for p, log in self.logs.items()
        }
        self.wires = defaultdict(deque)
        self.applied = defaultdict(list)
        self.trace = []
        self.adopt(*positions)

    def __getitem__(self, position):
        return self.replicas[position]

    def adopt(self, *positions):
        """Adopt the next epoch, with these members."""
        self.members = positions
        self.epoch += 1
        members = tuple(Member(position, position, 1) for position in positions)
        for position, replica in self.replicas.items():
            replica.active = False
            if position in positions:
                replica.adopt(Configuration(self.epoch, members))
                replica.active = True

    def effects(self, position):
        replica = self.replicas[position]
        yield from replica.turn(self.now)
        yield from replica.apply(as_long_as_it_takes)

    def turn(self, *positions):
        """Give each replica a turn; returns the messages sent."""
        sent = []
        for position in positions:
            for effect in self.effects(position):
                sent += self.carry_out(position, effect)
        return sent

    def carry_out(self, position, effect):
        match effect:
            case Write():
                self.trace.append(f"{position}: Write")
                self.logs[position].append(effect.entries, effect.committed)
            case Sync():
                self.trace.append(f"{position}: Sync")
            case Apply():
                self.trace.append(f"{position}: Apply")
                self.applied[position] += effect.entries
            case Send():
                self.trace.append(f"{position}: {type(effect.message).__name__} to {effect.to}")
                self.wires[position, effect.to].append(effect.message)
                return [effect.message]
        return []

    def copy(self, position, entries):
        """Let a locked replica copy what its predecessor holds, before a resume."""
        if entries:
            for effect in self.replicas[position].copy(tuple(entries), committed=0):
                self.carry_out(position, effect)

    def deliver(self, sender, to):
        """Deliver what waits on one wire; messages of another epoch get lost."""
        replica, wire = self.replicas[to], self.wires[sender, to]
        while wire and replica.active:
            message = wire.popleft()
            if message.epoch == self.epoch:
                replica.receive(sender, message)

    def settle(self):
        """Give turns and deliver messages until nothing more happens."""
        busy = True
        while busy:
            before = len(self.trace)
            self.turn(*self.members)
            busy = len(self.trace) != before
            for sender, to in list(self.wires):
                busy = busy or bool(self.wires[sender, to] and self.replicas[to].active)
                self.deliver(sender, to)

    def reconnect(self, one, other):
        """Lose what is on the wires between the two."""
        self.wires[one, other].clear()
        self.wires[other, one].clear()
        for here, there in ((one, other), (other, one)):
            self.replicas[here].unlinked(there)
            self.replicas[here].linked(there)

    def commands(self, position):
        """What one replica applied, in order, without repetitions, which the chat drops too."""
        numbers, found = defaultdict(int), []
        for entry in self.applied[position]:
            if not entry.origin or entry.number == numbers[entry.origin] + 1:
                numbers[entry.origin] += 1
                found.append(entry.command)
        return found
