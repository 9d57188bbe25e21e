"""Machines that a hypervisor stops with their clocks, while the others go on, and die."""

import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Node, environment, wait_for_log
from networks import Networks, NotPermittedError
from talking import Person, until

NewCluster = Callable[..., Cluster]
POSITIONS = ("head", "middle", "tail")
SUSPECT_AFTER = 0.5


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, skip_or_fail: Callable[[str], None]) -> Path:
    """What tells a process that its clocks stood still."""
    compiler = shutil.which("cc")
    if compiler is None:
        skip_or_fail("there is no C compiler")
        raise AssertionError
    made = tmp_path_factory.mktemp("library") / "stopped_clock.so"
    source = Path(__file__).with_suffix("").with_name("stopped_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    """A machine for every node, shared by the tests: to remove one takes the kernel long."""
    try:
        made = Networks(POSITIONS)
    except (FileNotFoundError, NotPermittedError) as error:
        pytest.skip(str(error))
    with made:
        yield made


def set_back(path: Path, timeouts: float, wall: float) -> None:
    """For so many seconds the clocks that this file drives have stood still."""
    with path.open("r+b") as file:
        file.write(struct.pack("dd", timeouts, wall))


def clocks(path: Path, library: Path) -> dict[str, str]:
    """What a process needs to follow the clocks that this file drives."""
    path.write_bytes(struct.pack("dd", 0.0, 0.0))
    return {"LD_PRELOAD": str(library), "CLOCKS": str(path)}


TOLD = """
import time
print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
"""


def test_the_library_stops_the_clocks_that_it_is_told_to(library: Path, tmp_path: Path) -> None:
    changes = clocks(tmp_path / "clock", library)
    for timeouts, wall in ((0.0, 0.0), (1000.0, 0.0), (1000.0, 1000.0)):
        set_back(tmp_path / "clock", timeouts, wall)
        told = subprocess.check_output(
            [sys.executable, "-c", TOLD], env=environment(**changes), text=True
        )
        today, monotonic, since_boot = map(float, told.split())
        assert abs(time.time() - today - wall) < 60
        assert abs(time.monotonic() - monotonic - timeouts) < 60
        assert abs(time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot - timeouts) < 60


def texts(node: Node) -> list[str]:
    """What was said, as a node shows it."""
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
    cluster = new_cluster(POSITIONS, suspect_after=SUSPECT_AFTER, networks=networks)
    ini = cluster.folder / "chain.ini"
    ini.write_text(ini.read_text().replace("[clients]", f"refusal-is-death = {setting}\n[clients]"))
    head, middle = cluster["head"], cluster["middle"]
    head.environment = clocks(cluster.folder / "clock", library)
    cluster.start()
    head.pause()
    stopped_at = time.monotonic()
    networks.silence("head")
    assert cluster.members("middle", "tail") == ["middle", "tail"]
    with Person(middle.address, "alice") as alice:
        for number in range(3):
            assert alice.ask(f"confirmed {number}").startswith("+OK ")
    cluster.kill("middle", "tail")
    stopped = time.monotonic() - stopped_at
    set_back(cluster.folder / "clock", stopped, stopped if wall_stops else 0.0)
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
