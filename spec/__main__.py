"""Explores the rules of membership from the command line; see README.md."""

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext

from msgspec.structs import replace

from spec.report import write_report
from spec.rules import BUGS, WORLDS
from spec.search import Found, explore


def main() -> int:
    """Explore what was asked for; the exit status is 1 if something went wrong in it."""
    options = _parser().parse_args()
    if options.table:
        return write_report(options.seconds)
    names = [BUGS[bug][1] for bug in options.bug] or options.world or list(WORLDS)
    harmed = False
    for name, bug in zip(names, options.bug or [""] * len(names), strict=True):
        bounds = WORLDS[name]
        world = replace(bounds, troubles=(*bounds.troubles, *options.also))
        print(f"{name}{f', with {bug}' if bug else ''}: {'; '.join(world.troubles)}", flush=True)
        with _planted(bug):
            found = explore(world, seconds=options.seconds, recover=options.recover, tell=_tell)
        print(f"\r{found}", flush=True)
        harmed = harmed or bool(found.harm)
    return int(harmed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m spec",
        description="Explores the product's own membership objects: every state of small worlds, "
        "nearest first. What went wrong is shown as the shortest sequence of steps to it.",
    )
    parser.add_argument(
        "--world", nargs="+", default=[], choices=WORLDS, metavar="NAME",
        help=f"these alone: {'; '.join(WORLDS)}",
    )  # fmt: skip
    parser.add_argument(
        "--bug", nargs="+", default=[], choices=BUGS, metavar="NAME",
        help=f"plant these bugs, each in the world in which it shows: {', '.join(BUGS)}",
    )  # fmt: skip
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="TROUBLES",
        help="what befalls these worlds besides, such as '? dies, ? starts'; see spec/actions.py",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60, help="for each world (60)")
    parser.add_argument(
        "--recover", type=int, default=10, metavar="N",
        help="from every N-th state, see whether the chain gets whole again; 0: from none (10)",
    )  # fmt: skip
    parser.add_argument(
        "--table", action="store_true",
        help="explore everything, and write the tables of README.md and the file histories.md",
    )  # fmt: skip
    return parser


def _planted(bug: str) -> AbstractContextManager[None]:
    from tests.simulation.planted import planted  # noqa: PLC0415 - of no use without a bug

    return planted(bug) if bug else nullcontext()


def _tell(found: Found) -> None:
    print(f"\r{found.states:,} states, depth {found.depth}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
