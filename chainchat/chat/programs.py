"""What the chat remembers of programs, to do each SEND once.

The memory is bounded. The least recently used goes first, in the order of the log, so every node
forgets the same.

*never again*: a program is forgotten in three steps: first the results of its oldest numbers; then
all but its highest number; then the program, while its account keeps the highest number of all. A
number not above what is known may have been done before, and is refused.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator

from msgspec import Struct, msgpack

from chainchat.chat.bounds import Bounds
from chainchat.chat.records import Record, key_of
from chainchat.chat.shares import Shares

NEVER = -1


class Program:
    """One program's SENDs, in flat arrays: objects would leave the processor's caches.

    Attributes:
        born, used: the entries that first and last used it.
        highest: the highest number that may have been applied.
        numbers: the program's own, ascending.
        checksums: of what was said, parallel to ``numbers``.
        values: the message's id, or minus the refusal's code; likewise.
        first: index of the record that the arrays begin with.
        written: index of the newest record in the last snapshot, or NEVER.
    """

    __slots__ = (
        "_bounds", "account", "born", "checksums", "client", "first", "highest", "numbers", "used",
        "values", "written",
    )  # fmt: skip

    def __init__(self, account: int, client: str, born: int, highest: int, bounds: Bounds) -> None:
        self._bounds = bounds
        self.account = account
        self.client = client
        self.born = self.used = born
        self.highest = highest
        self.numbers = array("q")
        self.checksums = array("I")
        self.values = array("q")
        self.first = 0
        self.written = NEVER

    def remember(self, numbers: list[int], checksums: list[int], values: list[int]) -> None:
        self.highest = numbers[-1]
        self.numbers.fromlist(numbers)  # three times as fast as ``extend``
        self.checksums.fromlist(checksums)
        self.values.fromlist(values)

    def forget_oldest(self) -> None:
        excess = self.newest - self.first - self._bounds.records_of_program + 1
        if excess > 0:
            self.first += excess
            for column in (self.numbers, self.checksums, self.values):
                del column[: excess * self._bounds.sends_in_record]

    def forget_all(self) -> list[int]:
        """Forget all but the highest number; return the keys of dropped records."""
        kept = self._key(self.newest)
        gone = [key for key in self.written_keys() if key != kept]
        self.first = self.newest
        for column in (self.numbers, self.checksums, self.values):
            del column[:]
        return gone

    @property
    def cost(self) -> int:
        return self._bounds.program_cost + len(self.numbers)

    def find(self, number: int) -> tuple[int, int] | None:
        """Return checksum and value of a SEND; None if it is forgotten."""
        place = bisect_left(self.numbers, number)
        if place == len(self.numbers) or self.numbers[place] != number:
            return None
        return self.checksums[place], self.values[place]

    # --- records

    @property
    def newest(self) -> int:
        return self.first + max(0, len(self.numbers) - 1) // self._bounds.sends_in_record

    def changed(self) -> list[Record]:
        changed = self.records(max(self.first, self.written))
        self.written = self.newest
        return changed

    def records(self, first: int) -> list[Record]:
        """Return records from ``first`` on; only the newest changes with every use."""
        newest, records, sends = self.newest, [], self._bounds.sends_in_record
        for index in range(first, newest + 1):
            used, highest = (self.used, self.highest) if index == newest else (0, 0)
            start = (index - self.first) * sends
            numbers, checksums, values = (
                column[start : start + sends].tobytes()
                for column in (self.numbers, self.checksums, self.values)
            )
            part = _Part(
                self.account, self.client, index, used, numbers, checksums, values, highest
            )
            records.append((self._key(index), _encoder.encode(part)))
        return records

    def written_keys(self) -> list[int]:
        first = max(0, self.written - self._bounds.records_of_program + 1)
        return [self._key(index) for index in range(first, self.written + 1)]

    def _key(self, index: int) -> int:
        return key_of(self.born, index % self._bounds.records_of_program)


class _Part(Struct, array_like=True):
    """A record: ``sends_in_record`` SENDs, fewer in the newest."""

    account: int
    client: str
    index: int
    used: int
    numbers: bytes
    checksums: bytes
    values: bytes
    highest: int


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(_Part)


class _OfAccount:
    """An account's programs by client ID, least recently used first.

    ``known``: those of which only the highest number is known.
    """

    __slots__ = ("cost", "known", "recent", "used")

    def __init__(self) -> None:
        self.recent: dict[str, Program] = {}
        self.known: dict[str, Program] = {}
        self.cost = 0
        self.used = 0

    def __iter__(self) -> Iterator[Program]:
        yield from self.recent.values()
        yield from self.known.values()


class Programs:
    """All programs, and their records."""

    def __init__(self, bounds: Bounds, outdated: Callable[[int, int], None]) -> None:
        """``outdated`` gets account and highest number of a forgotten program."""
        self._bounds = bounds
        self._most_sends = bounds.records_of_program * bounds.sends_in_record
        self._outdated = outdated
        self._all: dict[int, Program] = {}
        self._of_account: dict[int, _OfAccount] = {}
        self._shares = Shares(bounds.cost_step)
        self._cost = 0
        self._changed: set[int] = set()
        self._gone: dict[int, None] = {}
        """Records to drop; to sort hundreds of thousands would be a long turn, at all nodes."""
        self._dropped: list[_OfAccount] = []
        """Programs of deleted accounts, whose records go with the next snapshot."""
        self._unwritten: set[int] = set()
        """Programs whose records the snapshot has yet to write."""
        self._before: dict[int, list[Record]] = {}
        """Their records as they were, if they have changed."""
        self._parts: list[_Part] = []
        self._born = 0
        """The program being restored, of which ``_parts`` are."""
        self._restored: list[Program] = []

    def find(self, account: int, client: str) -> Program | None:
        programs = self._of_account.get(account)
        if programs is None:
            return None
        return programs.recent.get(client) or programs.known.get(client)

    def use(self, account: int, client: str, seq: int, highest: int) -> Program:
        """Find or begin a program, now its account's most recently used.

        A new one must number above ``highest``. Call ``said`` when its SENDs are remembered.
        """
        programs = self._of_account.get(account)
        if programs is None:
            programs = self._of_account[account] = _OfAccount()
        program = programs.recent.pop(client, None)
        if program is None:
            program = self._begun(programs, account, client, seq, highest)
        if self._unwritten:
            self._changing(program)
        self._changed.add(program.born)
        program.used = programs.used = seq
        programs.recent[client] = program  # now the last
        return program

    def _begun(
        self, programs: _OfAccount, account: int, client: str, seq: int, highest: int
    ) -> Program:
        bounds = self._bounds
        program = programs.known.pop(client, None)
        if program is None:
            program = self._all[seq] = Program(account, client, seq, highest, bounds)
            self._charge(programs, bounds.program_cost)
        if len(programs.recent) == bounds.programs:
            self._forget_sends(programs, next(iter(programs.recent.values())))
        if len(programs.known) > bounds.known_programs - bounds.programs:
            self._outdate(next(iter(programs.known.values())))
        return program

    def said(self, program: Program, before: int) -> None:
        """Charge a program for its SENDs, all but ``before`` new; forget others if need be."""
        if len(program.numbers) > self._most_sends:
            program.forget_oldest()
        programs, cost = self._of_account[program.account], len(program.numbers) - before
        programs.cost += cost
        self._cost += cost
        self._shares.put(program.account, programs.cost, programs.used)
        while self._cost > self._bounds.cost:
            self._forget_of(self._shares.greatest())

    def finish(self, account: int, client: str) -> None:
        program = self.find(account, client)
        if program is not None:
            self._forget(program)

    def forget_account(self, account: int) -> None:
        """Forget a deleted account's programs; the snapshot drops their records, in slices."""
        programs = self._of_account.pop(account, None)
        if programs is not None:
            self._shares.remove(account)
            self._cost -= programs.cost
            self._dropped.append(programs)

    def _charge(self, programs: _OfAccount, cost: int) -> None:
        programs.cost += cost
        self._cost += cost

    def _forget_of(self, account: int) -> None:
        programs = self._of_account[account]
        self._outdate(next(iter((programs.known or programs.recent).values())))

    def _forget_sends(self, programs: _OfAccount, program: Program) -> None:
        """*never again*: keep the highest number."""
        self._changing(program)
        self._charge(programs, -len(program.numbers))
        self._gone.update(dict.fromkeys(program.forget_all()))
        self._changed.add(program.born)
        programs.known[program.client] = programs.recent.pop(program.client)

    def _outdate(self, program: Program) -> None:
        """*never again*: leave the highest number with the account."""
        self._outdated(program.account, program.highest)
        self._forget(program)

    def _forget(self, program: Program) -> None:
        self._changing(program)
        self._gone.update(dict.fromkeys(program.written_keys()))
        self._changed.discard(program.born)
        del self._all[program.born]
        account = program.account
        programs = self._of_account[account]
        self._charge(programs, -program.cost)
        if programs.recent.pop(program.client, None) is None:
            del programs.known[program.client]
        if programs.recent or programs.known:
            self._shares.put(account, programs.cost, programs.used)
        else:
            self._shares.remove(account)
            del self._of_account[account]

    def _changing(self, program: Program) -> None:
        if program.born in self._unwritten:
            self._unwritten.discard(program.born)
            self._before[program.born] = program.changed()

    # --- snapshots

    def snapshot(self) -> Iterator[Record]:
        assert not self._unwritten
        self._unwritten, self._changed = self._changed, set()
        gone, self._gone = self._gone, {}
        dropped, self._dropped = self._dropped, []
        return self._write(sorted(self._unwritten), gone, dropped)

    def _write(
        self, programs: list[int], gone: dict[int, None], dropped: list[_OfAccount]
    ) -> Iterator[Record]:
        for key in self._drop(dropped):
            gone.pop(key, None)
            yield key, b""
        for born in programs:
            if born in self._unwritten:
                self._changing(self._all[born])
            for record in self._before.pop(born, ()):  # none of a dropped one
                gone.pop(record[0], None)  # it replaced a dropped one
                yield record
        for key in gone:
            yield key, b""

    def _drop(self, dropped: list[_OfAccount]) -> Iterator[int]:
        for programs in dropped:
            for program in programs:
                self._unwritten.discard(program.born)
                del self._all[program.born]
                yield from program.written_keys()

    def all(self) -> Iterator[Record]:
        for programs in self._of_account.values():
            for program in programs:
                yield from program.records(program.first)

    def restore(self, born: int, data: bytes) -> None:
        """Take in a record, next to others of its program.

        Raises:
            msgspec.DecodeError: it is corrupt.
        """
        if born != self._born:
            self._build()
            self._born = born
        self._parts.append(_decoder.decode(data))

    def _build(self) -> None:
        if self._parts:
            self._restored.append(_program(self._born, self._parts, self._bounds))
            self._parts = []

    def restored(self) -> None:
        """After the last record, sort the programs by last use."""
        self._build()
        programs, self._restored = self._restored, []
        programs.sort(key=lambda program: program.used)
        for program in programs:
            self._all[program.born] = program
            of_account = self._of_account.setdefault(program.account, _OfAccount())
            shelf = of_account.recent if program.numbers else of_account.known
            shelf[program.client] = program
            self._charge(of_account, program.cost)
            of_account.used = max(of_account.used, program.used)
        for account, of_account in self._of_account.items():
            self._shares.put(account, of_account.cost, of_account.used)


def _program(born: int, parts: list[_Part], bounds: Bounds) -> Program:
    parts.sort(key=lambda part: part.index)
    newest = parts[-1]
    program = Program(newest.account, newest.client, born, newest.highest, bounds)
    program.used = newest.used
    program.first = parts[0].index
    program.written = newest.index
    for part in parts:
        program.numbers.frombytes(part.numbers)
        program.checksums.frombytes(part.checksums)
        program.values.frombytes(part.values)
    return program
