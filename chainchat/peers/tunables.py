"""The tunables of the chain port: pauses, patience and bounds."""

from msgspec import Struct


class Tunables(Struct, frozen=True, kw_only=True):
    """Seconds, unless another unit is given.

    Attributes:
        hello: for a new connection to say who it is.
        connect: for an attempt to connect: long enough for one packet to be lost.
        first_redial: before a node is dialled again, the first time.
        last_redial: the same, at most.
        first_rare: before dialling a node again that refused this one in words, or dials it.
        last_rare: the same, at most.
        last_look: before the address of a linked position is dialled again, at most; at first
            ``first_redial``.
        trial: fraction of ``suspect_after`` for which a link may be silent while another claims its
            place; in ``suspect_after``, its other end pings ten times.
        silent_suspicions: multiple of ``suspect_after`` after which a connection that acknowledges
            nothing is replaced: TCP retries rarely.
        most_strangers: incoming connections that are not linked yet; the oldest of more is closed.
        most_newcomers: linked positions that neither ``chain.ini`` nor the configuration names.
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
    most_newcomers: int = 4


USUAL = Tunables()
