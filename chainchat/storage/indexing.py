"""The message index in SQLite: runs on disk, and in memory what the newest checkpoint lacks."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from chainchat.storage.checksums import AsWritten, checked
from chainchat.storage.index import Index, Indexed, Run, first_of, last_of
from chainchat.storage.interface import EVERY_READER

RUN_MESSAGES = 1_000

READERS_AT_ONCE = 64

MESSAGES_AT_ONCE = 16 * RUN_MESSAGES
"""Messages in one transaction: while a checkpoint is lent, no other begins, and many gather."""


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

    def ids_after(
        self, reader: int, after: int, limit: int, unless_sender: int, up_to: int
    ) -> list[int]:
        def ids(reader: int) -> Iterator[int]:
            for run in self._runs("last > ? ORDER BY last", reader, after):
                yield from run.after(after, unless_sender, up_to)
                if run.ids[-1] >= up_to:
                    return
            yield from self._unwritten.of(reader).after(after, unless_sender, up_to)
            yield from self._newest.of(reader).after(after, unless_sender, up_to)

        return first_of(limit, ids(reader), ids(EVERY_READER))

    def ids_before(
        self, reader: int, before: int, limit: int, unless_sender: int, above: int
    ) -> list[int]:
        def ids(reader: int) -> Iterator[int]:
            yield from self._newest.of(reader).before(before, unless_sender, above)
            yield from self._unwritten.of(reader).before(before, unless_sender, above)
            for run in self._runs("last >= ? ORDER BY last LIMIT 1", reader, before):
                yield from run.before(before, unless_sender, above)
            for run in self._runs(
                "last < ? AND last > ? ORDER BY last DESC", reader, before, above
            ):
                yield from run.before(before, unless_sender, above)

        return last_of(limit, ids(reader), ids(EVERY_READER))

    def _runs(self, condition: str, reader: int, *limits: int) -> Iterator[Run]:
        query = f"SELECT run FROM messages WHERE reader = ? AND {condition}"  # noqa: S608 - constants
        for (run,) in self._database.execute(query, (reader, *limits)):
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

    def write_part(self) -> Mapping[int, int]:
        """Write some messages; return the last one's id of each reader, for ``written``."""
        parts: list[tuple[int, int, bytes]] = []
        room = MESSAGES_AT_ONCE
        for reader, run in islice(self._unwritten.runs.items(), READERS_AT_ONCE):
            for part in run.parts(RUN_MESSAGES):
                parts.append((reader, part.ids[-1], checked(bytes(part))))
                room -= len(part.ids)
                if room <= 0:
                    break
            if room <= 0:
                break
        self._database.executemany("INSERT INTO messages VALUES (?, ?, ?)", parts)
        return {reader: last for reader, last, _ in parts}

    def written(self, parts: Mapping[int, int]) -> bool:
        """Note that their transaction is complete; return whether more remains."""
        for reader, last in parts.items():
            run = self._unwritten.runs[reader]
            run.forget(last)
            if not run.ids:
                del self._unwritten.runs[reader]
        return self.is_unwritten
