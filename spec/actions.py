"""All that can happen next: what processes do by themselves, and what befalls them."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache, partial
from itertools import permutations
from typing import NamedTuple

from msgspec.structs import replace

from chainchat.chain.record import Status
from spec.world import RESTORED, Draft, Model, World


class Action(NamedTuple):
    """Something that can happen.

    Attributes:
        change: makes a draft into what follows. False if it cannot happen there.
        line: of the troubles whose next this is; None if processes do it by themselves.
    """

    text: str
    change: Callable[..., bool | None]
    arguments: tuple[object, ...] = ()
    line: int | None = None


def after(model: Model, world: World, action: Action) -> World | None:
    """The world after an action; None if it cannot happen. Raises HarmError if it does harm."""
    draft = Draft(model, world)
    if action.change(draft, *action.arguments) is False:
        return None
    if action.line is not None:
        draft.befallen[action.line] += 1
    return draft.world()


# --- what processes do


def protocol(model: Model, world: World) -> Iterator[Action]:
    """What processes do by themselves."""
    name, draft = model.slots, Draft(model, world)
    for (a, b), messages in sorted(world.wire, key=lambda one: one[0]):
        if (b, a) in world.links:
            text = f"{name[b]} receives {type(messages[0]).__name__} from {name[a]}"
            yield Action(text, Draft.deliver, (a, b))
    for late in world.late:
        yield Action(f"{name[late[1]]} hears the late answer of {name[late[0]]}", Draft.hear, late)
    for a in model.numbers:
        if world.up[a] is not None:
            yield from _alone(model, draft, a)
            for b in model.numbers:
                yield from _with(model, draft, a, b)


def _alone(model: Model, draft: Draft, a: int) -> Iterator[Action]:
    """What A does with the chain."""
    name, facts = model.slots, draft.facts(a)
    yield Action(f"{name[a]} ticks", Draft.step, (a, "tick"))
    successor = draft.successor(a)
    if successor is not None and draft.lacks(successor, facts):
        yield Action(f"{name[a]} forwards to {name[successor]}", Draft.forward, (a,))
    if len(facts.synced) < len(facts.entries):
        yield Action(f"{name[a]} syncs", Draft.step, (a, "sync"))
    if facts.status is Status.LEARNER:
        tail = draft.linked_at(a, facts.held.tail)
        if tail is not None and draft.are_linked(a, tail) and draft.facts(tail).held == facts.held:
            lender = draft.facts(tail)
            if lender.lends or lender.sealed == facts.me:
                yield Action(f"{name[a]} copies from {name[tail]}", Draft.learn, (a, tail))


def _with(model: Model, draft: Draft, a: int, b: int) -> Iterator[Action]:
    """What A does with B."""
    name = model.slots
    if draft.up[b] is None:
        if (a, b) in draft.links:
            yield Action(f"{name[a]} finds that {name[b]} refuses", Draft.notice, (a, b))
    elif draft.are_linked(a, b):
        yield Action(f"{name[a]} pings {name[b]}", Draft.ask, (a, b))
    elif a < b and draft.may_link(a, b):
        yield Action(f"{name[a]} and {name[b]} connect", Draft.connect, (a, b))
    if (a, b) in model.walls and draft.up[b] is not None:
        text = f"a wall refuses {name[a]} the port of {name[b]}"
        yield Action(text, Draft.step, (a, "refused", draft.facts(b).me))


# --- what befalls them


def troubles(model: Model, world: World) -> Iterator[Action]:
    """What befalls them next."""
    lines = model.bounds.troubles
    for line, done in enumerate(world.befallen):
        steps = lines[line].split(", ")
        twin = line > 0 and lines[line - 1] == lines[line]
        if done < len(steps) and not (twin and done >= world.befallen[line - 1]):
            for action in called(model.slots, steps[done]):
                yield action._replace(line=line)


@cache
def called(slots: str, words: str) -> tuple[Action, ...]:
    """All troubles of these slots that the words may stand for."""
    found = tuple(one for one in _all_troubles(slots) if fnmatchcase(one.text, words))
    if not found:
        raise ValueError(f"nothing that can happen is called {words!r}: see spec/actions.py")
    return found


@cache
def _all_troubles(slots: str) -> tuple[Action, ...]:
    found = []
    numbers = range(len(slots))
    pairs = list(permutations(numbers, 2))
    for text, trouble in TROUBLES.items():
        for arguments in pairs if "{b}" in text else [(a,) for a in numbers]:
            names = dict(zip("ab", (slots[slot] for slot in arguments), strict=False))
            found.append(Action(text.format(**names), trouble, arguments))
    for text, deaf in _silences(slots, pairs):
        found.append(Action(f"time passes: {text}", Draft.wait, (frozenset(deaf),)))
    return tuple(found)


def _silences(
    slots: str, pairs: list[tuple[int, int]]
) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Who does not hear whom while time passes."""
    yield "all hear each other", []
    yield "nobody hears anybody", pairs
    for a, name in enumerate(slots):
        yield f"{name} is cut off", [pair for pair in pairs if a in pair]
    for a, b in pairs:
        if a < b:
            yield f"{slots[a]} and {slots[b]} are cut off from each other", [(a, b), (b, a)]


def dies(draft: Draft, a: int, lost: int = 0) -> bool:
    """A process dies; its disk may lose the last entry of the log with it."""
    if draft.up[a] is None:
        return False
    disk = draft.end(a)
    draft.disks[a] = replace(disk, entries=disk.entries[: len(disk.entries) - lost])
    return True


def loses_power(draft: Draft, a: int) -> bool:
    """A machine loses its power, and what its disk has not synced."""
    if draft.up[a] is None:
        return False
    facts, disk = draft.facts(a), draft.end(a)
    draft.disks[a] = replace(disk, entries=disk.entries[: len(facts.synced)])
    return True


def starts(draft: Draft, a: int) -> bool:
    """A process starts on its disk; a copy, on what the disk of its original is then."""
    disk, ahead = draft.disks[a], 1
    if draft.up[a] is not None:
        return False
    if disk is None:
        original = draft.model.slots.index(draft.model.position(a))
        disk, ahead = draft.disks[original] or draft.process(original).disk, RESTORED
    draft.begin(a, disk, disk.record.incarnation + ahead)
    return True


def is_set_back(draft: Draft, a: int) -> bool:
    """A process starts on its disk of the first day."""
    disk = draft.disks[a]
    if disk is None:
        return False
    draft.begin(a, draft.model.first_disk(a), disk.record.incarnation + RESTORED)
    return True


def writes(draft: Draft, a: int) -> bool:
    """A head takes a client's request."""
    if draft.up[a] is None:
        return False
    facts = draft.facts(a)
    if not facts.active or facts.held.head != facts.me.position:
        return False
    draft.step(a, "write")
    return True


def part(draft: Draft, a: int, b: int) -> bool:
    """A connection breaks."""
    if a > b or not draft.are_linked(a, b):
        return False
    draft.part(a, b)
    return True


def answers_late(draft: Draft, b: int, a: int) -> bool:
    """A Ping is answered, and the answer is long on its way."""
    if not draft.are_linked(a, b):
        return False
    draft.ask(a, b, late=True)
    return True


def is_called(draft: Draft, a: int, b: int) -> bool:
    """Somebody else calls A and says that it is B, started again."""
    if draft.up[a] is None or draft.up[b] is None or draft.are_linked(a, b):
        return False
    me = draft.facts(b).me
    draft.step(a, "linked", replace(me, incarnation=me.incarnation + 7))
    draft.step(a, "unlinked", me.position)
    return True


TROUBLES: dict[str, Callable[..., bool | None]] = {
    "{a} dies": dies,
    "{a} dies and loses an entry": partial(dies, lost=1),
    "{a} loses power": loses_power,
    "{a} starts": starts,
    "{a} starts on its disk of the first day": is_set_back,
    "{a} writes": writes,
    "{a} and {b} lose their connection": part,
    "{a} answers {b} late": answers_late,
    "a stranger tells {a} that it is the next {b}": is_called,
    "time passes for all but {a}": lambda draft, a: draft.wait(frozenset(), a),
    "time passes while {a} does not hear {b}": lambda draft, a, b: draft.wait(frozenset({(b, a)})),
}
"""What may befall processes, besides that time passes; see ``_silences``."""
