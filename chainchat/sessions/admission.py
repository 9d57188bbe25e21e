"""Admission to the client port: bounds on all connections, on one address, and on open files.

The greediest empties a common pot. So each address gets a share of the connections, and clients
never get the files that the node needs for its disk, its log and the other nodes.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from msgspec import Struct
from twisted.logger import Logger

from chainchat.chat.refusals import Code, RefusedError
from chainchat.config import Network

ACCEPTS_PER_TURN = 4
"""Connections accepted before the reactor goes on with other work."""

FORGIVING_SECONDS = 30.0
"""How long an address has no limit after a start or a change of epoch.

The clients of a dead node come here at once, a whole office behind one address among them.
"""

COMPLAINT_PAUSE = 60.0
"""Seconds between two log lines about the same reason to refuse."""

SITE_BITS = 64
"""Bits of an IPv6 address that say whose it is; its owner chooses the rest."""

OWN_FILES = 58
"""Files that a node has open besides connections, and some to spare.

Standard input and output, the log, the reactor's own, two ports, the control socket with eight who
ask there, the lock, the database with its two companions, twice, the files that SQLite makes for a
moment, and /proc.
"""

FILES_PER_POSITION = 9
"""Open files per other node at worst: three lanes, each with an old one closing; a dial, a look, a
probe.
"""

FILES_OF_THE_REFUSED = 2 * ACCEPTS_PER_TURN
"""A refused connection stays open until the next turn."""

log = Logger()


def reserve(positions: int) -> int:
    """Open files that a node keeps from its clients; ``positions``: nodes of the chain."""
    return OWN_FILES + FILES_PER_POSITION * positions + FILES_OF_THE_REFUSED


class ClientLimits(Struct, frozen=True):
    """The limits of one node.

    Attributes:
        connections: of all clients.
        per_address: of one IPv4 address, or of the IPv6 addresses with the same first 64 bits.
        exempt: networks whose addresses have no limit of their own.
        files: open files that clients may have.
    """

    connections: int
    per_address: int
    exempt: tuple[Network, ...]
    files: int


class Admission:
    """Counts the clients of one node.

    Attributes:
        limits: the limits.
        admitted: how many clients there are.
        refused: how many were refused since the start, by reason.
    """

    def __init__(
        self, limits: ClientLimits, clock: Callable[[], float], epoch: Callable[[], int]
    ) -> None:
        """Begin without clients.

        Args:
            limits: the limits.
            clock: monotonic seconds.
            epoch: of the configuration that the node knows.
        """
        self.limits = limits
        self.admitted = 0
        self.refused: dict[Code, int] = {}
        self._clock = clock
        self._epoch = epoch
        self._known_epoch = epoch()
        self._forgiving_until = clock() + FORGIVING_SECONDS
        self._of: dict[str, int] = {}
        """Connections of each address that is not exempt."""
        self._complained: dict[Code, tuple[float, int]] = {}
        """By reason: when it was last logged, and how many were refused until then."""

    def admit(self, host: str) -> None:
        """Admit a connection from ``host``; call ``leave`` when it ends.

        Raises:
            RefusedError: there are too many.
        """
        self.notice_epoch()
        most = min(self.limits.connections, self.limits.files)
        if self.admitted >= most:
            why = "{most} connections are open"
            if most < self.limits.connections:
                why += "; for more the limit of open files is too low"
            self._complain(Code.TOO_MANY_CONNECTIONS, why, most=most)
            raise RefusedError(
                Code.TOO_MANY_CONNECTIONS,
                f"this node has {most} connections already; try another node",
            )
        owner = self._owner(host)
        if owner is not None:
            has = self._of.get(owner, 0)
            if has >= self.limits.per_address and self._clock() >= self._forgiving_until:
                why = "{owner} has {has} connections already"
                self._complain(Code.TOO_MANY_OF_ADDRESS, why, owner=owner, has=has)
                raise RefusedError(
                    Code.TOO_MANY_OF_ADDRESS,
                    f"your address has {has} connections here already; close one of them",
                )
            self._of[owner] = has + 1
        self.admitted += 1

    def leave(self, host: str) -> None:
        """Note that an admitted connection ended."""
        self.admitted -= 1
        owner = self._owner(host)
        if owner is not None:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]

    def notice_epoch(self) -> None:
        """Lift the limit per address for a while, if the epoch has changed."""
        epoch = self._epoch()
        if epoch != self._known_epoch:
            self._known_epoch = epoch
            self._forgiving_until = self._clock() + FORGIVING_SECONDS

    def _owner(self, host: str) -> str | None:
        """The address or site that a connection counts for; None if exempt, or no IP address."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self.limits.exempt):
            return None
        if isinstance(address, IPv6Address):
            site = int(address) >> (128 - SITE_BITS) << (128 - SITE_BITS)
            return f"{IPv6Address(site)}/{SITE_BITS}"
        return str(address)

    def _complain(self, code: Code, why: str, **values: object) -> None:
        count = self.refused[code] = self.refused.get(code, 0) + 1
        now = self._clock()
        last, before = self._complained.get(code, (None, 0))
        if last is None or now - last >= COMPLAINT_PAUSE:
            self._complained[code] = now, count
            since = (
                "" if count - before == 1 else f" ({count - before} refused since the last line)"
            )
            log.warn(f"refusing clients: {why}{since}", **values)
