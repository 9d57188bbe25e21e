"""The state in records: what a checkpoint writes, and the digest by which nodes compare.

A record is a small part of the state: some accounts, or some remembered SENDs of one program. Its
key says which. What is in it depends on the entries alone, as does the way in which the state is
divided, so equal states have equal records.
"""

from hashlib import blake2b

Record = tuple[int, bytes]
"""Key and data. Without data: there is no such record any more."""

SLOTS = 64
"""Records that can have the same sequence number in their key."""

ACCOUNTS_SLOT = SLOTS - 1
"""The slot of accounts; programs have the others."""

DIGEST_OCTETS = 16


def key_of(seq: int, slot: int) -> int:
    """The key of a record: of the entry that it began with, and which of its records it is."""
    return seq * SLOTS + slot


class Digest:
    """A digest of all records: the sum of the hash of each.

    So a record that changes costs what one record costs, and the order does not matter.
    """

    def __init__(self) -> None:
        """Of no records."""
        self._sum = 0
        self._hashes: dict[int, int] = {}

    def put(self, key: int, data: bytes) -> None:
        """A record is new, or another than it was, or gone."""
        before = self._hashes.pop(key, 0)
        if not data:
            self._sum -= before
            return
        now = self._hashes[key] = _hash(key.to_bytes(8) + data)
        self._sum += now - before

    def with_head(self, head: bytes) -> bytes:
        """The digest of the records and of what stands at their head."""
        whole = (self._sum + _hash(head)) % (1 << 8 * DIGEST_OCTETS)
        return whole.to_bytes(DIGEST_OCTETS)


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=DIGEST_OCTETS).digest())
