"""Links: a newcomer that this node dials goes on being dialled after its own call has ended."""

from unittest.mock import Mock

from links_rim import Receiver, introduction
from twisted.internet.error import ConnectError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from chainchat.peers.lanes import CHAIN
from chainchat.peers.link import Link
from chainchat.peers.links import Links


def test_a_newcomer_that_called_is_dialled_until_it_answers():
    reactor, me = MemoryReactorClock(), introduction("alpha", port=1)
    links = Links(reactor, me, {})
    links.start(me, Receiver())
    peer = introduction("omega", port=2)
    call = Mock(spec=Link, dialled=None, lane=CHAIN, peer=peer, member=peer.member, refused=False)
    links.opened(call)
    links.admit(call).addErrback(lambda _: None)  # it is told that this side dials
    links.lost(call)
    factory = reactor.tcpClients[-1][2]
    factory.clientConnectionFailed(reactor.connectors[-1], Failure(ConnectError()))
    reactor.advance(links.tunables.last_redial)
    assert [client[1] for client in reactor.tcpClients] == [2, 2]
    links.stop()
