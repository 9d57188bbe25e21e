"""Logs with made-up entries of given epochs, for the tests of copying."""

from chainchat.chain.messages import Entry
from chainchat.storage.memory import MemoryStorage


def entry(seq, epoch, command=b"x"):
    return Entry(seq, epoch, "a.1", seq, 1_000, command)


def entries(*epochs, after=0, command=b"x"):
    """One entry in each of these epochs."""
    return tuple(entry(seq, epoch, command) for seq, epoch in enumerate(epochs, after + 1))


def log_of(*epochs, command=b"x"):
    log = MemoryStorage()
    log.append(entries(*epochs, command=command))
    return log


def everything(log):
    return tuple(log.read(0, log.last.seq, 1 << 40))
