"""Storage in memory, for the simulator and tests. It survives its node, as a disk would."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from chainchat.chain.checkpoints import INDEX, RECORDS, Offered, Place, Row, Staged
from chainchat.chain.entries import Entry, EntryId
from chainchat.chain.log import fitting, place_of, size
from chainchat.storage.index import Index, Run, first_of, last_of
from chainchat.storage.interface import (
    EVERY_READER,
    NO_MORE,
    Checkpoint,
    Indexed,
    Record,
    StorageError,
)

REMOVED_AT_ONCE = 64


class MemoryStorage:
    """A ``Storage`` in memory; ``cuts`` has what was cut off."""

    def __init__(self) -> None:
        self.cuts: list[Entry] = []
        self._log: list[Entry] = []
        self._record: bytes | None = None
        self._index = Index()
        self._checkpoint: Checkpoint | None = None
        self._records: dict[int, bytes] = {}
        self._begun = 0
        self._begun_records: dict[int, bytes] = {}
        self._checkpointed: EntryId | None = None
        self._committed = 0
        self._beginning = EntryId()
        self._staged: Staged | None = None
        self._staged_rows: list[Row] = []
        self._staged_log: list[Entry] = []

    @property
    def committed(self) -> int:
        return self._committed

    def write_committed(self, seq: int) -> None:
        self._committed = seq

    @property
    def last(self) -> EntryId:
        return self._log[-1].id if self._log else self._beginning

    @property
    def beginning(self) -> EntryId:
        return self._beginning

    def id_of(self, seq: int) -> EntryId | None:
        if seq == 0:
            return EntryId()
        if seq <= self._beginning.seq:
            return self._beginning if seq == self._beginning.seq else None
        return self._log[place_of(seq, self._log)].id if seq <= self.last.seq else None

    def end_before(self, seq: int) -> int:
        place = place_of(seq + 1, self._log)
        return self._log[place - 1].seq if place else self._beginning.seq

    def read(self, after: int, up_to: int, octets: int) -> Sequence[Entry]:
        self._require(after + 1)
        begin, end = place_of(after + 1, self._log), place_of(up_to + 1, self._log)
        return fitting(self._log[begin:end], octets)

    def _require(self, seq: int) -> None:
        if seq <= self._beginning.seq:
            raise StorageError(f"entry {seq} is missing from the log")

    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        for entry in entries:
            assert entry.first == self.last.seq + 1
            self._log.append(entry)
        self._committed = max(self._committed, committed)

    def sync(self) -> None:
        pass

    def cut(self, after: int) -> Path | None:
        if after >= self.last.seq:
            return None
        assert after == self.end_before(after)
        applied = self._begun
        if after < max(applied, self._committed):
            raise StorageError(f"applied up to {applied}, committed up to {self._committed}")
        kept = place_of(after + 1, self._log)
        self.cuts += self._log[kept:]
        del self._log[kept:]
        self._index.cut(after)
        return Path("cuts")

    def remove(self, up_to: int) -> bool:
        needed = min(self._finished, self._committed)
        if up_to > needed:
            raise StorageError(f"entries after {needed} are needed, and are not removed")
        gone = min(place_of(up_to + 1, self._log), len(self._log) - 1, REMOVED_AT_ONCE)
        if gone <= 0:
            return False
        self._beginning = self._log[gone - 1].id
        del self._log[:gone]
        self._index.forget(self._beginning.seq)
        return gone == REMOVED_AT_ONCE

    def tidy(self) -> bool:
        return False

    def octets(self) -> int:
        return sum(map(size, self._log))

    def end_of_oldest(self, octets: int) -> int:
        end = self._beginning.seq
        for entry in self._log:
            if octets <= 0:
                break
            end, octets = entry.seq, octets - size(entry)
        return end

    # --- a checkpoint for others, or from another

    def offered(self) -> Offered | None:
        checkpoint = self.newest_checkpoint()
        if checkpoint is None or self._checkpointed is None:
            return None
        return Offered(self._checkpointed, self._beginning, checkpoint.header)

    def rows(self, after: Place, octets: int) -> tuple[list[Row], bool]:
        rows: list[Row] = []
        for row in self._all_rows():
            if row.place <= after:
                continue
            octets -= len(row.data)
            if octets < 0 and rows:
                return rows, False
            rows.append(row)
        return rows, True

    def _all_rows(self) -> Iterator[Row]:
        for key, data in sorted(self._records.items()):
            yield Row(RECORDS, key, 0, data)
        for reader, run in sorted(self._index.runs.items()):
            part = Run(bytes(run))
            part.cut(self._finished)
            if part.ids:
                yield Row(INDEX, reader, part.ids[-1], bytes(part))

    @property
    def staged(self) -> Staged | None:
        return self._staged

    def stage(self, offered: Offered) -> None:
        self._staged = Staged(offered, end=offered.beginning)
        self._staged_rows, self._staged_log = [], []

    def abandon_staged(self) -> None:
        self._staged = None

    def stage_rows(self, rows: Sequence[Row], *, complete: bool) -> None:
        assert self._staged is not None
        self._staged_rows += rows
        place = rows[-1].place if rows else self._staged.place
        self._staged = replace(self._staged, place=place, complete=complete)

    def stage_entries(self, entries: Sequence[Entry]) -> None:
        assert self._staged is not None
        assert entries[0].first == self._staged.end.seq + 1
        self._staged_log += entries
        self._staged = replace(self._staged, end=entries[-1].id)

    def staged_records(self) -> Iterator[Record]:
        return ((row.key, row.data) for row in self._staged_rows if row.table == RECORDS)

    def install(self) -> None:
        assert self._staged is not None
        offered, self._staged = self._staged.offered, None
        self._log, self._beginning = self._staged_log, offered.beginning
        self._records = {row.key: row.data for row in self._staged_rows if row.table == RECORDS}
        self._index = Index()
        for row in self._staged_rows:
            if row.table == INDEX:
                run, part = self._index.runs.setdefault(row.key, Run()), Run(row.data)
                part.forget(run.ids[-1] if run.ids else 0)
                run.ids += part.ids
                run.senders += part.senders
        self._begun_records = {}
        self._begun = self._committed = offered.checkpoint.seq
        self._checkpoint = Checkpoint(self._begun, offered.header)
        self._checkpointed = offered.checkpoint
        self._staged_rows, self._staged_log = [], []

    def read_membership(self) -> bytes | None:
        return self._record

    def write_membership(self, record: bytes) -> None:
        self._record = record

    def index(self, indexed: Iterable[Indexed]) -> None:
        self._index.add(indexed)

    def ids_after(
        self, reader: int, after: int, limit: int, *, unless_sender: int, up_to: int = NO_MORE
    ) -> list[int]:
        runs = self._index.of(reader), self._index.of(EVERY_READER)
        return first_of(limit, *(run.after(after, unless_sender, up_to) for run in runs))

    def ids_before(
        self, reader: int, before: int, limit: int, *, unless_sender: int, above: int = 0
    ) -> list[int]:
        runs = self._index.of(reader), self._index.of(EVERY_READER)
        return last_of(limit, *(run.before(before, unless_sender, above) for run in runs))

    def entries(self, seqs: Iterable[int]) -> Iterator[Entry]:
        for seq in seqs:
            self._require(seq)
            yield self._log[place_of(seq, self._log)]

    def newest_checkpoint(self) -> Checkpoint | None:
        if self._checkpoint is not None and self.id_of(self._checkpoint.seq) != self._checkpointed:
            raise StorageError("the checkpoint is of another log")
        return self._checkpoint

    @property
    def _finished(self) -> int:
        return self._checkpoint.seq if self._checkpoint else 0

    def records(self) -> Iterator[Record]:
        return iter(sorted(self._records.items()))

    def abandon_checkpoint(self) -> None:
        if self._begun != self._finished:
            self._begun, self._begun_records = self._finished, {}
            self._index.cut(self._finished)

    def begin_checkpoint(self, seq: int) -> None:
        assert self._begun == self._finished < seq
        self._begun = seq

    def write_records(self, records: Sequence[Record]) -> bool:
        self._begun_records.update(records)
        return False

    def finish_checkpoint(self, header: bytes) -> None:
        self._checkpoint = Checkpoint(self._begun, header)
        self._checkpointed = self.id_of(self._begun)
        self._records |= self._begun_records
        self._records = {key: data for key, data in self._records.items() if data}
        self._begun_records = {}

    def care(self) -> str:
        return ""

    def close(self) -> None:
        pass
