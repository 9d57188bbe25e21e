"""The chain port: however many strangers come at once, they come in by turns."""

from itertools import pairwise

import pytest
import pytest_twisted
from links_rim import introduction
from tcp import HERE, Talkers, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater

from chainchat.network.ports import ACCEPTS_PER_TURN
from chainchat.peers.link import LinkFactory
from chainchat.peers.links import Links
from chainchat.peers.port import BACKLOG, listen

pytestmark = pytest.mark.reactor


@pytest_twisted.ensureDeferred
async def test_many_strangers_that_come_at_once_come_in_by_turns():
    links, opened = Links(reactor, introduction("tail"), {}), []
    links.opened = opened.append
    port = listen(0, LinkFactory(links), HERE, reactor)
    number = port.getHost().port
    calls = [TCP4ClientEndpoint(reactor, HERE, number).connect(Talkers()) for _ in range(BACKLOG)]
    in_turn = [0]
    while in_turn[-1] < BACKLOG:
        await deferLater(reactor, 0)  # one turn of the reactor
        in_turn.append(len(opened))
    steps = [after - before for before, after in pairwise(in_turn)]
    assert max(steps) == ACCEPTS_PER_TURN
    for link in opened:
        link.close()
    for call in calls:
        (await call).transport.abortConnection()
    await port.stopListening()
