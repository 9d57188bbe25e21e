"""The standing runs: many seeds hold every invariant, and every planted bug is caught."""

import itertools
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.planted import PLANTED, planted
from tests.simulation.scenario import Summary, run
from tests.simulation.world import EVENTS

STANDING_SEEDS = 800
SEEDS_TO_CATCH = 500


def _run(seed: int) -> Summary | str:
    """The summary of a seed, or what went wrong with it."""
    try:
        return run(seed)
    except Exception as error:  # a node's own failure counts like a check's
        return f"seed {seed}: {error!r} (replay: python -m tests.simulation {seed})"


def _first_catch(name: str) -> tuple[int, str] | None:
    """The first seed whose run fails with the bug planted."""
    with planted(PLANTED[name]):
        for seed in itertools.islice(itertools.count(), SEEDS_TO_CATCH):
            try:
                run(seed)
            except Exception as error:  # a node's own failure counts like a check's
                return seed, f"{type(error).__name__}: {error}"
    return None


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


def test_every_planted_bug_is_caught(capsys):
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        caught = dict(zip(PLANTED, pool.map(_first_catch, PLANTED), strict=True))
    with capsys.disabled():
        for name, catch in caught.items():
            how = f"seed {catch[0]}: {catch[1][:110]}" if catch else "not caught"
            print(f"\n  {name}: {how}", end="")
    assert [name for name, catch in caught.items() if catch is None] == []


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_seed_replays_to_the_same_trace(seed):
    first: list[str] = []
    second: list[str] = []
    assert run(seed, trace=first.append) == run(seed, trace=second.append)
    assert first == second
