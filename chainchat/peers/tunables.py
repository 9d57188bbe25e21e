"""The chain port's pauses, patience and bounds."""

from msgspec import Struct


class Tunables(Struct, frozen=True, kw_only=True):
    """Seconds, unless another unit is given.

    Attributes:
        hello: for a new connection to say who it is.
        connect: for an attempt; one packet may be lost.
        first_redial, last_redial: before a node is dialled again.
        first_rare, last_rare: the same of a node that refused this one, or dials it.
        last_look: the longest pause of ``Dialling.looks``.
        trial: part of ``suspect_after`` that a link may be silent while another claims its place.
        silent_suspicions: times ``suspect_after``, until a connection that acknowledges nothing
            ends: TCP retries rarely.
        most_strangers: incoming connections not linked yet.
        most_unknown: linked positions that neither ``chain.ini`` nor the configuration names.
    """

    hello: float = 5.0
    connect: float = 2.0
    first_redial: float = 0.02
    last_redial: float = 0.5
    first_rare: float = 1.0
    last_rare: float = 60.0
    last_look: float = 5.0
    trial: float = 0.25
    silent_suspicions: int = 3
    most_strangers: int = 32
    most_unknown: int = 4


USUAL = Tunables()
