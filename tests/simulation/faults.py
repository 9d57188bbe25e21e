"""What goes wrong in a world, at random times, until there is calm."""

from collections.abc import Callable
from itertools import permutations

from tests.simulation.world import DELAY, Host, World

RATES = {
    "kill": 0.4,
    "break": 0.4,
    "pause": 0.2,
    "partition": 0.3,
    "slow": 0.3,
    "storm": 0.3,
    "fail_a_disk": 0.05,
    "jump": 0.1,
}
"""How often things go wrong, in times a second; each run has a mixture of its own."""

DOUBLED = 0.01
"""Probability that a message arrives twice."""


class Faults:
    """Makes things go wrong in a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        world.doubled = self._random.choice((0.0, DOUBLED))
        self._ambush_rate = self._random.choice((0.0, 0.1, 0.4))
        world.on_record.append(self._perhaps_ambush)
        for name, rate in RATES.items():
            self._at_rate(rate * self._random.choice((0, 0.5, 1, 3)), getattr(self, f"_{name}"))

    def end(self) -> None:
        """From now on nothing goes wrong: all is healed and everybody is started."""
        world = self._world
        world.note("faults end")
        world.calm = True
        world.doubled = 0.0
        world.delay = DELAY
        world.unblock()
        for host in world.hosts.values():
            host.dying = 0.0
            host.disk.failing = False
            if host.paused:
                world.resume(host)
            world.start(host)

    def _at_rate(self, rate: float, fault: Callable[[], None]) -> None:
        if rate:
            self._world.later(self._random.expovariate(rate), self._happen, rate, fault)

    def _happen(self, rate: float, fault: Callable[[], None]) -> None:
        if not self._world.calm:
            fault()
            self._at_rate(rate, fault)

    def _host(self) -> Host:
        return self._world.hosts[self._random.choice(self._world.positions)]

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
            self._world.later(self._random.expovariate(2.0) + 0.01, self._revive, host)

    def _revive(self, host: Host) -> None:
        if self._world.calm:
            return
        if host.dying:
            self._world.kill(host)
        if host.node is None and self._may_wipe(host) and self._random.random() < 0.2:
            self._world.wipe(host)
        self._world.start(host)

    def _may_wipe(self, host: Host) -> bool:
        """Only a disk that the chain went on without: of others, all copies count."""
        newest = self._world.newest_configuration()
        return bool(newest.members) and host.position not in newest.positions

    def _break(self) -> None:
        if self._world.connections:
            connection = self._random.choice(list(self._world.connections.values()))
            self._world.note(f"the connection {' - '.join(connection.ends)} breaks")
            self._world.break_connection(connection)

    def _pause(self) -> None:
        """SIGSTOP, or a disk that stalls: for a moment, or longer than is bearable."""
        host = self._host()
        if host.node is not None and not host.paused:
            self._world.note(f"{host.position} is paused")
            host.paused = True
            self._world.later(self._random.choice((0.2, 0.7, 1.5, 2.5)), self._wake, host)

    def _wake(self, host: Host) -> None:
        if host.paused:
            self._world.resume(host)

    def _partition(self) -> None:
        """One host from the rest, one from another, all from all, or one way only."""
        world, alone = self._world, self._host().position
        kind = self._random.choice(("alone", "pair", "pair", "all", "one way"))
        ways = list(permutations(world.positions, 2))
        if not ways:
            return
        if kind == "alone":
            ways = [way for way in ways if alone in way]
        elif kind == "pair":
            one, other = self._random.choice(ways)
            ways = [(one, other), (other, one)]
        elif kind == "one way":
            ways = [self._random.choice(ways)]
        world.note(f"partition, {kind}: {ways}")
        world.blocked.update(ways)
        for connection in list(world.connections.values()):
            cut = not world.reachable(*connection.ends)
            if cut and self._random.random() < 0.3:
                world.break_connection(connection)
        world.later(self._random.choice((0.3, 1.5, 3.0)), self._heal)

    def _storm(self) -> None:
        """A partition, and just when somebody is suspected for it, deaths."""
        self._partition()
        self._world.later(self._random.uniform(0.9, 1.6), self._unless_calm, self._kill)

    def _perhaps_ambush(self) -> None:
        """Somebody votes, decides or begins: something may happen just in the steps after it."""
        if not self._world.calm and self._random.random() < self._ambush_rate:
            strike = self._random.choice((self._kill_one, self._kill_one, self._pause, self._break))
            self._world.later(self._random.choice((0.001, 0.01, 0.05)), self._unless_calm, strike)

    def _kill_one(self) -> None:
        host = self._host()
        self._world.kill(host)
        self._world.later(self._random.choice((0.1, 1.0, 3.0)), self._revive, host)

    def _unless_calm(self, strike: Callable[[], None]) -> None:
        if not self._world.calm:
            strike()

    def _heal(self) -> None:
        if self._world.blocked:
            self._world.unblock()

    def _slow(self) -> None:
        """A congested network: what takes milliseconds takes a part of a second."""
        self._world.delay = self._random.choice((0.05, 0.2))
        self._world.later(self._random.choice((0.5, 2.0)), self._hurry)

    def _hurry(self) -> None:
        self._world.delay = DELAY

    def _fail_a_disk(self) -> None:
        host = self._host()
        host.disk.failing = True
        self._world.later(self._random.expovariate(1.0) + 0.5, self._revive, host)

    def _jump(self) -> None:
        self._host().wall_offset = self._random.choice((-3_600_000, 0, 3_600_000))
