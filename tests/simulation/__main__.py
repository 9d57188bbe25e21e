"""Replays one seed with a readable trace."""

import argparse
from contextlib import nullcontext
from functools import partial

from tests.simulation.crowds import run_crowd
from tests.simulation.histories import run_two_histories
from tests.simulation.planted import PLANTED, planted
from tests.simulation.scenario import run

parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
parser.add_argument("seed", type=int)
parser.add_argument("--planted", metavar="BUG", choices=PLANTED, help="with this bug planted")
parser.add_argument("--crowd", action="store_true", help="with a crowd of clients")
parser.add_argument("--histories", action="store_true", help="with two chains that part")
parser.add_argument("--files", action="store_true", help="on the product's own disks")
arguments = parser.parse_args()
kinds = {
    "crowd": run_crowd,
    "histories": run_two_histories,
    "files": partial(run, files=True),
}
chosen = next((kinds[kind] for kind in kinds if getattr(arguments, kind)), run)
with planted(arguments.planted) if arguments.planted else nullcontext():
    print(chosen(arguments.seed, trace=print))
