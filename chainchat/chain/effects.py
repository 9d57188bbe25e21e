"""Effects: all that a node does because the protocol says so.

An input of the ``engine`` is answered with effects, one after another. Whoever carries them out
completes each before it asks for the next. What has to be true before something is said or done is
therefore a matter of order:

- ``Persist`` before any ``Send`` or ``Apply`` that speaks of those entries (*durable*);
- ``Save`` before any ``Send`` that speaks of that vote or configuration (*one vote*, *newest*);
- ``Cut`` before the ``Persist`` of what takes its place.
"""

from collections.abc import Sequence

from msgspec import Struct

from chainchat.chain.messages import Entry, EntryId, Message
from chainchat.chain.record import Record

# --- to the disk


class Persist(Struct, frozen=True):
    """Append these entries to the log; on disk before the next effect.

    Attributes:
        entries: the next ones.
        committed: up to where the log is known to be committed, to be noted with them.
    """

    entries: tuple[Entry, ...]
    committed: int = 0


class Mark(Struct, frozen=True):
    """Note on disk that the log is committed up to ``seq``: no later life may cut that off."""

    seq: int


class Cut(Struct, frozen=True):
    """Take everything above ``after`` out of the log, into a side file, before what follows.

    Attributes:
        after: sequence number of the last common entry.
        end: the last entry of the log that this one is made like.
    """

    after: int
    end: EntryId


class Save(Struct, frozen=True):
    """Write the record of membership; on disk before the next effect."""

    record: Record


# --- to other nodes


class Send(Struct, frozen=True):
    """Send a message to the node at a position; it may get lost."""

    to: str
    message: Message


class Distrust(Struct, frozen=True):
    """End the connection with whoever is connected as ``sender``.

    It has said what no node of this chain says. On another connection it may be somebody else, or
    say something else.
    """

    sender: str
    reason: str


# --- to the application


class Apply(Struct, frozen=True):
    """Apply these committed entries, in order."""

    entries: Sequence[Entry]


class Compare(Struct, frozen=True):
    """Compare the digest that a predecessor has sent of its state as of an entry."""

    sender: str
    seq: int
    digest: bytes


class Answered(Struct, frozen=True):
    """The answer to the question that ``ask`` numbered."""

    number: int
    answer: bytes


class GivenUp(Struct, frozen=True):
    """The tail that this question was asked of is gone, and it is not asked of the next one."""

    number: int


# --- to the operator, and to the life itself


class Report(Struct, frozen=True):
    """Tell the operator; ``alarm``: something is as it should not be."""

    text: str
    alarm: bool = False


class Excluded(Struct, frozen=True):
    """The chain goes on without this life: it has to end, and a new one to begin as a learner."""


Effect = (
    Persist
    | Mark
    | Cut
    | Save
    | Send
    | Distrust
    | Apply
    | Compare
    | Answered
    | GivenUp
    | Report
    | Excluded
)
