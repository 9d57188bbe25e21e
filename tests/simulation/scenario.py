"""One run: a world from a seed, clients, faults, then calm, and the checks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.checks import Checks
from tests.simulation.clients import Client, Records
from tests.simulation.faults import Faults
from tests.simulation.world import TracedNode, World

TROUBLE, CALM = 6.0, 9.0
"""Seconds of virtual time."""


@dataclass(frozen=True)
class Summary:
    """What a run reached, so that a standing test can say that the simulator reaches it."""

    epoch: int
    acknowledged: int
    reads: int
    events: Counter[str]


def run(seed: int, *, trace: Callable[[str], None] | None = None) -> Summary:
    """Run one seed.

    Raises:
        InvariantError: a promise was broken.
    """
    founding = ("head", "middle", "tail")[: (3, 3, 3, 3, 3, 3, 2, 1)[seed % 8]]
    spares = ("spare",) if seed % 5 == 4 else ()
    world = World(seed, founding, spares, node_class=TracedNode, trace=trace)
    records = Records()
    checks = Checks(world, records)
    for name in ("ann", "bea", "cat", "dan"):
        window = world.random.choice((1, 4, 16))
        Client(world, name, records, window=window, person=name == "dan")
    for host in world.hosts.values():
        world.later(world.random.random() / 2, world.start, host)
    faults = Faults(world)
    world.run(TROUBLE)
    faults.end()
    world.run(TROUBLE + CALM)
    checks.at_end()
    epoch = world.newest_configuration().epoch
    return Summary(epoch, len(records.acknowledged), len(records.reads), world.events)
