"""The state in records: what a checkpoint writes, and the digest by which nodes compare.

A record is some accounts, or some remembered SENDs of one program. The log determines all records,
so equal states have equal records.
"""

from hashlib import blake2b

Record = tuple[int, bytes]
"""Key and data; empty data if the record is dropped."""

SLOTS = 64
"""Records whose keys can share a sequence number."""

ACCOUNTS_SLOT = SLOTS - 1
"""The slot of accounts; programs have the others."""

DIGEST_OCTETS = 16


def key_of(seq: int, slot: int) -> int:
    """The key of a record: the entry that it began with, and a slot."""
    return seq * SLOTS + slot


class Digest:
    """The sum of the hashes of all records: a changed record costs one hash."""

    def __init__(self) -> None:
        self._sum = 0
        self._hashes: dict[int, int] = {}

    def put(self, key: int, data: bytes) -> None:
        """Put in a record that is new, changed or dropped."""
        before = self._hashes.pop(key, 0)
        if not data:
            self._sum -= before
            return
        now = self._hashes[key] = _hash(key.to_bytes(8) + data)
        self._sum += now - before

    def with_head(self, head: bytes) -> bytes:
        """The digest of the records and their head."""
        whole = (self._sum + _hash(head)) % (1 << 8 * DIGEST_OCTETS)
        return whole.to_bytes(DIGEST_OCTETS)


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=DIGEST_OCTETS).digest())
