"""Two releases in one chain: of the same protocol they go together, of another they refuse."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from cluster import SOURCES, Cluster, Node, refusal, wait_for_log
from conftest import NewCluster
from faulty_disks import FaultyDisk
from talking import Person, until

from chainchat.peers.hello import OLDEST_VERSION, PROTOCOL_VERSION


def other_release(folder: Path, newest: int, oldest: int) -> Path:
    """The sources of a release that speaks these versions of the protocol between nodes."""
    shutil.copytree(SOURCES / "chainchat", folder / "chainchat")
    plugins = Path("twisted", "plugins")
    (folder / plugins).mkdir(parents=True)
    shutil.copy(SOURCES / plugins / "chainchat_plugin.py", folder / plugins)
    hello = folder / "chainchat" / "peers" / "hello.py"
    text = hello.read_text()
    text = re.sub(r"PROTOCOL_VERSION = \d+", f"PROTOCOL_VERSION = {newest}", text)
    text = re.sub(r"OLDEST_VERSION = \d+", f"OLDEST_VERSION = {oldest}", text)
    hello.write_text(text)
    return folder


def restart_as(node: Node, release: Path) -> None:
    node.stop()
    node.environment["PYTHONPATH"] = str(release)
    node.start()


def say(node: Node, text: str) -> None:
    with Person(node.address, "alice") as person:
        person.ask(text)
        person.ask("/logout")


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    return new_cluster().start()


def test_another_protocol_is_refused_in_words_at_both_ends_and_the_chain_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    newer = PROTOCOL_VERSION + 1
    tail = cluster["tail"]
    restart_as(tail, other_release(tmp_path, newer, newer))
    ours = f"{OLDEST_VERSION} to {PROTOCOL_VERSION}"
    objection = f"it speaks protocol version {newer}, not {ours}"
    back = f"it speaks protocol version {ours}, not {newer}"
    wait_for_log(cluster["head"], f" refuses this node: tail: {back}")
    wait_for_log(tail, f" refused: {back}")
    cluster.wait_until_it_serves("head", "middle")
    say(cluster["middle"], "without it")
    until(lambda: "-ERR 421 " in refusal(tail), lambda: refusal(tail))
    wait_for_log(tail, f" refuses this node: head: {objection}")
    assert f" refused: {objection}" in cluster["head"].log_text()
    tail.stop()
    del tail.environment["PYTHONPATH"]
    tail.start()
    assert cluster.members() == ["head", "middle", "tail"]
    say(tail, "with it again")
    cluster.stop()


def take_their_places(cluster: Cluster, release: Path) -> None:
    """Restart each node as another release, and let everybody write in between."""
    for node in list(cluster.nodes.values()):
        restart_as(node, release)
        cluster.wait_until_it_serves()
        for other in cluster.nodes.values():
            say(other, f"at {other}, after {node}")
    with Person(cluster["head"].address, "alice") as person:
        said = [line for line in person.listed("/last 20") if "alice: at" in line]
        assert [line.partition(": ")[2] for line in said] == [
            f"at {other}, after {node}" for node in cluster.nodes for other in cluster.nodes
        ]
        person.ask("/logout")


def test_a_newer_release_that_speaks_this_protocol_too_takes_its_place_one_after_another(
    cluster: Cluster, tmp_path: Path
) -> None:
    take_their_places(cluster, other_release(tmp_path, PROTOCOL_VERSION + 1, PROTOCOL_VERSION))
    restart_as(cluster["tail"], SOURCES)  # the way back
    assert cluster.wait_until_it_serves()["members"] == "head,middle,tail"
    cluster.stop()


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The last sources that spoke no protocol but the oldest one, from the history."""
    said = f"PROTOCOL_VERSION = {OLDEST_VERSION}"
    git = ["git", "-C", str(SOURCES)]
    log = [*git, "log", "-1", "--format=%H", f"-S{said}", "--", "chainchat/peers/hello.py"]
    try:
        changed = subprocess.run(log, capture_output=True, text=True, check=True).stdout.strip()
        archive = [*git, "archive", f"{changed}^", "chainchat", "twisted"]
        archived = subprocess.run(archive, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the history of the sources is not here")
    folder = tmp_path / "older"
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archived, check=True)
    assert f"{said}\n" in (folder / "chainchat" / "peers" / "hello.py").read_text()
    return folder


@pytest.mark.skipif(OLDEST_VERSION == PROTOCOL_VERSION, reason="no older protocol is spoken")
def test_this_release_takes_the_place_of_one_that_spoke_only_the_oldest_protocol(
    new_cluster: NewCluster, older: Path
) -> None:
    cluster = new_cluster()
    for node in cluster.nodes.values():
        node.environment["PYTHONPATH"] = str(older)
    cluster.start()
    take_their_places(cluster, SOURCES)
    tail = cluster["tail"]  # the way back, which an older schema may not have
    tail.stop()
    shutil.rmtree(tail.data)
    tail.environment["PYTHONPATH"] = str(older)
    tail.start()
    assert cluster.wait_until_it_serves()["members"] == "head,middle,tail"
    say(tail, "as before")
    cluster.stop()


SYNC_SECONDS = 1.5


@pytest.mark.skipif(OLDEST_VERSION == PROTOCOL_VERSION, reason="no older protocol is spoken")
@pytest.mark.parametrize("position", ["head", "middle"])
def test_the_oldest_protocol_hears_of_nothing_that_a_disk_before_has_not_synced(
    new_cluster: NewCluster,
    older: Path,
    library: Path,
    tmp_path: Path,
    position: str,
) -> None:
    """A tail of that protocol takes all that it gets for synced, and confirms it."""
    cluster = new_cluster(suspect_after=20.0)
    disk = FaultyDisk(cluster[position], library, tmp_path)
    tail = cluster["tail"]
    tail.environment["PYTHONPATH"] = str(older)
    cluster.start()
    assert cluster.members() == ["head", "middle", "tail"]
    with Person(tail.address, "bob") as bob, Person(cluster["middle"].address, "alice") as alice:
        disk.is_slow(round(SYNC_SECONDS * 1000))
        said = time.monotonic()
        alice.say("hello")
        bob.hear("alice: hello")
        assert time.monotonic() - said >= SYNC_SECONDS
        disk.is_well()
    cluster.stop()
