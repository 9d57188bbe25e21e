"""What the client keeps on the disk: nothing is lost, doubled, or read by others."""

import stat
from pathlib import Path

import pytest

from chainchat.client.engine.memory import Outgoing
from chainchat.client.engine.wire import Address
from chainchat.client.kept import kept_memory
from chainchat.client.kept.kept_memory import InUseError, KeptMemory

HEAD, TAIL = Address("a", 1), Address("b", 2)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return kept_memory.find("Alice", [HEAD])


def killed(memory: KeptMemory) -> None:
    """The process dies: what is not on the disk is lost."""
    memory._file.close()


def test_what_is_open_is_there_after_a_crash_with_its_number_and_client(path: Path) -> None:
    memory = KeptMemory(path)
    assert memory.begin("client-1") == "client-1"
    memory.logged_in("token", 7)
    memory.numbered(41)
    for number in (1, 2, 3):
        memory.added(Outgoing(number, "*", f"line {number}"))
    memory.keep(0.0)
    memory.settled(1)
    memory.acknowledged(12)
    memory.keep(5.0)
    memory.added(Outgoing(4, "bob", "not yet on the disk"))
    killed(memory)
    again = KeptMemory(path)
    assert again.begin("client-2") == "client-1"
    assert list(again.open.values()) == [Outgoing(2, "*", "line 2"), Outgoing(3, "*", "line 3")]
    assert (again.last_number, again.numbered_from) == (3, 41)
    assert (again.token, again.seen) == ("token", 12)
    again.close()


def test_after_a_logout_the_next_run_begins_anew(path: Path) -> None:
    memory = KeptMemory(path)
    memory.begin("client-1")
    memory.added(Outgoing(1, "*", "x"))
    memory.settled(1)
    memory.logged_in("token", 7)
    memory.ended("logout")
    memory.close()
    again = KeptMemory(path)
    assert again.begin("client-2") == "client-2"
    assert (again.last_number, again.numbered_from, again.token) == (0, None, "")
    again.close()


def test_what_was_pending_in_a_deleted_account_is_nobodys(path: Path) -> None:
    memory = KeptMemory(path)
    memory.added(Outgoing(1, "*", "x"))
    memory.ended("deleted")
    memory.close()
    again = KeptMemory(path)
    assert not again.open
    again.close()


def test_it_is_locked_and_only_its_owner_can_read_it(path: Path) -> None:
    memory = KeptMemory(path)
    memory.added(Outgoing(1, "*", "secret"))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(InUseError):
        KeptMemory(path)
    memory.close()
    KeptMemory(path).close()


def test_a_chain_is_known_by_each_of_its_nodes(path: Path) -> None:
    assert kept_memory.find("alice", [TAIL, HEAD]) == path
    assert kept_memory.find("alice", [TAIL]) == path
    assert kept_memory.find("alice", [Address("c", 3)]) != path
    assert kept_memory.find("bob", [HEAD]) != path
    memory = KeptMemory(path)
    memory.learned([Address("d", 4)])
    memory.close()
    assert kept_memory.find("alice", [Address("d", 4)]) == path


def test_a_full_disk_is_told_and_made_good_for_when_there_is_room(path: Path) -> None:
    memory = KeptMemory(path)
    memory.begin("client-1")
    memory._file.execute("PRAGMA max_page_count = 1")
    for number in range(1, 400):
        memory.added(Outgoing(number, "*", "x" * 500))
        memory.keep(float(number))
    assert "full" in memory.trouble
    assert len(memory.open) == 399
    memory._file.execute("PRAGMA max_page_count = 100000")
    memory.settled(1)
    memory.keep(1000.0)
    killed(memory)
    again = KeptMemory(path)
    assert (len(again.open), again.last_number) == (398, 399)
    assert again.begin("client-2") == "client-1"
    again.close()
