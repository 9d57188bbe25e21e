"""The message index in SQLite: runs on disk, and in memory what the newest checkpoint lacks."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from chainchat.storage.checksums import AsWritten, checked
from chainchat.storage.index import Index, Indexed, Run, first_of, last_of
from chainchat.storage.interface import EVERY_READER

RUN_MESSAGES = 1_000

READERS_AT_ONCE = 64


class MessageIndex:
    """Which messages concern which reader; the caller makes the transactions."""

    def __init__(self, database: sqlite3.Connection, as_written: AsWritten) -> None:
        self._database = database
        self._as_written = as_written
        self.forget()

    def forget(self) -> None:
        self._newest = Index()
        """Messages since the newest checkpoint, finished or not."""
        self._unwritten = Index()
        """Messages of the unfinished checkpoint, not on disk yet."""

    def add(self, indexed: Iterable[Indexed]) -> None:
        self._newest.add(indexed)

    def cut(self, after: int) -> None:
        """Forget messages above ``after``, which no checkpoint has."""
        self._newest.cut(after)

    # --- questions

    def ids_after(self, reader: int, after: int, limit: int, unless_sender: int) -> list[int]:
        def ids(reader: int) -> Iterator[int]:
            for run in self._runs("last > ? ORDER BY last", reader, after):
                yield from run.after(after, unless_sender)
            yield from self._unwritten.of(reader).after(after, unless_sender)
            yield from self._newest.of(reader).after(after, unless_sender)

        return first_of(limit, ids(reader), ids(EVERY_READER))

    def ids_before(self, reader: int, before: int, limit: int, unless_sender: int) -> list[int]:
        def ids(reader: int) -> Iterator[int]:
            yield from self._newest.of(reader).before(before, unless_sender)
            yield from self._unwritten.of(reader).before(before, unless_sender)
            for run in self._runs("last >= ? ORDER BY last LIMIT 1", reader, before):
                yield from run.before(before, unless_sender)
            for run in self._runs("last < ? ORDER BY last DESC", reader, before):
                yield from run.before(before, unless_sender)

        return last_of(limit, ids(reader), ids(EVERY_READER))

    def _runs(self, condition: str, reader: int, limit: int) -> Iterator[Run]:
        query = f"SELECT run FROM messages WHERE reader = ? AND {condition}"  # noqa: S608 - constants
        for (run,) in self._database.execute(query, (reader, limit)):
            yield Run(self._as_written(run, "the messages of the index"))

    # --- checkpoints

    @property
    def is_unwritten(self) -> bool:
        return bool(self._unwritten.runs)

    def begin_checkpoint(self) -> None:
        self._newest, self._unwritten = Index(), self._newest

    def abandon(self, finished: int) -> None:
        self._database.execute("DELETE FROM messages WHERE last > ?", (finished,))
        self.forget()

    def write_part(self) -> Sequence[int]:
        """Write some readers' messages; return these readers, for ``written``."""
        readers = list(islice(self._unwritten.runs, READERS_AT_ONCE))
        for reader in readers:
            parts = [
                (reader, part.ids[-1], checked(bytes(part)))
                for part in self._unwritten.of(reader).parts(RUN_MESSAGES)
            ]
            self._database.executemany("INSERT INTO messages VALUES (?, ?, ?)", parts)
        return readers

    def written(self, readers: Sequence[int]) -> bool:
        """Note that their transaction is complete; return whether more remains."""
        for reader in readers:
            del self._unwritten.runs[reader]
        return self.is_unwritten
