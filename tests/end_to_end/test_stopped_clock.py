"""Machines that a hypervisor stops with their clocks, while the others go on, and die."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Node, environment, wait_for_log
from libraries import preload
from networks import Networks, NotPermittedError
from stopped_clocks import StoppedClock
from talking import Person, until

NewCluster = Callable[..., Cluster]
POSITIONS = ("head", "middle", "tail")
SUSPECT_AFTER = 0.5


@pytest.fixture(scope="module")
def library(make: Callable[[str], Path]) -> Path:
    """What tells a process that its clocks stood still."""
    return make("stopped_clock")


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    """A machine for every node, shared by the tests: to remove one takes the kernel long."""
    try:
        made = Networks(POSITIONS)
    except (FileNotFoundError, NotPermittedError) as error:
        pytest.skip(str(error))
    with made:
        yield made


TOLD = """
import time
print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
"""


def test_the_library_stops_the_clocks_that_it_is_told_to(library: Path, tmp_path: Path) -> None:
    clock = StoppedClock(tmp_path / "clock")
    changes = {"LD_PRELOAD": str(library), **clock.environment}
    for change, timeouts, wall in (
        (lambda: None, 0.0, 0.0),
        (lambda: clock.stood_still(1000.0), 1000.0, 0.0),
        (lambda: clock.stood_still(500.0, wall=True), 1500.0, 500.0),
        (lambda: clock.is_set(800.0), 1500.0, -300.0),
        (lambda: clock.is_set(0.0), 1500.0, 500.0),
    ):
        change()
        told = subprocess.check_output(
            [sys.executable, "-c", TOLD], env=environment(**changes), text=True
        )
        today, monotonic, since_boot = map(float, told.split())
        assert abs(time.time() - today - wall) < 60
        assert abs(time.monotonic() - monotonic - timeouts) < 60
        assert abs(time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot - timeouts) < 60


def texts(node: Node) -> list[str]:
    with Person(node.address, f"reader-{node}") as reader:
        return [line.rpartition("alice: ")[2] for line in reader.listed("/last 500")]


@pytest.mark.parametrize(
    ("setting", "wall_stops"), [("yes", False), ("no", False), ("no", True)], ids=str
)
def test_who_was_stopped_with_its_clocks_does_not_go_on_alone(
    networks: Networks,
    library: Path,
    new_cluster: NewCluster,
    *,
    setting: str,
    wall_stops: bool,
) -> None:
    cluster = new_cluster(
        POSITIONS,
        suspect_after=SUSPECT_AFTER,
        networks=networks,
        chain=f"refusal-is-death = {setting}",
    )
    head, middle = cluster["head"], cluster["middle"]
    clock = StoppedClock(cluster.folder / "clock")
    preload(head, library, **clock.environment)
    cluster.start()
    networks.silence("head")  # first, or its sockets would keep what the others decide
    head.pause()
    stopped_at = time.monotonic()
    assert cluster.members("middle", "tail") == ["middle", "tail"]
    with Person(middle.address, "alice") as alice:
        for number in range(3):
            assert alice.ask(f"confirmed {number}").startswith("+OK ")
    cluster.kill("middle", "tail")
    for other in ("middle", "tail"):  # what their kernels keep would tell the head of epoch 2
        until(lambda other=other: not networks.has_unsent(other, "head"), lambda: "unsent")
    clock.stood_still(time.monotonic() - stopped_at, wall=wall_stops)
    networks.heal()
    head.resume()
    for other in ("middle", "tail"):
        wait_for_log(head, f"head: {other} is dead: its port refuses connections")
    wait_for_log(head, "the chain cannot confirm: waiting for middle, tail")
    assert "epoch 2 (" not in head.log_text()
    middle.start()
    cluster["tail"].start()
    until(lambda: len(cluster.members()) == 3, lambda: "the chain does not become whole")
    said = [f"confirmed {number}" for number in range(3)]
    assert [texts(node) for node in cluster.nodes.values()] == [said] * 3
