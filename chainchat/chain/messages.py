"""What nodes say to each other, and what the log holds: frozen, typed records.

Every message of the chain proper carries the epoch in which it was made, and the identity of the
configuration. A receiver that is in another one does not act on it. ``encode`` and ``decode`` give
and take MessagePack; a message's kind is its class name (on the wire: the AMP command).

*named by its content*: an entry carries a digest of itself and of the one before it, and so of
everything before it. Two logs that have an entry of the same name are the same up to there; numbers
alone cannot tell that, if two chains ever gave them out.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Annotated, get_args

from msgspec import DecodeError, Meta, Struct, msgpack
from msgspec.structs import replace

from chainchat.chain.configuration import MOST, Configuration, Member, Name, Number

MAX_FRAME = 60_000
"""Octets of an encoded message; an AMP value holds at most 65,535."""

MAX_SPAN = 512
"""Sequence numbers that one entry takes at most."""

Span = Annotated[int, Meta(ge=1, le=MAX_SPAN)]

Text = Annotated[str, Meta(max_length=2_000)]
"""For people."""

DIGEST_OCTETS = 16
"""Of an entry's digest: BLAKE2b."""

Digest = Annotated[bytes, Meta(max_length=DIGEST_OCTETS)]
"""Of an entry; empty before the first."""


class EntryId(Struct, frozen=True, array_like=True):
    """The name of an entry, and with it of a log that ends with it.

    Attributes:
        epoch: the entry's.
        seq: the entry's.
        digest: of its content and of all before it; empty before the first.
    """

    epoch: Number = 0
    seq: Number = 0
    digest: Digest = b""

    def is_beyond(self, other: "EntryId") -> bool:
        """Whether a log that ends with this one is the longer: a later epoch wins, then the seq.

        If both are of one chain, it holds all of the other.
        """
        return (self.epoch, self.seq) > (other.epoch, other.seq)

    def __str__(self) -> str:
        if not self.seq:
            return "no entry"
        return f"entry {self.seq} of epoch {self.epoch} ({self.digest.hex()[:8]})"


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log.

    It takes as many sequence numbers as what it holds has asked for; the last of them is its own.

    Attributes:
        seq: sequence number, contiguous from 1, given out by the head alone.
        epoch: in which the head gave it out.
        origin: the member's life through which the request came (``Member.origin``).
        number: the origin's own number of the request, contiguous from 1 in each origin's life.
        time: UTC milliseconds, stamped by the head, never less than the entry's before.
        command: what to apply; the chain does not look inside.
        span: how many sequence numbers it takes, 1 or more.
        digest: of all that and of the entry before (``digest_after``).
    """

    seq: Number
    epoch: Number
    origin: Annotated[str, Meta(max_length=128)]
    number: Number
    time: Number
    command: bytes
    span: Span = 1
    digest: Digest = b""

    @property
    def id(self) -> EntryId:
        """This entry's name."""
        return EntryId(self.epoch, self.seq, self.digest)

    @property
    def content(self) -> "Content":
        """All of it but the digest."""
        return (
            self.seq,
            self.epoch,
            self.origin,
            self.number,
            self.time,
            self.command,
            self.span,
        )

    @property
    def first(self) -> int:
        """The first of its sequence numbers."""
        return self.seq - self.span + 1


class Submission(Struct, frozen=True, array_like=True, gc=False):
    """A request on its way to the head.

    Attributes:
        number: the origin's.
        command: what to apply.
        span: how many sequence numbers it asks for.
    """

    number: Number
    command: bytes
    span: Span = 1


class Submit(Struct, frozen=True):
    """Origin to head: requests, in the order of their numbers, contiguous."""

    epoch: Number
    origin: Annotated[str, Meta(max_length=128)]
    requests: tuple[Submission, ...]
    identity: Number = 0


class Forward(Struct, frozen=True):
    """Predecessor to successor: the next entries, all on the predecessor's disk.

    Attributes:
        epoch: of the configuration.
        previous: the entry just before ``entries``; what the successor must hold.
        entries: contiguous; may be empty.
        committed: the newest sequence number that the predecessor knows to be committed.
        identity: of the configuration.
    """

    epoch: Number
    previous: EntryId
    entries: tuple[Entry, ...]
    committed: Number
    identity: Number = 0


class Ack(Struct, frozen=True):
    """Successor to predecessor.

    Everything up to ``seq`` is on the disk of every member from the successor to the tail.

    It starts at the tail (paper, section 2); so at the moment it is sent, everything up to ``seq``
    is committed.
    """

    epoch: Number
    seq: Number
    identity: Number = 0


class Holding(Struct, frozen=True):
    """Successor to predecessor: the last entry on my disk.

    The predecessor sends what comes after it.

    Sent whenever the two may have lost count: in a new configuration, on a new connection, after a
    refused Forward.
    """

    epoch: Number
    last: EntryId
    identity: Number = 0


class Read(Struct, frozen=True):
    """To the tail: answer this query from the committed state."""

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
    """Predecessor to successor: the digest of my state as of ``seq``.

    Another one there means that nodes differ: a bug.
    """

    epoch: Number
    seq: Number
    digest: bytes
    identity: Number = 0


class Vote(Struct, frozen=True):
    """A node's promise for the next epoch, durable before it is sent.

    Attributes:
        configuration: the proposed one.
        proposer: the proposer's life.
        ballot: distinguishes this proposer's attempts: (incarnation, counter).
    """

    configuration: Configuration
    proposer: Member
    ballot: tuple[Number, Number]


class ClockReading(Struct, frozen=True, array_like=True):
    """What a node's clocks say when it sends something; 0 for one that it does not have.

    Attributes:
        monotonic: seconds since some moment, by the clock that timeouts follow.
        wall: UTC milliseconds.
    """

    monotonic: Annotated[float, Meta(ge=0.0, le=MOST)] = 0.0
    wall: Number = 0


class Held(Struct, frozen=True):
    """What a node says on a new connection of what it holds.

    Attributes:
        epoch: of the newest configuration that it has.
        identity: of that.
        committed: its newest entry that it knows to be committed.
    """

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
    """The answer to a Ping: all that a peer needs to know to decide.

    Attributes:
        member: the answering life.
        nonce: of the Ping.
        configuration: the newest that the answering node has.
        confirms: it is active, and neither excludes the pinger nor has tried to.
        last: its last entry.
        caught_up: it is a learner that holds all but the newest entries.
        progress: for people: how far a learner has come; empty from others.
        low: its disk is nearly full.
        answers: the life that has sent the Ping.
        clocks: the answering node's.
        committed: its newest entry that it knows to be committed.
        voted: the epoch that the vote on its disk is for; 0 without a vote.
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
    """Will you vote for this configuration, made on this base?

    ``last``: the proposer's last entry. Before a resume, everybody has to hold it.
    """

    base: Configuration
    vote: Vote
    last: EntryId = EntryId()


class Voted(Struct, frozen=True):
    """Yes: the vote is on my disk. Repeated until the proposer decides or aborts."""

    voter: Member
    vote: Vote
    last: EntryId


class Decided(Struct, frozen=True):
    """The configuration is on the proposer's disk, and so decided."""

    configuration: Configuration


class Abort(Struct, frozen=True):
    """The proposer never decided this vote's configuration and never will: drop the vote."""

    vote: Vote


class Declined(Struct, frozen=True):
    """The tail cannot let the newcomer of this proposal in now.

    Attributes:
        vote: the proposal.
        reason: why, for people.
        sealed: seconds for which it took no entries, waiting for the newcomer.
    """

    vote: Vote
    reason: Text = ""
    sealed: Annotated[float, Meta(ge=0.0, le=3_600.0)] = 0.0


class Fetch(Struct, frozen=True):
    """Learner to tail: send what comes after my last entry. The first asks whether it is common."""

    epoch: Number
    learner: Member
    last: EntryId
    identity: Number = 0


class Differs(Struct, frozen=True):
    """Tail to learner: I do not hold your entry.

    Attributes:
        epoch: of the configuration.
        newest: my newest entry that may be common.
        identity: of the configuration.
        older: entries of mine before that, ever further apart. The newest of them all that the
            learner holds is common.
    """

    epoch: Number
    newest: EntryId
    identity: Number = 0
    older: tuple[EntryId, ...] = ()


class Copied(Struct, frozen=True):
    """Tail to learner: committed entries.

    Attributes:
        epoch: of the configuration.
        previous: the entry before ``entries``, which the learner holds.
        entries: contiguous; may be empty.
        end: the tail's last entry, to measure progress by.
        sealed: the tail takes no more entries until it has heard that these are on disk.
        more: another part of the same answer follows.
        identity: of the configuration.
    """

    epoch: Number
    previous: EntryId
    entries: tuple[Entry, ...]
    end: EntryId
    sealed: bool
    more: bool = False
    identity: Number = 0


class Synced(Struct, frozen=True):
    """Learner to tail: my log ends with this entry, on disk, and stays so until this is decided."""

    epoch: Number
    learner: Member
    last: EntryId
    identity: Number = 0


Message = (
    Submit
    | Forward
    | Ack
    | Holding
    | Read
    | Answer
    | StateDigest
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
)  # fmt: skip - a chain's own, then those about configurations, then those of catching up

KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}
"""Every kind of message by its name on the wire."""

UNDECODABLE = (DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises of octets that are no message: the last two for text and for deep nesting."""

_encoder = msgpack.Encoder()
_decoders = {name: msgpack.Decoder(kind) for name, kind in KINDS.items()}
_entries_decoder = msgpack.Decoder(tuple[Entry, ...])


Content = tuple[int, int, str, int, int, bytes, int]
"""All of an entry but its digest: seq, epoch, origin, number, time, command, span."""


def digest_after(previous: bytes, content: Content) -> bytes:
    """*named by its content*: the digest of the entry that follows one with digest ``previous``."""
    return blake2b(previous + _encoder.encode(content), digest_size=DIGEST_OCTETS).digest()


def chained(previous: EntryId, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The same entries, with the digests that they have if they follow ``previous``."""
    digest, named = previous.digest, []
    for entry in entries:
        digest = digest_after(digest, entry.content)
        named.append(replace(entry, digest=digest))
    return tuple(named)


class BadMessageError(ValueError):
    """A peer sent what no node of this protocol version sends."""


def speaker(message: Message) -> Member | None:
    """The life that a message says it is from; None if it does not say."""
    match message:
        case Submit() | Forward() | Ack():  # nearly every message
            return None
        case Ping() | Pong():
            return message.member
        case Propose():
            return message.vote.proposer
        case Voted():
            return message.voter
        case Fetch() | Synced():
            return message.learner
        case _:
            return None


def _flaw(message: Message) -> str:
    """What is wrong with a message whose every field is possible; empty if nothing is."""
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
        case _:
            return ""


def _flaw_of_entries(previous: EntryId, entries: tuple[Entry, ...], epoch: int) -> str:
    """Entries follow one another and ``previous``, in number and name, and epochs never fall."""
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
    """A message's kind and body."""
    return type(message).__name__, _encoder.encode(message)


def decode(kind: str, body: bytes) -> Message:
    """The message of this kind and body.

    Raises:
        BadMessageError: the kind is unknown, or the body does not fit it, or is what no node says.
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


def encode_entries(entries: tuple[Entry, ...]) -> bytes:
    """A batch of entries as the log stores it."""
    return _encoder.encode(entries)


def decode_entries(data: bytes) -> tuple[Entry, ...]:
    """The reverse of ``encode_entries``.

    Raises:
        UNDECODABLE: the data is corrupt.
    """
    return _entries_decoder.decode(data)
