"""Syncs that fail or take long, and what is not on the disk because of that.

The disks are ``faulty_disks``: what was not synced, or not with success, is gone when the power is.
"""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Node, environment
from disks import Witness, fails, is_refused
from faulty_disks import DATABASE, LOG, FaultyDisk
from load import Load, settle
from talking import Program

from chainchat.storage.sqlite import SQLiteStorage

NewCluster = Callable[..., Cluster]
POSITIONS = ("head", "middle", "tail")

SAID = 40
"""Texts that have to be acknowledged between two events."""


@pytest.mark.parametrize("position", POSITIONS)
def test_a_disk_that_does_not_sync(
    new_cluster: NewCluster, library: Path, tmp_path: Path, position: str
) -> None:
    cluster = new_cluster()
    node = cluster[position]
    disk = FaultyDisk(node, library, tmp_path)
    cluster.start()
    with Load(list(cluster.nodes.values()), 8) as load:
        load.wait_for(SAID)
        witness = Witness(node)
        disk.fails()
        fails(node, "Input/output error")
        disk.loses_power()
        witness.was_told_the_truth(tmp_path / "kept")
        assert cluster.members() == [other.position for other in cluster.others(position)]
        load.wait_for(SAID)
        is_refused(node, f"{node.data}: Input/output error")
        disk.fails(DATABASE)
        is_refused(node, f"{node.data}/{DATABASE}: Input/output error")
        disk.is_well()
        cluster.bring_back(position)
        load.wait_for(SAID)
        settle(cluster, load)


@contextlib.contextmanager
def reading(node: Node) -> Iterator[None]:
    """Read a node's database all the time, as a backup tool may."""
    connection = sqlite3.connect(node.data / DATABASE, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM log").fetchone()
        yield


class Alone:
    """A chain of one node: nobody else can give it back what it has lost."""

    def __init__(self, new_cluster: NewCluster, library: Path, folder: Path) -> None:
        self.cluster = new_cluster(("only",))
        self.node = self.cluster["only"]
        self.disk = FaultyDisk(self.node, library, folder)
        self.cluster.start()
        self.told: dict[str, str] = {}
        """The ids of what was acknowledged, by text."""

    def says(self, *texts: str) -> None:
        """Say these, or say them again: the number of a text is in it."""
        with Program(self.node.address, "test", "alice") as alice:
            for text in texts:
                self.told[text] = alice.words(f"SEND {text.split()[1]} * :{text}")["id"]

    def fails_to_say(self, text: str) -> None:
        """Say this; the sync of it fails, and the node ends without an answer."""
        with Program(self.node.address, "test", "alice") as alice:
            self.disk.fails(LOG, count=1)
            alice.say(f"@1 SEND {text.split()[1]} * :{text}")
            fails(self.node, "Input/output error")
            assert not [line for line in alice.end() if line.startswith("+OK")]

    def comes_back(self) -> None:
        """Start it again; the disk is well."""
        self.disk.is_well()
        self.cluster.start()

    def holds_what_it_told(self) -> None:
        """After the power was lost: whatever was acknowledged is there, under its id."""
        self.disk.loses_power()
        self.cluster.start()
        with Program(self.node.address, "test", "bob") as bob:
            found = {push.message.text: str(push.message.id) for push in bob.since("SINCE 0")}
        assert self.told.items() <= found.items()
        assert len(found) <= len(self.told) + 1  # one may have had no answer


@pytest.mark.parametrize("reader", [False, True], ids=["", "with a reader"])
def test_what_a_failed_sync_has_lost_is_written_again_before_it_is_believed(
    new_cluster: NewCluster, library: Path, tmp_path: Path, *, reader: bool
) -> None:
    alone = Alone(new_cluster, library, tmp_path)
    alone.says("text 1", "text 2")
    alone.fails_to_say("text 3")
    with contextlib.ExitStack() as stack:
        if reader:  # SQLite does not copy the write-ahead log away when a file is closed
            stack.enter_context(reading(alone.node))
        alone.comes_back()
        alone.says("text 3", "text 4")
    alone.holds_what_it_told()


def test_an_error_while_the_log_is_copied_stops_the_node_and_loses_nothing(
    new_cluster: NewCluster, library: Path, tmp_path: Path
) -> None:
    alone = Alone(new_cluster, library, tmp_path)
    alone.disk.fails(DATABASE, count=1)
    with contextlib.suppress(AssertionError, OSError):  # the end
        alone.says(*(f"text {number} {'x' * 900}" for number in range(1, 10_000)))
    fails(alone.node, "disk I/O error")
    alone.comes_back()
    alone.holds_what_it_told()


def test_slow_disks_only_make_a_chain_slow(
    new_cluster: NewCluster, library: Path, tmp_path: Path
) -> None:
    cluster = new_cluster()
    disks = [FaultyDisk(node, library, tmp_path) for node in cluster.nodes.values()]
    cluster.start()
    with Load(list(cluster.nodes.values()), 4) as load:
        load.wait_for(SAID)
        for disk, milliseconds in zip(disks, (20, 150, 60), strict=True):
            disk.is_slow(milliseconds)
        load.wait_for(SAID)
        assert cluster.epoch == 1
        settle(cluster, load)


PARTLY_COPIED = """
import sqlite3, sys
from pathlib import Path
from chainchat.chain.entries import Entry
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import DATABASE, SQLiteStorage

data, control = map(Path, sys.argv[1:])
storage = SQLiteStorage(data)

def append(count):
    for _ in range(count):
        seq = storage.last.seq + 1
        storage.append([Entry(seq, 1, "id.1", seq, 0, b"x" * 4_000)])
        storage.sync()

append(400)
reader = sqlite3.connect(data / DATABASE, isolation_level=None)
reader.execute("BEGIN")
reader.execute("SELECT count(*) FROM log").fetchone()
append(400)
storage.care()  # copies what the reader has seen; there is no sync yet
reader.close()
control.write_text(f"FAIL 1 1 0 {DATABASE}\\n")
try:
    while True:
        append(1)
        storage.care()
except StorageError as error:
    print(storage.last.seq, str(error).rpartition(": ")[2])
storage.close()
"""


def test_a_log_of_which_the_database_has_lost_a_part_is_kept(library: Path, tmp_path: Path) -> None:
    node = Node(tmp_path, "only", 0, 0)
    disk = FaultyDisk(node, library, tmp_path)
    child = subprocess.run(
        [sys.executable, "-c", PARTLY_COPIED, node.data, disk.control],
        env=environment(**node.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    last, error = child.stdout.strip().split(" ", 1)
    assert error in ("disk I/O error", "Input/output error")  # SQLite's word, or the system's
    disk.loses_power()
    storage = SQLiteStorage(node.data)
    found = storage.read(0, int(last), 1 << 30)
    assert [entry.seq for entry in found] == list(range(1, int(last) + 1))
    storage.close()
