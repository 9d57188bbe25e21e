"""The search: every state within the bounds, nearest first, and whether each can be made whole."""

from collections.abc import Callable, Iterator
from itertools import chain
from time import perf_counter

from msgspec import Struct

from spec.actions import Action, after, called, dies, protocol, starts, troubles
from spec.process import HarmError
from spec.world import Bounds, Draft, Model, World, check

ROUNDS = 15
"""Times ``suspect_after`` in which a chain has to get whole again."""


class Found(Struct):
    """What a search has come to.

    Attributes:
        steps: from one to another, also to those met before.
        recovered: states from which the chain was seen to get whole again.
        harm: what went wrong; empty if nothing did.
    """

    states: int = 0
    steps: int = 0
    depth: int = 0
    recovered: int = 0
    seconds: float = 0.0
    complete: bool = False
    harm: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        figures = (
            f"{self.states:,} states, {self.steps:,} steps, depth {self.depth}, "
            f"{self.recovered:,} recoveries, {self.seconds:.1f} s"
        )
        if not self.harm:
            return f"{'all' if self.complete else 'so far'}: {figures}; no harm"
        lines = (f"  {number:2} {text}" for number, text in enumerate(self.trace, 1))
        return "\n".join((f"HARM: {self.harm} ({figures})", *lines))


class Search:
    """Looks at states breadth first, so that the first harm found is the nearest."""

    def __init__(self, bounds: Bounds, recover: int = 0) -> None:
        """Begin with what has happened already.

        Args:
            recover: every how many states to see whether the chain gets whole again; 0: never.
        """
        self.found = Found()
        self._model = Model(bounds)
        self._recover = recover
        self._began = perf_counter()
        self._parents: dict[World, tuple[World, str] | None] = {}
        world = self._model.initial()
        self._parents[world] = None
        for text in bounds.first:
            world = self._go(world, text)
        self._level = [world]

    def _go(self, world: World, text: str) -> World:
        """The world after what has this text, which has to be possible."""
        own = (action for action in protocol(self._model, world) if action.text == text)
        action = next(own, None) or called(self._model.slots, text)[0]
        following = after(self._model, world, action)
        if following is None:
            raise ValueError(f"this cannot happen there: {text}")
        if following not in self._parents:
            self._parents[following] = world, text
        return following

    def run(self, states: int, seconds: float, tell: Callable[[Found], None]) -> Found:
        """See ``explore``."""
        while self._level and not self.found.harm:
            following: list[World] = []
            for world in self._level:
                following += self._beyond(world)
                late = perf_counter() - self._began > seconds
                if self.found.harm or late or len(self._parents) >= states:
                    return self._measured()
            self._level = following
            self.found.depth += bool(following)
            tell(self._measured())
        self.found.complete = not self.found.harm
        return self._measured()

    def _beyond(self, world: World) -> Iterator[World]:
        """The new states that one step leads to, if there is to be looked beyond them."""
        model, parents = self._model, self._parents
        for action in chain(protocol(model, world), troubles(model, world)):
            try:
                following = after(model, world, action)
                if following is None:
                    continue
                self.found.steps += 1
                if following in parents:
                    continue
                parents[following] = world, action.text
                check(model, following)
                if self._recover and model.bounds.heals and len(parents) % self._recover == 0:
                    self.found.recovered += 1
                    make_whole(model, following)
            except HarmError as harm:
                self.found.harm, self.found.trace = str(harm), (*self._trace(world), action.text)
                return
            if max(one.epoch for one in following.decided) <= model.bounds.epochs:
                yield following

    def _trace(self, world: World) -> tuple[str, ...]:
        texts = []
        while (parent := self._parents[world]) is not None:
            world, text = parent
            texts.append(text)
        return tuple(reversed(texts))

    def _measured(self) -> Found:
        self.found.states = len(self._parents)
        self.found.seconds = perf_counter() - self._began
        return self.found


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
        states: how many to look at, at most.
        recover: every how many states to see whether the chain gets whole again; 0: never.
        tell: called with what was found so far, after each step farther.
    """
    return Search(bounds, recover).run(states, seconds, tell)


def make_whole(model: Model, world: World) -> World:
    """Let everything go well from here; raises HarmError unless the chain gets whole.

    Who is down starts again, unless those who are up have to go on (``Bounds.helped``).
    """
    for slot, name in enumerate(model.slots):
        if name.islower():
            world = after(model, world, Action("", dies, (slot,))) or world
        elif model.bounds.helped:
            world = after(model, world, Action("", starts, (slot,))) or world
    for _ in range(ROUNDS):
        world = go_on(model, world)
        check(model, world)
        if is_whole(model, world):
            return world
        waited = after(model, world, Action("", Draft.wait, (frozenset(),)))
        assert waited is not None
        world = waited
    raise HarmError("the chain does not get whole again, though all goes well")


def go_on(model: Model, world: World) -> World:
    """Everybody does all that there is to do, each thing once, and receives all messages."""
    done: set[str] = set()
    while True:
        todo = (one for one in protocol(model, world) if one.text not in done)
        action = next(todo, None)
        if action is None:
            return world
        if action.change is not Draft.deliver:
            done.add(action.text)
        world = after(model, world, action) or world


def is_whole(model: Model, world: World) -> bool:
    """True if all that are up, or as many as founded the chain, serve in one configuration."""
    up = {facts.me: facts for n in world.up if n is not None and (facts := model.table.facts[n])}
    [held, *others] = {facts.held for facts in up.values()}
    members = [up[member] for member in held.members if member in up and up[member].active]
    missing = len(held.members) - len(members)
    grown = len(held.members) >= min(len(up), len(model.bounds.chain))
    return grown and not others and not missing and len({one.entries for one in members}) == 1
