"""The message index: which messages concern a reader, newest at the end.

Ids and senders are flat arrays, 16 octets a message, written and read as they are.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

SKIPPED = 1_000
"""Messages of one sender skipped at once: whoever said most of all reads as fast."""

LOOKED_AT = 16
"""Messages looked at one by one; of more, a half of one sender is skipped."""


class Indexed(NamedTuple):
    """One sender's messages for one reader, or EVERY_READER: account numbers, and ascending ids."""

    reader: int
    ids: Sequence[int]
    sender: int


class Run:
    """One reader's messages: ascending ids, senders' accounts."""

    __slots__ = ("ids", "senders")

    def __init__(self, data: bytes = b"") -> None:
        half = len(data) // 2
        self.ids = array("q", data[:half])
        self.senders = array("q", data[half:])

    def __bytes__(self) -> bytes:
        return self.ids.tobytes() + self.senders.tobytes()

    def parts(self, length: int) -> "Iterator[Run]":
        for start in range(0, len(self.ids), length):
            part = Run()
            part.ids = self.ids[start : start + length]
            part.senders = self.senders[start : start + length]
            yield part

    def cut(self, after: int) -> None:
        end = bisect_right(self.ids, after)
        del self.ids[end:]
        del self.senders[end:]

    def forget(self, up_to: int) -> None:
        end = bisect_right(self.ids, up_to)
        del self.ids[:end]
        del self.senders[:end]

    def after(self, after: int, unless_sender: int) -> Iterator[int]:
        """Yield ids, oldest first, except one sender's."""
        start, length = bisect_right(self.ids, after), len(self.ids)
        for begin in range(start, length, SKIPPED):
            yield from self._others(unless_sender, begin, min(begin + SKIPPED, length))

    def before(self, before: int, unless_sender: int) -> Iterator[int]:
        """Yield ids, newest first, except one sender's."""
        for end in range(bisect_left(self.ids, before), 0, -SKIPPED):
            yield from self._others(unless_sender, max(0, end - SKIPPED), end, step=-1)

    def _others(self, sender: int, begin: int, end: int, step: int = 1) -> Iterator[int]:
        """Yield others' ids between two places; ``step``: 1, or -1 for the newest first."""
        if end - begin <= LOOKED_AT:
            for place in range(begin, end)[::step]:
                if self.senders[place] != sender:
                    yield self.ids[place]
        elif sender not in self.senders[begin:end]:
            yield from self.ids[begin:end][::step]
        elif not self._are_all_of(sender, begin, end):
            middle = (begin + end) // 2
            for half in ((begin, middle), (middle, end))[::step]:
                yield from self._others(sender, *half, step)

    def _are_all_of(self, sender: int, begin: int, end: int) -> bool:
        if self.senders[begin] != sender or self.senders[end - 1] != sender:
            return False
        return self.senders[begin:end] == array("q", (sender,)) * (end - begin)


NO_RUN = Run()


class Index:
    """All readers' runs, in memory."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}

    def add(self, indexed: Iterable[Indexed]) -> None:
        for reader, ids, sender in indexed:
            run = self.runs.get(reader)
            if run is None:
                run = self.runs[reader] = Run()
            known = bisect_right(ids, run.ids[-1]) if run.ids else 0
            run.ids.fromlist([*ids[known:]])
            run.senders.extend(array("q", (sender,)) * (len(ids) - known))

    def cut(self, after: int) -> None:
        for run in self.runs.values():
            run.cut(after)

    def forget(self, up_to: int) -> None:
        for run in self.runs.values():
            run.forget(up_to)

    def of(self, reader: int) -> Run:
        return self.runs.get(reader, NO_RUN)


def first_of(limit: int, *ascending: Iterator[int]) -> list[int]:
    return sorted({id_ for ids in ascending for id_ in islice(ids, limit)})[:limit]


def last_of(limit: int, *descending: Iterator[int]) -> list[int]:
    return sorted({id_ for ids in descending for id_ in islice(ids, limit)}, reverse=True)[:limit]
