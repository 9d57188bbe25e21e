"""How a node goes on alone, forced by an operator."""

import secrets

from msgspec.structs import replace
from twisted.logger import Logger

from chainchat.chain.configuration import Member
from chainchat.chain.record import Record, forced_alone
from chainchat.config import ConfigError

FORCED_AHEAD = 1_000
"""The fewest epochs that a forced node leaves out."""

FORCED_SPREAD = 2**20
"""A random number below this is added; the epoch can still be read out over the telephone."""

log = Logger()


def gone_on_alone(
    record: Record, me: Member, fenced: tuple[str, ...], founding: tuple[str, ...], identity: int
) -> Record:
    """The record of a node that goes on alone, to be written before anything else.

    Args:
        record: as it is on disk.
        fenced: positions of all other members.
        founding: those of chain.ini, for a record without any.

    Raises:
        ConfigError: ``fenced`` are not the other members.
    """
    epoch = forced_epoch(record.configuration.epoch)
    try:
        forced = forced_alone(record, me, epoch, fenced, identity)
    except ValueError as error:
        raise ConfigError(f"--fenced {','.join(fenced)}: {error}") from None
    log.warn(
        "{position}: {old} is followed by {new}: {why}",
        position=me.position,
        old=record.configuration,
        new=forced.configuration,
        why=forced.configuration.why,
        event="forced",
    )
    return replace(forced, founding=record.founding or founding)


def forced_epoch(known: int) -> int:
    """The first epoch of a forced node; ``known`` is the newest that it knows.

    Two nodes forced by mistake must not share one.
    """
    return known + FORCED_AHEAD + secrets.randbelow(FORCED_SPREAD)
