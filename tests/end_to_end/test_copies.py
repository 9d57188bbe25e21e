"""Copies of a member's disk, older disks, and whatever else passes for a member and is none."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Node, copy_data, wait_for_log, waits_for
from conftest import NewCluster
from copies import copy_of
from networks import Networks
from talking import DEADLINE, Person

POSITIONS = ("head", "middle", "tail")

ALARM = "ALARM: "

COPIED = "has a copy of the data of {}"

CALM = 2.0
"""Seconds for which nothing may happen."""


@pytest.fixture
def networks(machines: Callable[..., Networks]) -> Networks:
    """A machine for every node, and one more for a copy."""
    return machines(*POSITIONS, "copy")


def alarms(node: Node, text: str) -> list[str]:
    return [line for line in node.log_text().splitlines() if ALARM in line and text in line]


def say(node: Node, text: str) -> None:
    with Person(node.address, "alice") as person:
        person.ask(text)
        person.ask("/logout")


@pytest.mark.parametrize("position", POSITIONS)
def test_a_copied_disk_that_starts_with_the_others_is_an_alarm_and_no_member(
    new_cluster: NewCluster, tmp_path: Path, position: str
) -> None:
    cluster = new_cluster().start()
    say(cluster["tail"], "before")
    epoch = cluster.epoch
    cluster.kill()
    copy = copy_of(cluster, position, tmp_path)
    copy.start()
    others = cluster.others(position)
    for node in others:
        node.start()
    try:
        said = COPIED.format(position)
        # Of the two that meet it, it dials one or two; all that do not dial it see nothing of it.
        wait_for_log(copy, f"{ALARM}")
        assert alarms(copy, said)
        assert any(alarms(node, said) for node in others)
        for node in others:
            assert node.chain() is None
            assert "resumed" not in node.log_text()
        cluster[position].start()
        assert sorted(cluster.members()) == sorted(POSITIONS)
        assert cluster.epoch == epoch + 1  # one resume, and nobody was left out
        assert "serving in" not in copy.log_text()
        say(cluster[position], "after")
    finally:
        copy.kill()
    cluster.stop()


def test_a_copy_that_starts_while_its_original_serves_takes_nobodys_place(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster().start()
    cluster.kill()
    copies = [copy_of(cluster, p, tmp_path / p) for p in POSITIONS if not (tmp_path / p).mkdir()]
    cluster.start()
    epoch, members = cluster.epoch, cluster.members()
    for copy in copies:
        copy.start()
    try:
        for copy in copies:
            wait_for_log(copy, COPIED.format(copy.position))
            assert alarms(copy, COPIED.format(copy.position))
        end = time.monotonic() + CALM
        while time.monotonic() < end:
            say(cluster["middle"], "still here")
        assert cluster.epoch == epoch
        assert cluster.members() == members
        for node in cluster.nodes.values():
            assert ": lost " not in node.log_text().partition(f"serving in epoch {epoch}")[2]
    finally:
        for copy in copies:
            copy.kill()
    cluster.stop()


def test_no_resume_takes_a_copy_while_the_member_goes_on_alone(
    networks: Networks, new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(POSITIONS, suspect_after=0.5, networks=networks).start()
    cluster.kill()
    copy = copy_of(cluster, "head", tmp_path, networks.hosts["copy"])
    copy.launcher = networks.launcher("copy")
    cluster.start()
    cluster.kill("middle", "tail")
    assert cluster.members() == ["head"]
    say(cluster["head"], "alone")
    epoch = cluster.epoch
    networks.silence("head")
    copy.start()
    for position in ("middle", "tail"):
        cluster[position].start()
    try:
        said = COPIED.format("head")
        for position in ("middle", "tail"):
            wait_for_log(cluster[position], said)
            assert alarms(cluster[position], said)
            waits_for(cluster[position], "head")
        wait_for_log(copy, said)
        assert alarms(copy, said)
        time.sleep(CALM)  # nothing may happen in it
        assert copy.chain() is None
        assert "resumed" not in copy.log_text()
        words = cluster["head"].chain(DEADLINE)
        assert words is not None
        assert (int(words["epoch"]), words["members"]) == (epoch, "head")
        networks.heal()
        assert cluster.members()[0] == "head"
        say(cluster["tail"], "together")
        with Person(cluster["tail"].address, "alice") as person:
            assert any("alone" in line for line in person.listed("/last 10"))
            person.ask("/logout")
    finally:
        copy.kill()
    cluster.stop()


def test_a_disk_that_was_set_back_takes_no_part_and_both_sides_say_so(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster().start()
    cluster.kill()
    older = tmp_path / "older"
    copy_data(cluster["tail"].data, older)
    cluster.start()  # resumed, in epoch 2: the older disk knows of epoch 1
    cluster.kill("head")
    assert sorted(cluster.members()) == ["middle", "tail"]  # epoch 3, or a later one
    say(cluster["tail"], "only here")
    cluster.kill()
    newest = tmp_path / "newest"
    shutil.move(cluster["tail"].data, newest)
    copy_data(older, cluster["tail"].data)
    for position in ("middle", "tail"):
        cluster[position].start()
    wait_for_log(cluster["tail"], "ALARM: epoch ")
    assert alarms(cluster["tail"], "has a vote of this node that is not on its disk")
    wait_for_log(cluster["middle"], "ALARM: tail was set back to an older disk")
    assert cluster["middle"].chain() is None
    assert cluster["tail"].chain() is None
    cluster["tail"].stop()
    shutil.rmtree(cluster["tail"].data)
    shutil.move(newest, cluster["tail"].data)
    cluster["tail"].start()
    assert sorted(cluster.members()) == ["middle", "tail"]
    with Person(cluster["tail"].address, "bob") as person:
        assert any("only here" in line for line in person.listed("/last 10"))
        person.ask("/logout")
    cluster.stop()
