"""The entries of the log, and the names of logs.

*named by its content*: an entry's digest covers the entry and all before it; logs that share an
entry's id are equal up to there.
"""

from hashlib import blake2b
from typing import Annotated

from msgspec import DecodeError, Meta, Struct, msgpack

from chainchat.chain.configuration import Number

MAX_SPAN = 512
"""The most sequence numbers of one entry."""

Span = Annotated[int, Meta(ge=1, le=MAX_SPAN)]

DIGEST_OCTETS = 16

Digest = Annotated[bytes, Meta(max_length=DIGEST_OCTETS)]
"""Empty before the first entry."""


class EntryId(Struct, frozen=True, array_like=True):
    """The name of an entry, and so of the log that ends with it."""

    epoch: Number = 0
    seq: Number = 0
    digest: Digest = b""

    def is_beyond(self, other: "EntryId") -> bool:
        """Return whether a log that ends here is longer: by epoch, then by seq."""
        return (self.epoch, self.seq) > (other.epoch, other.seq)

    def __str__(self) -> str:
        if not self.seq:
            return "no entry"
        return f"entry {self.seq} of epoch {self.epoch} ({self.digest.hex()[:8]})"


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """An entry of the log.

    Attributes:
        seq: the last of its ``span`` sequence numbers, one for each message in it.
        origin: where the request was made (``Member.origin``).
        number: of the request at its origin, contiguous from 1.
        time: the head's UTC milliseconds; never falls.
        command: opaque to the chain.
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
        return EntryId(self.epoch, self.seq, self.digest)

    @property
    def content(self) -> "Content":
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
        return self.seq - self.span + 1


class Submission(Struct, frozen=True, array_like=True, gc=False):
    """A request on its way to the head."""

    number: Number
    command: bytes
    span: Span = 1


Content = tuple[int, int, str, int, int, bytes, int]
"""What an entry's digest covers of it: all other fields."""

UNDECODABLE = (DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for octets that are no message."""

_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(tuple[Entry, ...])


def digest_after(previous: bytes, content: Content) -> bytes:
    """*named by its content*: return the digest of an entry, given that of the entry before."""
    return blake2b(previous + _encoder.encode(content), digest_size=DIGEST_OCTETS).digest()


def encode_entries(entries: tuple[Entry, ...]) -> bytes:
    return _encoder.encode(entries)


def decode_entries(data: bytes) -> tuple[Entry, ...]:
    """Reverse ``encode_entries``.

    Raises:
        UNDECODABLE: the octets are corrupt.
    """
    return _decoder.decode(data)
