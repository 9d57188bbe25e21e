"""Effects: all that the protocol makes a node do.

The node completes each before it asks the ``engine`` for the next, so their order says what must be
true first:

- ``Write`` before any ``Send`` of those entries (*written*);
- ``Sync`` before any ``Apply`` of them, and any ``Send`` that says that they are here (*synced*);
- ``Save`` before any ``Send`` of that vote or configuration (*one vote*, *newest*);
- ``Cut`` before the ``Write`` of what takes its place;
- ``StageRows`` and ``StageEntries`` before the ``Install`` that lets them count.
"""

from collections.abc import Sequence

from msgspec import Struct

from chainchat.chain.checkpoints import Offered, Row
from chainchat.chain.entries import Entry, EntryId
from chainchat.chain.messages import Message
from chainchat.chain.record import Record

# --- to the disk


class Write(Struct, frozen=True):
    """Append entries, with ``committed``; ``Sync`` follows in the same turn."""

    entries: tuple[Entry, ...]
    committed: int = 0


class Sync(Struct, frozen=True):
    """Sync all that was written."""


class Mark(Struct, frozen=True):
    """Write, for later lives, up to where the log is committed."""

    seq: int


class Cut(Struct, frozen=True):
    """Move all entries above ``after`` to a side file; ``end``: the other log's last entry."""

    after: int
    end: EntryId


class Stage(Struct, frozen=True):
    """Begin to copy a checkpoint, beside the node's own data."""

    offered: Offered


class StageRows(Struct, frozen=True):
    """Add rows to the copy; ``complete``: these are the last."""

    rows: tuple[Row, ...]
    complete: bool


class StageEntries(Struct, frozen=True):
    """Add entries to the copy."""

    entries: tuple[Entry, ...]


class Install(Struct, frozen=True):
    """Let the copy, if its digest is right, replace the node's data; then begin a new life."""

    source: str


class Unstage(Struct, frozen=True):
    """Throw the copy away; distrust ``source``, which lent it, if named."""

    source: str = ""
    reason: str = ""


class Save(Struct, frozen=True):
    """Write the record, and sync it before the next effect."""

    record: Record


# --- to other nodes


class Send(Struct, frozen=True):
    """Send a message to the node at a position; it may get lost."""

    to: str
    message: Message


class Distrust(Struct, frozen=True):
    """End the connection of ``sender``, which said what no node says."""

    sender: str
    reason: str


# --- to the application


class Apply(Struct, frozen=True):
    """Apply committed entries, in order."""

    entries: Sequence[Entry]


class Compare(Struct, frozen=True):
    """Compare the state's digest with the predecessor's."""

    sender: str
    seq: int
    digest: bytes


class Answered(Struct, frozen=True):
    """Hand out the answer to a question."""

    number: int
    answer: bytes


class GivenUp(Struct, frozen=True):
    """Hand out that a question gets no answer: its tail is gone (*not again*)."""

    number: int


# --- to the operator, and to the life itself


class Tell(Struct, frozen=True):
    """Tell the operator; ``alarm``: something is wrong."""

    text: str
    alarm: bool = False


class Excluded(Struct, frozen=True):
    """The chain goes on without this life: begin another, as a learner."""


Effect = (
    Write
    | Sync
    | Mark
    | Cut
    | Stage
    | StageRows
    | StageEntries
    | Install
    | Unstage
    | Save
    | Send
    | Distrust
    | Apply
    | Compare
    | Answered
    | GivenUp
    | Tell
    | Excluded
)
