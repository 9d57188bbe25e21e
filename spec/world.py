"""One state of the world, and what changes it.

Processes are named by their *slot*: A, B, C are positions, in the order of the chain; a small
letter is a copy of that position's disk at another address.
"""

from typing import Any, NamedTuple

from msgspec import Struct

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Excluded, Send
from chainchat.chain.membership.membership import Copy
from chainchat.chain.messages import EntryId, Ping, Pong
from chainchat.chain.record import Record
from spec.process import SUSPECT_AFTER, Adopted, Disk, Facts, HarmError, Process, Told
from spec.table import Table

RESTORED = 50
"""How far the incarnation of a life on an older or copied disk is ahead."""


class Bounds(Struct, frozen=True):
    """What a world is like, and how much befalls it.

    Attributes:
        troubles: what befalls it, in the words of ``actions.TROUBLES``; ``?`` is any process, ``*``
            anything. Each line happens in its order; the lines, and what the processes do, in every
            order.
        first: what has happened before the search begins, in this order; also what processes do.
        chain: positions that found the chain, in order.
        members: those that form it on the first day; the others are learners. Empty: all.
        copies: positions of whose disk a copy may start at another address.
        walls: pairs (who dials, whom) between which something refuses.
        epochs: the highest one in which anything is looked at.
        refusal_is_death: see ``Evidence``.
        heals: the chain has to get whole again, if all goes well from some state.
        helped: those that are down start again before that; else those that are up have to go on.
        powerless: power may be lost: what is written is synced when the next input comes.
        torn: an assumption of the rules does not hold, so that there may be two chains, neither of
            which serves the other (rule 7).
    """

    troubles: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    chain: str = "ABC"
    members: str = ""
    copies: str = ""
    walls: tuple[str, ...] = ()
    epochs: int = 3
    refusal_is_death: bool = True
    heals: bool = True
    helped: bool = True
    powerless: bool = False
    torn: bool = False


class World(NamedTuple):
    """One state.

    Attributes:
        up: by slot, the number of its process's state; None if it is down.
        disks: by slot, the disk of who is down; None if it is up, or was never there.
        links: (a, b): the process in slot a has a connection with the one in b, as far as it knows.
        wire: messages on their way: (from, to) and the messages in order.
        late: answers to pings on their way: (from, to, answer, seconds since the ping).
        decided: all configurations that any disk has had.
        befallen: how far each line of troubles has come.
    """

    up: tuple[int | None, ...]
    disks: tuple[Disk | None, ...]
    links: frozenset[tuple[int, int]]
    wire: frozenset[tuple[tuple[int, int], tuple[Any, ...]]]
    late: frozenset[tuple[int, int, Pong, float]]
    told: frozenset[EntryId]
    decided: frozenset[Configuration]
    befallen: tuple[int, ...]


class Model:
    """The slots, and the table of processes."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.table = Table()
        self.slots = bounds.chain + bounds.copies.lower()
        self.numbers = range(len(self.slots))
        self.walls = {
            (self.slots.index(pair[0]), self.slots.index(pair[1])) for pair in bounds.walls
        }

    def position(self, slot: int) -> str:
        """Which position the process in this slot has."""
        return self.slots[slot].upper()

    def member(self, slot: int, incarnation: int) -> Member:
        """A life of the process in this slot."""
        position = self.position(slot)
        host = "elsewhere" if self.slots[slot].islower() else "here"
        port = 7000 + self.slots.index(position)
        return Member(position, f"id-{position}", incarnation, host, port)

    def first_disk(self, slot: int) -> Disk:
        """The disk of the first day: the chain was just founded."""
        bounds = self.bounds
        positions = bounds.members or bounds.chain
        chain = tuple(self.member(self.slots.index(name), 1) for name in positions)
        founded = Configuration(1, chain, "founded", 1)
        return Disk(Record(f"id-{self.position(slot)}", 1, tuple(bounds.chain), founded), ())

    def initial(self) -> World:
        """All are there, connected, and have heard each other."""
        slots, nothing = self.numbers, frozenset[Any]()
        none = (None,) * len(slots)
        befallen = (0,) * len(self.bounds.troubles)
        draft = Draft(
            self, World(none, none, nothing, nothing, nothing, nothing, nothing, befallen)
        )
        there = slots[: len(self.bounds.chain)]
        pairs = [(a, b) for a in there for b in there if a != b]
        for slot in there:
            draft.begin(slot, self.first_disk(slot), 1)
        for a, b in pairs:
            if a < b:
                draft.connect(a, b)
        for a, b in pairs * 2:
            draft.ask(a, b)
        for a in there:
            if self.bounds.powerless:
                draft.step(a, "sync")
            draft.forward(a)
        return draft.world()


class Draft:
    """A world that is being changed."""

    def __init__(self, model: Model, world: World) -> None:
        self.model, self.table = model, model.table
        self.up, self.disks = list(world.up), list(world.disks)
        self.links, self.late, self.wire = set(world.links), set(world.late), dict(world.wire)
        self.told, self.decided = world.told, world.decided
        self.befallen = list(world.befallen)

    def world(self) -> World:
        """What has become of it."""
        return World(
            tuple(self.up),
            tuple(self.disks),
            frozenset(self.links),
            frozenset((pair, messages) for pair, messages in self.wire.items() if messages),
            frozenset(self.late),
            self.told,
            self.decided,
            tuple(self.befallen),
        )

    # --- what can be asked

    def facts(self, slot: int) -> Facts:
        """What is known of the process in this slot."""
        return self.table.facts[self._number(slot)]

    def process(self, slot: int) -> Process:
        """The process in this slot, not to be changed."""
        return self.table.processes[self._number(slot)]

    def _number(self, slot: int) -> int:
        number = self.up[slot]
        assert number is not None
        return number

    def are_linked(self, a: int, b: int) -> bool:
        """True if both know of a connection of the two, and are up."""
        up = self.up[a] is not None and self.up[b] is not None
        return up and (a, b) in self.links and (b, a) in self.links

    def linked_at(self, slot: int, position: str | None) -> int | None:
        """The slot of whoever is linked here as ``position``."""
        there = (b for a, b in self.links if a == slot and self.model.position(b) == position)
        return next(there, None)

    def may_link(self, a: int, b: int) -> bool:
        """True if no other process is linked at the position of either (``peers.claims``)."""
        mine, its = self.model.position(a), self.model.position(b)
        free = self.linked_at(a, its) in (None, b) and self.linked_at(b, mine) in (None, a)
        return free and mine != its

    # --- one process

    def step(self, slot: int, *what: Any) -> None:
        """An input, and what follows."""
        self.up[slot], said = self.table.step(self._number(slot), *what)
        for one in said:
            match one:
                case Adopted(configuration):
                    self.decided |= {configuration}
                case Send(_, Pong()):
                    pass  # see ``ask``
                case Send(to, message):
                    self._send(slot, to, message)
                case Copy(source):
                    self._copy_for_resume(slot, source)
                case Excluded():
                    incarnation = self.facts(slot).me.incarnation + 1
                    self.begin(slot, self.end(slot), incarnation)
                    break
                case Told(entries):
                    self.told |= set(entries)

    def _send(self, slot: int, to: str, message: Any) -> None:
        peer = self.linked_at(slot, to)
        linked = peer is not None and self.are_linked(slot, peer)
        if peer is not None and linked and self._is_news(slot, peer, message):
            self.wire[slot, peer] = (*self.wire.get((slot, peer), ()), message)

    def _is_news(self, a: int, b: int, message: Any) -> bool:
        """True if it makes a difference that B hears this now: in B, or by what B answers."""
        if message in self.wire.get((a, b), ()):
            return False
        number = self._number(b)
        after, said = self.table.step(number, "receive", self.model.position(a), message)
        if after != number:
            return True
        answers = (one for one in said if not isinstance(one, Told))
        return any(
            not isinstance(one, Send)
            or self.linked_at(b, one.to) != a
            or self._is_news(b, a, one.message)
            for one in answers
        )

    def _copy_for_resume(self, slot: int, source: str) -> None:
        peer = self.linked_at(slot, source)
        if peer is not None and self.are_linked(slot, peer):
            lender = self.facts(peer)
            if lender.held == self.facts(slot).held and lender.lends_for_resume:
                self.step(slot, "copy_for_resume", lender.entries)

    def begin(self, slot: int, disk: Disk, incarnation: int) -> None:
        """A process begins on a disk."""
        bounds = self.model.bounds
        process = Process(
            self.model.member(slot, incarnation),
            disk,
            tuple(bounds.chain),
            identity=100 * incarnation + slot + 1,
            refusal_is_death=bounds.refusal_is_death,
            powerless=bounds.powerless,
        )
        self.disks[slot] = None
        self.up[slot] = self.table.number(process)
        self.decided |= {disk.record.configuration}
        self.step(slot, "tick")

    def end(self, slot: int) -> Disk:
        """A process ends. What it has sent may still come; who is connected has yet to notice."""
        disk = self.disks[slot] = self.process(slot).disk
        self.up[slot] = None
        self.links = {(a, b) for a, b in self.links if a != slot}
        self.wire = {pair: messages for pair, messages in self.wire.items() if pair[1] != slot}
        self.late = {one for one in self.late if one[1] != slot}
        return disk

    # --- two processes

    def part(self, a: int, b: int) -> None:
        """The connection of two ends."""
        self.wire = {pair: one for pair, one in self.wire.items() if {*pair} != {a, b}}
        self.late = {one for one in self.late if {*one[:2]} != {a, b}}
        for one, other in ((a, b), (b, a)):
            if (one, other) in self.links:
                self.links.discard((one, other))
                self.step(one, "unlinked", self.model.position(other))

    def connect(self, a: int, b: int) -> None:
        """Two processes connect, and each looks at the address of the other."""
        self.part(a, b)
        self.links |= {(a, b), (b, a)}
        for one, other in ((a, b), (b, a)):
            self.step(one, "linked", self.facts(other).me)
        for one, other in ((a, b), (b, a)):
            if (one, other) not in self.model.walls:
                self.step(one, "reached", self.facts(other).me)

    def notice(self, a: int, b: int) -> None:
        """The connection with a dead process ends, and its port refuses."""
        self.part(a, b)
        self.step(a, "refused", self.model.member(b, 0))

    def ask(self, a: int, b: int, late: bool = False) -> None:
        """A pings B, and hears the answer, now or later."""
        ping, pong = self._ping(a), self._pong(a, b)
        self.step(b, "asked", ping)
        if late:
            self.late.add((b, a, pong, 0.0))
        elif self.up[a] is not None:
            self.step(a, "answered", pong, 0.0)

    def hear(self, a: int, b: int, pong: Pong, old: float) -> None:
        """An answer comes late."""
        self.late.discard((a, b, pong, old))
        self.step(b, "answered", pong, old)

    def _ping(self, a: int) -> Ping:
        facts = self.facts(a)
        return Ping(facts.me, 0, facts.held.epoch, identity=facts.held.identity)

    def _pong(self, a: int, b: int) -> Pong:
        """What B answers to a ping of A."""
        ping, mine = self._ping(a), self.facts(a).held
        said = self.table.step(self._number(b), "asked", ping)[1]
        [pong] = [one.message for one in said if type(one) is Send and type(one.message) is Pong]
        its = pong.configuration
        if pong.confirms and its.epoch == mine.epoch and its != mine:
            raise HarmError("a node confirms one of another chain")
        return pong

    def deliver(self, a: int, b: int) -> None:
        """The next message from A to B comes."""
        message, *rest = self.wire[a, b]
        self.wire[a, b] = tuple(rest)
        self.step(b, "receive", self.model.position(a), message)

    def successor(self, slot: int) -> int | None:
        """Whom the member in this slot forwards to."""
        facts = self.facts(slot)
        to = self.linked_at(slot, facts.held.successor(facts.me.position))
        return to if facts.active and to is not None and self.are_linked(slot, to) else None

    def lacks(self, successor: int, facts: Facts) -> bool:
        """True if a successor has not all the entries, or not the word, of a member."""
        process = self.process(successor)
        told = process.log.word if process.powerless else facts.word
        return self.facts(successor).entries != facts.entries or told < facts.word

    def forward(self, slot: int) -> None:
        """A member sends its successor its log, which takes what follows on its own."""
        to, facts = self.successor(slot), self.facts(slot)
        if to is not None and self.facts(to).active and self.facts(to).held == facts.held:
            self.step(to, "take", facts.entries, facts.word)

    def learn(self, slot: int, tail: int) -> None:
        """A learner copies all that the tail has; what it has beyond that is cut."""
        entries, own = self.facts(tail).entries, self.facts(slot).entries
        if self.told & (set(own) - set(entries)):
            raise HarmError("a learner cuts off what was acknowledged")
        self.step(slot, "copy", entries)
        self.step(tail, "lend", self.facts(slot).me)

    # --- all of them

    def wait(self, deaf: frozenset[tuple[int, int]], frozen: int | None = None) -> None:
        """``suspect_after`` passes, but not for who is frozen.

        Args:
            deaf: (a, b): a's pings do not reach b.
            frozen: whose machine stands still, with its clocks.
        """
        self.late = {(a, b, pong, old + SUSPECT_AFTER) for a, b, pong, old in self.late}
        awake = [
            slot for slot in self.model.numbers if self.up[slot] is not None and slot != frozen
        ]
        linked = [(a, b) for a in awake for b in awake if a != b and self.are_linked(a, b)]
        pings = {(a, b): self._ping(a) for a, b in linked if (a, b) not in deaf}
        pongs = {(b, a): self._pong(a, b) for a, b in pings if (b, a) not in deaf}
        for slot in awake:
            asked = tuple(ping for (_, b), ping in pings.items() if b == slot)
            answered = tuple(pong for (_, b), pong in pongs.items() if b == slot)
            self.step(slot, "passes", asked, answered)


def check(model: Model, world: World) -> None:
    """Raise HarmError if an invariant does not hold in this state."""
    if model.bounds.torn:
        return
    epochs: dict[int, Configuration] = {}
    for configuration in world.decided:
        if epochs.setdefault(configuration.epoch, configuration) != configuration:
            raise HarmError(f"two configurations were decided for epoch {configuration.epoch}")
    newest = epochs[max(epochs)]
    up = {facts.me: facts for n in world.up if n is not None and (facts := model.table.facts[n])}
    serving = set()
    for facts in up.values():
        lacks = not world.told <= facts.holds
        if facts.active and facts.held == newest and lacks:
            raise HarmError("a member of the newest configuration lacks what was acknowledged")
        if facts.active and facts.held == newest and not world.told <= facts.synced:
            raise HarmError("what was acknowledged is not on the disk of every member")
        if facts.answers and lacks:
            raise HarmError("a tail answers by its lease, and lacks what was acknowledged")
        members = [up.get(member) for member in facts.held.members]
        if all(one and one.active and one.held == facts.held for one in members):
            serving.add(facts.held)
    if len(serving) > 1:
        raise HarmError("two chains can acknowledge")
