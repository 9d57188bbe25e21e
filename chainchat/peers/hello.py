"""The Hello: what two nodes say of themselves on a new connection."""

from msgspec import Struct
from twisted.protocols import amp

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Newest
from chainchat.config import Settings, is_position
from chainchat.network.addresses import is_loopback, objection_to
from chainchat.peers.directory import COPIED

PROTOCOL_VERSION = 7
"""The newest that this release speaks; what came with each:

7. Old messages are removed, and learners are offered a checkpoint (if their Fetch takes one).
   Entries are forwarded before they are synced, and Forward says what is.
"""

OLDEST_VERSION = 6
"""The oldest that this release speaks.

Neighbouring releases must apply every entry alike, so a version's news are said only to a node that
speaks it.
"""

SYNCED_VERSION = 7
"""The oldest that forwards entries before they are synced."""

REMOVING_VERSION = 7
"""The oldest in a chain that removes messages: an older node would keep them."""

LONGEST_SETTING = 32

LONGEST_REASON = 300
"""Characters of a reason: the other node, perhaps a stranger, has chosen some of them."""


class Introduction(Struct, frozen=True):
    """What a node says of itself.

    Attributes:
        version: the newest protocol that it speaks.
        suspect_after: seconds; the same everywhere, like ``refusal_is_death`` and ``tls``.
        held: its newest, now.
        oldest: the oldest protocol that it speaks; 0: only ``version``.
        settings: better the same everywhere, by their names in chain.ini.
    """

    version: int
    chain: str
    founding: tuple[str, ...]
    suspect_after: float
    member: Member
    refusal_is_death: bool = True
    tls: bool = False
    held: Newest = Newest()
    oldest: int = 0
    settings: dict[str, str] = {}

    def objection(self, other: "Introduction") -> str:
        """Say why the two cannot be in one chain; else empty."""
        if not self._speaks_with(other):
            return f"speaks protocol version {other.spoken}, not {self.spoken}"
        for what, mine, its in (
            ("belongs to the chain", self.chain, other.chain),
            ("has the founding order", " ".join(self.founding), " ".join(other.founding)),
            ("has suspect-after", self.suspect_after, other.suspect_after),
            (
                "has refusal-is-death",
                _word(self.refusal_is_death),
                _word(other.refusal_is_death),
            ),
            ("has [tls] chain", _word(self.tls), _word(other.tls)),
        ):
            if mine != its:
                return f"{what} {its!r}, not {mine!r}"
        if not is_position(other.member.position):
            return "is at no position"
        host = other.member.host
        unusable = objection_to(host)
        if unusable:
            return f"says it is at {host!r}: {unusable}"
        if is_loopback(host) != is_loopback(self.member.host):
            here = self.member.host
            return f"says it is at {host!r}, and this node is at {here!r}: one of them is loopback"
        if other.member.id == self.member.id:
            return f"{COPIED}{self.member.position}, which this is"
        if other.member.position == self.member.position:
            return f"is another {other.member.position}"
        return ""

    @property
    def spoken(self) -> str:
        """The versions spoken, for people: ``7``, or ``6 to 7``."""
        oldest = self.oldest or self.version
        return str(self.version) if oldest == self.version else f"{oldest} to {self.version}"

    @property
    def is_older(self) -> bool:
        """Whether the node knows no ``Forward.synced``."""
        return self.version < SYNCED_VERSION

    def _speaks_with(self, other: "Introduction") -> bool:
        oldest = max(each.oldest or each.version for each in (self, other))
        return oldest <= min(self.version, other.version)

    def differences(self, other: "Introduction") -> tuple[str, ...]:
        """Say which settings differ, which does no harm."""
        told = []
        for key, mine in self.settings.items():
            its = other.settings.get(key, mine)
            if its != mine:
                shown = "".join(char if char.isprintable() else "?" for char in its)
                told.append(
                    f"{key} is {shown[:LONGEST_SETTING]} at {other.member.position}, and {mine} "
                    "here: make every chain.ini the same"
                )
        return tuple(told)


def _word(setting: bool) -> str:
    return "yes" if setting else "no"


def introduction(settings: Settings, me: Member) -> Introduction:
    return Introduction(
        PROTOCOL_VERSION,
        settings.name,
        settings.founding,
        settings.suspect_after,
        me,
        settings.refusal_is_death,
        settings.chain_tls,
        oldest=REMOVING_VERSION if settings.removes else OLDEST_VERSION,
        settings={
            "[clients] max-line": str(settings.max_line),
            "[chain] rejoin-pause": f"{settings.rejoin_pause:g}",
            "[storage] keep": settings.values.get(("storage", "keep"), "everything"),
            "[storage] keep-unread": _word(settings.keep_unread),
        },
    )


class RefusedHelloError(Exception):
    """Tells the other node why it is refused."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason[:LONGEST_REASON])


class DialsItselfError(Exception):
    """Refuses a node that this one dials: a hint to dial now."""


class NotLinkedError(Exception):
    """Refuses a membership lane without its chain lane."""


class Hello(amp.Command):
    """The first command, answered with the receiver's introduction.

    On a chain lane, the answer has the key for the membership lane.
    """

    arguments = [
        (b"identity", amp.String()),
        (b"lane", amp.String()),
        (b"key", amp.String(optional=True)),
    ]
    response = [(b"identity", amp.String()), (b"key", amp.String(optional=True))]
    errors = {
        RefusedHelloError: b"REFUSED",
        DialsItselfError: b"DIALS",
        NotLinkedError: b"NOT LINKED",
    }


class Refused(amp.Command):
    """The last command, without an answer: why the other end is refused."""

    arguments = [(b"reason", amp.String())]
    requiresAnswer = False  # noqa: N815 - Twisted's name
