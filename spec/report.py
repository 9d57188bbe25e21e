"""Writes what was explored into README.md, and what each rule left out leads to, histories.md."""

from pathlib import Path

from spec.rules import BUGS, UNSEEN, WORLDS
from spec.search import Found, explore

HERE = Path(__file__).parent
README, HISTORIES = HERE / "README.md", HERE / "histories.md"
BEGIN, END = "<!-- written by python -m spec --table -->\n", "<!-- end -->\n"
RECOVER = 10
"""From every so many states, it is looked whether the chain gets whole again."""

EXPLORED = "| world | states | steps | deepest |\n" + "| --- " * 4
NOT_SEEN = "| rule | bug planted | why |\n" + "| --- " * 3


def write_report(seconds: float) -> int:
    """Explore everything, each world for so long at most; 1 if it is not as it should be."""
    right = {name: _told(name, explore_world(name, seconds)) for name in WORLDS}
    wrong = {bug: _told(bug, explore_bug(bug, seconds)) for bug in BUGS}
    explored = "\n".join(explored_row(name, found) for name, found in right.items())
    shortest_first = sorted(wrong.items(), key=lambda one: len(one[1].trace))
    unseen = "\n".join(unseen_row(bug) for bug in UNSEEN)
    _replace_parts(README, f"{EXPLORED}|\n{explored}\n", f"{NOT_SEEN}|\n{unseen}\n")
    HISTORIES.write_text(
        "# The shortest history to each harm\n\n"
        "Written by `python -m spec --table`: the rule that a bug breaks, the [world](README.md), "
        "how many states were looked at,\n"
        "the harm, and the steps to it from before the search on.\n\n"
        + "\n".join(history(bug, found) for bug, found in shortest_first)
    )
    harmed = any(found.harm for found in right.values())
    return int(harmed or not all(found.harm for found in wrong.values()))


def explore_world(name: str, seconds: float = 1e9) -> Found:
    """Explore a world with all rules."""
    return explore(WORLDS[name], seconds=seconds, recover=RECOVER)


def explore_bug(bug: str, seconds: float = 1e9) -> Found:
    """Explore the world in which a bug shows, with that bug: first for harm, then for a halt."""
    from tests.simulation.planted import planted  # noqa: PLC0415 - of no use without a bug

    bounds = WORLDS[BUGS[bug][1]]
    with planted(bug):
        found = explore(bounds, seconds=seconds)
        return found if found.harm else explore(bounds, seconds=seconds, recover=1)


def explored_row(name: str, found: Found) -> str:
    """What a world with all rules came to."""
    end = found.harm or ("" if found.complete else "the search was stopped")
    depth = f"{found.depth}: {end}" if end else found.depth
    return f"| {name} | {found.states:,} | {found.steps:,} | {depth} |"


def unseen_row(bug: str) -> str:
    """Why the explorer cannot see a bug."""
    rule, why = UNSEEN[bug]
    return f"| {rule} | `{bug}` | {why} |"


def history(bug: str, found: Found) -> str:
    """The steps to a bug's harm, as a section; the same whenever the code is the same."""
    rule, world = BUGS[bug]
    steps = "\n".join(f"{number}. {text}" for number, text in enumerate(found.trace, 1))
    harm = f"Rule {rule}, *{world}*, {found.states:,} states: {found.harm or 'nothing'}."
    return f"## {bug}\n\n{harm}\n\n{steps}\n"


def _told(name: str, found: Found) -> Found:
    print(f"{name}: {found}", flush=True)
    return found


def _replace_parts(path: Path, *parts: str) -> None:
    """Write the parts between the marks of a file, in order."""
    first, *others = path.read_text().split(BEGIN)
    rest = (other.split(END, 1)[1] for other in others)
    written = (f"{BEGIN}\n{part}\n{END}{text}" for part, text in zip(parts, rest, strict=True))
    path.write_text(first + "".join(written))
