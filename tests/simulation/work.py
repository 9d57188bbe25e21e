"""What a node's work costs, in a world in which nothing else takes time.

While a host works, its clock goes on, and nobody else's: a node that does too much in a turn is
silent for as long. The prices are about twenty times those of a real machine: a few hundred
messages matter, and a run stays short.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from chainchat.chain.entries import Entry
from chainchat.chain.messages import Answer, Forward, Message
from chainchat.storage.interface import Indexed
from tests.simulation.disk import Disk

MESSAGE = 0.0002
"""A message to or from another node."""

CARRIED = 0.0001
"""Each sequence number that is in it, or is written to the log."""

REQUEST = 0.0002
"""Each sequence number that a client asks for."""

APPLIED = 0.001
"""Each sequence number that is applied."""

LOOKED_UP = 0.0002
"""A look into the index."""

READ = 0.0003
"""An entry that is read from the log and shown."""

CHECKPOINTED = 0.0005
"""A record that is written with a checkpoint."""

LINE = 0.0005
"""A line that is heard from a client."""

WRITTEN = 0.0001
"""A write to a client."""

ANSWER_OCTET = 0.000001
"""Each octet of an answer to a question."""

Work = Callable[[float], None]
"""Takes note of so many seconds of work."""


def price(message: Message) -> float:
    """What it costs to send a message to another node, or to hear it."""
    match message:
        case Forward():
            return MESSAGE + CARRIED * span(message.entries)
        case Answer():
            return MESSAGE + ANSWER_OCTET * len(message.answer)
    return MESSAGE


def span(entries: Sequence[Entry]) -> int:
    return sum(entry.span for entry in entries)


class PricedDisk:
    """A disk, as a node uses it whose work takes time."""

    def __init__(self, disk: Disk, work: Work) -> None:
        self._disk = disk
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def append(self, entries: Sequence[Entry], committed: int = 0) -> None:
        self._work(CARRIED * span(entries))
        self._disk.append(entries, committed)

    def read(self, after: int, up_to: int, octets: int) -> list[Entry]:
        entries = self._disk.read(after, up_to, octets)
        self._work(CARRIED * span(entries))
        return entries

    def entries(self, seqs: Iterable[int]) -> Iterator[Entry]:
        for entry in self._disk.entries(seqs):
            self._work(READ)
            yield entry

    def index(self, indexed: Iterable[Indexed]) -> None:
        self._work(LOOKED_UP)
        self._disk.index(indexed)

    def ids_after(self, *arguments: Any, **options: Any) -> list[int]:
        self._work(LOOKED_UP)
        return self._disk.ids_after(*arguments, **options)

    def ids_before(self, *arguments: Any, **options: Any) -> list[int]:
        self._work(LOOKED_UP)
        return self._disk.ids_before(*arguments, **options)

    def write_records(self, records: Sequence[tuple[int, bytes]]) -> bool:
        self._work(CHECKPOINTED * len(records))
        return self._disk.write_records(records)
