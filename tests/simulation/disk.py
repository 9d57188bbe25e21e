"""Disks: they survive their process, and do what disks do to a process that trusts them."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from msgspec import msgpack

from chainchat.chain.messages import Entry
from chainchat.chain.record import Record
from chainchat.storage import StorageError
from chainchat.storage.memory import MemoryStorage


class Machine(Protocol):
    """What a disk needs of the machine that it is in."""

    def before_write(self, what: str) -> None:
        """The process may die here."""

    def after_write(self, what: str) -> None:
        """The process may die here, or stand still."""

    def stands_still(self) -> bool:
        """Whether it stands still in a write that came before this one."""

    def when_it_goes_on(self, call: Callable[[], Any]) -> None:
        """Do it when it stands still no more; never, if the process dies before."""

    def wrote(self, before: Record | None, after: Record) -> None:
        """Membership's record was replaced."""

    def cuts(self, entries: Sequence[Entry]) -> None:
        """These entries are about to leave the log."""


class Disk(MemoryStorage):
    """A disk whose process may die just before or just after any write.

    It may fail, lie about what it has written, or be replaced by an older copy of itself.

    Attributes:
        failing: whether the next write fails.
        once_held: how many entries its log had before it lost some.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine
        self.failing = False
        self.once_held = 0
        self._transactions: list[tuple[int, int]] = []
        """What a disk that lies can lose.

        The log's length and what was noted as committed, before each of the writes since the last
        of another kind.
        """

    # --- writes

    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        self._begin("log")
        self._transactions.append((len(self._log), self._committed))
        super().append(entries, committed)
        self._machine.after_write("log")

    def write_committed(self, seq: int) -> None:
        self._begin("note of what is committed")
        self._transactions.append((len(self._log), self._committed))
        super().write_committed(seq)
        self._machine.after_write("note of what is committed")

    def write_record(self, record: bytes) -> None:
        if self._machine.stands_still():
            self._machine.when_it_goes_on(partial(self.write_record, record))
            return
        self._begin("record")
        before = self.record
        super().write_record(record)
        self._transactions = []
        self._machine.wrote(before, msgpack.decode(record, type=Record))
        self._machine.after_write("record")

    def cut(self, after: int) -> Path | None:
        self._machine.before_write("cut")
        self._machine.cuts(self._log[after:])
        path = super().cut(after)
        self._transactions = []
        self._machine.before_write("write, after a cut")
        return path

    def write_records(self, records: Sequence[tuple[int, bytes]]) -> bool:
        self._machine.before_write("write of a part of a checkpoint")
        self._transactions = []
        return super().write_records(records)

    def finish_checkpoint(self, head: bytes) -> None:
        self._machine.before_write("end of a checkpoint")
        self._transactions = []
        super().finish_checkpoint(head)

    def _begin(self, what: str) -> None:
        self._machine.before_write(f"{what} write")
        if self.failing:
            self.failing = False
            raise StorageError("the disk failed on fsync")

    # --- what happens to it

    @property
    def record(self) -> Record | None:
        """Membership's record."""
        stored = self.read_record()
        return None if stored is None else msgpack.decode(stored, type=Record)

    def crash(self) -> None:
        """The process died: of the index, only what was written with a checkpoint is on disk."""
        self.abandon_checkpoint()
        self._index.cut(self._finished)

    @property
    def losable(self) -> int:
        """How many of the newest transactions it can lose, if it lied when it synced them."""
        return len(self._transactions)

    def lose(self, transactions: int) -> None:
        """It had lied: the newest transactions of the log are not there."""
        self.once_held = len(self._log)
        length, self._committed = self._transactions[-transactions]
        self._transactions = []
        del self._log[length:]

    @property
    def lacks(self) -> bool:
        """Whether it has not been given again what it lost."""
        return len(self._log) < self.once_held

    def takes_the_place_of(self, lost: "Disk") -> None:
        """It is to hold what another one had, or had lost, and has to be given it again."""
        self.once_held = max(len(lost._log), lost.once_held)

    def copy(self, newest: "Disk | None" = None, machine: Machine | None = None) -> Self:
        """A backup, or one that takes the place of the newest data, or is for another machine."""
        backup = type(self)(machine or self._machine)
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
        return backup
