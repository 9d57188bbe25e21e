"""What goes wrong in a world, at random times, until there is calm."""

from collections.abc import Callable
from itertools import permutations

from tests.simulation.hosts import Host
from tests.simulation.mishaps import Mishaps
from tests.simulation.world import World

RATES = {
    "kill": 0.4,
    "break": 0.4,
    "pause": 0.2,
    "stall": 0.2,
    "partition": 0.3,
    "slow": 0.3,
    "storm": 0.3,
    "fail_a_disk": 0.05,
    "jump": 0.1,
    "freeze": 0.1,
}
"""How often things go wrong, in times a second; each run has a mixture of its own."""

HOUR = 3_600_000
DAY = 24 * HOUR
"""Milliseconds."""

DOUBLED = 0.01
"""Probability that a message arrives twice."""


class Faults:
    """Makes things go wrong in a world."""

    def __init__(self, world: World, mishaps: Mishaps) -> None:
        self._world = world
        self._mishaps = mishaps
        self._random = world.random
        world.network.doubled = self._random.choice((0.0, DOUBLED))
        self._usual_delay = world.network.delay
        self._ambush_rate = self._random.choice((0.0, 0.1, 0.4))
        world.on_record.append(lambda *_: self._perhaps_ambush())
        world.on_cut.append(lambda host, _: self._perhaps_kill_in_a_cut(host))
        for name, rate in RATES.items():
            self._at_rate(rate * self._random.choice((0, 0.5, 1, 3)), getattr(self, f"_{name}"))

    def _at_rate(self, rate: float, fault: Callable[[], None]) -> None:
        if rate:
            self._world.later(self._random.expovariate(rate), self._happen, rate, fault)

    def _happen(self, rate: float, fault: Callable[[], None]) -> None:
        if not self._world.calm:
            fault()
            self._at_rate(rate, fault)

    def _unless_calm(self, strike: Callable[[], None]) -> None:
        if not self._world.calm:
            strike()

    def _host(self) -> Host:
        return self._world.hosts[self._random.choice(self._world.positions)]

    # --- processes

    def _kill(self) -> None:
        """One, some or all, between two events or at one of the next crash points."""
        positions = self._world.positions
        how_many = self._random.choice((1, 1, 1, 2, 2, len(positions)))
        for position in self._random.sample(positions, min(how_many, len(positions))):
            host = self._world.hosts[position]
            if self._random.random() < 0.5:
                self._world.kill(host)
            else:
                host.dying = self._random.choice((1.0, 0.3))
            self._world.later(self._random.expovariate(2.0) + 0.01, self._mishaps.revive, host)

    def _kill_one(self) -> None:
        host = self._host()
        self._world.kill(host)
        self._world.later(self._random.choice((0.1, 1.0, 3.0)), self._mishaps.revive, host)

    def _pause(self) -> None:
        self._world.pause(self._host(), self._random.choice((0.2, 0.7, 1.5, 2.5)))

    def _stall(self) -> None:
        """A disk takes its time for a write, and the process that waits for it does nothing."""
        self._host().stalling = self._random.choice((0.2, 0.7, 1.2, 3.0))

    def _storm(self) -> None:
        self._partition()
        self._world.later(self._random.uniform(0.9, 1.6), self._unless_calm, self._kill)

    def _perhaps_ambush(self) -> None:
        """Somebody votes, decides or begins: something may happen just in the steps after it."""
        if not self._world.calm and self._random.random() < self._ambush_rate:
            strike = self._random.choice((self._kill_one, self._kill_one, self._pause, self._break))
            self._world.later(self._random.choice((0.001, 0.01, 0.05)), self._unless_calm, strike)

    def _perhaps_kill_in_a_cut(self, host: Host) -> None:
        """A log is about to be cut: its node may die before, or in the middle of it."""
        if not self._world.calm and self._random.random() < self._ambush_rate:
            host.dying = 1.0
            self._world.later(self._random.choice((0.1, 1.0)), self._mishaps.revive, host)

    # --- the network

    def _break(self) -> None:
        connections = self._world.network.connections
        if connections:
            connection = self._random.choice(connections)
            if self._random.random() < 0.3:
                self._world.network.break_lane(connection, self._random.choice((0.01, 0.5)))
                return
            self._world.note(f"the connection {' - '.join(connection.ends)} breaks")
            self._world.network.end(connection)

    def _partition(self) -> None:
        """One host from the rest, one from another, all from all, or one way only."""
        network, alone = self._world.network, self._host().position
        kind = self._random.choice(("alone", "pair", "pair", "all", "one way"))
        ways = list(permutations(self._world.positions, 2))
        if not ways:
            return
        if kind == "alone":
            ways = [way for way in ways if alone in way]
        elif kind == "pair":
            one, other = self._random.choice(ways)
            ways = [(one, other), (other, one)]
        elif kind == "one way":
            ways = [self._random.choice(ways)]
        self._world.note(f"partition, {kind}: {ways}")
        network.block(ways)
        for connection in network.connections:
            cut = network.blocked.intersection(permutations(connection.ends))
            if cut and self._random.random() < 0.3:
                network.end(connection)
        self._world.later(self._random.choice((0.3, 1.5, 3.0)), self._heal)

    def _heal(self) -> None:
        if self._world.network.blocked:
            self._world.note("the network heals")
            self._world.network.unblock()

    def _slow(self) -> None:
        """A congested network: what takes milliseconds takes a part of a second."""
        self._world.network.delay = self._random.choice((0.05, 0.2))
        self._world.later(self._random.choice((0.5, 2.0)), self._hurry)

    def _hurry(self) -> None:
        self._world.network.delay = self._usual_delay

    # --- disks and clocks

    def _fail_a_disk(self) -> None:
        host = self._host()
        host.disk.failing = True
        self._world.later(self._random.expovariate(1.0) + 0.5, self._mishaps.revive, host)

    def _jump(self) -> None:
        """Somebody sets one wall clock, or all."""
        offset = self._random.choice((-40 * DAY, -HOUR, 0, HOUR, 40 * DAY))
        everybody = tuple(self._world.hosts.values())
        for host in self._random.choice(((self._host(),), everybody)):
            self._world.set_wall(host, offset)

    def _freeze(self) -> None:
        """A machine stands still with its clocks.

        If nothing tells it so when it wakes, two chains are possible, unless no refusal is taken
        for a proof: so then at least the wall clock goes on.
        """
        wall = not self._world.refusal_is_death and self._random.random() < 0.5
        self._world.freeze(self._host(), self._random.choice((0.2, 1.5, 2.5)), wall=wall)
