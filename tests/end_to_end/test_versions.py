"""Two releases in one chain: of the same protocol they go together, of another they refuse."""

import re
import shutil
from pathlib import Path

import pytest
from cluster import SOURCES, Cluster, Node, refusal, wait_for_log
from conftest import NewCluster
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


@pytest.mark.parametrize("newest", [PROTOCOL_VERSION, PROTOCOL_VERSION + 1])
def test_a_release_that_speaks_this_protocol_too_takes_its_place_one_after_another(
    cluster: Cluster, tmp_path: Path, newest: int
) -> None:
    release = other_release(tmp_path, newest, PROTOCOL_VERSION)
    for node in cluster.nodes.values():
        restart_as(node, release)
        cluster.wait_until_it_serves()
        say(node, f"from {node}")
    with Person(cluster["head"].address, "alice") as person:
        said = [line for line in person.listed("/last 10") if "alice: from" in line]
        assert [line.rpartition(" ")[2] for line in said] == list(cluster.nodes)
        person.ask("/logout")
    restart_as(cluster["tail"], SOURCES)  # the way back
    assert cluster.wait_until_it_serves()["members"] == "head,middle,tail"
    cluster.stop()
