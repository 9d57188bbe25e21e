"""Checkpoints as the protocol sees them: opaque rows as of some entry, which a node can copy.

A checkpoint stands for all entries before it. So logs may lose their beginning, and a node that
lacks much copies a checkpoint and what follows it.
"""

from typing import Annotated

from msgspec import Meta, Struct

from chainchat.chain.configuration import Number
from chainchat.chain.entries import EntryId

RECORDS, INDEX = 0, 1
"""Tables: the application's state, and the index of its messages."""

INDEXED_OCTETS = 16
"""Octets of one message in a row of the index."""

StoredKey = Annotated[int, Meta(ge=-1, lt=2**62)]
"""-1 comes before all."""

Place = tuple[Number, StoredKey, StoredKey]
"""Table, key, second key; rows are in this order."""

START: Place = (0, -1, -1)


class Row(Struct, frozen=True, array_like=True, gc=False):
    """A row of a checkpoint; the chain does not look into ``data``."""

    table: Number
    key: StoredKey
    second: StoredKey
    data: bytes

    @property
    def place(self) -> Place:
        return self.table, self.key, self.second


class Offered(Struct, frozen=True):
    """A finished checkpoint, and the log beside it.

    Attributes:
        beginning: the entry before the log's first.
        header: what is stored besides the records; begins with a digest of all.
    """

    checkpoint: EntryId
    beginning: EntryId
    header: bytes


class Staged(Struct, frozen=True):
    """How far a copy has come; on disk, beside the node's own data.

    Attributes:
        place: of the newest row.
        end: the last entry copied; at first the log's beginning.
    """

    offered: Offered
    end: EntryId
    place: Place = START
    complete: bool = False
