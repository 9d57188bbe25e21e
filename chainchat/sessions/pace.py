"""The pace of one client: how much it may send at once, and how much a second in the long run.

Whoever sends more is not refused: the rest waits in the client's own socket. Everything that costs
the node something is paid for in *units*: a line is one, so is a telnet command; octets and reads
of the socket cost a fraction. A program's SENDs are free, because the answers that it has to wait
for limit them.

A pace needs one number of each client: the time at which it will have paid for all it has sent
(the *generic cell rate algorithm*, a token bucket without tokens).
"""

from typing import Final

from msgspec import Struct

OCTETS_IN_UNIT = 16_384
"""So many octets of a person cost as much as one line."""

PROGRAM_OCTETS_IN_UNIT = 65_536
"""The same for a program, whose many octets are SENDs."""

READ_UNITS = 0.2
"""What a read of the socket costs, however little it brought."""


class Pace(Struct, frozen=True):
    """How fast a client may go.

    Attributes:
        per_second: units in the long run.
        at_once: units after a pause.
        octets: how many of them cost one unit.
    """

    per_second: float
    at_once: float
    octets: int

    def pay(self, paid_until: float, now: float, units: float) -> float:
        """When the client will have paid for all it has sent, with these units; in seconds."""
        return max(paid_until, now) + units / self.per_second

    def wait(self, paid_until: float, now: float, units: float = 1) -> float:
        """Seconds to wait before so many units may come; 0 if there is no need to."""
        return max(0.0, paid_until - now - (self.at_once - units) / self.per_second)


NEWCOMER: Final = Pace(per_second=20, at_once=60, octets=OCTETS_IN_UNIT)
"""Before the login."""

PERSON: Final = Pace(per_second=50, at_once=200, octets=OCTETS_IN_UNIT)

PROGRAM: Final = Pace(per_second=2_000, at_once=4_000, octets=PROGRAM_OCTETS_IN_UNIT)
