"""Lives of nodes under a clock that the tests hold, for the tests of membership.

``House`` carries out their effects, delivers their messages, and tells them of connections and
refused ports. There are no logs: a learner has caught up when the test says so.
"""

from collections import deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Excluded, Save, Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.membership import Copy, Membership, Seal
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import Ping, Pong, Propose, Vote
from chainchat.chain.record import Record, Status

SUSPECT_AFTER = 1.0
TICK = SUSPECT_AFTER / 10
THREE = ("head", "middle", "tail")
PORTS = {"head": 7101, "middle": 7102, "tail": 7103, "newcomer": 7104}


def member(position, incarnation=1, node_id=None, host="here"):
    return Member(position, node_id or f"id-{position}", incarnation, host, PORTS[position])


def configuration(epoch, *positions, why="", **incarnations):
    return Configuration(epoch, tuple(member(p, incarnations.get(p, 1)) for p in positions), why)


@dataclass
class OwnLog:
    """A life's log, as the test says."""

    last: EntryId = field(default_factory=EntryId)
    caught_up: bool = False
    progress: str = ""
    nearby: frozenset[Member] = frozenset()
    low: bool = False
    committed: EntryId = field(default_factory=EntryId)
    beginning: EntryId = field(default_factory=EntryId)

    def id_of(self, seq):
        """As if all entries were of one epoch."""
        if not seq or seq > self.last.seq:
            return None if seq else EntryId()
        return self.last if seq == self.last.seq else EntryId(self.last.epoch, seq)


def life(me, record=None, founding=THREE, known=(), places=None):
    record = record or Record(me.id, me.incarnation)
    settings = ChainSettings(founding, SUSPECT_AFTER, frozenset(known), places or {})
    return Membership(me, record, settings, OwnLog())


def active(position, *positions, epoch=1, founding=THREE):
    """A life that is a member of a chain of ``positions``."""
    held = configuration(epoch, *(positions or THREE))
    me = held.member(position)
    node = life(me, Record(me.id, 1, founding, held), founding)
    for other in held.members:
        if other != me:
            reach(node, other)
    return node


def reach(node, other, now=0.0):
    """The node dials the address of ``other``, which answers."""
    return list(node.reached(other.position, other.address, other, now))


def vote_for(proposed, proposer, counter=1):
    return Vote(proposed, proposer, (proposer.incarnation, counter))


def propose(node, vote, now=0.0, base=None):
    made_on = node.configuration if base is None else base
    return list(node.receive(vote.proposer.position, Propose(made_on, vote), now))


def confirm(node, position, sent, now=None):
    """The member at ``position`` confirms a ping sent at ``sent``."""
    sends = [effect for effect in node.tick(sent) if isinstance(effect, Send)]
    [ping] = [s.message for s in sends if s.to == position and isinstance(s.message, Ping)]
    other = node.configuration.member(position)
    pong = Pong(other, ping.nonce, node.configuration, True, EntryId(), False, answers=node.me.life)
    return list(node.receive(position, pong, sent if now is None else now))


def hear(node, position, now):
    """The node processes a ping of the member at ``position``."""
    other = node.configuration.member(position)
    return list(node.receive(position, Ping(other, 1, node.configuration.epoch), now))


def die(node, position, now):
    node.unlinked(position)
    return refuse(node, position, now)


def refuse(node, position, now):
    return list(node.refused(position, "here", PORTS[position], now))


def ticks(node, since, until):
    """The effects of all ticks after ``since`` up to ``until``."""
    count = round((until - since) / TICK)
    return [effect for n in range(1, count + 1) for effect in node.tick(since + n * TICK)]


def of_kind(effects, kind):
    """The effects of a kind, or the sent messages of a kind."""
    effects = list(effects)
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    return [x for x in effects + sent if isinstance(x, kind)]


class House:
    """Some nodes, their disks, and a network that loses what a test wants lost."""

    def __init__(self, *founding):
        self.founding = founding
        self.now = 100.0
        self.lives = {}
        self.disks = {}
        self.wire = deque()
        self.lost = lambda sender, to, message: False
        self.sides = None
        self.reports = []
        self.decided = {}
        self.learners_copy = True

    def __getitem__(self, position):
        return self.lives[position]

    # --- what befalls nodes

    def start(self, *positions, last=None):
        """Start the next life of each, on its disk."""
        for position in positions:
            old = self.disks.get(position)
            incarnation = old.incarnation + 1 if old else 1
            me = member(position, incarnation, old.id if old else None)
            self.begin(me, replace(old, incarnation=incarnation) if old else None, last)

    def begin(self, me, record=None, last=None):
        """Begin a life of a node, with its connections."""
        node = life(me, record, self.founding)
        node.own_log.last = last or EntryId()
        self.disks[me.position] = node.record
        self.lives[me.position] = node
        for other in self.lives.values():
            if other is not node and self.connected(me.position, other.me.position):
                self.link(other, me)
                self.link(node, other.me)

    def link(self, node, peer):
        """Connect ``node`` with ``peer``, whose address it then dials."""
        position = node.me.position
        self.carry_out(position, node.linked(peer.position, peer, self.now))
        if position in self.lives:
            reached = self.lives[position].reached(peer.position, peer.address, peer, self.now)
            self.carry_out(position, reached)

    def stop(self, *positions, refused=False):
        """End lives; with ``refused`` the others find their ports closed, otherwise silence."""
        for position in positions:
            del self.lives[position]
        for position in positions:
            for name, other in list(self.lives.items()):
                other.unlinked(position)
                if refused:
                    self.carry_out(name, refuse(other, position, self.now))

    def kill(self, *positions):
        self.stop(*positions, refused=True)

    def partition(self, *sides):
        """Let only those on one side reach each other; no connection is closed."""
        self.sides = sides

    def heal(self):
        self.sides = None

    def connected(self, one, other):
        return self.sides is None or any(one in side and other in side for side in self.sides)

    # --- what follows

    def carry_out(self, position, effects):
        node = self.lives[position]
        for effect in effects:
            match effect:
                case Save():
                    self.disks[position] = effect.record
                    self.remember(effect.record.configuration)
                case Tell():
                    self.reports.append(f"{position}: {effect.text}")
                case Send():
                    self.wire.append((position, effect.to, effect.message))
                case Seal() if self.learners_copy:
                    self.wire.append((effect.learner.position, position, effect.learner))
                case Copy():
                    source = self.lives[effect.source].own_log
                    if source.last.is_beyond(node.own_log.last):
                        node.own_log.last = source.last
                case Excluded():
                    self.start(position)
                    return

    def remember(self, configuration):
        """Check that an epoch never has two configurations."""
        known = self.decided.setdefault(configuration.epoch, configuration)
        assert known == configuration

    def run(self, seconds=0.3):
        """Tick, and deliver all that follows."""
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            for position in list(self.lives):
                self.look_at_logs(position)
                self.carry_out(position, self.lives[position].tick(self.now))
            self.deliver()

    def deliver(self):
        while self.wire:
            sender, to, message = self.wire.popleft()
            arrives = to in self.lives and sender in self.lives and self.connected(sender, to)
            if not arrives or self.lost(sender, to, message):
                continue
            node = self.lives[to]
            self.look_at_logs(to)
            if isinstance(message, Member):  # stands for the learner's word that it has all
                self.carry_out(to, node.synced(message, node.own_log.last, self.now))
            else:
                self.carry_out(to, node.receive(sender, message, self.now))

    def look_at_logs(self, position):
        node = self.lives[position]
        learners = [n.me for n in self.lives.values() if n.status is Status.LEARNER]
        node.own_log.caught_up = self.learners_copy and node.status is Status.LEARNER
        node.own_log.nearby = frozenset(learners if self.learners_copy else ())

    # --- what came of it

    def chains(self):
        """The chain of each node that takes part in one."""
        return {p: n.configuration.positions for p, n in self.lives.items() if n.active}

    def epochs(self):
        return {position: node.configuration.epoch for position, node in self.lives.items()}

    def statuses(self):
        return {node.status for node in self.lives.values()}

    def said(self, text):
        return [report for report in self.reports if text in report]


def founded(*positions):
    """A chain that was just founded."""
    house = House(*(positions or THREE))
    house.start(*house.founding)
    house.run()
    assert house.statuses() == {Status.ACTIVE}
    return house


def wedged(position, *positions, incarnation=2, vote=None):
    me = member(position, incarnation)
    return life(me, Record(me.id, incarnation, THREE, configuration(1, *positions or THREE), vote))


def is_back(node, other, now=0.0):
    """Another member's present life calls and answers, also at its own address."""
    reach(node, other, now)
    list(node.receive(other.position, Ping(other, 1, node.configuration.epoch), now))
    pong = Pong(other, 1, node.configuration, False, EntryId(), False)
    return list(node.receive(other.position, pong, now))
