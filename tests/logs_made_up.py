"""Logs with made-up entries of given epochs, and what chains entries by their digests."""

from msgspec.structs import replace

from chainchat.chain.entries import Entry, digest_after
from chainchat.storage.memory import MemoryStorage


def entry(seq, epoch, command=b"x"):
    return Entry(seq, epoch, "a.1", seq, 1_000, command)


def entries(*epochs, after=0, command=b"x"):
    return tuple(entry(seq, epoch, command) for seq, epoch in enumerate(epochs, after + 1))


def log_of(*epochs, command=b"x"):
    log = MemoryStorage()
    log.append(entries(*epochs, command=command))
    return log


def everything(log):
    return tuple(log.read(0, log.last.seq, 1 << 40))


def chained(previous, entries):
    """The same entries, with the digests that they have after ``previous``."""
    digest, named = previous.digest, []
    for entry in entries:
        digest = digest_after(digest, entry.content)
        named.append(replace(entry, digest=digest))
    return tuple(named)
