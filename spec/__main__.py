"""Explores the rules of membership from the command line; see README.md."""

import argparse
import sys
from contextlib import nullcontext
from typing import Any

from msgspec.structs import asdict, replace

from spec.rules import BUGS, SMALL
from spec.search import Found, explore
from spec.world import Bounds

NAMES = {name.replace(" ", "-"): bounds for name, bounds in SMALL.items()}


def main() -> int:
    """Explore what was asked for; the exit status is 1 if something went wrong in it."""
    options = _parser().parse_args()
    worlds = {name: NAMES[name] for name in options.world or NAMES}
    if options.bug:
        worlds = {name: BUGS[name] for name in options.bug}
    harmed = False
    for name, bounds in worlds.items():
        world = replace(bounds, **dict(options.bound))
        print(f"{name}: {_shown(world)}", flush=True)
        with _planted(name) if options.bug else nullcontext():
            found = explore(world, seconds=options.seconds, recover=options.recover, tell=_tell)
        print(f"\r{found}", flush=True)
        harmed = harmed or bool(found.harm)
    return int(harmed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m spec",
        description="Explores the product's own membership objects: every state within bounds, "
        "nearest first. What went wrong is shown as the shortest sequence of steps to it.",
    )
    parser.add_argument(
        "--world", nargs="+", choices=NAMES, metavar="NAME",
        help=f"these alone: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--bug", nargs="+", choices=BUGS, metavar="NAME",
        help=f"plant these bugs, each in the world in which it shows: {', '.join(BUGS)}",
    )  # fmt: skip
    parser.add_argument(
        "--bound", nargs="+", type=_bound, default=[], metavar="KEY=N",
        help=f"change the bounds: {', '.join(_numbers())}",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60, help="for each world (60)")
    parser.add_argument(
        "--recover", type=int, default=50, metavar="N",
        help="from every N-th state, see whether the chain gets whole again; 0: from none (50)",
    )  # fmt: skip
    return parser


def _numbers() -> list[str]:
    return [key for key, value in asdict(Bounds()).items() if type(value) is int]


def _bound(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    if key not in _numbers() or not value.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not like kills=2; see --help")
    return key, int(value)


def _planted(name: str) -> Any:
    from tests.simulation.planted import planted  # noqa: PLC0415 - of no use without a bug

    return planted(name)


def _shown(bounds: Bounds) -> str:
    """What is not as it is without a word."""
    plain = asdict(Bounds())
    return ", ".join(
        f"{key}={value}" for key, value in asdict(bounds).items() if value != plain[key]
    )


def _tell(found: Found) -> None:
    print(f"\r{found.states:,} states, depth {found.depth}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
