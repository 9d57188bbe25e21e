"""Where a story is played: what it can wait for, and what it can do.

It sees only what is sent and written, and does only what networks and machines do.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from chainchat.chain.messages import Message
from chainchat.chain.record import Record
from tests.simulation.checks import require
from tests.simulation.hosts import Host
from tests.simulation.mishaps import Mishaps
from tests.simulation.world import SUSPECT_AFTER, World
from tests.taking_part import takes_part

FOUNDED_BY = 3.0
"""When the chain has to be there at the latest, seconds."""

LOOK = 0.01
"""How often a story looks whether what it waits for is so, seconds."""


@dataclass(frozen=True)
class Sends:
    """Waits until one node sends another a message of a kind.

    Attributes:
        within: seconds for which the story waits.
    """

    sender: str
    kind: type[Message]
    to: str
    within: float = 2 * SUSPECT_AFTER


@dataclass(frozen=True)
class Votes:
    """Waits until a vote is on the disk of a node."""

    voter: str
    within: float = 2 * SUSPECT_AFTER


@dataclass(frozen=True)
class Adopts:
    """Waits until another configuration is on the disk of a node."""

    adopter: str
    within: float = 2 * SUSPECT_AFTER


@dataclass(frozen=True)
class GoOn:
    """Waits until these confirm something again, in a chain without those."""

    these: tuple[str, ...]
    without: tuple[str, ...]
    within: float


@dataclass(frozen=True)
class Fact:
    """Waits until something holds."""

    holds: Callable[[], bool]
    within: float = 2 * SUSPECT_AFTER


Awaited = Sends | Votes | Adopts | GoOn | Fact

Plot = Generator[float | Awaited, bool, None]
"""Yields how many seconds it waits, or for what, and is sent whether that came in time."""


class Story(Protocol):
    """What a stage plays."""

    @property
    def name(self) -> str:
        """What it is called."""

    def __call__(self, stage: "Stage") -> Plot:
        """Play it there."""


class Stage:
    """Plays one story, as soon as three members are at work, or from the beginning.

    Attributes:
        mishaps: for the disks of the dead.
        over: when the story ended; None before.
    """

    def __init__(
        self, world: World, mishaps: Mishaps, story: Story, *, at_once: bool = False
    ) -> None:
        """Set it up.

        Args:
            world: what the story happens to.
            at_once: it begins before the founding.
        """
        self.random = world.random
        self.mishaps = mishaps
        self.over: float | None = None
        self._world = world
        self._story = story
        self._plot: Plot | None = None
        self._awaited: Awaited | None = None
        self._scene = 0
        world.network.sending.append(self._sending)
        world.on_record.append(self._recorded)
        if at_once:
            self._begin(world.founding)
            self._next(0, None)
        else:
            self._wait_for_members()

    def _wait_for_members(self) -> None:
        if not self.whole:
            self.require(self.now < FOUNDED_BY, "three that nothing happened to are no chain yet")
            self._world.later(0.05, self._wait_for_members)
            return
        self._begin(self._world.newest_configuration().positions)
        self._world.later(self.moment(0.1, 0.6), self._next, 0, None)

    def _begin(self, members: tuple[str, ...]) -> None:
        self.members = members
        self.head, self.middle, self.tail = members
        self.spares = [p for p in self._world.positions if p not in members]
        self._world.note(f"the story begins: {self._story.name}")
        self._plot = self._story(self)

    @property
    def whole(self) -> bool:
        members = self._world.newest_configuration().positions
        nodes = [self._world.hosts[position].node for position in members]
        return len(members) == 3 and all(node is not None and takes_part(node) for node in nodes)

    @property
    def epoch(self) -> int:
        return self._world.newest_configuration().epoch

    # --- how it goes on

    def _next(self, scene: int, came: bool | None) -> None:
        if scene != self._scene:
            return  # what was awaited came, or came too late
        assert self._plot is not None
        self._scene += 1
        self._awaited = None
        try:
            awaited = self._plot.send(came)
        except StopIteration:
            self._world.note("the story ends")
            self.over = self._world.clock.now
            self._world.network.unblock()
            return
        if isinstance(awaited, float):
            self._world.later(awaited, self._next, self._scene, True)
        else:
            self._awaited = awaited
            self._world.later(awaited.within, self._next, self._scene, False)
            self._look()

    def _sending(self, sender: str, to: str, message: Message) -> None:
        match self._awaited:
            case Sends() as sends if (sends.sender, sends.to) == (sender, to):
                if isinstance(message, sends.kind):
                    self._came()

    def _recorded(self, host: Host, before: Record | None, record: Record) -> None:
        another = before is None or before.configuration != record.configuration
        match self._awaited:
            case Votes() as votes if votes.voter == host.position and record.vote is not None:
                self._came()
            case Adopts() as adopts if adopts.adopter == host.position and another:
                self._came()

    def _look(self) -> None:
        match self._awaited:
            case GoOn() as go_on:
                self._look_at(all(self._goes_on(position, go_on) for position in go_on.these))
            case Fact() as fact:
                self._look_at(fact.holds())

    def _look_at(self, fact: bool) -> None:
        if fact:
            self._came()
        else:
            self._world.later(LOOK, self._look)

    def _goes_on(self, position: str, awaited: GoOn) -> bool:
        host = self._world.hosts[position]
        node = host.node
        if node is None or not takes_part(node):
            return False
        members = set(node.configuration.positions)
        if not members.issuperset(awaited.these) or not members.isdisjoint(awaited.without):
            return False
        applied = host.disk.id_of(node.state.applied)
        return applied is not None and applied.epoch == node.configuration.epoch

    def _came(self) -> None:
        self._awaited = None
        self._world.later(0.0, self._next, self._scene, True)

    # --- what only a story that is played by itself shows

    def begins(self, line: int) -> None:
        """A line of the story begins."""

    def until_it_begins(self) -> Plot:
        """Wait, if this is to begin some time after the chain is there: here it has begun."""
        yield from ()

    def say_that(self, text: str) -> None:
        self._world.note(text)

    def found(self) -> None:
        """Start the founders: here somebody else does."""

    def is_serving(self) -> bool:
        """True if the chain is there: here the story begins no sooner."""
        return True

    def say(self, person: str, text: str, at: str) -> None:
        """Somebody says something: here others talk all the time."""

    def read(self, person: str, at: str) -> None:
        """Somebody reads the newest messages: here others do all the time."""

    def is_answered(self, person: str) -> bool:
        return person != ""

    def show(self) -> None:
        """What each node holds."""

    def force_alone(self, position: str) -> None:
        """It goes on alone, by an operator's word. Too much for a run in which all may happen."""
        raise NotImplementedError(position)

    # --- what it can do

    def require(self, fact: bool, otherwise: str) -> None:
        require(self._world, fact, otherwise)

    @property
    def now(self) -> float:
        return self._world.clock.now

    def moment(self, least: float, most: float) -> float:
        return self.random.uniform(least, most)

    def hold(self, sender: str, to: str) -> None:
        """What is sent that way does not arrive for now."""
        self._world.note(f"what {sender} sends to {to} is held back")
        self._world.network.block([(sender, to)])

    def cut(self, one: str, other: str) -> None:
        self.hold(one, other)
        self.hold(other, one)

    def let(self, sender: str, to: str) -> None:
        self._world.note(f"what {sender} sent to {to} arrives")
        self._world.network.unblock([(sender, to)])

    def mend(self, one: str, other: str) -> None:
        self.let(one, other)
        self.let(other, one)

    def heal(self) -> None:
        self._world.note("the network heals")
        self._world.network.unblock()

    def part(self, one: str, other: str) -> None:
        """Their connection breaks; they make another one."""
        connection = self._world.network.between(one, other)
        if connection is not None:
            self._world.note(f"the connection {one} - {other} breaks")
            self._world.network.end(connection)

    def pause(self, position: str, seconds: float) -> None:
        self._world.pause(self._world.hosts[position], seconds)

    def freeze(self, position: str, seconds: float, *, wall: bool = False) -> None:
        """It stands still with its clocks; ``wall``: also the one that shows the time of day."""
        self._world.freeze(self._world.hosts[position], seconds, wall=wall)

    def kill(self, *positions: str) -> None:
        for position in positions:
            self._world.kill(self._world.hosts[position])

    def start(self, *positions: str) -> None:
        for position in positions:
            self._world.later(self.moment(0.0, 0.1), self._start, self._world.hosts[position])

    def _start(self, host: Host) -> None:
        self._world.start(host)

    def wall(self, one: str, other: str) -> None:
        """Whatever ``one`` dials at ``other`` is refused on its way; not what the other dials."""
        self._world.note(f"a wall refuses what {one} dials at {other}")
        self._world.network.walls.add((one, other))

    def forge(self, at: str, position: str) -> None:
        """A stranger comes, says that it is the next life of a member at its address, and goes."""
        member = self._world.newest_configuration().member(position)
        assert member is not None
        self._world.network.forge(at, replace(member, incarnation=member.incarnation + 1))

    def copy(self, position: str) -> str:
        """Copy its disk to another machine; gives the name of that."""
        return self._world.copy(position).name

    def start_copy(self, name: str, *at: str) -> None:
        """Start it, and let it take the link of its original at these machines."""
        self._world.start(self._world.machine(name))
        self.take_links(name, *at)

    def take_links(self, name: str, *at: str) -> None:
        for other in at:
            self._world.network.take_link(name, other)

    def kill_copy(self, name: str) -> None:
        self._world.kill(self._world.machine(name))

    def set_back(self, position: str) -> None:
        """It gets an old backup, though nobody else may have what it had since."""
        self.mishaps.set_back(self._world.hosts[position])

    def back_up(self, *positions: str) -> None:
        for position in positions:
            self.mishaps.back_up(self._world.hosts[position])

    def lie(self, position: str) -> None:
        """Its disk had lied: a part of the log is lost."""
        self.mishaps.lie(self._world.hosts[position])

    def restore(self, position: str) -> None:
        self.mishaps.restore(self._world.hosts[position])

    def replace_disk(self, position: str) -> None:
        """It gets an empty disk, though it is a member: the others have what it had."""
        host = self._world.hosts[position]
        lost = host.disk
        self._world.wipe(host)
        host.disk.takes_the_place_of(lost)
