"""Random trouble with real processes for as long as ``bin/test --soak MINUTES`` says."""

import random
import time

import pytest
from cluster import Cluster
from load import Load, settle

SAID = 100
"""Texts that have to be acknowledged between two blows."""

PAUSE = 0.05
"""Seconds that a program waits after each answer."""

ASLEEP = 2.5
"""Seconds that a paused node stands still: more than is borne."""


def blow(cluster: Cluster, choice: random.Random, load: Load) -> str:
    """Do something to one or two nodes, and bring them back; what was done."""
    kind = choice.choice(("kill", "kill two", "stop", "pause"))
    victims = choice.sample(cluster.members(), 2 if kind == "kill two" else 1)
    if kind == "pause":
        [victim] = [cluster[position] for position in victims]
        victim.pause()
        asleep_until = time.monotonic() + ASLEEP
        while time.monotonic() < asleep_until:
            load.wait_for(1)
        victim.resume()
        cluster.wait_until_it_serves(*cluster.nodes)
    elif kind == "stop":
        cluster[victims[0]].stop()
        load.wait_for(SAID)
        cluster.bring_back(*victims)
    else:
        cluster.kill(*victims)
        load.wait_for(SAID)
        cluster.bring_back(*victims)
    return f"{kind} {' '.join(victims)}"


def test_nothing_is_lost_in_a_long_bad_week(new_cluster, pytestconfig, capsys):
    minutes = pytestconfig.getoption("--soak")
    if not minutes:
        pytest.skip("runs only with --soak MINUTES")
    seed = random.randrange(1 << 32)
    choice = random.Random(seed)
    cluster: Cluster = new_cluster().start()
    ends = time.monotonic() + 60 * minutes
    blows = 0
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        while time.monotonic() < ends:
            load.wait_for(SAID)
            done = blow(cluster, choice, load)
            blows += 1
            with capsys.disabled():
                print(
                    f"\nseed {seed}, blow {blows}: {done}; {load.acknowledged} acknowledged", end=""
                )
        settle(cluster, load)
    assert blows
