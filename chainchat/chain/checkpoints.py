"""Checkpoints as the protocol sees them: opaque rows as of some entry, which a node can copy.

Whoever has the checkpoint as of an entry needs none of the entries before it to go on. So a log may
lose its beginning (``Log.beginning``), and a node that would have to copy a long log copies the
checkpoint, and only the entries that its source still has (``copying``).
"""

from msgspec import Struct

from chainchat.chain.entries import EntryId
from chainchat.chain.messages import INDEX, RECORDS, START, Place, Row

__all__ = ["INDEX", "RECORDS", "START", "Offered", "Place", "Row", "Staged"]


class Offered(Struct, frozen=True):
    """A finished checkpoint, and where the log beside it begins.

    Attributes:
        checkpoint: the entry as of which it is.
        beginning: the entry before the first one of the log.
        head: what the application stores besides its records; begins with a digest of all.
    """

    checkpoint: EntryId
    beginning: EntryId
    head: bytes


class Staged(Struct, frozen=True):
    """How far a copy of a checkpoint has come; on disk, beside the node's own data.

    Attributes:
        offered: the checkpoint.
        place: of the newest row that is here.
        complete: True if all rows are here.
        end: the last entry of the log that is here; its beginning at first.
    """

    offered: Offered
    end: EntryId
    place: Place = START
    complete: bool = False
