"""Disks: they survive their process, and do what disks do to a process that trusts them.

What is not in ``MemoryDisk`` is common to those of ``sqlite_disk``, the product's own, on files.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from msgspec import msgpack

from chainchat.chain.checkpoints import Offered, Row
from chainchat.chain.entries import Entry
from chainchat.chain.record import Record
from chainchat.storage.interface import StorageError
from chainchat.storage.memory import MemoryStorage

EVERYTHING = 1 << 40
"""More octets than any log has."""

LOSABLE = ("log", "note of what is committed")
"""What a disk that lies can lose, as long as it has written nothing else since."""

SYNC = "sync of the log"

FAILING = (SYNC, "note of what is committed", "record")
"""What it can fail to write."""


class Machine(Protocol):
    """What a disk needs of the machine that it is in."""

    def before_write(self, what: str) -> None:
        """The process may die here."""

    def after_write(self, what: str) -> None:
        """The process may die here, or stand still."""

    def stands_still(self) -> bool:
        """True if it stands still in a write that came before this one."""

    def when_it_goes_on(self, call: Callable[[], Any]) -> None:
        """Do it when it stands still no more; never, if the process dies before."""

    def loses_power(self) -> bool:
        """True if a death of the process, just now, takes with it what was not synced."""

    def wrote(self, before: Record | None, after: Record) -> None:
        """Membership's record was replaced."""

    def cuts(self, entries: Sequence[Entry]) -> None:
        """These entries are about to leave the log."""

    def begins_later(self, how: str) -> None:
        """The log is about to begin later than it did, ``how``."""


class Disk:
    """A disk whose process may die just before or just after any write.

    It may fail, or be replaced by an older copy of itself. Whoever inherits from this has a storage
    as the next class.

    Attributes:
        failing: whether the next write fails.
        once_held: how long its log was before it lost some of it.
    """

    machine: Machine
    failing: bool
    once_held: int = 0

    # --- writes

    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        self._write("log", partial(super().append, entries, committed))
        self.machine.after_write("log")

    def sync(self) -> None:
        self._write(SYNC, super().sync)
        self.machine.after_write(SYNC)

    def write_committed(self, seq: int) -> None:
        self._write("note of what is committed", partial(super().write_committed, seq))
        self.machine.after_write("note of what is committed")

    def write_membership(self, record: bytes) -> None:
        if self.machine.stands_still():
            self.machine.when_it_goes_on(partial(self.write_membership, record))
            return
        before = self.record
        self._write("record", partial(super().write_membership, record))
        self.machine.wrote(before, msgpack.decode(record, type=Record))
        self.machine.after_write("record")

    def cut(self, after: int) -> Path | None:
        self.machine.cuts(self.read(after, self.last.seq, EVERYTHING))
        path: Path | None = self._write("cut", partial(super().cut, after))
        self.machine.before_write("write, after a cut")
        return path

    def remove(self, up_to: int) -> bool:
        self.machine.begins_later("removes entries")
        more: bool = self._write("removal", partial(super().remove, up_to))
        self.machine.after_write("removal")
        return more

    def stage(self, offered: Offered) -> None:
        self._write("beginning of a copied checkpoint", partial(super().stage, offered))

    def stage_rows(self, rows: Sequence[Row], *, complete: bool) -> None:
        write = partial(super().stage_rows, rows, complete=complete)
        self._write("part of a copied checkpoint", write)

    def stage_entries(self, entries: Sequence[Entry]) -> None:
        self._write("part of a copied log", partial(super().stage_entries, entries))

    def install(self) -> None:
        self.machine.begins_later("installs a checkpoint")
        self._write("installed checkpoint", super().install)
        self.machine.after_write("installed checkpoint")

    def write_records(self, records: Sequence[tuple[int, bytes]]) -> bool:
        write = partial(super().write_records, records)
        more: bool = self._write("part of a checkpoint", write)
        return more

    def finish_checkpoint(self, head: bytes) -> None:
        self._write("end of a checkpoint", partial(super().finish_checkpoint, head))

    def _write(self, what: str, write: Callable[[], Any]) -> Any:
        self.machine.before_write(f"{what} write")
        return write()

    # --- what happens to it

    @property
    def record(self) -> Record | None:
        stored = self.read_membership()
        return None if stored is None else msgpack.decode(stored, type=Record)

    def crash(self) -> None:
        """The process died."""

    @property
    def losable(self) -> int:
        """How many of the newest transactions it can lose, if it lied when it synced them."""
        return 0

    def lose(self, transactions: int) -> None:
        """It had lied: the newest transactions of the log are not there."""

    @property
    def lacks(self) -> bool:
        """True if it has not been given again what it lost."""
        return self.last.seq < self.once_held

    def takes_the_place_of(self, lost: "Disk") -> None:
        """It is to hold what another one had, or had lost, and has to be given it again."""
        self.once_held = max(lost.last.seq, lost.once_held)

    def copy(self, newest: "Disk | None" = None, machine: Machine | None = None) -> Self:
        """A backup, or one that takes the place of the newest data, or is for another machine."""
        raise NotImplementedError


class MemoryDisk(Disk, MemoryStorage):
    """A disk in memory. It may lie about what it has written."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.failing = False
        self._synced: tuple[int, int] | None = None
        """The log's length and what was noted as committed, before what was not synced since."""
        self._transactions: list[tuple[int, int]] = []
        """What a disk that lies can lose.

        The log's length and what was noted as committed, before each of the writes since the last
        of another kind.
        """

    def _write(self, what: str, write: Callable[[], Any]) -> Any:
        self.machine.before_write(f"{what} write")
        if self.failing and what in FAILING:
            self.failing = False
            raise StorageError("the disk failed on fsync")
        before = len(self._log), self._committed
        written = write()
        self._synced = (self._synced or before) if what == "log" else None
        if what != SYNC:
            self._transactions = [*self._transactions, before] if what in LOSABLE else []
        return written

    def crash(self) -> None:
        """Of the index, only what was written with a checkpoint is on disk."""
        if self._synced is not None and self.machine.loses_power():
            length, self._committed = self._synced
            del self._log[length:]
            self._transactions = []
        self._synced = None
        self.abandon_checkpoint()
        self._index.cut(self._finished)

    @property
    def losable(self) -> int:
        return len(self._transactions)

    def lose(self, transactions: int) -> None:
        self.once_held = self.last.seq
        length, self._committed = self._transactions[-transactions]
        self._transactions = []
        del self._log[length:]

    def copy(self, newest: Disk | None = None, machine: Machine | None = None) -> Self:
        backup = type(self)(machine or self.machine)
        if newest is not None:
            backup.takes_the_place_of(newest)
        backup.cuts = list(self.cuts)
        backup._log = list(self._log)
        backup._record = self._record
        backup._committed = self._committed
        backup._checkpoint, backup._records = self._checkpoint, dict(self._records)
        backup._checkpointed = self._checkpointed
        backup._begun, backup._begun_records = self._begun, dict(self._begun_records)
        backup._index = deepcopy(self._index)
        backup._beginning = self._beginning
        backup._staged, backup._staged_rows = self._staged, list(self._staged_rows)
        backup._staged_log = list(self._staged_log)
        return backup
