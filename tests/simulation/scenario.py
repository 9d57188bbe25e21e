"""One run: a world from a seed, clients, faults, then calm, and the checks."""

from collections.abc import Callable
from dataclasses import dataclass

from chainchat.server.node import Node
from tests.simulation.checks import Checks
from tests.simulation.clients import Client, Records
from tests.simulation.world import World

TROUBLE, CALM = 5.0, 6.0
"""Seconds of virtual time."""


@dataclass(frozen=True)
class Summary:
    """What a run reached, so that a standing test can say that the simulator reaches it."""

    epoch: int
    acknowledged: int
    reads: int


def run(
    seed: int, *, trace: Callable[[str], None] | None = None
) -> Summary:
    """Run one seed.

    Raises:
        InvariantError: a promise was broken.
    """
    world = World(seed, _positions(seed), node_class=Node, trace=trace)
    records = Records()
    checks = Checks(world, records)
    for name in ("ann", "bea", "cat", "dan"):
        window = world.random.choice((1, 4, 16))
        Client(world, name, records, window=window, person=name == "dan")
    for host in world.hosts.values():
        world.later(world.random.random(), world.start, host)
    world.begin_faults()
    world.run(TROUBLE)
    world.end_faults()
    world.run(TROUBLE + CALM)
    checks.at_end()
    node = next(iter(world.hosts.values())).node
    assert node is not None
    return Summary(node.configuration.epoch, len(records.acknowledged), len(records.reads))


def _positions(seed: int) -> tuple[str, ...]:
    """Mostly three, sometimes two or one."""
    return ("head", "middle", "tail")[: (3, 3, 3, 3, 2, 1)[seed % 6]]
