"""One run: a world from a seed, clients, trouble, then calm, and the checks."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from chainchat.chat.bounds import Bounds
from chainchat.node.budget import CheckpointPace
from chainchat.node.limits import NodeLimits
from tests.simulation.checks import Checks
from tests.simulation.clients import Client, Records
from tests.simulation.configurations import ConfigurationChecks
from tests.simulation.disk import MemoryDisk
from tests.simulation.faults import Faults
from tests.simulation.meddler import Meddler
from tests.simulation.mishaps import Mishaps
from tests.simulation.network import DELAY
from tests.simulation.sqlite_disk import Cabinet, cabinet
from tests.simulation.stage import Stage
from tests.simulation.stories import STORIES
from tests.simulation.world import TracedNode, World

TROUBLE = 6.0
"""Seconds of virtual time in which things go wrong at random."""

AFTERMATH = 2.0
"""The same, after a story."""

CALM = 12.0
"""Seconds after that in which the chain has to be whole again."""

QUIET = 1.0
"""Seconds for which it has to stay so."""

CHECKPOINT_ENTRIES = (10_000, 40)
"""After so many entries a node makes a checkpoint: in no run at all, or in every run."""

FREE_DEPARTURES = (2, 2, 2, 0)
"""After so many departures a position still joins at once: as in the product, or none at all."""

BOUNDS = Bounds(programs=2, known_programs=4)
"""Few client IDs are remembered of an account, since a run has few of them."""

FILES_EACH = 11
"""One in so many runs is on the product's own disks, which takes twice as long."""

OPENINGS = ("chance", "meddler", *STORIES, "chance", "meddler")
"""Where trouble comes from at first, by the seed."""


@dataclass(frozen=True)
class Summary:
    """What a run reached, so that a standing test can say that the simulator reaches it."""

    epoch: int
    acknowledged: int
    reads: int
    events: Counter[str]


def founding(seed: int) -> tuple[str, ...]:
    return ("head", "middle", "tail")[: (3, 3, 3, 3, 3, 3, 2, 1)[seed % 8]]


def opening(seed: int) -> str:
    """What the trouble of a run begins with: a story, if three can play one, or chance alone."""
    # What else a seed decides repeats after 40; each of that is to meet each of these.
    begins_with = OPENINGS[(seed + seed // 40) % len(OPENINGS)]
    return begins_with if len(founding(seed)) == 3 else "chance"


def refusal_is_death(seed: int) -> bool:
    """True if a refused connection proves a death in this run."""
    story = STORIES.get(opening(seed))
    if story is None or story.refusals == "may prove nothing":
        return seed // 3 % 4 != 0
    return story.refusals == "prove"


def on_files(seed: int) -> bool:
    """True if the disks of this run are the product's own, on files."""
    return seed % FILES_EACH == FILES_EACH - 1


def run(
    seed: int,
    *,
    trace: Callable[[str], None] | None = None,
    watch_votes: bool = True,
    files: bool = False,
) -> Summary:
    """Run one seed.

    Args:
        trace: takes the lines of a readable trace.
        watch_votes: see ``ConfigurationChecks``.
        files: the disks are on files whatever the seed says.

    Raises:
        InvariantError: a promise was broken.
    """
    with cabinet() if files or on_files(seed) else nullcontext() as disks:
        return _run(seed, trace, disks, watch_votes=watch_votes)


def _run(
    seed: int,
    trace: Callable[[str], None] | None,
    disks: Cabinet | None,
    *,
    watch_votes: bool,
) -> Summary:
    # What else a seed decides repeats after 40. A story says itself when somebody has to be back.
    free = FREE_DEPARTURES[seed // 8 % 4 if opening(seed) not in STORIES else 0]
    story = STORIES.get(opening(seed))
    spares = ("spare",) if seed % 5 == 4 or (story is not None and story.spares) else ()
    world = World(
        seed,
        founding(seed),
        spares,
        node_class=TracedNode,
        trace=trace,
        refusal_is_death=refusal_is_death(seed),
        new_disk=MemoryDisk if disks is None else disks.new_disk,
        hidden="" if disks is None else f"{disks.root}/",
        free_departures=free,
        limits=NodeLimits(
            pace=CheckpointPace(
                CHECKPOINT_ENTRIES[seed % 2], records_at_once=1, checkpoint_seconds=0.0
            ),
            bounds=BOUNDS,
        ),
    )
    if disks is not None:
        disks.clock = lambda: world.clock.now
    records = Records()
    clients = [
        Client(
            world,
            name,
            records,
            window=world.random.choice((1, 4, 16)),
            person=name == "dan",
            named_anew=name == "bea",
        )
        for name in ("ann", "bea", "cat", "dan")
    ]
    checks = Checks(world, records, clients)
    ConfigurationChecks(world, checks, watch_votes=watch_votes)
    for host in world.hosts.values():
        world.later(world.random.random() / 2, world.start, host)
    _trouble(world, Mishaps(world, checks), opening(seed))
    calm_down(world)
    _wait_until_settled(world, checks)
    checks.at_end()
    epoch = world.newest_configuration().epoch
    return Summary(epoch, len(records.acknowledged), len(records.reads), world.events)


def _trouble(world: World, mishaps: Mishaps, begins_with: str) -> None:
    """What goes wrong at random, perhaps after a story."""
    end = TROUBLE
    story = STORIES.get(begins_with)
    if story is not None:
        stage = Stage(world, mishaps, story, at_once=story.at_once)
        while stage.over is None:
            world.run(world.clock.now + 0.1)
        end = stage.over + AFTERMATH
    elif begins_with == "meddler":
        Meddler(world, mishaps)
    Faults(world, mishaps)
    world.run(end)


def calm_down(world: World) -> None:
    """From now on nothing goes wrong: all is healed and everybody is started."""
    world.note("faults end")
    world.calm = True
    world.network.doubled = 0.0
    world.network.delay = DELAY
    world.network.unblock()
    world.network.walls = set()
    world.remove_copies()
    for host in world.hosts.values():
        host.dying = host.stalling = 0.0
        host.disk.failing = False
        world.start(host)


def _wait_until_settled(world: World, checks: Checks) -> None:
    end, quiet = world.clock.now + CALM, 0.0
    while world.clock.now < end and quiet < QUIET:
        world.run(world.clock.now + QUIET / 4)
        quiet = quiet + QUIET / 4 if checks.settled() else 0.0
