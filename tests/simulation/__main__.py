"""Replays one seed with a readable trace."""

import sys

from tests.simulation.scenario import run

if len(sys.argv) != 2 or not sys.argv[1].isdigit():
    sys.exit("usage: python -m tests.simulation SEED")
print(run(int(sys.argv[1]), trace=print))
