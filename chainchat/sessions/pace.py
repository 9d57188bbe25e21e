"""The pace of one client: how much it may send at once, and per second in the long run.

A client that sends more is not refused: the rest waits in its own socket. Prices are in *units*: a
line is one, so is a telnet command; octets and reads of the socket cost a fraction. A program's
SENDs are free: the answers that it waits for limit them.

A pace needs one number per client: the time at which it will have paid for all it has sent
(the *generic cell rate algorithm*, a token bucket without tokens).
"""

from typing import Final

from msgspec import Struct

OCTETS_IN_UNIT = 16_384
"""Octets of a person that cost as much as one line."""

PROGRAM_OCTETS_IN_UNIT = 65_536
"""The same for a program, most of whose octets are SENDs."""

READ_UNITS = 0.2
"""The price of a read of the socket, however little it brought."""


class Pace(Struct, frozen=True):
    """How fast a client may go.

    Attributes:
        per_second: units in the long run.
        at_once: units after a pause.
        octets: how many cost one unit.
    """

    per_second: float
    at_once: float
    octets: int

    def pay(self, paid_until: float, now: float, units: float) -> float:
        """When the client will have paid for everything, these units included; in seconds."""
        return max(paid_until, now) + units / self.per_second

    def wait(self, paid_until: float, now: float, units: float = 1) -> float:
        """Seconds until the client may send this many units."""
        return max(0.0, paid_until - now - (self.at_once - units) / self.per_second)


NEWCOMER: Final = Pace(per_second=20, at_once=60, octets=OCTETS_IN_UNIT)
"""Before the login."""

PERSON: Final = Pace(per_second=50, at_once=200, octets=OCTETS_IN_UNIT)

PROGRAM: Final = Pace(per_second=2_000, at_once=4_000, octets=PROGRAM_OCTETS_IN_UNIT)
