"""Connections in memory, for the product's own links: what two kernels do, in virtual time.

A machine is the reactor of the process on it. What is written arrives in order, after a delay,
until one end closes or its process dies; then the other end hears of it, behind what was on its
way. A port where nobody listens refuses. On a way that is cut, nothing arrives for now.
"""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from chainchat.chain.configuration import Address
from tests.simulation.clock import HostClock, WorldClock

DELAY = 0.004
"""Mean delay of a way, seconds."""


class Wires:
    """The network between some machines.

    Attributes:
        cut: pairs of hosts, sender first, between which nothing arrives for now.
        ends: every end of a connection that is open.
    """

    def __init__(self, clock: WorldClock, seed: int) -> None:
        self.clock = clock
        self.cut: set[tuple[str, str]] = set()
        self.ends: dict[End, None] = {}
        self._seed = seed
        self._connections = 0
        self._ports: dict[Address, tuple[Machine, Factory]] = {}

    def listen(self, machine: "Machine", port: int, factory: Factory) -> None:
        self._ports[machine.host, port] = machine, factory

    def is_cut(self, one: str, other: str) -> bool:
        return bool(self.cut.intersection(((one, other), (other, one))))

    def connect(self, dialler: "Machine", place: Address, factory: Any, timeout: float) -> None:
        """Connect, or say to ``factory`` why not; it is a Twisted client's."""
        self._connections += 1
        # Not one for all: the order of what happens at the same time may be another one.
        chance = random.Random(f"{self._seed} {self._connections}")
        attempt = Attempt(place)
        factory.doStart()
        factory.startedConnecting(attempt)
        host = place[0]

        def arrive() -> None:
            if attempt.given_up or not dialler.alive:
                return
            if self.is_cut(dialler.host, host):
                self.clock.after(timeout, partial(fail, error.TimeoutError()))
            elif place in self._ports:
                self._join(dialler, factory, *self._ports[place], chance)
            else:
                fail(error.ConnectionRefusedError())

        def fail(why: Exception) -> None:
            if dialler.alive and not attempt.given_up:
                factory.clientConnectionFailed(attempt, Failure(why))

        self.clock.after(chance.expovariate(1 / DELAY), arrive)

    def _join(
        self,
        dialler: "Machine",
        client: Factory,
        answerer: "Machine",
        server: Factory,
        chance: random.Random,
    ) -> None:
        ends = End(self, dialler, chance), End(self, answerer, chance)
        for end, other, factory in (
            (ends[1], ends[0], server),
            (ends[0], ends[1], client),
        ):
            end.other = other
            self.ends[end] = None
            address = IPv4Address("TCP", other.machine.host, 40_000 + self._connections)
            protocol = factory.buildProtocol(address)
            assert protocol is not None
            end.protocol = protocol
        for end in ends[::-1]:
            end.protocol.makeConnection(end)

    def die(self, machine: "Machine") -> None:
        """A process dies: its ports close, and its connections end."""
        machine.alive = False
        self._ports = {place: port for place, port in self._ports.items() if port[0] != machine}
        for end in [end for end in self.ends if end.machine is machine]:
            end.die()

    def mend(self) -> None:
        """No way is cut any more: what was held back arrives."""
        self.cut.clear()
        for end in list(self.ends):
            end.deliver()


class Attempt:
    """A connection being made, as an endpoint sees it: Twisted's ``IConnector``."""

    def __init__(self, place: Address) -> None:
        self.given_up = False
        self._place = place

    def stopConnecting(self) -> None:  # noqa: N802 - Twisted's name
        self.given_up = True

    def getDestination(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", *self._place)


class Machine(HostClock):
    """A process with its clock, and the ways that lead away from it: what is used of a reactor."""

    def __init__(self, wires: Wires, host: str) -> None:
        super().__init__(wires.clock, 1.0, self._run)
        self.alive = True
        self.host = host
        self._wires = wires

    def _run(self, call: Callable[[], Any]) -> None:
        if self.alive:
            call()

    def connectTCP(  # noqa: N802 - Twisted's name
        self, host: str, port: int, factory: Any, timeout: float = 30, **_: object
    ) -> None:
        self._wires.connect(self, (host, port), factory, timeout)


class Options:
    """The options of a socket, which nothing here depends on."""

    def setsockopt(self, *_: object) -> None:
        pass


class End:
    """One end of a connection: what is used of a transport.

    Attributes:
        open: False when this end hears no more.
        ended_at: when it was closed here.
    """

    other: "End"
    protocol: Protocol

    def __init__(self, wires: Wires, machine: Machine, chance: random.Random) -> None:
        self.machine = machine
        self.open = True
        self.ended_at = -1.0
        self._wires = wires
        self._chance = chance
        self._due = 0.0
        self._held: list[Callable[[], None]] = []
        """What has come on a way that was cut then."""

    # --- for the protocol

    def write(self, data: bytes) -> None:
        if self.open:
            self.other.comes(partial(self.other.hear, data))

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        self._end(error.ConnectionDone())

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self._end(error.ConnectionLost())

    def _end(self, why: Exception) -> None:
        if self.open:
            self.machine.callLater(0, self.lose, error.ConnectionDone())
            self.die(why)

    def die(self, why: Exception | None = None) -> None:
        """Nothing more is heard or written here; the other end will hear of it."""
        self.open = False
        self.ended_at = self._wires.clock.now
        self._wires.ends.pop(self, None)
        self.other.comes(partial(self.other.end, why or error.ConnectionDone()))

    def registerProducer(self, *_: object) -> None:  # noqa: N802 - Twisted's name
        pass

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        pass

    def setTcpNoDelay(self, _: bool) -> None:  # noqa: N802 - Twisted's name
        pass

    def getHandle(self) -> Options:  # noqa: N802 - Twisted's name
        return Options()

    def getHost(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", self.machine.host, 1)

    def getPeer(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", self.other.machine.host, 0)

    # --- for the other end

    def comes(self, do: Callable[[], None]) -> None:
        now = self._wires.clock.now
        self._due = max(self._due, now + self._chance.expovariate(1 / DELAY))
        self._wires.clock.after(self._due - now, partial(self._arrives, do))

    def _arrives(self, do: Callable[[], None]) -> None:
        self._held.append(do)
        self.deliver()

    def deliver(self) -> None:
        """Hear what has come, if the way is not cut."""
        way = self.other.machine.host, self.machine.host
        while self._held and way not in self._wires.cut:
            self._held.pop(0)()

    def hear(self, data: bytes) -> None:
        if self.open and self.machine.alive:
            self.protocol.dataReceived(data)

    def end(self, why: Exception) -> None:
        """The other end is closed."""
        if self.open:
            self.open = False
            self._wires.ends.pop(self, None)
            self.lose(why)

    def lose(self, why: Exception) -> None:
        if self.machine.alive:
            self.protocol.connectionLost(Failure(why))
