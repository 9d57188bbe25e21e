"""How a life of the node begins: its record, and the chain's settings."""

import secrets
from collections.abc import Mapping

from msgspec import msgpack

from chainchat.chain.configuration import IDENTITY_BITS, Member
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.record import Record
from chainchat.config import NodeSettings, Settings
from chainchat.node.lives import begin_life
from chainchat.service.alone import gone_on_alone
from chainchat.storage.interface import Storage

INCARNATION_STEP = 1_000
"""The most by which a life's number grows: see ``begin_life``."""


def begun(
    storage: Storage,
    settings: Settings,
    own: NodeSettings,
    host: str,
    fenced: tuple[str, ...] | None,
) -> tuple[Member, Record]:
    """Begin a life, durably; return the node as a member, and its record.

    ``host`` is the address of the chain port.

    Raises:
        ConfigError: ``fenced`` are not the other members.
        StorageError: the stored record is corrupt.
    """
    step = 1 + secrets.randbelow(INCARNATION_STEP)
    record = begin_life(storage, lambda: secrets.token_hex(8), step)
    me = Member(own.position, record.id, record.incarnation, host, own.chain_port, own.client_port)
    if fenced is not None:
        record = gone_on_alone(record, me, fenced, settings.founding, new_identity())
        storage.write_membership(msgpack.encode(record))
    return me, record


def chain_settings(settings: Settings, nodes: Mapping[str, NodeSettings]) -> ChainSettings:
    """The settings that ``chain`` needs; ``nodes`` have addresses for hosts."""
    return ChainSettings(
        founding=settings.founding,
        suspect_after=settings.suspect_after,
        known=frozenset(settings.nodes),
        places={p: (n.host, n.chain_port) for p, n in nodes.items()},
        longest_pause=settings.rejoin_pause,
        refusal_is_death=settings.refusal_is_death,
    )


def new_identity() -> int:
    return secrets.randbits(IDENTITY_BITS)
