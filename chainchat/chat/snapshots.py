"""Snapshots: the chat's state as of some entry, as a checkpoint stores it."""

from collections.abc import Iterator

from msgspec import Struct, msgpack
from msgspec.structs import astuple

from chainchat.chat.outcomes import NOTHING_REMOVED, Removed
from chainchat.chat.records import Digest, Record


class Head(Struct, array_like=True):
    """What is stored of the state besides its records; the rest is computed from these.

    See ``AccountRecords`` for ``newest`` and ``room``, ``ChatState`` for ``salting`` and
    ``removed``.
    """

    applied: int
    time: int
    origins: dict[str, int]
    newest: int
    room: int
    salting: bytes = b""
    removed: Removed = NOTHING_REMOVED

    def encoded(self) -> bytes:
        """The head as octets.

        ``removed`` is left out while it says nothing: an older release, which knows no removals,
        then has the same digest.
        """
        fields = astuple(self)
        return msgpack.encode(fields if self.removed.before else fields[:-1])


class Snapshot:
    """The state as of some entry, to be written while the state goes on.

    Attributes:
        records: those changed since the last snapshot; each is computed when asked for.
    """

    def __init__(self, seq: int, head: bytes, records: Iterator[Record], digest: Digest) -> None:
        self.seq = seq
        self.records = records
        self._head = head
        self._digest = digest

    def head(self) -> bytes:
        """What to store besides the records, after the last one.

        It begins with the digest of the whole state, DIGEST_OCTETS long.
        """
        return self._digest.with_head(self._head) + self._head
