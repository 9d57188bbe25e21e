"""Storage on a disk: what outlives a process, and what a failure leaves."""

import json
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from stored import ALICE, BOB, MUCH, NOBODY, checkpoint, entries, entry, epoch_of, rows

from chainchat.chain.entries import EntryId
from chainchat.chat.commands import Say, Saying, encode
from chainchat.storage.interface import (
    EVERY_READER,
    Checkpoint,
    Indexed,
    LockedError,
    StorageError,
)
from chainchat.storage.sqlite import DATABASE, SQLiteStorage


@pytest.mark.parametrize("after", [3, 5])
def test_what_a_batch_says_of_those_before_survives_reopening_and_a_cut(data, after):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.append(entries(4, 6), 3)
    storage.write_committed(2)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.committed == 3
    storage.cut(after)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.committed == 3
    with pytest.raises(StorageError):
        storage.cut(2)
    storage.close()


def test_what_is_cut_is_on_disk_before_it_leaves_the_log(data, monkeypatch):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    other = sqlite3.connect(data / DATABASE)
    seen = []

    def sync(descriptor, real=os.fsync):
        real(descriptor)
        [rows] = other.execute("SELECT count(*) FROM log WHERE last > 2").fetchone()
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        written = len(path.read_bytes().splitlines()) if path.is_file() else None
        seen.append((path.name, rows, written))

    monkeypatch.setattr(os, "fsync", sync)
    side_file = storage.cut(1)
    assert seen == [(side_file.name, 1, 2), (data.name, 1, None)]
    assert other.execute("SELECT max(last) FROM log").fetchone() == (1,)
    other.close()
    storage.close()


def test_a_checkpoint_lets_go_of_the_index_that_it_has_written(data):
    """Else every message ever said would be in memory, and written again each time."""
    storage = SQLiteStorage(data)
    storage.append(entries(1, 6))
    storage.index(rows((ALICE, 2, BOB), (EVERY_READER, 3, BOB)))
    checkpoint(storage, 3)
    assert not storage._index._newest.runs
    assert not storage._index._unwritten.runs
    storage.index(rows((ALICE, 5, BOB)))
    checkpoint(storage, 6)
    assert storage._database.execute("SELECT count(*) FROM messages").fetchone() == (3,)
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2, 3, 5]
    storage.close()


def test_many_messages_of_one_reader_are_written_bit_by_bit(data):
    storage, rows_before, said = SQLiteStorage(data), 0, range(1, 50_001)
    storage.index([Indexed(EVERY_READER, said, BOB)])
    storage.begin_checkpoint(60_000)
    more = True
    while more:
        more = storage.write_records([])
        [rows_now] = storage._database.execute("SELECT count(*) FROM messages").fetchone()
        assert 0 < rows_now - rows_before <= 16
        rows_before = rows_now
        assert storage.ids_after(ALICE, 0, 50_000, unless_sender=NOBODY) == [*said]
    storage.finish_checkpoint(b"head")
    assert rows_before == 50
    storage.close()


def test_records_that_come_and_go_take_no_more_and_more_of_the_disk(data):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 40))
    for seq in range(1, 41):
        gone = [(key, b"") for key in range(10 * seq - 10, 10 * seq)]
        new = [(key, b"data") for key in range(10 * seq, 10 * seq + 10)]
        checkpoint(storage, seq, b"head", *(gone if seq > 1 else []), *new)
    assert len(list(storage.records())) == 10
    storage.close()
    database = sqlite3.connect(data / DATABASE)
    [rows] = database.execute("SELECT count(*) FROM records").fetchone()
    database.close()
    assert rows < 60


def test_what_comes_while_a_checkpoint_is_written_is_not_written_with_it(data):
    """It is indexed again at the next start, and written with the next checkpoint."""
    storage = SQLiteStorage(data)
    storage.append(entries(1, 6))
    storage.index(rows((ALICE, 2, BOB)))
    storage.begin_checkpoint(3)
    storage.index(rows((ALICE, 5, BOB)))
    while storage.write_records([]):
        pass
    storage.finish_checkpoint(b"head")
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2, 5]
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2]
    storage.index(rows((ALICE, 5, BOB)))
    checkpoint(storage, 6)
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [2, 5]
    storage.close()


def test_everything_survives_reopening(data):
    storage = SQLiteStorage(data)
    storage.append(entries(1, 3))
    storage.append(entries(4, 5, epoch=2))
    storage.write_membership(b"record")
    storage.index(rows((ALICE, 4, BOB)))
    checkpoint(storage, 4, b"image")
    storage.write_committed(5)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.last == EntryId(epoch=2, seq=5)
    assert storage.committed == 5
    assert storage.read(0, 5, MUCH) == entries(1, 3) + entries(4, 5, epoch=2)
    assert storage.read_membership() == b"record"
    assert storage.newest_checkpoint() == Checkpoint(4, b"image")
    assert storage.ids_after(ALICE, 0, 10, unless_sender=NOBODY) == [4]
    storage.append(entries(6, 6, epoch=2))
    assert epoch_of(storage, 6) == 2
    storage.close()


@pytest.mark.parametrize("command", [b"\xa2\xff\xfe", b"\x91" * 30_000], ids=["text", "nesting"])
def test_what_nobody_can_read_is_cut_off_and_kept_all_the_same(data, command):
    storage = SQLiteStorage(data)
    storage.append([entry(1), entry(2, command=command)])
    side_file = storage.cut(1)
    [line] = side_file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["command"] == repr(command)
    assert bytes.fromhex(json.loads(line)["octets"]) == command
    storage.close()


def test_a_cut_writes_a_side_file_of_its_own_and_survives_reopening(data):
    storage = SQLiteStorage(data)
    say = encode(Say("a.1.1", 5, "alice", "", (Saying("grüß euch", 0, "*"),)))
    for _ in range(2):
        storage.append([entry(1), entry(2), entry(3, command=say)])
        side_file = storage.cut(1)
        storage.cut(0)
    assert sorted(path.name for path in data.glob("*.jsonl")) == [
        "cut-1-1-1.jsonl", "cut-1-1-2.jsonl", "cut-2-3-1.jsonl", "cut-2-3-2.jsonl",
    ]  # fmt: skip
    assert side_file == data / "cut-2-3-2.jsonl"
    lines = [json.loads(line) for line in side_file.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {
        "seq": 2, "epoch": 1, "origin": "id.1", "number": 2, "time": 1_002, "span": 1,
        "command": "120", "octets": "78",
    }  # fmt: skip
    assert "'alice', '', [['grüß euch', 0, '*'" in lines[1]["command"]
    assert bytes.fromhex(lines[1]["octets"]) == say
    storage.append(entries(1, 3))
    storage.cut(2)
    storage.close()
    storage = SQLiteStorage(data)
    assert storage.read(0, 9, MUCH) == entries(1, 2)
    storage.close()


def test_only_one_can_have_the_folder_and_the_other_is_told_who(data):
    storage = SQLiteStorage(data)
    with pytest.raises(LockedError) as caught:
        SQLiteStorage(data)
    assert str(caught.value) == f"{data} is in use by process {os.getpid()}"
    storage.close()
    SQLiteStorage(data).close()


FILL = """
import resource, sys
from pathlib import Path
from chainchat.chain.entries import Entry
from chainchat.storage.interface import StorageError
from chainchat.storage.schema import SCHEMA_VERSION
from chainchat.storage.sqlite import SQLiteStorage

storage = SQLiteStorage(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
while True:
    seq = storage.last.seq
    try:
        storage.append([Entry(seq + n, 1, "id.1", seq + n, 0, b"x" * 5_000) for n in (1, 2, 3)])
    except StorageError as error:
        assert storage.last.seq == seq
        print(seq, error)
        break
"""


def test_what_a_full_disk_does_not_take_is_refused_and_never_seen_again(data):
    child = subprocess.run(
        [sys.executable, "-c", FILL, str(data)], capture_output=True, text=True, check=True
    )
    appended, _, error = child.stdout.strip().partition(" ")
    assert error == f"{data / 'chainchat.sqlite'}: disk I/O error"
    storage = SQLiteStorage(data)
    assert int(appended) > 0
    assert storage.last.seq == int(appended)
    assert [e.seq for e in storage.read(0, MUCH, MUCH)] == list(range(1, int(appended) + 1))
    storage.append(entries(storage.last.seq + 1, storage.last.seq + 2))
    storage.close()


ROLL_BACK = """
import resource, sys
from pathlib import Path
from chainchat.chain.entries import Entry
from chainchat.storage.interface import Indexed, StorageError
from chainchat.storage.schema import SCHEMA_VERSION
from chainchat.storage.sqlite import SQLiteStorage

storage = SQLiteStorage(Path(sys.argv[1]))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
storage.index([Indexed(5, [1], 6)])
try:
    storage.append([Entry(1, 1, "id.1", 1, 0, b"x" * 1_000_000)])
except StorageError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    print(storage.last.seq, storage.ids_after(5, 0, 10, unless_sender=-1))
"""


def test_the_index_loses_nothing_with_a_transaction_that_fails(data):
    child = subprocess.run(
        [sys.executable, "-c", ROLL_BACK, str(data)], capture_output=True, text=True, check=True
    )
    assert child.stdout == "0 [1]\n"


def test_a_torn_tail_leaves_the_log_up_to_a_whole_transaction(data, tmp_path):
    storage, chosen = SQLiteStorage(data), random.Random(7)
    ends, written = [0], []
    while ends[-1] < 60:
        batch = entries(ends[-1] + 1, ends[-1] + chosen.randint(1, 5), epoch=1 + ends[-1] // 20)
        storage.append(batch)
        written += batch
        ends.append(batch[-1].seq)
    database = (data / "chainchat.sqlite").read_bytes()
    wal = (data / "chainchat.sqlite-wal").read_bytes()  # as a process that is killed leaves it
    storage.close()
    found = set()
    for octets in [*sorted(chosen.sample(range(len(wal)), 40)), len(wal)]:
        torn = tmp_path / f"torn-{octets}"
        torn.mkdir()
        (torn / "chainchat.sqlite").write_bytes(database)
        (torn / "chainchat.sqlite-wal").write_bytes(wal[:octets])
        storage = SQLiteStorage(torn)
        last = storage.last.seq
        assert last in ends
        assert last >= max(found, default=0)
        assert storage.read(0, MUCH, MUCH) == written[:last]
        storage.append(entries(last + 1, last + 1, epoch=9))
        storage.close()
        found.add(last)
    assert ends[-1] in found
    assert len(found) > 10
