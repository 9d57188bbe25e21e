"""Runs with the product's own links, and strangers who say what nodes say.

Each node has its ``Links``, over connections in memory, and strangers connect to them. A stranger
says the Hello of a member, of a newer life of it, or of another disk, on any lane, and goes, or
stays silent; on the copy lane, which is given to anybody, it throws a member out. That may not end
a link that works, change the chain, or keep two members apart.

In some runs nothing else goes wrong. In the others connections break, ways are cut and nodes die:
then strangers may take the place of the silent, and afterwards all must be as before.
"""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import permutations

from msgspec import msgpack
from msgspec.structs import replace
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.amp import ASK, COMMAND, AmpBox

from chainchat.chain.configuration import IDENTITY_BITS, Configuration, Member
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import Decided, Message, Newest, encode
from chainchat.chat import commands
from chainchat.config import NodeSettings
from chainchat.node.lives import begin_life
from chainchat.node.node import Node
from chainchat.node.surroundings import NodeSurroundings
from chainchat.peers.boxes import boxed
from chainchat.peers.hello import PROTOCOL_VERSION, Introduction
from chainchat.peers.lanes import CHAIN, COPY, LANES
from chainchat.peers.links import Links
from chainchat.storage.memory import MemoryStorage
from tests.simulation.checks import InvariantError
from tests.simulation.clock import WorldClock
from tests.simulation.scenario import Summary
from tests.simulation.wires import End, Machine, Wires
from tests.taking_part import takes_part

POSITIONS = ("head", "middle", "tail")
HOSTS = {position: f"10.0.0.{number}" for number, position in enumerate(POSITIONS, 1)}
ELSEWHERE = "10.0.0.9"
"""Where strangers are, and say that they are, if they do not say a member's address."""

PORT = 7_100
SUSPECT_AFTER = 1.0

FOUNDED_BY = 3.0
TROUBLE = 6.0
CALM = 12.0
"""Seconds in which the chain has to be whole; for which things go wrong; and to be whole again."""

QUIET = 1.0
"""Seconds for which it has to stay so."""


class WatchedNode(Node):
    """The product's node, which tells who is linked, and what it logs."""

    process: "Process"

    def linked(
        self, position: str, member: Member, its: Newest | None = None, *, older: bool = False
    ) -> None:
        self.process.linked(position)
        super().linked(position, member, its, older=older)

    def _log(self, text: str, *, event: str, alarm: bool = False) -> None:
        self.process.world.note(f"{self.me.position}: {text}")


class Process:
    """A node with its links, on a disk that outlives it: what ``service`` puts together."""

    machine: Machine
    node: WatchedNode
    links: Links

    def __init__(self, world: "StrangersWorld", position: str) -> None:
        self.world = world
        self.position = position
        self.alive = False
        self._storage = MemoryStorage()
        self._linked: dict[str, End] = {}

    def start(self) -> None:
        """Start the process, if it does not run."""
        if self.alive:
            return
        world, position = self.world, self.position
        self.alive = True
        self.machine = Machine(world.wires, HOSTS[position])
        nodes = {p: NodeSettings(p, HOSTS[p], 0, PORT, None) for p in POSITIONS}  # type: ignore[arg-type]
        self._begin_life()
        self.links = Links(self.machine, self.introduction, nodes)
        world.wires.listen(self.machine, PORT, self.links.factory())
        self._go_on()

    def _begin_life(self) -> None:
        chance = self.world.random
        record = begin_life(self._storage, lambda: f"id-{self.position}", chance.randint(1, 1_000))
        host = HOSTS[self.position]
        me = Member(self.position, record.id, record.incarnation, host, PORT)
        self.introduction = Introduction(PROTOCOL_VERSION, "lab", POSITIONS, SUSPECT_AFTER, me)
        self._linked = {}
        self.node = WatchedNode(
            me,
            record,
            self._storage,
            self,
            self.machine,
            settings=ChainSettings(
                POSITIONS,
                SUSPECT_AFTER,
                known=frozenset(POSITIONS),
                places={p: (HOSTS[p], PORT) for p in POSITIONS},
                longest_pause=2.0,
            ),
            surroundings=NodeSurroundings(
                wall=lambda: int(self.world.clock.now * 1_000),
                fail=self._failed,
                excluded=self._end_life,
                new_identity=lambda: chance.getrandbits(IDENTITY_BITS),
                first_nonce=chance.randrange(2**48),
            ),
        )
        self.node.process = self
        self.world.note(f"{self.position} begins as {me.origin}")

    def _go_on(self) -> None:
        self.node.start()
        self.links.start(self.introduction, self.node, self.node.configuration.members)

    def _end_life(self) -> None:
        self.node.stop()
        self.links.stop()
        self._begin_life()
        self._go_on()

    def _failed(self, error: Exception) -> None:
        raise error

    def kill(self) -> None:
        """kill -9."""
        if self.alive:
            self.world.note(f"{self.position} dies")
            self.alive = False
            self.node.stop()
            self.world.wires.die(self.machine)

    def send(self, to: str, message: Message) -> None:
        self.links.send(to, message)

    def distrust(self, position: str, reason: str) -> None:
        raise InvariantError(f"{self.position} distrusts {position}: {reason}")

    def chain_lane(self, position: str) -> End | None:
        """This end of the connection that counts as the link with a position."""
        link = self.links._table.chain(position)
        return None if link is None else link.transport  # type: ignore[return-value]

    def linked(self, position: str) -> None:
        """*no claim ends a link that works*: who was linked had been silent, or has left."""
        end, world = self.chain_lane(position), self.world
        assert end is not None
        before, self._linked[position] = self._linked.get(position), end
        if not world.is_stranger(end.other.machine):
            return
        world.events["a stranger in the place of the silent"] += 1
        world.note(f"a stranger is {position} to {self.position}")
        if before is None:
            return
        other = world.processes[position]
        working = (
            before.ended_at == world.clock.now  # it was open until this moment
            and before.other.machine is other.machine
            and other.alive
            and world.clock.now - world.cut_until(self.position, position) > SUSPECT_AFTER
        )
        world.require(not working, f"a stranger took the link of {position} at {self.position}")


class Stranger(Protocol):
    """Says one Hello on one connection, and leaves some time later, unless it is turned away.

    Whoever is answered may say more.
    """

    def __init__(self, hello: AmpBox, stay: float, then: bytes) -> None:
        self._hello = hello
        self._stay = stay
        self._then = then

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        assert isinstance(self.transport, End)
        self.transport.write(self._hello.serialize())
        self.transport.machine.callLater(self._stay, self.transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        assert isinstance(self.transport, End)
        self.transport.write(self._then)


class StrangerFactory(Factory):
    """Makes one; what is used of a client's factory."""

    noisy = False

    def __init__(self, hello: AmpBox, stay: float, then: bytes) -> None:
        self._said = hello, stay, then

    def startedConnecting(self, attempt: object) -> None:  # noqa: N802 - Twisted's name
        pass

    def buildProtocol(self, addr: object) -> Stranger:  # noqa: N802 - Twisted's name
        return Stranger(*self._said)

    def clientConnectionFailed(self, attempt: object, reason: object) -> None:  # noqa: N802
        pass


class StrangersWorld:
    """Three nodes with their links, the network, and who comes there."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None) -> None:
        self.random = random.Random(seed)
        random.seed(seed)  # the pauses between two attempts to dial have some jitter
        self.clock = WorldClock()
        self.wires = Wires(self.clock, seed)
        self.processes = {position: Process(self, position) for position in POSITIONS}
        self.acknowledged = 0
        self.events: Counter[str] = Counter()
        self.calm = False
        self.only_strangers = seed % 2 == 0
        self._trace = trace
        self._elsewhere = Machine(self.wires, ELSEWHERE)
        self._cut_until: dict[tuple[str, str], float] = {}

    # --- watching

    def note(self, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.clock.now:9.4f}  {text}")

    def require(self, fact: bool, otherwise: str) -> None:
        if not fact:
            raise InvariantError(f"at {self.clock.now:.4f} s: {otherwise}")

    def is_stranger(self, machine: Machine) -> bool:
        return machine is self._elsewhere

    def cut_until(self, one: str, other: str) -> float:
        if self.wires.is_cut(HOSTS[one], HOSTS[other]):
            return self.clock.now
        return self._cut_until.get((one, other), -SUSPECT_AFTER)

    @property
    def whole(self) -> bool:
        """True if all are at work in one chain, linked with each other on both standing lanes."""
        nodes = [process.node for process in self.processes.values() if process.alive]
        if len(nodes) < len(POSITIONS) or not all(takes_part(node) for node in nodes):
            return False
        return len({node.configuration for node in nodes}) == 1 and all(
            self._are_linked(one, other) for one, other in permutations(POSITIONS, 2)
        )

    def _are_linked(self, one: str, other: str) -> bool:
        end = self.processes[one].chain_lane(other)
        return end is not None and end.other is self.processes[other].chain_lane(one)

    # --- what goes on

    def run(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.clock.now < until and self.clock.step():
            pass

    def later(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        self.clock.after(seconds, partial(call, *args))

    def talk(self, position: str) -> None:
        """Say something at a node now and then."""
        process = self.processes[position]
        if process.alive and takes_part(process.node):
            process.node.submit(commands.Nothing(), self._told)
        self.later(self.random.uniform(0.05, 0.2), self.talk, position)

    def _told(self, _: object) -> None:
        self.acknowledged += 1

    # --- what goes wrong

    def strangers(self) -> None:
        """Somebody comes, again and again."""
        if self.calm:
            return
        at, position = self.random.sample(POSITIONS, 2)
        member, who = self._claimed(self.processes[position])
        lane = self.random.choice((CHAIN, CHAIN, CHAIN, *map(bytes.decode, LANES)))
        stay = self.random.choice((0.0, 0.02, 0.5, 3.0))
        self.note(f"a stranger says at {at}, on the {lane} lane, that it is {who}; for {stay} s")
        introduction = self.processes[at].introduction
        said = msgpack.encode(replace(introduction, member=member))
        box = {COMMAND: b"Hello", ASK: b"1", b"identity": said, b"lane": lane.encode()}
        then = self._decision_without(position) if lane == COPY else b""
        factory = StrangerFactory(AmpBox(box), stay, then)
        self.wires.connect(self._elsewhere, (HOSTS[at], PORT), factory, 1.0)
        self.later(self.random.expovariate(8.0), self.strangers)

    def _decision_without(self, position: str) -> bytes:
        """What throws a member out, if it comes from another on the right lane."""
        newest = max(
            (process.node.configuration for process in self.processes.values()),
            key=lambda configuration: configuration.epoch,
        )
        others = tuple(member for member in newest.members if member.position != position)
        return boxed(*encode(Decided(Configuration(newest.epoch + 1, others, "a stranger"))))

    def _claimed(self, process: Process) -> tuple[Member, str]:
        """Whom a stranger says that it is."""
        member, position = process.introduction.member, process.position
        return self.random.choice(
            (
                (member, position),
                (
                    replace(member, incarnation=member.incarnation + 1),
                    f"the next life of {position}",
                ),
                (replace(member, id="another"), f"another disk of {position}"),
                (replace(member, host=ELSEWHERE), f"{position}, elsewhere"),
                (replace(member, id="another", host=ELSEWHERE), f"another {position}, elsewhere"),
            )
        )

    def faults(self) -> None:
        """Something else goes wrong, again and again."""
        if self.calm:
            return
        fault = self.random.choice((self._break, self._break, self._cut, self._kill))
        fault()
        self.later(self.random.uniform(0.2, 1.5), self.faults)

    def _break(self) -> None:
        """A connection between two nodes breaks."""
        ends = [end for end in self.wires.ends if not self.is_stranger(end.machine)]
        ends = [end for end in ends if not self.is_stranger(end.other.machine)]
        if ends:
            end = self.random.choice(ends)
            self.note(f"a connection {end.machine.host} - {end.other.machine.host} breaks")
            end.comes(partial(end.end, ConnectionLost()))
            end.other.comes(partial(end.other.end, ConnectionLost()))

    def _cut(self) -> None:
        """Nothing arrives between two, in one direction or both."""
        one, other = self.random.sample(POSITIONS, 2)
        ways = {(HOSTS[one], HOSTS[other])}
        if self.random.random() < 0.5:
            ways.add((HOSTS[other], HOSTS[one]))
        self.note(f"nothing arrives: {sorted(ways)}")
        self.wires.cut |= ways
        self.later(self.random.choice((0.3, 1.5, 2.5)), self._mend)

    def _mend(self) -> None:
        for one, other in permutations(POSITIONS, 2):
            if self.wires.is_cut(HOSTS[one], HOSTS[other]):
                self._cut_until[one, other] = self.clock.now
        self.wires.mend()

    def _kill(self) -> None:
        process = self.processes[self.random.choice(POSITIONS)]
        process.kill()
        self.later(self.random.choice((0.02, 0.5, 1.5)), process.start)

    # --- one run

    def play(self) -> int:
        """All of it; returns the last epoch."""
        for position in POSITIONS:
            self.later(self.random.uniform(0.0, 0.5), self.processes[position].start)
            self.talk(position)
        self._until_whole(FOUNDED_BY, "three that nothing happened to are no chain yet")
        self.strangers()
        if not self.only_strangers:
            self.faults()
        before = self.acknowledged
        self.run(TROUBLE)
        if self.only_strangers:
            self.require(self._epoch == 1, "strangers have changed the chain")
            self.require(self.acknowledged > before + 100, "strangers keep the chain from work")
        self.note("faults end")
        self.calm = True
        self._mend()
        for process in self.processes.values():
            process.start()
        self._until_whole(CALM, "the chain is not whole again, or not everybody is linked")
        before = self.acknowledged
        self.run(QUIET)
        self.require(self.whole, "the chain does not stay whole")
        self.require(self.acknowledged > before, "nothing is confirmed any more")
        return self._epoch

    @property
    def _epoch(self) -> int:
        return max(process.node.configuration.epoch for process in self.processes.values())

    def _until_whole(self, within: float, otherwise: str) -> None:
        end = self.clock.now + within
        while not self.whole:
            self.require(self.clock.now < end, otherwise)
            self.run(0.05)


def run_strangers(seed: int, *, trace: Callable[[str], None] | None = None) -> Summary:
    """Run one seed.

    Raises:
        InvariantError: a stranger did harm.
    """
    world = StrangersWorld(seed, trace)
    epoch = world.play()
    return Summary(epoch, world.acknowledged, 0, world.events)
