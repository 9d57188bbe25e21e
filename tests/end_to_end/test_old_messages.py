"""Old messages go while people write; who was away, or has lost its disk, copies a checkpoint."""

import json
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Self

from cluster import Cluster, Node, wait_for_log
from commands import ctl, told
from faulty_disks import LOG, FaultyDisk
from talking import Program, until

from chainchat.network.addresses import host_port

NewCluster = Callable[..., Cluster]

KEEP = "[storage]\nkeep = 10 MB\n"
STORAGE = f"{KEEP}keep-unread = no\n"

AT_ONCE = 64
"""Messages that are said in one piece."""

LINE = "x" * 900
"""10 MB, the least that can be kept, are some ten thousand of these."""

MUCH = 30_000
"""Messages: three times as many."""

MOST_FILES = 24_000_000
"""Octets of a node's data when old messages are gone, with the write-ahead log and free pages."""

SLOW = 300
"""Milliseconds that a sync takes longer: a copy of a checkpoint needs several, and is seen."""


class Writer(Thread):
    """A program that says one line after another, from ``with`` on.

    Attributes:
        ids: of what was acknowledged, in order.
        pace: seconds between two pieces.
    """

    def __init__(self, node: Node, name: str) -> None:
        super().__init__()
        self._program = Program(node.address, name, name)
        self._over = Event()
        self.pace = 0.0
        self.ids: list[int] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._program.close()

    def run(self) -> None:
        numbers = count(1)
        while not self._over.wait(self.pace):
            sends = [f"SEND {next(numbers)} * :{LINE}" for _ in range(AT_ONCE)]
            self.ids += [int(reply.rpartition("id=")[2]) for reply in self._program.ask_all(sends)]


def says(writer: Writer, count: int) -> None:
    """Wait for so many answers: on a slow disk they take their time, and come."""
    for goal in range(1_000, count + 1, 1_000):
        until(lambda goal=goal: len(writer.ids) >= goal, lambda: f"{len(writer.ids)} said")


def octets(node: Node) -> int:
    return sum(path.stat().st_size for path in node.data.glob("chainchat.sqlite*"))


def beginning(node: Node) -> int:
    """The number of the first entry in a node's log."""
    return rows(node, "SELECT coalesce((SELECT seq FROM beginning), 0)") + 1


def copying(node: Node) -> bool:
    """Whether the node has begun to copy a checkpoint, which does not replace its data yet."""
    return rows(node, "SELECT count(*) FROM staged") > 0


def rows(node: Node, query: str) -> int:
    """A number in a node's data; 0 while the data are not there."""
    uri = f"{(node.data / 'chainchat.sqlite').as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as database:
        return int(database.execute(query).fetchone()[0])
    return 0


def dies_during_the_copy(victim: Node, learner: Node, disk: FaultyDisk) -> None:
    """Start a learner, on this disk, and kill the victim while a checkpoint is copied."""

    def stands_still_while_it_copies() -> bool:
        if copying(learner):
            learner.pause()
            if copying(learner):
                return True
            learner.resume()  # too late
        return False

    disk.is_slow(SLOW, LOG)
    learner.start()
    until(stands_still_while_it_copies, lambda: f"{learner} copies no checkpoint")
    victim.kill()
    assert copying(learner)
    disk.is_well()
    learner.resume()


def ends_agree(cluster: Cluster) -> None:
    """Wait until all nodes hold the same newest entry, whose digest names all before it."""
    ends: set[tuple[int, str]] = set()

    def agree() -> bool:
        ends.clear()
        for node in cluster.nodes.values():
            [found] = told(cluster, "inspect", node.data)
            ends.add((found["end"], found["digest"]))
        return len(ends) == 1

    until(agree, lambda: f"the logs end differently: {ends}")


def test_old_messages_go_under_writing_and_who_lacks_them_copies_a_checkpoint(
    new_cluster: NewCluster, library: Path, tmp_path: Path
) -> None:
    cluster = new_cluster()
    head, middle, tail = cluster.nodes.values()
    disk = FaultyDisk(tail, library, tmp_path)
    cluster.start()
    with Writer(head, "early") as early:
        says(early, 1_000)
        cluster.kill("tail")
        away = rows(tail, "SELECT max(last) FROM log")
        says(early, MUCH)
    cluster.stop()
    assert octets(middle) > MOST_FILES
    head.config.write_text(head.config.read_text() + STORAGE)
    cluster.start("head", "middle")
    with Writer(head, "late") as writer:
        writer.pace = 0.05
        for node in (head, middle):
            until(lambda at=node: beginning(at) > away, lambda at=node: f"{at} removes nothing")
            until(lambda at=node: octets(at) < MOST_FILES, lambda at=node: f"{octets(at)} at {at}")

        # Who was away for longer than the log reaches, and dies while it copies.
        dies_during_the_copy(tail, tail, disk)
        tail.start()
        assert sorted(cluster.members()) == ["head", "middle", "tail"]  # the last to stop may lead
        assert "nobody can tell any more whether the two were one" in tail.log_text()

        # An empty disk, whose lender dies in the middle of it.
        cluster.kill("tail")
        cluster.wait_until_it_serves("head", "middle")
        disk.is_another()
        dies_during_the_copy(middle, tail, disk)
        assert sorted(cluster.members()) == ["head", "tail"]
        cluster.bring_back("middle")
        [made] = told(cluster, "-p", "tail", "backup", tmp_path / "backup.sqlite")
        assert made
    said = early.ids + writer.ids
    assert said == sorted(set(said))

    def all_that_is_kept_is_shown() -> bool:  # not while more of it goes
        with Program(tail.address, "reader", "reader") as reader:
            kept = [push.message.id for push in reader.since("SINCE 0")]
            note = reader.note("removed")
            reader.ask("LOGOUT")
        before = int(note.words["before"])
        assert note.text == f"messages before {before} were removed to make room"
        return kept == [id_ for id_ in said if id_ >= before]

    until(all_that_is_kept_is_shown, lambda: "some of what is kept is not shown")
    ends_agree(cluster)
    cluster.stop()
    for data in (tail.data, tmp_path / "backup.sqlite"):
        assert told(cluster, "inspect", data)[0]["begin"] > away
        lines = ctl(cluster, "export", data).stdout.splitlines()
        exported = [json.loads(line)["id"] for line in lines]
        assert exported == [id_ for id_ in said if exported[0] <= id_ <= exported[-1]]
        assert exported[0] > away


def test_who_keeps_old_messages_is_told_the_operator_alone(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",), sections=KEEP, web=True).start()
    node = cluster["only"]

    def kept() -> dict[str, object] | None:
        [report] = told(cluster, "status")
        return report["kept_unread"]

    assert kept() is None
    with Program(node.address, "reader", "reader"), Writer(node, "sends-only") as writer:
        says(writer, MUCH)
        until(kept, lambda: "nothing is to go")
    found = kept()
    assert found is not None
    who, after, since = found["account"], found["after"], found["since"]
    assert who in ("sends-only", "reader")  # neither has said that it saw anything
    said = f"old messages stay: {who} has seen none after {after}, since {since}"
    wait_for_log(node, f"only: {said}; delete the account, or set keep-unread = no")
    shown = ctl(cluster, "status")
    assert (shown.returncode, said in shown.stdout.splitlines()) == (0, True), shown

    def fetched(path: str) -> str:
        with urllib.request.urlopen(
            f"http://{host_port(node.host, node.web_port)}{path}", timeout=5
        ) as answer:
            return str(answer.read().decode())

    assert json.loads(fetched("/status.json"))["kept_unread"]["account"] == ""
    for path in ("/", "/status.json", "/metrics"):
        assert str(who) not in fetched(path)
    cluster.stop()
