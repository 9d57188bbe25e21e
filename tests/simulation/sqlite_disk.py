"""Disks with the product's own storage, on files.

A machine may lose its power when its process dies. Then only what was synced is there for sure, and
a disk has to keep all that it has said to be on it: the log, the record, and what was cut.
"""

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from chainchat.chain.checkpoints import Offered, Row
from chainchat.chain.entries import Entry, EntryId
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import SQLiteStorage
from tests.simulation.checks import InvariantError
from tests.simulation.disk import Disk, Machine
from tests.simulation.pages import FileSystem, Pages, System

MEMORY = Path("/dev/shm")
"""Where files cost least."""

COPIED_PAGES = 20
"""In the write-ahead log, before they are copied: a run is too short for what the product has."""


class Cabinet:
    """Where the disks of one run are.

    Attributes:
        root: the folder of all their folders.
        watched: the pages of each folder in use.
        clock: virtual seconds.
    """

    def __init__(self, root: Path, watched: dict[Path, Pages]) -> None:
        """None yet; ``root`` is empty."""
        self.root = root
        self.watched = watched
        self.clock: Callable[[], float] = float
        self.disks: list[SQLiteDisk] = []
        self._folders = count(1)

    def new_disk(self, machine: Machine) -> "SQLiteDisk":
        return SQLiteDisk(machine, self, Pages(self.new_folder()))

    def now(self) -> float:
        return self.clock()

    def new_folder(self) -> Path:
        folder = self.root / f"data-{next(self._folders)}"
        folder.mkdir()
        return folder


@contextmanager
def cabinet() -> Iterator[Cabinet]:
    """A cabinet for one run."""
    parent = MEMORY if MEMORY.is_dir() else None
    files = FileSystem()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent))).resolve()
        stack.enter_context(files.in_use())
        for module in ("durable", "long_copy"):
            system = System(files.watched)
            stack.enter_context(patch(f"chainchat.storage.{module}.os", system))
        made = Cabinet(root, files.watched)
        try:
            yield made
        finally:
            for disk in made.disks:
                disk.storage.close()


def _require(fact: bool, otherwise: str) -> None:
    if not fact:
        raise InvariantError(otherwise)


class Reopened:
    """A storage in a folder, closed and opened again when its process dies.

    Attributes:
        storage: the product's, as opened for the present process.
    """

    storage: SQLiteStorage

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        self.storage.append(entries, committed)

    def sync(self) -> None:
        self.storage.sync()

    def write_committed(self, seq: int) -> None:
        self.storage.write_committed(seq)

    def write_membership(self, record: bytes) -> None:
        self.storage.write_membership(record)

    def cut(self, after: int) -> Path | None:
        return self.storage.cut(after)

    def remove(self, up_to: int) -> bool:
        return self.storage.remove(up_to)

    def stage(self, offered: Offered) -> None:
        self.storage.stage(offered)

    def stage_rows(self, rows: Sequence[Row], *, complete: bool) -> None:
        self.storage.stage_rows(rows, complete=complete)

    def stage_entries(self, entries: Sequence[Entry]) -> None:
        self.storage.stage_entries(entries)

    def install(self) -> None:
        self.storage.install()

    def write_records(self, records: Sequence[tuple[int, bytes]]) -> bool:
        return self.storage.write_records(records)

    def finish_checkpoint(self, head: bytes) -> None:
        self.storage.finish_checkpoint(head)


class SQLiteDisk(Disk, Reopened):
    """A disk that is the product's.

    Its process may also die in the midst of a write, which is not synced then.
    """

    def __init__(self, machine: Machine, cabinet: Cabinet, pages: Pages) -> None:
        self.machine = machine
        self._cabinet = cabinet
        self._cut: list[Entry] = []
        """The entries that were cut, or were to be when the process died."""
        self._last, self._committed = EntryId(), 0
        """The end of the log that it has said to be synced, and what it was told is committed."""
        self._written = EntryId()
        """The end that it has said to be written: only a loss of power may take it."""
        self._records: list[bytes | None] = [None]
        """The record that it has said to hold, and those that it has begun to write since."""
        cabinet.disks.append(self)
        self._chance = random.Random(len(cabinet.disks))
        self._open(pages)
        self._note()

    def _open(self, pages: Pages) -> None:
        self._pages = pages
        self._cabinet.watched[pages.folder] = pages
        try:
            self.storage = SQLiteStorage(pages.folder, pages=COPIED_PAGES)
        except StorageError as error:  # what lost power left of its files
            raise InvariantError(f"the disk cannot be read any more: {error}") from error
        self.storage._wal._clock = self._cabinet.now

    @property
    def failing(self) -> bool:
        return self._pages.failing

    @failing.setter
    def failing(self, failing: bool) -> None:
        self._pages.failing = failing
        self._pages.fails_in = self._chance.choice(("", ".sqlite"))  # the next, or of the database

    # --- writes

    def write_membership(self, record: bytes) -> None:
        self._records.append(record)
        super().write_membership(record)

    def cut(self, after: int) -> Path | None:
        self._cut += self.storage._entries_after(after)
        return super().cut(after)

    def _write(self, what: str, write: Callable[[], Any]) -> Any:
        try:
            self.machine.before_write(f"{what} write")
        except BaseException:
            if self._chance.random() < 0.5:  # it has begun
                self._pages.stuck = True
                with suppress(StorageError):
                    write()
            raise
        written = write()
        _require(not self._pages.failed, "a sync has failed, and the process goes on")
        if what == "log":
            self._written = self.storage.last
        else:
            self._note()
        return written

    def _note(self) -> None:
        self._written = self.storage.last
        self._last, self._committed = self.storage.last, self.storage.committed
        self._records = [self.storage.read_membership()]

    # --- what happens to it

    def crash(self) -> None:
        """The process died, perhaps because its machine has lost its power."""
        folder, before = self._cabinet.new_folder(), self._pages
        del self._cabinet.watched[before.folder]
        before.stuck = False
        if self._chance.random() < 0.5:
            pages = before.lose_power(folder, self._chance)
        else:
            pages = before.move(folder)
            self._last = self._written
        closed = self.storage
        self._open(pages)
        closed.close()
        self._keeps_its_word()
        self._note()

    def _keeps_its_word(self) -> None:
        """All that was said to be on it is."""
        held, cut = self.storage.id_of(self._last.seq), [entry.id for entry in self._cut]
        there = held == self._last or self._last in cut
        _require(there, f"the disk lost {self._last}, and has {held}")
        committed = self.storage.committed >= self._committed
        _require(committed, f"the disk forgot that {self._committed} is committed")
        _require(self.storage.read_membership() in self._records, "the disk lost its record")
        kept = {
            (line["seq"], line["octets"])
            for path in self._pages.folder.glob("cut-*.jsonl")
            for line in map(json.loads, path.read_text().splitlines())
        }
        for entry in self._cut:
            there = (entry.seq, entry.command.hex()) in kept
            there = there or self.storage.id_of(entry.seq) == entry.id
            _require(there, f"the disk lost {entry}, which was cut off its log")

    def copy(self, newest: Disk | None = None, machine: Machine | None = None) -> Self:
        pages = self._pages.move(self._cabinet.new_folder())
        backup = type(self)(machine or self.machine, self._cabinet, Pages(pages.folder))
        backup._cut = list(self._cut)
        if newest is not None:
            backup.takes_the_place_of(newest)
        return backup
