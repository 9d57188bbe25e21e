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
from typing import get_args

from msgspec import DecodeError, Struct, msgpack
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Member

MAX_FRAME = 60_000
"""Octets of an encoded message; an AMP value holds at most 65,535."""


DIGEST_OCTETS = 16
"""Of an entry's digest: BLAKE2b."""


class EntryId(Struct, frozen=True, array_like=True):
    """The name of an entry, and with it of a log that ends with it.

    Attributes:
        epoch: the entry's.
        seq: the entry's.
        digest: of its content and of all before it; empty before the first.
    """

    epoch: int = 0
    seq: int = 0
    digest: bytes = b""

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

    seq: int
    epoch: int
    origin: str
    number: int
    time: int
    command: bytes
    span: int = 1
    digest: bytes = b""

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

    number: int
    command: bytes
    span: int = 1


class Submit(Struct, frozen=True):
    """Origin to head: requests, in the order of their numbers, contiguous."""

    epoch: int
    origin: str
    requests: tuple[Submission, ...]
    identity: int = 0


class Forward(Struct, frozen=True):
    """Predecessor to successor: the next entries, all on the predecessor's disk.

    Attributes:
        epoch: of the configuration.
        previous: the entry just before ``entries``; what the successor must hold.
        entries: contiguous; may be empty.
        committed: the newest sequence number that the predecessor knows to be committed.
        identity: of the configuration.
    """

    epoch: int
    previous: EntryId
    entries: tuple[Entry, ...]
    committed: int
    identity: int = 0


class Ack(Struct, frozen=True):
    """Successor to predecessor.

    Everything up to ``seq`` is on the disk of every member from the successor to the tail.

    It starts at the tail (paper, section 2); so at the moment it is sent, everything up to ``seq``
    is committed.
    """

    epoch: int
    seq: int
    identity: int = 0


class Holding(Struct, frozen=True):
    """Successor to predecessor: the last entry on my disk.

    The predecessor sends what comes after it.

    Sent whenever the two may have lost count: in a new configuration, on a new connection, after a
    refused Forward.
    """

    epoch: int
    last: EntryId
    identity: int = 0


class Read(Struct, frozen=True):
    """To the tail: answer this query from the committed state."""

    epoch: int
    number: int
    query: bytes
    identity: int = 0


class Answer(Struct, frozen=True):
    """The tail's answer to a Read."""

    epoch: int
    number: int
    answer: bytes
    identity: int = 0


class StateDigest(Struct, frozen=True):
    """Predecessor to successor: the digest of my state as of ``seq``.

    Another one there means that nodes differ: a bug.
    """

    epoch: int
    seq: int
    digest: bytes
    identity: int = 0


class Vote(Struct, frozen=True):
    """A node's promise for the next epoch, durable before it is sent.

    Attributes:
        configuration: the proposed one.
        proposer: the proposer's life.
        ballot: distinguishes this proposer's attempts: (incarnation, counter).
    """

    configuration: Configuration
    proposer: Member
    ballot: tuple[int, int]


class ClockReading(Struct, frozen=True, array_like=True):
    """What a node's clocks say when it sends something; 0 for one that it does not have.

    Attributes:
        monotonic: seconds since some moment, by the clock that timeouts follow.
        wall: UTC milliseconds.
    """

    monotonic: float = 0.0
    wall: int = 0


class Ping(Struct, frozen=True):
    """Are you there, and who are you?"""

    member: Member
    nonce: int
    epoch: int
    clocks: ClockReading = ClockReading()
    identity: int = 0


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
    """

    member: Member
    nonce: int
    configuration: Configuration
    confirms: bool
    last: EntryId
    caught_up: bool
    progress: str = ""
    low: bool = False
    answers: tuple[str, int] = ("", 0)
    clocks: ClockReading = ClockReading()
    committed: EntryId = EntryId()


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
    """The tail cannot let the newcomer of this proposal in now."""

    vote: Vote


class Fetch(Struct, frozen=True):
    """Learner to tail: send what comes after my last entry. The first asks whether it is common."""

    epoch: int
    learner: Member
    last: EntryId
    identity: int = 0


class Differs(Struct, frozen=True):
    """Tail to learner: I do not hold your entry.

    Attributes:
        epoch: of the configuration.
        newest: my newest entry that may be common.
        identity: of the configuration.
        older: entries of mine before that, ever further apart. The newest of them all that the
            learner holds is common.
    """

    epoch: int
    newest: EntryId
    identity: int = 0
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

    epoch: int
    previous: EntryId
    entries: tuple[Entry, ...]
    end: EntryId
    sealed: bool
    more: bool = False
    identity: int = 0


class Synced(Struct, frozen=True):
    """Learner to tail: my log ends with this entry, on disk, and stays so until this is decided."""

    epoch: int
    learner: Member
    last: EntryId
    identity: int = 0


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


def _flaw(message: Message) -> str:
    """What is wrong with a message whose every field is possible; empty if nothing is."""
    if not isinstance(message, Forward | Copied):
        return ""
    digest = message.previous.digest
    for entry in message.entries:
        digest = digest_after(digest, entry.content)
        if entry.digest != digest:
            return f"the digest of entry {entry.seq} is not that of its content"
    return ""


class BadMessageError(ValueError):
    """A peer sent what no node of this protocol version sends."""


def encode(message: Message) -> tuple[str, bytes]:
    """A message's kind and body."""
    return type(message).__name__, _encoder.encode(message)


def decode(kind: str, body: bytes) -> Message:
    """The message of this kind and body.

    Raises:
        BadMessageError: the kind is unknown, or the body does not fit it, or its entries do not
            follow one another.
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
