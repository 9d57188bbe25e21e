"""What is remembered of programs, so that a SEND is done once however often it comes.

It is bounded by number, not by time: what was used least recently is forgotten first, by the order
of the log, so every node forgets the same.
"""

from array import array
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterator

from msgspec import Struct, msgpack

from chainchat.chat.records import Record, key_of

REMEMBERED_SENDS = 1_024
"""Of each program: so many results are kept at least. No node takes more of its SENDs at a time."""

MAX_CLIENTS_OF_ACCOUNT = 64
"""Client IDs that are remembered of one account."""

MAX_CLIENTS = 200_000
"""Client IDs that are remembered in all: some 600 octets of memory each, and their SENDs."""

MAX_SENDS = 12_000_000
"""SENDs that are remembered in all, 20 octets each."""

RECORD_SENDS = 64
"""SENDs in one record. Only the newest is written again when the program says more."""

RECORDS = REMEMBERED_SENDS // RECORD_SENDS + 1
"""Of a program: the newest is seldom full, so there is one more. They take turns in the slots."""

NEVER = -1


class Program:
    """What is remembered of one program's SENDs.

    The newest that were applied stand in flat arrays: there can be many, and an object for each
    would have left the processor's caches when it is its turn to be forgotten.

    Attributes:
        account: number of its account.
        client: its client ID.
        born: sequence number of the entry that it was first used in.
        used: of the entry that it was last used in.
        highest: the highest number applied.
        numbers: the program's, ascending.
        checksums: of what was said, by their place in ``numbers``.
        values: likewise, the message's id, or minus the refusal's code.
        first: how many records came before that which the arrays begin with.
        written: which record was the newest in the last snapshot, NEVER if there was none.
    """

    __slots__ = (
        "account", "born", "checksums", "client", "first", "highest", "numbers", "used", "values",
        "written",
    )  # fmt: skip

    def __init__(self, account: int, client: str, born: int) -> None:
        """A new one."""
        self.account = account
        self.client = client
        self.born = self.used = born
        self.highest = 0
        self.numbers = array("q")
        self.checksums = array("I")
        self.values = array("q")
        self.first = 0
        self.written = NEVER

    def remember(self, number: int, checksum: int, value: int) -> None:
        """One more SEND was applied."""
        self.highest = number
        self.numbers.append(number)
        self.checksums.append(checksum)
        self.values.append(value)

    def forget_oldest(self) -> None:
        """Keep no more records than should be."""
        excess = self.newest - self.first - RECORDS + 1
        if excess > 0:
            self.first += excess
            for column in (self.numbers, self.checksums, self.values):
                del column[: excess * RECORD_SENDS]

    def find(self, number: int) -> tuple[int, int] | None:
        """Checksum and value of a SEND; None if it is not remembered."""
        place = bisect_left(self.numbers, number)
        if place == len(self.numbers) or self.numbers[place] != number:
            return None
        return self.checksums[place], self.values[place]

    # --- records

    @property
    def newest(self) -> int:
        """The newest record."""
        return self.first + max(0, len(self.numbers) - 1) // RECORD_SENDS

    def changed(self) -> list[Record]:
        """The records that are not as they were in the last snapshot, for the next one."""
        changed = self.records(max(self.first, self.written))
        self.written = self.newest
        return changed

    def records(self, first: int) -> list[Record]:
        """The records from ``first`` on. The newest alone says when the program was last used."""
        newest, records = self.newest, []
        for index in range(first, newest + 1):
            used = self.used if index == newest else 0
            start = (index - self.first) * RECORD_SENDS
            columns = (
                column[start : start + RECORD_SENDS].tobytes()
                for column in (self.numbers, self.checksums, self.values)
            )
            part = _Part(self.account, self.client, index, used, *columns)
            records.append((key_of(self.born, index % RECORDS), _encoder.encode(part)))
        return records

    def written_keys(self) -> list[int]:
        """The keys of the records that were in a snapshot and not replaced since."""
        first = max(0, self.written - RECORDS + 1)
        return [key_of(self.born, index % RECORDS) for index in range(first, self.written + 1)]


class _Part(Struct, array_like=True):
    """A record: RECORD_SENDS of a program, or fewer in the newest; the columns as octets."""

    account: int
    client: str
    index: int
    used: int
    numbers: bytes
    checksums: bytes
    values: bytes


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(_Part)


class Programs:
    """All programs, and which of their records have changed since the last snapshot."""

    def __init__(self) -> None:
        self._all: OrderedDict[int, Program] = OrderedDict()
        """By the entry that each was born in, least recently used first."""
        self._of_account: dict[int, dict[str, Program]] = {}
        """By account and client ID, least recently used first."""
        self._remembered = 0
        self._changed: set[int] = set()
        self._gone: list[int] = []
        """Keys of records that are no more since the last snapshot."""
        self._unwritten: set[int] = set()
        """Programs of the snapshot whose records are still to be written."""
        self._before: dict[int, list[Record]] = {}
        """Of programs that have changed since: these records, as they were."""
        self._restoring: defaultdict[int, list[_Part]] = defaultdict(list)

    def use(self, account: int, client: str, seq: int) -> Program:
        """The program's record, new if there is none, made the most recently used one."""
        of_account = self._of_account.setdefault(account, {})
        program = of_account.pop(client, None)
        if program is None:
            program = self._all[seq] = Program(account, client, seq)
        else:
            self._changing(program)
            self._all.move_to_end(program.born)
            program.used = seq
        of_account[client] = program
        self._changed.add(program.born)
        if len(of_account) > MAX_CLIENTS_OF_ACCOUNT:
            self._forget(next(iter(of_account.values())))
        if len(self._all) > MAX_CLIENTS:
            self._forget_oldest()
        return program

    def grew(self, sends: int) -> None:
        """The program in use remembers so many SENDs more."""
        self._remembered += sends
        while self._remembered > MAX_SENDS:
            self._forget_oldest()

    def forget_account(self, account: int) -> None:
        """Forget all programs of an account."""
        for program in list(self._of_account.get(account, {}).values()):
            self._forget(program)

    def _forget_oldest(self) -> None:
        self._forget(next(iter(self._all.values())))

    def _forget(self, program: Program) -> None:
        self._changing(program)
        self._remembered -= len(program.numbers)
        self._gone += program.written_keys()
        self._changed.discard(program.born)
        del self._all[program.born]
        of_account = self._of_account[program.account]
        del of_account[program.client]
        if not of_account:
            del self._of_account[program.account]

    def _changing(self, program: Program) -> None:
        if program.born in self._unwritten:
            self._unwritten.discard(program.born)
            self._before[program.born] = program.changed()

    # --- snapshots

    def snapshot(self) -> Iterator[Record]:
        """What has changed since the last snapshot, as of now, whatever happens meanwhile."""
        assert not self._unwritten
        self._unwritten, self._changed = self._changed, set()
        gone, self._gone = self._gone, []
        return self._write(sorted(self._unwritten), gone)

    def _write(self, programs: list[int], gone: list[int]) -> Iterator[Record]:
        for born in programs:
            if born in self._unwritten:
                self._changing(self._all[born])
            yield from self._before.pop(born)
        for key in gone:
            yield key, b""

    def all(self) -> Iterator[Record]:
        """Every record as it is now."""
        for program in self._all.values():
            yield from program.records(program.first)

    def restore(self, born: int, data: bytes) -> None:
        """Take a record in.

        Raises:
            msgspec.DecodeError: it is corrupt.
        """
        self._restoring[born].append(_decoder.decode(data))

    def restored(self) -> None:
        """That was the last record."""
        programs = [_program(born, parts) for born, parts in self._restoring.items()]
        self._restoring.clear()
        programs.sort(key=lambda program: program.used)
        for program in programs:
            self._all[program.born] = program
            self._of_account.setdefault(program.account, {})[program.client] = program
            self._remembered += len(program.numbers)


def _program(born: int, parts: list[_Part]) -> Program:
    parts.sort(key=lambda part: part.index)
    newest = parts[-1]
    program = Program(newest.account, newest.client, born)
    program.used = newest.used
    program.first = parts[0].index
    program.written = newest.index
    for part in parts:
        program.numbers.frombytes(part.numbers)
        program.checksums.frombytes(part.checksums)
        program.values.frombytes(part.values)
    program.highest = program.numbers[-1] if program.numbers else 0
    return program
