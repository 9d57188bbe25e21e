"""The messages between nodes; a class name is the AMP command on the wire.

``epoch`` and ``identity`` are those of the sender's configuration; a receiver in another does
nothing.
"""

from typing import Annotated, get_args

from msgspec import Meta, Struct, field, msgpack

from chainchat.chain.checkpoints import INDEX, INDEXED_OCTETS, RECORDS, Place, Row
from chainchat.chain.configuration import MOST, Configuration, Member, Name, Number
from chainchat.chain.entries import UNDECODABLE, Entry, EntryId, Submission, digest_after

MAX_FRAME = 60_000
"""The most encoded octets; an AMP value holds 65,535."""

Text = Annotated[str, Meta(max_length=2_000)]


class Submit(Struct, frozen=True):
    """Origin to head: contiguous requests."""

    epoch: Number
    origin: Annotated[str, Meta(max_length=128)]
    requests: tuple[Submission, ...]
    identity: Number = 0


class Forward(Struct, frozen=True):
    """Predecessor to successor: the next entries, perhaps none, all written by the predecessor.

    Attributes:
        previous: the entry before, which the successor must hold.
        synced: up to where all disks from the head on have the log; None from a node of protocol 6,
            which forwards only that.
    """

    epoch: Number
    previous: EntryId
    entries: tuple[Entry, ...]
    committed: Number
    identity: Number = 0
    synced: Number | None = None


class Ack(Struct, frozen=True):
    """Successor to predecessor, first from the tail: all up to ``seq`` is committed (paper, 2)."""

    epoch: Number
    seq: Number
    identity: Number = 0


class Holding(Struct, frozen=True):
    """Successor to predecessor: send what follows ``last``, my newest entry."""

    epoch: Number
    last: EntryId
    identity: Number = 0


class Read(Struct, frozen=True):
    """Any node to the tail: a question."""

    epoch: Number
    number: Number
    query: bytes
    identity: Number = 0


class Answer(Struct, frozen=True):
    """The tail's answer to a Read."""

    epoch: Number
    number: Number
    answer: bytes
    identity: Number = 0


class StateDigest(Struct, frozen=True):
    """Predecessor to successor: the digest of my state as of ``seq``."""

    epoch: Number
    seq: Number
    digest: bytes
    identity: Number = 0


class Vote(Struct, frozen=True):
    """A node's promise for the next epoch.

    ``ballot``: the proposer's incarnation, and a counter of its attempts.
    """

    configuration: Configuration
    proposer: Member
    ballot: tuple[Number, Number]


class ClockReading(Struct, frozen=True, array_like=True):
    """The sender's clocks (0: none): monotonic seconds, as for timeouts, and UTC milliseconds."""

    monotonic: Annotated[float, Meta(ge=0.0, le=MOST)] = 0.0
    wall: Number = 0


class Newest(Struct, frozen=True):
    """What a node tells on a new connection: its newest configuration and committed entry."""

    epoch: Number = 0
    identity: Number = 0
    committed: EntryId = EntryId()


class Ping(Struct, frozen=True):
    """Are you there, and who are you?"""

    member: Member
    nonce: Number
    epoch: Number
    clocks: ClockReading = ClockReading()
    identity: Number = 0


class Pong(Struct, frozen=True):
    """The answer to a Ping: all that a peer needs to decide.

    Attributes:
        confirms: the node is active, and neither excludes the pinger nor has tried to.
        caught_up: a learner lacks only the newest entries.
        answers: the life that sent the Ping.
        committed: the newest entry known there to be committed.
        voted: the epoch of its vote, or 0.
    """

    member: Member
    nonce: Number
    configuration: Configuration
    confirms: bool
    last: EntryId
    caught_up: bool
    progress: Text = ""
    low: bool = False
    answers: tuple[Name, Number] = ("", 0)
    clocks: ClockReading = ClockReading()
    committed: EntryId = EntryId()
    voted: Number = 0


class Propose(Struct, frozen=True):
    """Proposer to voter: will you vote for this configuration, made on this base?

    ``last``: the entry that every member must hold before a resume.
    """

    base: Configuration
    vote: Vote
    last: EntryId = EntryId()


class Voted(Struct, frozen=True):
    """Voter to proposer: yes, the vote is on my disk; repeated until you decide or abort."""

    voter: Member
    vote: Vote
    last: EntryId


class Decided(Struct, frozen=True):
    """The configuration is on the proposer's disk, and so decided."""

    configuration: Configuration


class Abort(Struct, frozen=True):
    """The proposer never decided this, and never will: drop the vote."""

    vote: Vote


class Declined(Struct, frozen=True):
    """Tail to head: the learner cannot join now; ``sealed``: seconds without new entries."""

    vote: Vote
    reason: Text = ""
    sealed: Annotated[float, Meta(ge=0.0, le=3_600.0)] = 0.0


class Fetch(Struct, frozen=True):
    """Learner to tail: send what follows my last entry, if you hold that.

    Attributes:
        staged: to go with a copied checkpoint: offer another only if the log begins later now.
        takes_offers: False from older releases.
    """

    epoch: Number
    learner: Member
    last: EntryId
    identity: Number = 0
    staged: bool = False
    takes_offers: bool = False


class Differs(Struct, frozen=True):
    """Tail to learner: I lack your entry; the newest of these that you hold is common."""

    epoch: Number
    newest: EntryId
    identity: Number = 0
    older: tuple[EntryId, ...] = ()


class Copied(Struct, frozen=True):
    """Tail to learner: entries on the tail's disk, perhaps none.

    Attributes:
        previous: the entry before, which the learner holds.
        sealed: the tail takes no entries until the learner has synced these.
        more: another part follows.
        committed: up to where entries may be applied; None from a node of protocol 6, which lends
            only such.
    """

    epoch: Number
    previous: EntryId
    entries: tuple[Entry, ...]
    end: EntryId
    sealed: bool
    more: bool = False
    identity: Number = 0
    committed: Number | None = None


class Synced(Struct, frozen=True):
    """Learner to tail: my disk's log ends so, and will until you decide."""

    epoch: Number
    learner: Member
    last: EntryId
    identity: Number = 0


class Offer(Struct, frozen=True):
    """Tail to learner: copy this checkpoint, and my log from its beginning.

    Attributes:
        beginning, header: as in ``Offered``.
        common: the tail holds the learner's entry.
    """

    epoch: Number
    checkpoint: EntryId
    beginning: EntryId
    header: bytes = field(name="head")
    common: bool
    identity: Number = 0


class FetchRows(Struct, frozen=True):
    """Learner to tail: send the checkpoint's rows after a place."""

    epoch: Number
    learner: Member
    checkpoint: EntryId
    after: Place
    identity: Number = 0


class Rows(Struct, frozen=True):
    """Tail to learner: the next rows, in order.

    Attributes:
        after: the place before the first row.
        gone: the tail has the checkpoint no more.
    """

    epoch: Number
    checkpoint: EntryId
    after: Place
    rows: tuple[Row, ...]
    complete: bool
    more: bool = False
    gone: bool = False
    identity: Number = 0


ChainMessage = Submit | Forward | Ack | Holding | Read | Answer | StateDigest
"""About the log; the other messages are about configurations, then about copying."""

Message = (
    ChainMessage
    | Ping
    | Pong
    | Propose
    | Voted
    | Decided
    | Abort
    | Declined
    | Fetch
    | Differs
    | Copied
    | Synced
    | Offer
    | FetchRows
    | Rows
)

KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}

_encoder = msgpack.Encoder()
_decoders = {name: msgpack.Decoder(kind) for name, kind in KINDS.items()}


class BadMessageError(ValueError):
    """A peer sent what no node sends."""


def speaker(message: Message) -> Member | None:
    """Return the life that the message says it is from, if it says so."""
    match message:
        case Submit() | Forward() | Ack():  # nearly every message
            return None
        case Ping() | Pong():
            return message.member
        case Propose():
            return message.vote.proposer
        case Voted():
            return message.voter
        case Fetch() | FetchRows() | Synced():
            return message.learner
        case _:
            return None


def _flaw(message: Message) -> str:
    match message:
        case Forward() | Copied():
            return _flaw_of_entries(message.previous, message.entries, message.epoch)
        case Submit() | Ack():
            return ""
        case Pong() | Decided():
            return message.configuration.flaw
        case Propose():
            return message.base.flaw or message.vote.configuration.flaw
        case Voted() | Abort() | Declined():
            return message.vote.configuration.flaw
        case Offer():
            return _flaw_of_offer(message.beginning, message.checkpoint)
        case Rows():
            return _flaw_of_rows(message.after, message.rows)
        case _:
            return ""


def _flaw_of_offer(beginning: EntryId, checkpoint: EntryId) -> str:
    if beginning.seq < checkpoint.seq or beginning == checkpoint:
        return ""
    return f"a checkpoint as of {checkpoint}, with a log that begins after {beginning}"


def _flaw_of_rows(after: Place, rows: tuple[Row, ...]) -> str:
    for row in rows:
        record = row.table == RECORDS and row.key >= 0 and row.second == 0
        run = row.table == INDEX and len(row.data) % INDEXED_OCTETS == 0
        if not (record or run) or row.place <= after:
            return f"the row {row.place} after {after}"
        after = row.place
    return ""


def _flaw_of_entries(previous: EntryId, entries: tuple[Entry, ...], epoch: int) -> str:
    """Require that entries follow ``previous`` and each other, and that epochs never fall."""
    end, newest, digest = previous.seq, previous.epoch, previous.digest
    for entry in entries:
        if entry.seq - entry.span != end or not newest <= entry.epoch <= epoch:
            return f"entry {entry.seq} of epoch {entry.epoch} does not follow {end} of {newest}"
        digest = digest_after(digest, entry.content)
        if entry.digest != digest:
            return f"the digest of entry {entry.seq} is not that of its content"
        end, newest = entry.seq, entry.epoch
    return "" if newest <= epoch else "an entry of an epoch to come"


def encode(message: Message) -> tuple[str, bytes]:
    return type(message).__name__, _encoder.encode(message)


def decode(kind: str, body: bytes) -> Message:
    """Decode a message.

    Raises:
        BadMessageError: no node sends this.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        raise BadMessageError(f"unknown kind of message {kind!r}")
    try:
        message: Message = decoder.decode(body)
    except UNDECODABLE as error:
        raise BadMessageError(f"a {kind} that does not fit: {error}") from error
    flaw = _flaw(message)
    if flaw:
        raise BadMessageError(f"a {kind} that does not fit: {flaw}")
    return message
