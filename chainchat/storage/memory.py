"""Storage in memory, for the simulator and tests. It survives its node, as a disk would."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from chainchat.chain.log import fitting, place_of
from chainchat.chain.messages import Entry, EntryId
from chainchat.storage.index import Index, first_of, last_of
from chainchat.storage.interface import EVERY_READER, Checkpoint, Indexed, Record, StorageError


class MemoryStorage:
    """Keeps everything in lists, and in ``cuts`` what was cut off."""

    def __init__(self) -> None:
        self.cuts: list[Entry] = []
        self._log: list[Entry] = []
        self._record: bytes | None = None
        self._index = Index()
        self._checkpoint: Checkpoint | None = None
        self._records: dict[int, bytes] = {}
        self._begun = 0
        """The entry of the newest checkpoint, finished or not."""
        self._begun_records: dict[int, bytes] = {}
        self._checkpointed: EntryId | None = None
        """The entry of the newest finished checkpoint."""
        self._committed = 0

    @property
    def committed(self) -> int:
        return self._committed

    def write_committed(self, seq: int) -> None:
        self._committed = seq

    @property
    def last(self) -> EntryId:
        return self._log[-1].id if self._log else EntryId()

    def id_of(self, seq: int) -> EntryId | None:
        if seq == 0:
            return EntryId()
        return self._log[place_of(seq, self._log)].id if seq <= self.last.seq else None

    def end_before(self, seq: int) -> int:
        place = place_of(seq + 1, self._log)
        return self._log[place - 1].seq if place else 0

    def read(self, after: int, up_to: int, octets: int) -> Sequence[Entry]:
        begin, end = place_of(after + 1, self._log), place_of(up_to + 1, self._log)
        return fitting(self._log[begin:end], octets)

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

    def read_record(self) -> bytes | None:
        return self._record

    def write_record(self, record: bytes) -> None:
        self._record = record

    def index(self, indexed: Iterable[Indexed]) -> None:
        self._index.add(indexed)

    def ids_after(self, reader: int, after: int, limit: int, *, unless_sender: int) -> list[int]:
        runs = self._index.of(reader), self._index.of(EVERY_READER)
        return first_of(limit, *(run.after(after, unless_sender) for run in runs))

    def ids_before(self, reader: int, before: int, limit: int, *, unless_sender: int) -> list[int]:
        runs = self._index.of(reader), self._index.of(EVERY_READER)
        return last_of(limit, *(run.before(before, unless_sender) for run in runs))

    def entries(self, seqs: Iterable[int]) -> Iterator[Entry]:
        return (self._log[place_of(seq, self._log)] for seq in seqs)

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

    def finish_checkpoint(self, head: bytes) -> None:
        self._checkpoint = Checkpoint(self._begun, head)
        self._checkpointed = self.id_of(self._begun)
        self._records |= self._begun_records
        self._records = {key: data for key, data in self._records.items() if data}
        self._begun_records = {}

    def care(self) -> str:
        return ""

    def close(self) -> None:
        pass
