"""Planted bugs at the chain port; see ``planted``. Only runs with strangers can catch them."""

from twisted.internet.defer import Deferred, succeed

from chainchat.peers.admission import Admission
from chainchat.peers.dialling import Dialling
from chainchat.peers.link import Link


def carries_everything(lane: str, message: object) -> bool:
    """What belongs to another lane is heard, too."""
    return True


class TakesTheNewestConnection(Admission):
    """Whoever comes last and says that it is a node is linked in its place."""

    def admit(self, link: Link) -> Deferred[None]:
        link.displaces = self._table.linked.get((link.member.position, link.lane))
        return succeed(None)


class NeverDialsAgain(Dialling):
    """A node that was linked is not dialled again, whoever has taken or ended its link."""

    def redial(self, position: str, pause: float = 0.0, *, rarely: bool = False) -> None:
        if position not in self._directory.announced:
            super().redial(position, pause, rarely=rarely)
