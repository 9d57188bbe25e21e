"""Replays seeds with a readable trace, or finds one that catches a planted bug."""

import argparse
from contextlib import nullcontext
from functools import partial

from tests.simulation.catching import first_catch
from tests.simulation.crowds import run_crowd
from tests.simulation.histories import run_two_histories
from tests.simulation.planted import PLANTED, planted
from tests.simulation.retained import run_retained
from tests.simulation.scenario import run
from tests.simulation.strangers import run_strangers

parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
parser.add_argument("seed", type=int, nargs="*", help="without it: find one that catches BUG")
parser.add_argument("--planted", metavar="BUG", choices=PLANTED, help="with this bug planted")
parser.add_argument("--crowd", action="store_true", help="with a crowd of clients")
parser.add_argument("--histories", action="store_true", help="with two chains that part")
parser.add_argument("--strangers", action="store_true", help="with strangers at real links")
parser.add_argument("--retained", action="store_true", help="with old messages that go")
parser.add_argument("--files", action="store_true", help="on the product's own disks")
arguments = parser.parse_args()
if not arguments.seed:
    if not arguments.planted:
        parser.error("name a seed, or a bug with --planted")
    catch = first_catch(arguments.planted)
    if catch is None:
        parser.exit(1, "no seed catches it\n")
    seed, error, option = catch
    print(f"seed {seed}: {error}")
    replay = f"{parser.prog} {seed} {option} --planted {arguments.planted}".replace("  ", " ")
    print(f"replay: {replay}")
    parser.exit()
kinds = {
    "crowd": run_crowd,
    "histories": run_two_histories,
    "strangers": run_strangers,
    "retained": run_retained,
    "files": partial(run, files=True),
}
chosen = next((kinds[kind] for kind in kinds if getattr(arguments, kind)), run)
with planted(arguments.planted) if arguments.planted else nullcontext():
    for seed in arguments.seed:
        print(chosen(seed, trace=print))
