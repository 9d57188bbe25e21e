"""The standing runs: many seeds hold every invariant, and every planted bug is caught."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.simulation.catching import (
    CROWDS,
    TWO_HISTORIES,
    WITH_RETENTION,
    WITH_STRANGERS,
    first_catch,
)
from tests.simulation.crowds import KINDS, run_crowd
from tests.simulation.histories import run_two_histories
from tests.simulation.planted import PLANTED
from tests.simulation.retained import run_retained
from tests.simulation.scenario import Summary, run
from tests.simulation.strangers import run_strangers
from tests.simulation.world import EVENTS

ROOT = Path(__file__).parents[2]
STANDING_SEEDS = 250


Run = Callable[[int], Summary]


def _tried(run_seed: Run, option: str, seed: int) -> Summary | str:
    """The summary of a seed, or what went wrong with it; ``option``: to replay it."""
    try:
        return run_seed(seed)
    except Exception as error:  # a node's own failure counts like a check's
        replay = f"python -m tests.simulation {seed} {option}".rstrip()
        return f"seed {seed}: {error!r} (replay: {replay})"


def summaries(run_seed: Run, option: str, seeds: int, at_once: int = 1) -> list[Summary]:
    """The summaries of so many seeds, none of which may fail."""
    tried = partial(_tried, run_seed, option)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(tried, range(seeds), chunksize=at_once))
    assert [result for result in results if isinstance(result, str)] == []
    return [result for result in results if isinstance(result, Summary)]


def events_of(results: list[Summary]) -> Counter[str]:
    return Counter(event for result in results for event in result.events)


def test_every_seed_holds_every_invariant(pytestconfig, capsys):
    seeds = max(STANDING_SEEDS, pytestconfig.getoption("--simulate", 0))
    results = summaries(run, "", seeds, at_once=20)
    reached = events_of(results)
    acknowledged = sum(result.acknowledged for result in results)
    reads = sum(result.reads for result in results)
    with capsys.disabled():
        print(
            f"\n{seeds} seeds: {acknowledged} acknowledgements, {reads} reads; seeds that reached"
        )
        print(", ".join(f"a {event}: {count}" for event, count in reached.most_common()))
    assert set(reached) == set(EVENTS.values())
    assert acknowledged > seeds * 50


def test_no_crowd_makes_a_node_silent(pytestconfig):
    seeds = max(CROWDS, pytestconfig.getoption("--simulate", 0) // 100)
    assert len(summaries(run_crowd, "--crowd", seeds)) == seeds


def test_two_histories_never_pass_for_one(pytestconfig):
    seeds = max(TWO_HISTORIES, pytestconfig.getoption("--simulate", 0) // 30)
    reached = events_of(summaries(run_two_histories, "--histories", seeds))
    assert reached["two histories"] > seeds / 4
    assert reached["a stop for another history"] > seeds / 4


def test_strangers_end_no_link_that_works(pytestconfig):
    seeds = max(WITH_STRANGERS, pytestconfig.getoption("--simulate", 0) // 50)
    reached = events_of(summaries(run_strangers, "--strangers", seeds))
    assert reached["a stranger in the place of the silent"] > seeds / 4


def test_old_messages_go_and_who_lacks_them_joins(pytestconfig):
    seeds = max(WITH_RETENTION, pytestconfig.getoption("--simulate", 0) // 30)
    reached = events_of(summaries(run_retained, "--retained", seeds))
    assert reached["log that lost its beginning"] > seeds / 2
    assert reached["installed checkpoint"] > seeds / 2
    assert reached["log that ends before the other begins"] > seeds / 6


def test_every_planted_bug_is_caught(capsys):
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        caught = dict(zip(PLANTED, pool.map(first_catch, PLANTED), strict=True))
    with capsys.disabled():
        for name, catch in caught.items():
            how = f"seed {catch[0]}: {catch[1][:110]}" if catch else "not caught"
            print(f"\n  {name}: {how}", end="")
    assert [name for name, catch in caught.items() if catch is None] == []


@pytest.mark.parametrize("bug", [bug for bug, _ in PLANTED.values() if isinstance(bug, type)])
def test_what_a_planted_bug_overrides_is_in_the_product(bug):
    """A method that the product does not have any more would never be called."""
    own = {name: what for name, what in vars(bug).items() if not name.startswith("__")}
    codes = [getattr(getattr(what, "fget", what), "__code__", None) for what in own.values()]
    called = {name for code in codes if code is not None for name in code.co_names}
    begun = [getattr(kind.__init__, "__code__", None) for kind in bug.__mro__[1:]]
    attributes = {name for code in begun if code is not None for name in code.co_names}
    product = {name for kind in bug.__mro__[1:] for name in dir(kind)} | attributes | {"also"}
    assert set(own) - product - called == set()


@pytest.mark.parametrize(
    ("run_seed", "seeds", "option"),
    [
        (run, range(11), ""),
        (partial(run, files=True), range(3), "--files"),
        (run_two_histories, range(3), "--histories"),
        (run_strangers, range(3), "--strangers"),
        (run_retained, range(3), "--retained"),
        (run_crowd, range(len(KINDS)), "--crowd"),
    ],
    ids=("usual", "files", "histories", "strangers", "retained", "crowd"),
)
def test_a_seed_replays_to_the_same_trace(run_seed, seeds, option):
    """Also in another process, where sets of strings have another order."""
    trace: list[str] = []
    for seed in seeds:
        trace.append(str(run_seed(seed, trace=trace.append)))
    replay = [sys.executable, "-m", "tests.simulation", *map(str, seeds), *option.split()]
    again = subprocess.run(replay, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == trace
