"""Writing at once: in order, whatever the socket takes, and reported when it is too much."""

import pytest
import pytest_twisted
from tcp import HERE, a_moment, reactor, until
from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport

from chainchat.sockets import Outlet

pytestmark = pytest.mark.reactor


class End(Protocol):
    """One end of a connection."""

    def __init__(self):
        self.data = b""
        self.told = []
        self.closed = False

    def connectionMade(self):  # noqa: N802 - Twisted's name
        self.outlet = Outlet(self.transport, self.told.append)
        self.factory.made.append(self)

    def dataReceived(self, data):  # noqa: N802 - Twisted's name
        self.data += data

    def connectionLost(self, reason=None):  # noqa: N802 - Twisted's name
        self.closed = True


class Ends(Factory):
    noisy = False
    protocol = End

    def __init__(self):
        self.made = []


class Ring:
    """The two ends of a connection: one that a test writes at, and one that reads."""

    async def open(self):
        here = Ends()
        port = reactor.listenTCP(0, here, interface=HERE)
        endpoint = TCP4ClientEndpoint(reactor, HERE, port.getHost().port)
        self.reader = await endpoint.connect(Ends())
        await until(lambda: here.made)
        [self.writer] = here.made
        await maybeDeferred(port.stopListening)
        return self.writer, self.reader

    async def close(self):
        for end in (self.writer, self.reader):
            end.transport.abortConnection()
        await until(lambda: self.writer.closed and self.reader.closed)


@pytest.fixture
def ends():
    ring = Ring()
    yield pytest_twisted.blockon(ensureDeferred(ring.open()))
    pytest_twisted.blockon(ensureDeferred(ring.close()))


def fill(writer):
    """Write until too much is unsent; returns what was written."""
    written = b""
    while not writer.told:
        part = b"%08d" % len(written) * 1_000
        writer.outlet.write(part)
        written += part
    assert writer.told == [True]
    return written


@pytest_twisted.ensureDeferred
async def test_what_the_socket_takes_is_sent_before_the_reactor_runs(ends):
    writer, reader = ends
    writer.outlet.write(b"one")
    writer.outlet.write(b"two")
    assert reader.transport.getHandle().recv(100) == b"onetwo"
    assert writer.told == []


@pytest_twisted.ensureDeferred
async def test_what_the_socket_does_not_take_comes_later_and_in_order(ends):
    writer, reader = ends
    reader.transport.pauseProducing()
    written = fill(writer)
    for number in range(100):
        writer.outlet.write(b"behind %d" % number)
        written += b"behind %d" % number
    await a_moment()
    assert writer.told == [True]  # once, and full still
    reader.transport.resumeProducing()
    await until(lambda: len(reader.data) == len(written))
    assert reader.data == written
    await until(lambda: writer.told == [True, False])
    writer.outlet.write(b"at once")
    assert reader.transport.getHandle().recv(100) == b"at once"


@pytest_twisted.ensureDeferred
async def test_how_much_may_stand_unsent_can_be_said(ends):
    writer, reader = ends
    reader.transport.pauseProducing()
    fill(writer)
    reader.transport.resumeProducing()
    await until(lambda: writer.told == [True, False])
    reader.transport.pauseProducing()
    writer.outlet.most = 1 << 30
    for _ in range(100):
        writer.outlet.write(b"x" * 100_000)
    assert writer.told == [True, False]


@pytest_twisted.ensureDeferred
async def test_all_is_sent_before_a_connection_closes(ends):
    writer, reader = ends
    reader.transport.pauseProducing()
    written = fill(writer)
    writer.outlet.finish()
    writer.transport.loseConnection()
    reader.transport.resumeProducing()
    await until(lambda: reader.closed)
    assert reader.data == written
    assert writer.told == [True]


@pytest_twisted.ensureDeferred
async def test_what_is_written_to_a_connection_that_ended_is_dropped(ends):
    writer, reader = ends
    reader.transport.abortConnection()
    await until(lambda: writer.closed)
    for _ in range(100):
        writer.outlet.write(b"x" * 100_000)
    assert writer.told == []


def test_a_transport_that_is_no_plain_socket_takes_all_and_says_when_it_is_full():
    told = []
    transport = StringTransport()
    outlet = Outlet(transport, told.append)
    outlet.write(b"one")
    transport.producer.pauseProducing()
    outlet.write(b"two")
    assert transport.value() == b"onetwo"
    transport.producer.resumeProducing()
    assert told == [True, False]
    outlet.finish()
    assert transport.producer is None
