"""Wall clocks that are set while the nodes serve: the times of messages follow, nothing else."""

import itertools
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from cluster import Cluster, Node, environment, wait_for_log
from load import UNANSWERED, Load, settle
from talking import Person, Program, until

NewCluster = Callable[..., Cluster]
POSITIONS = ("head", "middle", "tail")

HOUR = 3_600
"""Seconds; clocks are set by so much."""

NEAR = 60
"""Seconds that a test takes at most: two times that differ by less are the same here."""

AHEAD = 60
"""Seconds that the time of a message may be ahead of what most clocks show."""

SUSPECT_AFTER = 2.0
"""Seconds, as in chain.ini."""

PROGRAMS = 4
PAUSE = 0.2
"""Seconds that a program waits after each answer, so that its texts take time."""

SAID = 40
"""Texts that have to be acknowledged between two events."""

OUTLIVES_PINGS = 4 * SAID
"""Texts that take more than a tenth of ``suspect-after``: nodes have told each other the time."""

OUTLIVES_SUSPICION = int(PROGRAMS * UNANSWERED * 1.5 * SUSPECT_AFTER / PAUSE)
"""Texts that take more than ``suspect-after``: who stands still meanwhile is found silent."""


# --- clocks that can be set


@pytest.fixture(scope="module")
def library(skip_or_fail: Callable[[str], None]) -> Path:
    """What tells a process another time than it is: libfaketime."""
    places = ("lib/*/faketime", "lib/faketime", "lib64/faketime")
    found = [
        path
        for place in places
        for root in ("/usr", "/usr/local")
        for path in Path(root).glob(f"{place}/libfaketime.so.1")
    ]
    if not found:
        skip_or_fail("faketime is not installed")
    return found[0]


@pytest.fixture
def shared_memory() -> Iterator[None]:
    """Removes what the library leaves behind in shared memory for processes that are killed."""

    def all_of_it() -> set[Path]:
        return set(Path("/dev/shm").glob("*faketime_s*_*"))

    before = all_of_it()
    yield
    for path in all_of_it() - before:
        if not Path("/proc", path.name.rpartition("_")[2]).exists():
            path.unlink()


def set_clock(path: Path, ahead: int) -> None:
    """Let the clock that this file drives be so many seconds ahead of the true time."""
    written = path.with_suffix(".new")
    written.write_text(f"{ahead:+d}\n")
    written.replace(path)


def clock_environment(path: Path, library: Path) -> dict[str, str]:
    """What a process needs to follow a clock of its own: true, until ``set_clock`` sets it."""
    set_clock(path, 0)
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(path),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture
def cluster(shared_memory: None, library: Path, new_cluster: NewCluster) -> Cluster:
    """A chain that runs, each node of which has a wall clock of its own."""
    made = new_cluster(suspect_after=SUSPECT_AFTER)
    for node in made.nodes.values():
        node.environment = clock_environment(clock_file(node), library)
    return made.start()


def clock_file(node: Node) -> Path:
    return node.log.with_suffix(".clock")


def set_clocks(cluster: Cluster, positions: Iterable[str], ahead: int) -> None:
    for position in positions:
        set_clock(clock_file(cluster[position]), ahead)


CLOCKS = """
import time
print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
"""


def test_the_library_sets_the_wall_clock_and_no_other(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "clock"
    changes = clock_environment(path, library)
    for ahead in (0, HOUR, -HOUR):
        set_clock(path, ahead)
        told = subprocess.check_output(
            [sys.executable, "-c", CLOCKS], env=environment(**changes), text=True
        )
        wall, monotonic, since_boot = map(float, told.split())
        assert abs(wall - time.time() - ahead) < NEAR
        assert abs(monotonic - time.monotonic()) < NEAR
        assert abs(since_boot - time.clock_gettime(time.CLOCK_BOOTTIME)) < NEAR


# --- what is seen of it


def times(cluster: Cluster) -> list[float]:
    """The times of all messages, in their order, at every node the same."""
    found = []
    for node in cluster.running:
        with Program(node.address, "test", "reader") as reader:
            messages = [push.message for push in reader.since("SINCE 0")]
            found.append([datetime.fromisoformat(each.time).timestamp() for each in messages])
            assert reader.ask("LOGOUT").startswith("+OK")
    shortest = min(map(len, found))
    assert all(each[:shortest] == found[0][:shortest] for each in found)
    assert all(earlier <= later for earlier, later in pairwise(found[-1]))
    return found[-1]


def chain_says(node: Node, pattern: str) -> int:
    """What a node says of seconds in ``/chain``, in hours; 0 if it says nothing like it."""
    with Person(node.address) as person:
        lines = "\n".join(person.listed("/chain"))
    found = re.search(pattern, lines)
    return round(int(found[1]) / HOUR) if found else 0


def all_behind(cluster: Cluster) -> dict[str, int]:
    """By how many hours each node says that its clock is behind the messages."""
    pattern = r"this machine's clock is (\d+)\.\d s behind the messages"
    return {node.position: chain_says(node, pattern) for node in cluster.running}


def odd(cluster: Cluster) -> dict[str, int]:
    """By how many hours each node says that its clock is not what the others' are."""
    pattern = r"this machine's clock is (\d+)\.\d s (?:ahead of|behind) those of the others"
    return {node.position: chain_says(node, pattern) for node in cluster.running}


NOBODY = dict.fromkeys(POSITIONS, 0)


def no_change_since(logged: dict[Node, int]) -> None:
    """Since their logs were so long, nobody was left out, and nobody waited."""
    for node, octets in logged.items():
        since = node.log_text()[octets:]
        assert "epoch 2" not in since
        assert "cannot confirm" not in since


@pytest.mark.parametrize("who", [("head",), ("middle",), ("tail",)], ids="-".join)
def test_a_clock_that_is_set_disturbs_nobody_and_no_message_follows_it_far(
    cluster: Cluster, who: tuple[str, ...]
) -> None:
    [position] = who
    with Load(list(cluster.nodes.values()), PROGRAMS, pause=PAUSE) as load:
        load.wait_for(SAID)
        logged = {node: len(node.log_text()) for node in cluster.nodes.values()}
        set_clocks(cluster, who, 2 * HOUR)
        wait_for_log(cluster[position], "s ahead of those of the others")
        load.wait_for(SAID)
        before = times(cluster)
        assert abs(before[-1] - time.time()) < AHEAD + NEAR
        assert odd(cluster) == {**NOBODY, position: 2}
        set_clocks(cluster, who, -HOUR)
        load.wait_for(OUTLIVES_SUSPICION)
        assert odd(cluster) == {**NOBODY, position: 1}
        after = times(cluster)
        assert after[: len(before)] == before
        assert abs(after[-1] - time.time()) < AHEAD + NEAR
        set_clocks(cluster, who, 0)
        wait_for_log(cluster[position], "this machine's clock agrees with those of the others")
        load.wait_for(SAID)
        assert odd(cluster) == NOBODY
        no_change_since(logged)
        records = settle(cluster, load)
    assert max(record.longest_wait for record in records) < SUSPECT_AFTER


def test_messages_have_the_time_that_most_clocks_show(cluster: Cluster) -> None:
    with Load(list(cluster.nodes.values()), PROGRAMS, pause=PAUSE) as load:
        load.wait_for(SAID)
        logged = {node: len(node.log_text()) for node in cluster.nodes.values()}
        set_clocks(cluster, POSITIONS, HOUR)
        load.wait_for(OUTLIVES_PINGS)
        before = times(cluster)
        assert abs(before[-1] - time.time() - HOUR) < NEAR
        set_clocks(cluster, POSITIONS, 0)
        load.wait_for(OUTLIVES_SUSPICION)
        after = times(cluster)
        assert after[: len(before)] == before
        assert after[-1] == after[-SAID]  # they stand still
        assert all_behind(cluster) == dict.fromkeys(POSITIONS, 1)
        assert odd(cluster) == NOBODY
        no_change_since(logged)
        settle(cluster, load)


def test_a_new_head_waits_until_its_clock_has_passed_the_messages(cluster: Cluster) -> None:
    with Load(list(cluster.nodes.values()), PROGRAMS, pause=PAUSE) as load:
        set_clocks(cluster, POSITIONS, HOUR)
        load.wait_for(OUTLIVES_PINGS)
        set_clocks(cluster, ("middle", "tail"), 0)
        cluster.kill("head")
        assert cluster.members() == ["middle", "tail"]
        load.wait_for(SAID)  # behind all that the old head had numbered
        before = times(cluster)
        load.wait_for(SAID)
        assert times(cluster)[-1] == before[-1]
        assert abs(before[-1] - time.time() - HOUR) < NEAR
        assert all_behind(cluster) == {"middle": 1, "tail": 1}
        set_clocks(cluster, ("middle",), 2 * HOUR)
        load.wait_for(OUTLIVES_PINGS)
        assert times(cluster)[-1] == before[-1]  # of two that differ, the earlier counts
        cluster.kill("tail")
        load.wait_for(OUTLIVES_PINGS)
        assert abs(times(cluster)[-1] - time.time() - 2 * HOUR) < NEAR  # its own, of one
        settle(cluster, load)


def test_times_do_not_go_back_when_all_restart_with_earlier_clocks(cluster: Cluster) -> None:
    with Load(list(cluster.nodes.values()), PROGRAMS, pause=PAUSE) as load:
        load.wait_for(SAID)
        before = times(cluster)
        cluster.kill()
        set_clocks(cluster, POSITIONS, -HOUR)
        cluster.start()
        load.wait_for(SAID)
        after = times(cluster)
        assert after[: len(before)] == before
        assert after[-1] - before[-1] < NEAR
        assert all_behind(cluster) == dict.fromkeys(POSITIONS, 1)
        settle(cluster, load)


MONTH = 40 * 24 * HOUR
"""Longer than a month."""


def test_no_step_of_the_clocks_makes_a_send_be_said_again(cluster: Cluster) -> None:
    with Program(cluster["head"].address, "bot", "alice") as alice:
        first = alice.ask("SEND 1 * :once")
        alice.ask("LOGOUT")
    set_clocks(cluster, POSITIONS, MONTH)
    numbers = itertools.count(1)

    def is_a_month_later() -> bool:
        with Program(cluster["tail"].address, "clock", "bob") as bob:
            assert bob.ask(f"SEND {next(numbers)} * :tick").startswith("+OK id=")
            bob.ask("LOGOUT")
        return abs(times(cluster)[-1] - time.time() - MONTH) < NEAR

    until(is_a_month_later, lambda: "no message has the time that all clocks show")
    for position in POSITIONS:
        with Program(cluster[position].address, "bot", "alice") as alice:
            assert alice.ask("SEND 1 * :once") == f"{first} again"
            alice.ask("LOGOUT")
