"""Disks that fail under real nodes: full, corrupt, torn, set back, read-only.

The node leaves loudly before it acknowledges what it could not keep, the others go on with
everything that was acknowledged, and the node rejoins when its disk is mended.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cluster import Cluster, Node, copy_data, refusal
from commands import run_twistd
from disks import Witness, copied, fails, is_refused
from load import Load, Record, check, histories, settle
from talking import DEADLINE, Person, Program, until

from chainchat.node.lives import begin_life
from chainchat.storage.sqlite import SQLiteStorage

NewCluster = Callable[..., Cluster]
POSITIONS = ("head", "middle", "tail")

SAID = 40
"""Texts that have to be acknowledged between two events."""

PAUSE = 0.1
"""Seconds that a program waits after each answer: a machine that is busy starts nodes slowly."""

PAGE = 4096
"""Octets of a page of the database."""


# --- full


def fill(folder: Path) -> Path:
    """Leave no room on a disk; the file that takes it."""
    path = folder / "somebody else's"
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(PAGE)):
            pass
    assert shutil.disk_usage(folder).free == 0
    return path


@pytest.mark.parametrize("position", POSITIONS)
def test_a_full_disk(
    small_disk: Callable[[Path], None], new_cluster: NewCluster, tmp_path: Path, position: str
) -> None:
    cluster = new_cluster(sections="[storage]\nstop = 0")
    node = cluster[position]
    small_disk(node.data)
    cluster.start()
    with Load(list(cluster.nodes.values()), 8) as load:
        load.wait_for(SAID)
        witness = Witness(node)
        filler = fill(node.data)
        fails(node, "database or disk is full")
        witness.was_told_the_truth(tmp_path / "kept")
        assert cluster.members() == [other.position for other in cluster.others(position)]
        load.wait_for(SAID)
        fill(node.data)
        is_refused(node, f"{node.data}: No space left on device")
        filler.unlink()
        cluster.bring_back(position)
        load.wait_for(SAID)
        settle(cluster, load)


@pytest.mark.parametrize("foreground", [["-n"], []], ids=["foreground", "daemon"])
@pytest.mark.parametrize("full", ["data", "the working folder"])
@pytest.mark.parametrize("new", [True, False], ids=["new", "old"])
def test_a_start_on_a_full_disk_ends_in_one_line(
    small_disk: Callable[[Path], None],
    new_cluster: NewCluster,
    tmp_path: Path,
    foreground: list[str],
    full: str,
    *,
    new: bool,
) -> None:
    cluster = new_cluster(("only",))
    node = cluster["only"]
    disk = node.data if full == "data" else tmp_path / "working"
    small_disk(disk)
    if not new:
        cluster.start()
        node.kill()
    filler = fill(disk)
    config = ["--position", "only", "--config", str(node.config)]
    folder = node.config.parent if full == "data" else disk
    ended = run_twistd(folder, *foreground, "chainchat", *config)
    place = node.data if full == "data" else "only.pid"
    assert ended.stdout + ended.stderr == f"chainchat: {place}: No space left on device\n"
    assert ended.returncode == 1
    filler.unlink()
    cluster.start()


# --- corrupt


DAMAGED = r"database disk image is malformed|the entries up to \d+ are not what was written.*"
"""What a node says of data that is not what it was."""


def lose_page(node: Node, content: str) -> None:
    """Lose the page of a node's database where ``content`` stands."""
    database = node.data / "chainchat.sqlite"
    at = database.read_bytes().index(content.encode()) // PAGE * PAGE
    with database.open("r+b") as file:
        file.seek(at)
        file.write(bytes(PAGE))


def lose_header(node: Node) -> str:
    lose_page(node, "SQLite format 3")
    return f"{node.data}/chainchat.sqlite: file is not a database"


def lose_record(node: Node) -> str:
    """Overwrite the record of membership; what the node says of it."""
    storage = SQLiteStorage(node.data)
    record = storage.read_membership()
    assert record is not None
    storage.write_membership(record[: len(record) // 2])
    storage.close()
    path = f"{node.data}/chainchat.sqlite"
    return f"{path}: the record of membership is corrupt: Input data was truncated"


def wiped_it_comes_back(cluster: Cluster, node: Node, load: Load) -> None:
    """The others have served on; without its data the node joins as a new one; all is well."""
    assert cluster.members() == [other.position for other in cluster.others(node.position)]
    load.wait_for(SAID)
    shutil.rmtree(node.data)
    cluster.bring_back(node.position)
    load.wait_for(SAID)
    settle(cluster, load)


@pytest.mark.parametrize(("position", "lose"), [("head", lose_header), ("middle", lose_record)])
def test_a_database_that_cannot_be_used_is_refused(
    new_cluster: NewCluster, position: str, lose: Callable[[Node], str]
) -> None:
    cluster = new_cluster().start()
    node = cluster[position]
    with Load(cluster.others(position), 8, pause=PAUSE) as load:
        load.wait_for(SAID)
        node.stop()
        is_refused(node, lose(node))
        wiped_it_comes_back(cluster, node, load)


@pytest.mark.parametrize("position", ["head", "tail"])
def test_a_log_that_has_lost_a_page(new_cluster: NewCluster, position: str) -> None:
    cluster = new_cluster().start()
    node = cluster[position]
    with Load(cluster.others(position), 8, pause=PAUSE) as load:
        load.wait_for(1_000)
        node.stop()
        lose_page(node, load.records[0].acknowledged[SAID][1])
        load.wait_for(SAID)
        node.start()
        fails(node, DAMAGED)
        wiped_it_comes_back(cluster, node, load)


MANY = 3_000
LONG = 3_500
"""Messages and octets in each: ten megabytes, more than SQLite and the sockets remember."""

LOST = "number 1500 "
"""Of a message in the middle; at a login the first thousand are counted."""


@pytest.fixture
def long_log(new_cluster: NewCluster) -> Cluster:
    """A chain with so long a log that most of it is in its databases only; bob has read nothing."""
    cluster = new_cluster(clients="max-line = 4096").start()
    with (
        Person(cluster["head"].address, "bob") as bob,
        Program(cluster["head"].address, "test", "alice") as alice,
    ):
        bob.ask("/logout")
        for first in range(1, MANY, 500):
            numbers = range(first, first + 500)
            alice.ask_all([f"SEND {n} * :number {n} {'x' * LONG}" for n in numbers])
    return cluster


def test_a_tail_that_meets_a_lost_page_when_it_is_asked(long_log: Cluster) -> None:
    node = long_log["tail"]
    with Load(long_log.others("tail"), 2, listeners=0, pause=PAUSE) as load:
        lose_page(node, LOST)
        with Program(long_log["head"].address, "test", "alice") as alice:
            found = [push.message for push in alice.since("SINCE 0")]
        numbers = [int(each.text.split()[1]) for each in found if each.sender == "alice"]
        assert numbers == list(range(1, MANY + 1))
        fails(node, DAMAGED)
        wiped_it_comes_back(long_log, node, load)


def test_a_node_that_meets_a_lost_page_when_somebody_catches_up(long_log: Cluster) -> None:
    node = long_log["middle"]
    with Load(long_log.others("middle"), 2, listeners=0, pause=PAUSE) as load:
        lose_page(node, LOST)
        with (
            Person(node.address, "bob", receive_buffer=4096) as bob,
            Program(node.address) as program,
        ):
            program.ask("PING")  # by now all stands in the sockets that fits
            lines = bob.end()
        assert [line for line in lines if "number 1000 " in line]
        assert not [line for line in lines if LOST in line]
        fails(node, DAMAGED)
        wiped_it_comes_back(long_log, node, load)


# --- torn


def write_ahead_log(node: Node) -> Path:
    """What SQLite has not brought into the database yet: all that is newer."""
    return node.data / "chainchat.sqlite-wal"


def transactions(node: Node) -> list[int]:
    """Where each whole transaction of a write-ahead log ends.

    See "WAL Frame Header" in SQLite's description of its file format.
    """
    octets = write_ahead_log(node).read_bytes()
    frame = PAGE + 24
    frames = [octets[at : at + frame] for at in range(32, len(octets) - frame + 1, frame)]
    assert len(frames) < 1_000, "SQLite may have begun to bring it into the database"
    return [
        32 + (number + 1) * frame
        for number, frame_ in enumerate(frames)
        if frame_[8:16] == octets[16:24] and any(frame_[4:8])
    ]


def newest_entry(node: Node, folder: Path, octets: int) -> int:
    """The last entry in the log of a node of whose write-ahead log only so much is left."""
    twin = copied(node, folder)
    os.truncate(write_ahead_log(twin), octets)
    storage = SQLiteStorage(twin.data)
    last = storage.last.seq
    storage.close()
    shutil.rmtree(folder)
    return last


def tear(node: Node, below: int, scratch: Path, more: int = 100) -> int:
    """Tear off what a dead node wrote from entry ``below`` on; the last entry that is left.

    Of the transaction that comes next ``more`` octets are left.
    """
    for octets in reversed(transactions(node)):
        last = newest_entry(node, scratch, octets)
        if last < below:
            os.truncate(write_ahead_log(node), octets + more)
            return last
    raise AssertionError(f"entry {below} of {node} is in the database already")


def test_a_torn_log_ends_with_the_last_whole_transaction(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 4, pause=3 * PAUSE) as load:
        tears = [("head", 1, PAGE), ("middle", 1, 1), ("tail", SAID, 30)]
        for position, lost, more in tears:
            node = cluster[position]
            load.wait_for(2 * SAID)
            node.kill()
            end = newest_entry(node, tmp_path / "whole", transactions(node)[-1])
            last = tear(node, end - lost + 1, tmp_path / "torn", more)
            cluster.bring_back(position)
            assert f", log up to {last};" in node.log_text()
        load.wait_for(SAID)
        settle(cluster, load)


def test_a_disk_that_has_lost_everything_comes_back_as_new(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 4, pause=3 * PAUSE) as load:
        load.wait_for(SAID)
        cluster.kill("head")
        assert transactions(cluster["head"])  # nothing is in the database yet
        os.truncate(write_ahead_log(cluster["head"]), 0)
        cluster.bring_back("head")
        load.wait_for(SAID)
        settle(cluster, load)


@pytest.mark.parametrize(
    "torn", [("head",), ("middle",), ("tail",), ("head", "middle")], ids="-".join
)
def test_all_are_killed_and_some_have_lost_the_ends_of_their_logs(
    new_cluster: NewCluster, tmp_path: Path, torn: tuple[str, ...]
) -> None:
    cluster = new_cluster().start()
    with Load(list(cluster.nodes.values()), 8) as load:
        load.wait_for(400)
        cluster.kill()
        records = load.abandon()  # nothing is said again
    acknowledged = max(id_ for record in records for id_, _ in record.acknowledged)
    for number, position in enumerate(torn):
        tear(cluster[position], acknowledged - number * SAID, tmp_path / "torn")
    cluster.start()
    if "head" in torn:
        assert ": copying first" in cluster["head"].log_text()
    with Person(cluster["middle"].address, "alice") as alice:
        assert alice.ask("the chain goes on").startswith("+OK ")
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


# --- set back


def restore(node: Node, folder: Path) -> Path:
    """Put a copy in place of the data of a node that does not run; where the data is now."""
    newest = folder.with_name(f"{folder.name} newest")
    node.data.rename(newest)
    copy_data(folder, node.data)
    return newest


def test_an_old_backup_catches_up_while_the_others_serve(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster().start()
    node = cluster["middle"]
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        load.wait_for(SAID)
        node.stop()
        copied(node, tmp_path / "backup")
        cluster.bring_back("middle")
        load.wait_for(SAID)
        node.kill()
        restore(node, tmp_path / "backup")
        cluster.bring_back("middle")
        settle(cluster, load)


def live(data: Path, lives: int) -> None:
    """Count lives in the data of a node that does not run, as each start of a process does."""
    storage = SQLiteStorage(data)
    begin_life(storage, lambda: "", lives)
    storage.close()


def fall(cluster: Cluster, position: str, backup: Path) -> Sequence[Record]:
    """Back up one node's data, go on, and kill all; what was said.

    The node has begun many lives since the backup.
    """
    with Load(list(cluster.nodes.values()), 8, pause=PAUSE) as load:
        load.wait_for(SAID)
        cluster.kill()
        copied(cluster[position], backup)
        live(cluster[position].data, 10_000)
        cluster.start()
        load.wait_for(SAID)
        cluster.kill()
        return load.abandon()  # nothing is said again


@pytest.mark.parametrize(
    ("position", "lives", "complaint"),
    [
        ("head", 1, "head is older than it was; was a backup restored?"),
        ("tail", 1, "ALARM: tail was set back to an older disk"),
        ("middle", 20_000, "ALARM: middle was set back to an older disk"),
    ],
)
def test_an_old_backup_among_all_that_restart_is_refused(
    new_cluster: NewCluster, tmp_path: Path, position: str, lives: int, complaint: str
) -> None:
    """By the vote that it lacks, whatever the number of its life; a head, by that number."""
    cluster = new_cluster().start()
    records = fall(cluster, position, tmp_path / "backup")
    newest = restore(cluster[position], tmp_path / "backup")
    live(cluster[position].data, lives)
    for node in cluster.nodes.values():
        node.start()
    until(
        lambda: any(complaint in node.log_text() for node in cluster.others(position)),
        lambda: "nobody complains",
    )
    for node in cluster.nodes.values():
        until(
            lambda node=node: refusal(node).startswith("-ERR 421 "),
            lambda node=node: f"{node} refuses nobody",
        )
    cluster.kill()
    shutil.rmtree(cluster[position].data)
    newest.rename(cluster[position].data)
    cluster.start()
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


def test_an_old_backup_that_is_not_known_to_be_old_gets_what_it_lacks(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    """That of the head from before what it proposed last, which needed no vote of its own."""
    cluster = new_cluster().start()
    records = fall(cluster, "head", tmp_path / "backup")
    restore(cluster["head"], tmp_path / "backup")
    live(cluster["head"].data, 20_000)
    cluster.start()
    cluster.stop()
    check(records, histories(cluster.nodes.values()))


# --- read-only


@pytest.mark.parametrize("foreground", [["-n"], []], ids=["foreground", "daemon"])
def test_a_read_only_disk_is_named(
    small_disk: Callable[[Path], None], new_cluster: NewCluster, foreground: list[str]
) -> None:
    cluster = new_cluster(("only",))
    node = cluster["only"]
    small_disk(node.data)
    cluster.start()
    node.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(node.data)], check=True)
    ended = run_twistd(cluster.folder, *foreground, "chainchat", "--position", "only")
    assert ended.returncode == 1
    assert ended.stdout + ended.stderr == f"chainchat: {node.data}: Read-only file system\n"


class Ext4:
    """A file system of its own on a file, which turns read-only as after an error of its disk."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self._folder = image, folder
        folder.mkdir(parents=True)
        subprocess.run(["truncate", "-s", "400M", image], check=True)
        try:
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
            self.mount()
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a file system of its own cannot be mounted here: {error}")

    def mount(self) -> None:
        options = "loop,errors=remount-ro"
        subprocess.run(["mount", "-o", options, self._image, self._folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self._folder], check=True)

    def mend(self) -> None:
        """Mount a copy: another test's mount namespace may hold the old one, read-only as it is."""
        self.unmount()
        broken, self._image = self._image, self._image.with_suffix(".mended")
        subprocess.run(["cp", "--sparse=always", broken, self._image], check=True)
        self.mount()

    def fail(self) -> None:
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE", self._folder], capture_output=True, text=True, check=True
        )
        device = Path(found.stdout.strip()).name
        Path("/sys/fs/ext4", device, "trigger_fs_error").write_text("1")


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Callable[[Path], Ext4]]:
    """Puts such a file system under a folder, until the end of the test."""
    made: list[Ext4] = []

    def mount(folder: Path) -> Ext4:
        made.append(Ext4(tmp_path / "disk.img", folder))
        return made[-1]

    yield mount
    for disk in made:
        disk.unmount()


def test_a_disk_that_turns_read_only_stops_its_node_which_is_as_good_when_it_is_mended(
    ext4: Callable[[Path], Ext4], new_cluster: NewCluster
) -> None:
    cluster = new_cluster()
    node = cluster["middle"]
    disk = ext4(node.data)
    cluster.start()
    with Load(list(cluster.nodes.values()), 4) as load:
        load.wait_for(SAID)
        disk.fail()
        system = "Input/output error|Read-only file system"
        fails(node, f"{system}|disk I/O error|attempt to write a readonly database")
        load.wait_for(SAID)
        is_refused(node, f"{node.data}: Read-only file system")
        disk.mend()
        cluster.bring_back("middle")
        settle(cluster, load)
    cluster.stop()


# --- taken away


def test_a_folder_that_is_moved_away_stops_its_node_and_is_as_good_when_it_is_back(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster().start()
    node = cluster["middle"]
    away = node.data.rename(node.data.with_name("away"))
    node.data.mkdir()
    assert node.wait(DEADLINE) == 1
    assert "they were removed, replaced or unmounted; this node stops" in node.log_text()
    with Person(cluster["head"].address, "alice") as alice:
        assert alice.ask("it was not there").startswith("+OK")
    node.data.rmdir()
    away.rename(node.data)
    cluster.bring_back("middle")
    with Person(node.address, "bob") as bob:
        assert "alice: it was not there" in bob.listed("/last 1")[0]
    cluster.stop()
