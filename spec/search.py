"""The search: every state within the bounds, nearest first, and whether each can be made whole."""

from collections.abc import Callable
from time import perf_counter

from msgspec import Struct

from spec.process import HarmError
from spec.world import Action, Bounds, Model, World, actions, after, check, protocol

ROUNDS = 15
"""Times ``suspect_after`` in which a chain has to get whole again."""

IN_TURN = (
    *("notice", "connect", "ask", "hear", "step", "deliver"),
    *("forward", "deliver", "learn", "deliver", "ask", "step", "deliver", "forward", "deliver"),
)
"""What everybody does when all goes well, by the names of actions."""


class Found(Struct):
    """What a search has come to.

    Attributes:
        states: that were met.
        steps: from one to another, also to those met before.
        depth: of the farthest.
        processes: different states of single processes.
        recovered: states from which the chain was seen to get whole again.
        seconds: that it took.
        complete: whether there are no more.
        harm: what went wrong; empty if nothing did.
        trace: how it came about.
    """

    states: int = 0
    steps: int = 0
    depth: int = 0
    processes: int = 0
    recovered: int = 0
    seconds: float = 0.0
    complete: bool = False
    harm: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        figures = (
            f"{self.states:,} states, {self.steps:,} steps, depth {self.depth}, "
            f"{self.processes:,} states of processes, {self.recovered:,} recoveries, "
            f"{self.seconds:.0f} s"
        )
        if not self.harm:
            return f"{'all' if self.complete else 'so far'}: {figures}; no harm"
        lines = (f"  {number:2} {text}" for number, text in enumerate(self.trace, 1))
        return "\n".join((f"HARM: {self.harm} ({figures})", *lines))


def explore(
    bounds: Bounds,
    *,
    states: int = 10**9,
    seconds: float = 1e9,
    recover: int = 0,
    tell: Callable[[Found], None] = lambda _: None,
) -> Found:
    """Look at every state within the bounds, breadth first.

    Args:
        bounds: how much may happen.
        states: how many to look at, at most.
        seconds: for how long.
        recover: every how many states to see whether the chain gets whole again; 0: never.
        tell: called with what was found so far, every few thousand states.
    """
    began, model, found = perf_counter(), Model(bounds), Found()
    first = model.initial()
    parents: dict[World, tuple[World, str] | None] = {first: None}
    level, text, world = [first], "", first
    try:
        check(model, first)
        while level and not found.complete:
            following: list[World] = []
            for world in level:
                for action in actions(model, world):
                    text = action.text
                    next_world = after(model, world, action)
                    found.steps += 1
                    if next_world in parents:
                        continue
                    parents[next_world] = world, text
                    check(model, next_world)
                    if max(one.epoch for one in next_world.decided) <= bounds.epochs:
                        following.append(next_world)
                    if recover and len(parents) % recover == 0:
                        make_whole(model, next_world, restart=bounds.helped)
                        found.recovered += 1
                    if len(parents) % 10_000 == 0:
                        tell(measured(found, parents, model, began))
                if len(parents) >= states or perf_counter() - began > seconds:
                    return measured(found, parents, model, began)
            level = following
            found.depth += bool(level)
        found.complete = True
    except HarmError as harm:
        trace = [text]
        while (parent := parents[world]) is not None:
            world, text = parent
            trace.append(text)
        found.harm, found.trace = str(harm), tuple(reversed(trace))
    return measured(found, parents, model, began)


def measured(found: Found, parents: dict[World, object], model: Model, began: float) -> Found:
    """With what was counted so far."""
    found.states, found.processes = len(parents), len(model.table.processes)
    found.seconds = perf_counter() - began
    return found


def make_whole(model: Model, world: World, *, restart: bool = True) -> World:
    """Let everything go well from here; raises HarmError unless the chain gets whole.

    Args:
        model: of the world.
        world: where to begin.
        restart: whether who is down starts again. If not, those who are up have to go on.
    """
    for slot, disk in enumerate(world.disks):
        copied = slot >= len(model.positions)
        if copied and world.up[slot] is not None:
            world = after(model, world, Action("", (), "kill", (slot,)))
        elif disk is not None and restart and not copied:
            start = slot, disk, disk.record.incarnation + 1
            world = after(model, world, Action("", (), "start", start))
    for _ in range(ROUNDS):
        world = go_on(model, world)
        check(model, world)
        if is_whole(model, world):
            return world
        world = after(model, world, Action("", (), "wait", (frozenset(),)))
    raise HarmError("the chain does not get whole again, though all goes well")


def go_on(model: Model, world: World) -> World:
    """Everybody does all that there is to do."""
    for name in IN_TURN:
        done: set[Action] = set()
        while True:
            todo = (one for one in protocol(model, world) if one.name == name and one not in done)
            action = next(todo, None)
            if action is None:
                break
            if name != "deliver":
                done.add(action)
            world = after(model, world, action)
    return world


def is_whole(model: Model, world: World) -> bool:
    """Whether all that are up, or as many as founded the chain, serve in one configuration."""
    up = [model.table.facts[number] for number in world.up if number is not None]
    [held, *others] = {facts.held for facts in up}
    if others or len(held.members) < min(len(up), len(model.bounds.chain)):
        return False
    members = [facts for facts in up if facts.me in held.members]
    return all(one.active for one in members) and len({one.entries for one in members}) == 1
