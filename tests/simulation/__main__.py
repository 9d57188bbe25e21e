"""Replays one seed with a readable trace."""

import argparse
from contextlib import nullcontext

from tests.simulation.crowds import run_crowd
from tests.simulation.planted import PLANTED, planted
from tests.simulation.scenario import run

parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
parser.add_argument("seed", type=int)
parser.add_argument("--planted", metavar="BUG", choices=PLANTED, help="with this bug planted")
parser.add_argument("--crowd", action="store_true", help="with a crowd of clients")
arguments = parser.parse_args()
with planted(arguments.planted) if arguments.planted else nullcontext():
    print((run_crowd if arguments.crowd else run)(arguments.seed, trace=print))
