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

from tests.simulation.catching import CROWDS, TWO_HISTORIES, WITH_STRANGERS, first_catch
from tests.simulation.crowds import run_crowd
from tests.simulation.histories import run_two_histories
from tests.simulation.planted import PLANTED
from tests.simulation.scenario import Summary, run
from tests.simulation.strangers import run_strangers
from tests.simulation.world import EVENTS

ROOT = Path(__file__).parents[2]
STANDING_SEEDS = 3_000


def _run(seed: int) -> Summary | str:
    """The summary of a seed, or what went wrong with it."""
    try:
        return run(seed)
    except Exception as error:  # a node's own failure counts like a check's
        return f"seed {seed}: {error!r} (replay: python -m tests.simulation {seed})"


def _run_crowd(seed: int) -> Summary | str:
    """The same, with a crowd."""
    try:
        return run_crowd(seed)
    except Exception as error:
        return f"crowd {seed}: {error!r} (replay: python -m tests.simulation {seed} --crowd)"


def _run_two_histories(seed: int) -> Summary | str:
    """The same, with two chains."""
    try:
        return run_two_histories(seed)
    except Exception as error:
        return (
            f"histories {seed}: {error!r} (replay: python -m tests.simulation {seed} --histories)"
        )


def _run_strangers(seed: int) -> Summary | str:
    """The same, with strangers."""
    try:
        return run_strangers(seed)
    except Exception as error:
        return (
            f"strangers {seed}: {error!r} (replay: python -m tests.simulation {seed} --strangers)"
        )


def test_every_seed_holds_every_invariant(pytestconfig, capsys):
    seeds = max(STANDING_SEEDS, pytestconfig.getoption("--simulate", 0))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(_run, range(seeds), chunksize=20))
    failures = [result for result in results if isinstance(result, str)]
    assert failures == []
    reached = Counter(event for result in results for event in result.events)
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
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(_run_crowd, range(seeds)))
    assert [result for result in results if isinstance(result, str)] == []


def test_two_histories_never_pass_for_one(pytestconfig):
    seeds = max(TWO_HISTORIES, pytestconfig.getoption("--simulate", 0) // 30)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(_run_two_histories, range(seeds)))
    assert [result for result in results if isinstance(result, str)] == []
    reached = Counter(event for result in results for event in result.events)
    assert reached["two histories"] > seeds / 4
    assert reached["a stop for another history"] > seeds / 4


def test_strangers_end_no_link_that_works(pytestconfig):
    seeds = max(WITH_STRANGERS, pytestconfig.getoption("--simulate", 0) // 50)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(_run_strangers, range(seeds)))
    assert [result for result in results if isinstance(result, str)] == []
    reached = Counter(event for result in results for event in result.events)
    assert reached["a stranger in the place of the silent"] > seeds / 4


def test_every_planted_bug_is_caught(capsys):
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        caught = dict(zip(PLANTED, pool.map(first_catch, PLANTED), strict=True))
    with capsys.disabled():
        for name, catch in caught.items():
            how = f"seed {catch[0]}: {catch[1][:110]}" if catch else "not caught"
            print(f"\n  {name}: {how}", end="")
    assert [name for name, catch in caught.items() if catch is None] == []


@pytest.mark.parametrize("seed", range(11))
def test_a_seed_replays_to_the_same_trace(seed):
    """Also in another process, where sets of strings have another order."""
    _replays(run, seed)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_on_files_replays_to_the_same_trace(seed):
    _replays(partial(run, files=True), seed, "--files")


@pytest.mark.parametrize("seed", range(3))
def test_two_histories_replay_to_the_same_trace(seed):
    _replays(run_two_histories, seed, "--histories")


@pytest.mark.parametrize("seed", range(3))
def test_strangers_replay_to_the_same_trace(seed):
    _replays(run_strangers, seed, "--strangers")


@pytest.mark.parametrize("seed", range(5))
def test_a_crowd_replays_to_the_same_trace(seed):
    _replays(run_crowd, seed, "--crowd")


def _replays(run_seed: Callable[..., Summary], seed: int, *options: str) -> None:
    trace: list[str] = []
    trace.append(str(run_seed(seed, trace=trace.append)))
    replay = [sys.executable, "-m", "tests.simulation", str(seed), *options]
    again = subprocess.run(replay, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == trace
