"""The search for a seed whose run catches a planted bug."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain

from chainchat.chain.log import DivergenceError
from chainchat.node.state_machine import StateMismatchError
from tests.simulation.checks import InvariantError
from tests.simulation.crowds import run_crowd
from tests.simulation.histories import run_two_histories
from tests.simulation.planted import (
    CROWD,
    FILES,
    HISTORIES,
    PLANTED,
    RETAINED,
    STRANGERS,
    planted,
)
from tests.simulation.retained import run_retained
from tests.simulation.scenario import Summary, opening, run
from tests.simulation.strangers import run_strangers

CROWDS = 10
TWO_HISTORIES = 100
WITH_STRANGERS = 60
WITH_RETENTION = 40
SEEDS_TO_CATCH = 1_000

CAUGHT_LAST = {
    "BelievesWhatIsSaid": 115,
    "CommitsWithoutTheWord": 785,
    "CutsBeforeItKeeps": 155,
    "ForgetsByTheClock": 59,
    "KeepsItsProposalWhenItVotes": 157,
    "NeverTellsHolding": 4,
    "PassesTheWordOn": 379,
    "ProvesDeathsAllTheSame": 51,
    "ReadsByTheLeaseAllTheSame": 656,
    "RemovesWhatNoCheckpointCovers": 46,
    "StampsItsOwnTime": 50,
    "TakesAnyLogForWhole": 42,
    "TellsBeforeItSyncs": 94,
    "TellsBeforeItWrites": 94,
    "WaitsForDeadProposers": 101,
    "believes_what_was_read": 94,
    "copies_inside_commits": 10,
    "installs_half": 26,
    "leaves_side_files_without_names": 17,
}
"""Of bugs that few seeds catch, one that has: it is tried first.

When what is drawn at random changes, trying the others takes minutes; the standing test names those
that catch.
"""

CAUGHT = (InvariantError, DivergenceError, StateMismatchError)
"""The errors that catch a bug. Any other error means that the bug itself is outdated."""

Search = tuple[Callable[[int], Summary], Iterable[int], str]
"""A kind of run, its seeds in the order to try them, and the option that replays one."""


def first_catch(name: str) -> tuple[int, str, str] | None:
    """The first seed whose run fails with the bug planted, the error, and the option to replay it.

    Seeds that begin with the story of the bug are tried first.
    """
    run_seed, seeds, option = _search(name)
    first = [CAUGHT_LAST[name]] if name in CAUGHT_LAST else []
    with planted(name):
        for seed in chain(first, seeds):
            try:
                run_seed(seed)
            except CAUGHT as error:
                return seed, f"{type(error).__name__}: {error}", option
    return None


def _search(name: str) -> Search:
    _, story = PLANTED[name]
    if story == CROWD:
        return run_crowd, range(CROWDS), "--crowd"
    if story == HISTORIES:
        return run_two_histories, range(TWO_HISTORIES), "--histories"
    if story == STRANGERS:
        return run_strangers, range(WITH_STRANGERS), "--strangers"
    if story == RETAINED:
        return run_retained, range(WITH_RETENTION), "--retained"
    if story == FILES:
        return partial(run, files=True), range(SEEDS_TO_CATCH), "--files"
    # Bugs are to be caught by the harm that they do, not by a vote that is forgotten.
    run_seed = partial(run, watch_votes=name == "ForgetsVotes")
    seeds: Iterable[int] = range(SEEDS_TO_CATCH)
    if story:
        seeds = sorted(seeds, key=lambda seed: opening(seed) != story)
    return run_seed, seeds, ""
