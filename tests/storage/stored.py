"""What tests of storage store."""

from hypothesis import settings

from chainchat.chain.entries import Entry
from chainchat.storage.interface import Indexed

deterministic = settings(derandomize=True, max_examples=60, deadline=None)

ALICE, BOB, NOBODY = 5, 6, -1
MUCH = 1 << 20


def entry(seq, epoch=1, command=b"x"):
    return Entry(seq, epoch, "id.1", seq, 1_000 + seq, command)


def entries(first, last, epoch=1):
    return [entry(seq, epoch) for seq in range(first, last + 1)]


def rows(*rows_):
    return [Indexed(reader, [id_], sender) for reader, id_, sender in rows_]


def epoch_of(storage, seq):
    held = storage.id_of(seq)
    return None if held is None else held.epoch


def checkpoint(storage, seq, header=b"header", *records):
    """A whole checkpoint, in one go."""
    storage.begin_checkpoint(seq)
    while storage.write_records(records):
        records = ()
    storage.finish_checkpoint(header)


def batches(storage, *ends):
    """Entries up to each of these ends, in one batch each, all committed."""
    first = storage.last.seq + 1
    for end in ends:
        storage.append(entries(first, end), committed=end)
        first = end + 1
    return storage


def all_removed(storage, up_to):
    while storage.remove(up_to):
        pass
    for _ in range(1_000):
        if not storage.tidy():
            return storage
    raise AssertionError("no end of tidying")
