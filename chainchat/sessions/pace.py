"""The pace of one client: how much it may send at once, and per second in the long run.

Prices are in *units*: a line or a telnet command costs one; octets and reads of the socket cost a
fraction. A program's SENDs are free: the answers limit them.

Of each client, only the time when all is paid for is kept (the *generic cell rate algorithm*, a
token bucket without tokens).
"""

from typing import Final

from msgspec import Struct

OCTETS_IN_UNIT = 16_384
"""A person's octets that cost one unit."""

PROGRAM_OCTETS_IN_UNIT = 65_536
"""A program's octets that cost one unit; most are SENDs."""

TEXTLESS_IN_UNIT = 8
"""Octets of TLS without text: a change of keys costs three units, and nobody needs many."""

READ_UNITS = 0.2


class Rate(Struct, frozen=True):
    """Units ``per_second`` in the long run, and ``at_once`` after a pause."""

    per_second: float
    at_once: float

    def pay(self, paid_until: float, now: float, units: float) -> float:
        """When all will be paid for, in seconds, these units included."""
        return max(paid_until, now) + units / self.per_second

    def wait(self, paid_until: float, now: float, units: float = 1) -> float:
        """Seconds until so many units may be used."""
        return max(0.0, paid_until - now - (self.at_once - units) / self.per_second)

    def left(self, paid_until: float, now: float) -> float:
        """Units that may be used now; below 0 in debt."""
        return self.at_once - max(0.0, paid_until - now) * self.per_second

    def times(self, factor: float) -> "Rate":
        return Rate(self.per_second * factor, self.at_once * factor)

    @property
    def seconds_to_fill(self) -> float:
        """Seconds until all units may be used again."""
        return self.at_once / self.per_second


class Pace(Rate, frozen=True):
    """How fast a client may go; ``octets`` cost one unit."""

    octets: int


NEWCOMER: Final = Pace(per_second=20, at_once=60, octets=OCTETS_IN_UNIT)

PERSON: Final = Pace(per_second=50, at_once=200, octets=OCTETS_IN_UNIT)

PROGRAM: Final = Pace(per_second=2_000, at_once=4_000, octets=PROGRAM_OCTETS_IN_UNIT)
