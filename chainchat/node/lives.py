"""The beginning of a life: one start of a node on its data."""

from collections.abc import Callable

from msgspec import msgpack
from msgspec.structs import replace

from chainchat.chain.entries import UNDECODABLE
from chainchat.chain.record import Record
from chainchat.storage.interface import Storage, StorageError


def begin_life(storage: Storage, new_id: Callable[[], str], step: int = 1) -> Record:
    """Count a new incarnation, durably, before anything is said or heard.

    Args:
        step: random steps keep lives begun from one backup apart.

    Raises:
        StorageError: the stored record is corrupt.
    """
    stored = storage.read_membership()
    if stored is None:
        record = Record(new_id(), 1)
    else:
        try:
            old = msgpack.decode(stored, type=Record)
        except UNDECODABLE as error:
            raise StorageError(f"{storage}: the record of membership is corrupt: {error}") from None
        record = replace(old, incarnation=old.incarnation + step)
    storage.write_membership(msgpack.encode(record))
    return record
