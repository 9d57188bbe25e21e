"""The state in records: what a checkpoint writes, and the digest by which nodes compare.

A record is some accounts, or some SENDs of one program. Equal states have equal records.
"""

from hashlib import blake2b

Record = tuple[int, bytes]
"""Key and data; empty data: the record is dropped."""

SLOTS = 64
"""Records whose keys can share a sequence number."""

ACCOUNTS_SLOT = SLOTS - 1
"""The slot of accounts; programs have the others."""

DIGEST_OCTETS = 16


def key_of(seq: int, slot: int) -> int:
    """Return a record's key; ``seq``: the entry that the record began with."""
    return seq * SLOTS + slot


class Digest:
    """The sum of all records' hashes: a changed record costs one hash."""

    def __init__(self) -> None:
        self._sum = 0
        self._hashes: dict[int, int] = {}

    def put(self, key: int, data: bytes) -> None:
        before = self._hashes.pop(key, 0)
        if not data:
            self._sum -= before
            return
        now = self._hashes[key] = _hash(key.to_bytes(8) + data)
        self._sum += now - before

    def with_header(self, header: bytes) -> bytes:
        whole = (self._sum + _hash(header)) % (1 << 8 * DIGEST_OCTETS)
        return whole.to_bytes(DIGEST_OCTETS)


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=DIGEST_OCTETS).digest())
