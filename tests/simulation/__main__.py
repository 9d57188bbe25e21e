"""Replays one seed with a readable trace."""

import argparse
from contextlib import nullcontext

from tests.simulation.planted import PLANTED, planted
from tests.simulation.scenario import run

parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
parser.add_argument("seed", type=int)
parser.add_argument("--planted", metavar="BUG", choices=PLANTED, help="with this bug planted")
arguments = parser.parse_args()
with planted(arguments.planted) if arguments.planted else nullcontext():
    print(run(arguments.seed, trace=print))
