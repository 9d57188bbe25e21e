"""Effects: all that the protocol makes a node do.

The node completes each before it asks the ``engine`` for the next, so their order says what must be
true before a node says or does anything:

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
    """Append entries to the log, with ``committed``; ``Sync`` follows in the same turn."""

    entries: tuple[Entry, ...]
    committed: int = 0


class Sync(Struct, frozen=True):
    """Sync all that was written."""


class Mark(Struct, frozen=True):
    """Write up to where the log is committed, for later lives."""

    seq: int


class Cut(Struct, frozen=True):
    """Move all above ``after`` to a side file; ``end``: the other log's last entry."""

    after: int
    end: EntryId


class Stage(Struct, frozen=True):
    """Begin to copy it, beside the node's own data."""

    offered: Offered


class StageRows(Struct, frozen=True):
    """Add rows of the checkpoint; ``complete``: the last."""

    rows: tuple[Row, ...]
    complete: bool


class StageEntries(Struct, frozen=True):
    """Add entries of the log that goes with it."""

    entries: tuple[Entry, ...]


class Install(Struct, frozen=True):
    """Let the copy replace the node's data and begin a new life; a wrong digest: ``Unstage``."""

    source: str


class Unstage(Struct, frozen=True):
    """Throw the copy away, and distrust ``source``, which lent it, if named."""

    source: str = ""
    reason: str = ""


class Save(Struct, frozen=True):
    """Write the record, on disk before the next effect."""

    record: Record


# --- to other nodes


class Send(Struct, frozen=True):
    """It may get lost; ``to``: a position."""

    to: str
    message: Message


class Distrust(Struct, frozen=True):
    """End a connection on which was said what no node says."""

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
    """The answer to a question."""

    number: int
    answer: bytes


class GivenUp(Struct, frozen=True):
    """The tail is gone, and no other is asked."""

    number: int


# --- to the operator, and to the life itself


class Tell(Struct, frozen=True):
    """Tell the operator; ``alarm``: something is wrong."""

    text: str
    alarm: bool = False


class Excluded(Struct, frozen=True):
    """The chain goes on without this life: begin a new one, as a learner."""


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
