"""Writing at once: in order, whatever the socket takes, and reported when it is too much.

With TLS and without: what holds is the same.
"""

import select
import sys

import pytest
import pytest_twisted
from certificates import Authority
from patience import DEADLINE
from tcp import HERE, a_moment, reactor, until
from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from chainchat.network.sockets import Outlet
from chainchat.tls.contexts import Creator, between_nodes
from chainchat.tls.layers import encrypted, tcp, writer

pytestmark = pytest.mark.reactor


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class End(Protocol):
    """One end of a connection."""

    def __init__(self):
        self.data = b""
        self.told = []
        self.closed = self.agreed = self.all_sent = False

    def connectionMade(self):  # noqa: N802 - Twisted's name
        self.outlet = writer(self.transport, self.told.append)
        self.outlet.write(self.factory.greeting)
        self.transport.setTcpNoDelay(True)
        self.factory.made.append(self)

    def handshakeCompleted(self):  # noqa: N802 - Twisted's name
        self.agreed = True

    def readConnectionLost(self):  # noqa: N802 - Twisted's name
        self.outlet.close()

    def writeConnectionLost(self):  # noqa: N802 - Twisted's name
        self.all_sent = True

    def dataReceived(self, data):  # noqa: N802 - Twisted's name
        self.data += data

    def records_came(self, octets):
        assert octets

    def connectionLost(self, reason=None):  # noqa: N802 - Twisted's name
        self.closed = True


class Ends(Factory):
    noisy = False
    protocol = End

    def __init__(self, greeting=b""):
        self.made = []
        self.greeting = greeting


class Ring:
    """The two ends of a connection: one that a test writes at, and one that reads."""

    def __init__(self, *, tls, greeting=b""):
        self._greeting = greeting
        self._creator = Creator(between_nodes(Authority().of("head"), check_dates=True))
        self._tls = tls

    async def open(self):
        here, there = Ends(self._greeting), Ends()
        port = reactor.listenTCP(0, self._secured(here, dials=False), interface=HERE)
        endpoint = TCP4ClientEndpoint(reactor, HERE, port.getHost().port)
        await endpoint.connect(self._secured(there, dials=True))
        await until(lambda: here.made)
        [self.writer], [self.reader] = here.made, there.made
        if self._tls:
            await until(lambda: self.writer.agreed and self.reader.agreed)
        await maybeDeferred(port.stopListening)
        return self.writer, self.reader

    def _secured(self, ends, *, dials):
        return encrypted(ends, self._creator, reactor, dials=dials) if self._tls else ends

    async def close(self):
        for end in (self.writer, self.reader):
            end.transport.abortConnection()
        await until(lambda: self.writer.closed and self.reader.closed)


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def ends(request):
    ring = Ring(tls=request.param)
    yield pytest_twisted.blockon(ensureDeferred(ring.open()))
    pytest_twisted.blockon(ensureDeferred(ring.close()))


def received(reader, octets):
    """True if the socket gets so many, before the reactor reads them; those of TLS, with TLS.

    The kernel may take a moment to bring them.
    """
    handle, found = tcp(reader.transport).getHandle(), 0
    while found < octets and select.select([handle], [], [], DEADLINE)[0]:
        found += len(handle.recv(1_000))
    return found == octets


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
    before = writer.outlet.written
    writer.outlet.write(b"one")
    writer.outlet.write(b"two")
    assert received(reader, writer.outlet.written - before)
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
    before = writer.outlet.written
    writer.outlet.write(b"at once")
    assert received(reader, writer.outlet.written - before)


@pytest_twisted.ensureDeferred
async def test_octets_of_any_number_all_come_in_order(ends):
    writer, reader = ends
    written = b""
    for length in (0, 1, 16_383, 16_384, 16_385, 32_768, 50_000, 1, 0):
        writer.outlet.write(b"%d" % (length % 10) * length)
        written += b"%d" % (length % 10) * length
    await until(lambda: len(reader.data) == len(written))
    assert reader.data == written
    reader.outlet.write(b"read")
    await until(lambda: writer.data == b"read")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest_twisted.ensureDeferred
async def test_what_is_written_before_tls_is_agreed_on_comes_first(tls):
    ring = Ring(tls=tls, greeting=b"first ")
    writer, reader = await ring.open()
    writer.outlet.write(b"second")
    await until(lambda: reader.data == b"first second")
    await ring.close()


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
    writer.outlet.close()
    reader.transport.resumeProducing()
    await until(lambda: reader.closed)
    assert reader.data == written
    assert writer.told == [True]


@pytest_twisted.ensureDeferred
async def test_a_half_closed_connection_sends_all_says_so_and_is_still_read(ends):
    writer, reader = ends
    reader.transport.pauseProducing()
    written = fill(writer)
    writer.outlet.half_close()
    reader.outlet.write(b"still there?")
    await until(lambda: writer.data == b"still there?")
    assert not writer.all_sent
    reader.transport.resumeProducing()
    await until(lambda: writer.all_sent)
    writer.outlet.close()
    await until(lambda: reader.closed and writer.closed)
    assert reader.data == written


@pytest_twisted.ensureDeferred
async def test_written_counts_what_the_kernel_counts(ends):
    writer, reader = ends
    writer.outlet.write(b"x" * 100_000)
    assert writer.outlet.written >= 100_000
    await until(lambda: len(reader.data) == 100_000)
    handle = tcp(writer.transport).getHandle()
    await until(lambda: handle.getsockopt(6, 11, 256)[120:124] == octets(writer.outlet.written))


def octets(number):
    return number.to_bytes(4, sys.byteorder)


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
    outlet.close()
    assert transport.producer is None
    assert transport.disconnecting
