"""The settings in ``chain.ini`` for the protocol."""

from collections.abc import Mapping

from msgspec import Struct

from chainchat.chain.configuration import Address
from chainchat.chain.membership.departures import FREE, LONGEST_PAUSE


class ChainSettings(Struct, frozen=True):
    """One node's settings.

    Attributes:
        suspect_after: seconds of silence before a node is suspected.
        known: all positions of ``chain.ini``, spares too.
        places: their addresses there: an operator's word that a node has moved.
        longest_pause: seconds, see ``Departures``.
        refusal_is_death: see ``Evidence``.
    """

    founding: tuple[str, ...]
    suspect_after: float
    known: frozenset[str] = frozenset()
    places: Mapping[str, Address] = {}
    longest_pause: float = LONGEST_PAUSE
    free_departures: int = FREE
    refusal_is_death: bool = True
