"""State of the world, and the actions that lead from one to the next.

Processes are named by their *slot*: A, B, C, D are positions; a small letter is a copy of that
position's disk at another address.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Excluded, Send
from chainchat.chain.membership.membership import Copy
from chainchat.chain.messages import EntryId, Ping, Pong
from chainchat.chain.record import Record, Status
from spec.process import (
    SUSPECT_AFTER,
    Adopted,
    Disk,
    Facts,
    Forward,
    HarmError,
    Process,
    Table,
    Told,
)

RESTORED = 50
"""How far the incarnation of a life on an older or copied disk is ahead."""


class Bounds(Struct, frozen=True):
    """How much may happen.

    Attributes:
        chain: positions that found the chain, in order.
        spares: more positions, which begin as learners.
        kills: processes that die.
        victims: which may; empty: all.
        lost_ends: of these, how many lose their log's last entry with it.
        restarts: processes that begin again.
        restores: restarts from the disk of the first day.
        copies: processes that begin from a copy of a disk, at another address.
        waits: how often ``suspect_after`` passes.
        cuts: who does not hear whom meanwhile, see ``silences``; empty: any.
        deaf: whether some do not hear others that hear them.
        frozen: how often a machine stands still with its clocks meanwhile.
        slow: answers to pings that come later.
        drops: connections that break.
        strangers: Hellos of strangers who say that they are a node's next life.
        walls: pairs (who dials, whom) between which something refuses.
        writes: entries.
        epochs: the highest one that is looked at.
        refusal_is_death: see ``Evidence``.
        helped: whether those that are down start again before the chain has to get whole; if not,
            those that are up have to go on.
    """

    chain: str = "ABC"
    spares: str = ""
    kills: int = 0
    victims: str = ""
    lost_ends: int = 0
    restarts: int = 0
    restores: int = 0
    copies: int = 0
    waits: int = 0
    cuts: tuple[str, ...] = ()
    deaf: bool = False
    frozen: int = 0
    slow: int = 0
    drops: int = 0
    strangers: int = 0
    walls: tuple[str, ...] = ()
    writes: int = 0
    epochs: int = 3
    refusal_is_death: bool = True
    helped: bool = True


COUNTED = (
    *("kills", "lost_ends", "restarts", "restores", "copies", "waits"),
    *("frozen", "slow", "drops", "strangers", "writes"),
)


class World(NamedTuple):
    """One state.

    Attributes:
        up: by slot, the number of its process's state; None if it is down.
        disks: by slot, the disk of who is down; None if it is up, or was never there.
        links: (a, b): the process in slot a has a connection with the one in b, as far as it knows.
        wire: messages on their way: (from, to, lane) and the messages in order.
        late: answers to pings that are on their way: (from, to, answer, seconds since the ping).
        told: what was acknowledged.
        decided: all configurations that any disk has had.
        used: how much of the bounds was used up, in the order of ``COUNTED``.
    """

    up: tuple[int | None, ...]
    disks: tuple[Disk | None, ...]
    links: frozenset[tuple[int, int]]
    wire: frozenset[tuple[tuple[int, int, str], tuple[Any, ...]]]
    late: frozenset[tuple[int, int, Pong, float]]
    told: frozenset[EntryId]
    decided: frozenset[Configuration]
    used: tuple[int, ...]


class Model:
    """The table of processes, the slots, and the bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.table = Table()
        self.positions = bounds.chain + bounds.spares
        copies = self.positions.lower() if bounds.copies else ""
        self.slots = self.positions + copies
        self.walls = {(self.slots.index(a), self.slots.index(b)) for a, b in bounds.walls}

    def member(self, slot: int, incarnation: int) -> Member:
        """A life of the process in this slot."""
        name = self.slots[slot]
        host = "here" if name.isupper() else "elsewhere"
        port = 7000 + slot % len(self.positions)
        return Member(name.upper(), f"id-{name.upper()}", incarnation, host, port)

    def first_disk(self, slot: int) -> Disk:
        """The disk of the first day: the chain was just founded."""
        chain = tuple(self.member(self.slots.index(name), 1) for name in self.bounds.chain)
        founded = Configuration(1, chain, "founded", 1)
        record = Record(f"id-{self.slots[slot].upper()}", 1, tuple(self.bounds.chain), founded)
        return Disk(record, ())

    def initial(self) -> World:
        """All are there, connected, and have heard each other."""
        slots = range(len(self.slots))
        none: tuple[None, ...] = (None,) * len(self.slots)
        nothing: frozenset[Any] = frozenset()
        world = World(none, none, nothing, nothing, nothing, nothing, nothing, (0,) * len(COUNTED))
        draft = Draft(self, world)
        there = slots[: len(self.positions)]
        for slot in there:
            draft.start(slot, self.first_disk(slot), 1)
        for a in there:
            for b in there:
                if a < b:
                    draft.connect(a, b)
        for _ in range(2):
            for a in there:
                for b in there:
                    if a != b:
                        draft.ask(a, b)
        for a in there[1 : len(self.bounds.chain)]:
            draft.forward(a - 1)
            draft.deliver((a - 1, a, "chain"))
        return draft.world()


def is_pong(said: Any) -> bool:
    """Whether this is the answer to a Ping."""
    return isinstance(said, Send) and isinstance(said.message, Pong)


class Draft:
    """A world that is being changed."""

    def __init__(self, model: Model, world: World) -> None:
        self.model, self.table, self.before = model, model.table, world
        self.up, self.disks = list(world.up), list(world.disks)
        self.links, self.late = set(world.links), set(world.late)
        self.wire = dict(world.wire)
        self.told, self.decided = world.told, world.decided
        self.used = dict(zip(COUNTED, world.used, strict=True))

    def world(self) -> World:
        """What has become of it."""
        wire = frozenset((lane, messages) for lane, messages in self.wire.items() if messages)
        return World(
            tuple(self.up),
            tuple(self.disks),
            frozenset(self.links),
            wire,
            frozenset(self.late),
            self.told,
            self.decided,
            tuple(self.used.values()),
        )

    def process(self, slot: int) -> Process:
        """The process in this slot, not to be changed."""
        number = self.up[slot]
        assert number is not None
        return self.table.processes[number]

    def facts(self, slot: int) -> Facts:
        """What is known of it."""
        number = self.up[slot]
        assert number is not None
        return self.table.facts[number]

    # --- what befalls one process

    def step(self, slot: int, *what: Any) -> tuple[Any, ...]:
        """An input, and what follows."""
        number = self.up[slot]
        assert number is not None
        self.up[slot], said = self.table.step(number, *what)
        for one in said:
            match one:
                case Adopted(configuration):
                    self.decided |= {configuration}
                case Send(to, message) if not is_pong(one):
                    self._send(slot, to, message)
                case Copy(source):
                    self._copy_for_resume(slot, source)
                case Excluded():
                    incarnation = self.facts(slot).me.incarnation + 1
                    self.kill(slot)
                    self.start(slot, self.disks[slot], incarnation)
                    break
                case Told(entries):
                    self.told |= set(entries)
        return said

    def linked_at(self, slot: int, position: str) -> int | None:
        """The slot of whoever is linked here as ``position``."""
        for a, b in self.links:
            if a == slot and self.model.slots[b].upper() == position:
                return b
        return None

    def _send(self, slot: int, to: str, message: Any) -> None:
        peer = self.linked_at(slot, to)
        if peer is None or (peer, slot) not in self.links:
            return
        kind = type(message).__name__
        lane = (slot, peer, {"Forward": "chain", "Copied": "copy", "Synced": "copy"}.get(kind, ""))
        waiting = self.wire.get(lane, ())
        if message not in waiting:
            self.wire[lane] = (*waiting, message)

    def _copy_for_resume(self, slot: int, source: str) -> None:
        peer = self.linked_at(slot, source)
        if peer is None or self.up[peer] is None or (peer, slot) not in self.links:
            return
        same = self.facts(peer).held == self.facts(slot).held
        if same and self.process(peer).membership.lends_for_resume:
            self.step(slot, "copy_for_resume", self.facts(peer).entries)

    def start(self, slot: int, disk: Disk | None, incarnation: int) -> None:
        """A process begins on a disk."""
        assert disk is not None
        me, bounds = self.model.member(slot, incarnation), self.model.bounds
        process = Process(
            me,
            disk,
            tuple(bounds.chain),
            identity=100 * incarnation + slot + 1,
            known=frozenset(bounds.spares),
            refusal_is_death=bounds.refusal_is_death,
        )
        self.disks[slot] = None
        self.up[slot] = self.table.number(process)
        self.decided |= {disk.record.configuration}
        self.step(slot, "tick")

    def kill(self, slot: int, lost: int = 0) -> None:
        """A process dies. What it has sent may still come; who is connected has yet to notice."""
        disk = self.process(slot).disk
        entries = disk.entries[: len(disk.entries) - lost]
        self.disks[slot], self.up[slot] = Disk(disk.record, entries), None
        self.links = {(a, b) for a, b in self.links if a != slot}
        self.wire = {lane: messages for lane, messages in self.wire.items() if lane[1] != slot}
        self.late = {one for one in self.late if one[1] != slot}

    # --- what happens between two

    def part(self, a: int, b: int) -> None:
        """The connection of two ends."""
        self.wire = {lane: one for lane, one in self.wire.items() if {*lane[:2]} != {a, b}}
        self.late = {one for one in self.late if {*one[:2]} != {a, b}}
        for one, other in ((a, b), (b, a)):
            if (one, other) in self.links:
                self.links.discard((one, other))
                self.step(one, "unlinked", self.model.slots[other].upper())

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
        member = self.model.member(b, 0)
        self.part(a, b)
        self.step(a, "refused", member)

    def ask(self, a: int, b: int, late: bool = False) -> None:
        """A pings B, and hears the answer, now or later."""
        ping = self._ping(a)
        pong = self._pong(b, ping)
        self.step(b, "asked", ping)
        if late:
            self.late.add((b, a, pong, 0.0))
        elif self.up[a] is not None:
            self.step(a, "answered", pong, 0.0)

    def hear(self, a: int, b: int, pong: Pong, old: float) -> None:
        """An answer comes late."""
        self.late.discard((a, b, pong, old))
        self.step(b, "answered", pong, old)

    def stranger(self, a: int, b: int) -> None:
        """Somebody else calls A and says that it is B, started again."""
        me = self.facts(b).me
        life = replace(me, incarnation=me.incarnation + 7)
        self.step(a, "linked", life)
        self.step(a, "unlinked", me.position)

    def deliver(self, lane: tuple[int, int, str]) -> Any:
        """The next message of a lane comes."""
        message, *rest = self.wire[lane]
        self.wire[lane] = tuple(rest)
        self.step(lane[1], "receive", self.model.slots[lane[0]].upper(), message)
        return message

    def forward(self, slot: int) -> None:
        """A member sends its successor its log."""
        me, held, entries = (facts := self.facts(slot)).me, facts.held, facts.entries
        successor = held.successor(me.position)
        if successor is not None:
            self._send(slot, successor, Forward(held, entries))

    def learn(self, slot: int, tail: int) -> None:
        """A learner copies all that the tail has; what it has beyond that is cut."""
        entries, own = self.facts(tail).entries, self.facts(slot).entries
        if self.told & (set(own) - set(entries)):
            raise HarmError("a learner cuts off what was acknowledged")
        self.step(slot, "copy", entries)
        self.step(tail, "lend", self.facts(slot).me)

    def wait(self, deaf: frozenset[tuple[int, int]], frozen: int | None = None) -> None:
        """``suspect_after`` passes; (a, b) in ``deaf``: a's pings do not reach b."""
        self.late = {(a, b, pong, old + SUSPECT_AFTER) for a, b, pong, old in self.late}
        awake = [slot for slot, up in enumerate(self.up) if up is not None and slot != frozen]
        linked = [(a, b) for a in awake for b in awake if {(a, b), (b, a)} <= self.links]
        pings = {(a, b): self._ping(a) for a, b in linked if (a, b) not in deaf}
        pongs = {
            (b, a): self._pong(b, ping) for (a, b), ping in pings.items() if (b, a) not in deaf
        }
        for slot in awake:
            asked = tuple(ping for (_, b), ping in pings.items() if b == slot)
            answered = tuple(pong for (_, b), pong in pongs.items() if b == slot)
            self.step(slot, "passes", asked, answered)

    def _ping(self, a: int) -> Ping:
        held = self.facts(a).held
        return Ping(self.facts(a).me, 0, held.epoch, identity=held.identity)

    def _pong(self, b: int, ping: Ping) -> Pong:
        number = self.up[b]
        assert number is not None
        [pong] = [one.message for one in self.table.step(number, "asked", ping)[1] if is_pong(one)]
        return pong

    def may_link(self, a: int, b: int) -> bool:
        """Whether no other process is linked at the position of either (``peers.claims``)."""
        name = self.model.slots
        linked = self.linked_at(a, name[b].upper()), self.linked_at(b, name[a].upper())
        others = linked[0] in (None, b) and linked[1] in (None, a)
        return others and name[a].upper() != name[b].upper()


# --- all that can happen next


class Action(NamedTuple):
    """Something that can happen.

    Attributes:
        text: for the trace.
        uses: what of the bounds it uses up.
        name: of a method of ``Draft``.
        arguments: of that.
    """

    text: str
    uses: tuple[str, ...]
    name: str
    arguments: tuple[Any, ...] = ()


def after(model: Model, world: World, action: Action) -> World:
    """The world after an action. Raises HarmError if it does harm at once."""
    draft = Draft(model, world)
    for what in action.uses:
        draft.used[what] += 1
    getattr(draft, action.name)(*action.arguments)
    return draft.world()


def actions(model: Model, world: World) -> Iterator[Action]:
    """All that can happen next, within the bounds."""
    yield from protocol(model, world)
    yield from trouble(model, world)


def protocol(model: Model, world: World) -> Iterator[Action]:
    """What processes do by themselves."""
    name, draft = model.slots, Draft(model, world)
    up = [slot for slot, number in enumerate(world.up) if number is not None]
    for lane, messages in sorted(world.wire, key=lambda one: one[0]):
        a, b, _ = lane
        if (b, a) in world.links:
            text = f"{name[b]} receives {type(messages[0]).__name__} from {name[a]}"
            yield Action(text, (), "deliver", (lane,))
    for late in world.late:
        yield Action(f"{name[late[1]]} hears the late answer of {name[late[0]]}", (), "hear", late)
    for a in up:
        yield Action(f"{name[a]} ticks", (), "step", (a, "tick"))
        for b in range(len(name)):
            if world.up[b] is None:
                if (a, b) in world.links:
                    yield Action(f"{name[a]} finds that {name[b]} refuses", (), "notice", (a, b))
            elif {(a, b), (b, a)} <= world.links:
                yield Action(f"{name[a]} pings {name[b]}", (), "ask", (a, b))
            elif a < b and draft.may_link(a, b):
                yield Action(f"{name[a]} and {name[b]} connect", (), "connect", (a, b))
        facts = draft.facts(a)
        if facts.active:
            successor = facts.held.successor(facts.me.position)
            peer = draft.linked_at(a, successor) if successor else None
            there = peer is not None and world.up[peer] is not None
            if there and draft.facts(peer).entries != facts.entries:
                yield Action(f"{name[a]} forwards to {name[peer]}", (), "forward", (a,))
        elif facts.status is Status.LEARNER:
            tail = draft.linked_at(a, facts.held.tail)
            there = tail is not None and world.up[tail] is not None and (tail, a) in world.links
            lent = there and draft.facts(tail).lends
            if lent and draft.facts(tail).held == facts.held:
                yield Action(f"{name[a]} copies from {name[tail]}", (), "learn", (a, tail))


def trouble(model: Model, world: World) -> Iterator[Action]:
    """What befalls them, within the bounds."""
    name, bounds, draft = model.slots, model.bounds, Draft(model, world)
    up = [slot for slot, number in enumerate(world.up) if number is not None]
    left = {what for what in COUNTED if draft.used[what] < getattr(bounds, what)}
    for a in up:
        facts = draft.facts(a)
        if "writes" in left and facts.active and facts.held.head == facts.me.position:
            entry = f"{name[a]}{draft.used['writes']}"
            yield Action(f"{name[a]} writes", ("writes",), "step", (a, "write", entry))
        if "kills" in left and name[a] in (bounds.victims or name):
            yield Action(f"{name[a]} dies", ("kills",), "kill", (a,))
            if "lost_ends" in left:
                text = f"{name[a]} dies, and its disk loses the last entry"
                yield Action(text, ("kills", "lost_ends"), "kill", (a, 1))
        for b in up:
            linked = {(a, b), (b, a)} <= world.links
            if a < b and "drops" in left and linked:
                text = f"the connection of {name[a]} and {name[b]} breaks"
                yield Action(text, ("drops",), "part", (a, b))
            if "slow" in left and linked:
                text = f"{name[a]} pings {name[b]}, whose answer is late"
                yield Action(text, ("slow",), "ask", (a, b, True))
            if (a, b) in model.walls:
                text = f"a wall refuses {name[a]} the port of {name[b]}"
                yield Action(text, (), "step", (a, "refused", draft.facts(b).me))
            if "strangers" in left and a != b and not linked:
                text = f"a stranger tells {name[a]} that it is the next life of {name[b]}"
                yield Action(text, ("strangers",), "stranger", (a, b))
    for slot, disk in enumerate(world.disks):
        if disk is None:
            continue
        next_life, other = disk.record.incarnation + 1, slot + len(model.positions)
        if "restarts" in left:
            yield Action(f"{name[slot]} starts", ("restarts",), "start", (slot, disk, next_life))
        if "restores" in left:
            text = f"{name[slot]} starts on its disk of the first day"
            first = slot, model.first_disk(slot), next_life + RESTORED
            yield Action(text, ("restores",), "start", first)
        if "copies" in left and other < len(name) and world.up[other] is None:
            text = f"{name[other]} starts on a copy of the disk of {name[slot]}"
            yield Action(text, ("copies",), "start", (other, disk, next_life + RESTORED))
    if "waits" in left:
        for text, deaf in silences(model, up):
            if bounds.cuts and text not in bounds.cuts:
                continue
            yield Action(f"time passes: {text}", ("waits",), "wait", (deaf,))
        for a in up if "frozen" in left else ():
            text = f"time passes, but not for {name[a]}"
            yield Action(text, ("waits", "frozen"), "wait", (frozenset(), a))


def silences(model: Model, slots: list[int]) -> Iterator[tuple[str, frozenset[tuple[int, int]]]]:
    """Who does not hear whom while time passes."""
    name = model.slots
    pairs = [(a, b) for a in slots for b in slots if a != b]
    yield "all hear each other", frozenset()
    if pairs:
        yield "nobody hears anybody", frozenset(pairs)
    if len(slots) > 2:
        for a in slots:
            yield f"{name[a]} cut off", frozenset(pair for pair in pairs if a in pair)
        for a, b in pairs:
            if a < b:
                yield f"{name[a]}-{name[b]} cut", frozenset({(a, b), (b, a)})
    if model.bounds.deaf:
        for a, b in pairs:
            yield f"{name[b]} does not hear {name[a]}", frozenset({(a, b)})


# --- what must hold in every state


def check(model: Model, world: World) -> None:
    """Raises HarmError if an invariant does not hold."""
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
        if facts.answers and lacks:
            raise HarmError("a tail answers by its lease, and lacks what was acknowledged")
        members = [up.get(member) for member in facts.held.members]
        if all(one and one.active and one.held == facts.held for one in members):
            serving.add(facts.held)
    if len(serving) > 1:
        raise HarmError("two chains can acknowledge")
