"""The chat's state as of some entry, as a checkpoint stores it."""

from collections.abc import Iterator

from msgspec import Struct, msgpack
from msgspec.structs import astuple

from chainchat.chat.outcomes import NOTHING_REMOVED, Removed
from chainchat.chat.records import Digest, Record


class Header(Struct, array_like=True):
    """What is stored of ``ChatState`` and ``AccountRecords`` besides the records."""

    applied: int
    time: int
    origins: dict[str, int]
    newest: int
    room: int
    salting: bytes = b""
    removed: Removed = NOTHING_REMOVED

    def encoded(self) -> bytes:
        """Encode, without ``removed`` while that says nothing.

        An older release, which knows no removals, then has the same digest.
        """
        fields = astuple(self)
        return msgpack.encode(fields if self.removed.before else fields[:-1])


class Snapshot:
    """The state as of some entry, to be written while the state goes on.

    ``records``: those changed since the last snapshot, each computed when asked for.
    """

    def __init__(self, seq: int, header: bytes, records: Iterator[Record], digest: Digest) -> None:
        self.seq = seq
        self.records = records
        self._header = header
        self._digest = digest

    def header(self) -> bytes:
        """Return, after the last record, the digest of the whole state, then the header."""
        return self._digest.with_header(self._header) + self._header
