"""A checksum before everything stored: SQLite does not notice a changed bit."""

from collections.abc import Callable
from zlib import crc32

CHECKSUM_OCTETS = 4

AsWritten = Callable[[bytes, str], bytes]
"""Gives what was ``checked``, or raises a StorageError that names it."""


def checked(data: bytes) -> bytes:
    return crc32(data).to_bytes(CHECKSUM_OCTETS) + data


def unchecked(stored: bytes) -> bytes | None:
    """Reverse ``checked``; None if the checksum differs."""
    data = stored[CHECKSUM_OCTETS:]
    return data if crc32(data).to_bytes(CHECKSUM_OCTETS) == stored[:CHECKSUM_OCTETS] else None
