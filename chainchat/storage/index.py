"""The message index: which messages concern a reader, newest at the end.

Ids and senders are flat arrays, 16 octets a message, written and read as they are.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

NO_MORE = 1 << 62
"""Above all ids."""

SKIPPED, SKIPPED_FEW = 1_000, 40
"""Messages of one sender skipped at once: whoever said most of all reads as fast."""

Piece = tuple[int, int]
"""The places in a run from the first up to, but not with, the second."""


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

    def after(self, after: int, unless_sender: int, up_to: int = NO_MORE) -> Iterator[int]:
        """Yield ids, oldest first, except one sender's."""
        start, length = bisect_right(self.ids, after), bisect_right(self.ids, up_to)
        for begin, end in self._with_others(_forwards(start, length, SKIPPED), unless_sender):
            few = _forwards(begin, end, SKIPPED_FEW)
            for few_begin, few_end in self._with_others(few, unless_sender):
                for place in range(few_begin, few_end):
                    if self.senders[place] != unless_sender:
                        yield self.ids[place]

    def before(self, before: int, unless_sender: int, above: int = 0) -> Iterator[int]:
        """Yield ids, newest first, except one sender's."""
        first, start = bisect_right(self.ids, above), bisect_left(self.ids, before)
        for begin, end in self._with_others(_backwards(first, start, SKIPPED), unless_sender):
            few = _backwards(begin, end, SKIPPED_FEW)
            for few_begin, few_end in self._with_others(few, unless_sender):
                for place in range(few_end - 1, few_begin - 1, -1):
                    if self.senders[place] != unless_sender:
                        yield self.ids[place]

    def _with_others(self, pieces: Iterable[Piece], sender: int) -> Iterator[Piece]:
        """Leave out pieces that are of one sender alone."""
        senders, alone = self.senders, array("q")
        for begin, end in pieces:
            if senders[begin] == sender == senders[end - 1]:
                if len(alone) != end - begin:
                    alone = array("q", (sender,)) * (end - begin)
                if senders[begin:end] == alone:
                    continue
            yield begin, end


def _forwards(begin: int, end: int, length: int) -> Iterator[Piece]:
    return ((place, min(place + length, end)) for place in range(begin, end, length))


def _backwards(begin: int, end: int, length: int) -> Iterator[Piece]:
    return ((max(begin, place - length), place) for place in range(end, begin, -length))


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
