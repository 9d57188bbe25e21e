"""The client port under TLS: when a session begins, how it ends, and what its octets are."""

import pytest
import pytest_twisted
from certificates import Authority
from patience import DEADLINE
from tcp import HERE, Talker, Talkers, reactor, until
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.task import Clock
from zope.interface import implementer

from chainchat.sessions.admission import MOST_AGREEING, Admission
from chainchat.sessions.limits import ClientLimits, Limits
from chainchat.sessions.listener import (
    ENCRYPTED_OCTETS,
    RECORDS_AT_ONCE,
    WARY_OCTETS,
    ClientFactory,
    Patience,
)
from chainchat.sessions.newcomers import LEAST_SECONDS
from chainchat.tls.contexts import Creator, between_nodes, for_clients
from chainchat.tls.layers import encrypted

pytestmark = pytest.mark.reactor

SHORTEST_RECORD = 23  # octets, one of them text
AUTHORITY = Authority()
CREDENTIALS = AUTHORITY.of("tail")


class Session:
    """Notes what the connection says."""

    def __init__(self, connection):
        self.connection = connection
        self.heard = []

    def opened(self):
        self.heard.append("opened")

    def received(self, data, octets, commands):
        self.heard.append(data)

    def output_full(self, *, full):
        self.heard.append(full)

    def lost(self):
        self.heard.append("lost")


@implementer(IHandshakeListener)
class SecureTalker(Talker):
    agreed = False

    def handshakeCompleted(self):  # noqa: N802 - Twisted's name
        self.agreed = True


class SecureTalkers(Talkers):
    protocol = SecureTalker


class House:
    """A port for clients with TLS, and some of them."""

    def __init__(self, connections=100, **patience):
        self.sessions = []
        self.clock = Clock()
        limits = Limits(ClientLimits(connections, 1_000, (), 1_000), self.clock.seconds)
        self.factory = ClientFactory(
            self.new_session,
            admission=Admission("solo", limits, self.clock.seconds, int),
            clock=reactor,
            patience=Patience(**patience),
        )
        creator = Creator(for_clients(CREDENTIALS))
        layered = encrypted(self.factory, creator, reactor, dials=False)
        self.port = reactor.listenTCP(0, layered, interface=HERE)
        self.clients = []

    def new_session(self, connection):
        self.sessions.append(Session(connection))
        return self.sessions[-1]

    async def dial(self, *, tls=True):
        talkers = factory = SecureTalkers()
        if tls:
            creator = Creator(between_nodes(CREDENTIALS, check_dates=True))
            factory = encrypted(talkers, creator, reactor, dials=True)
        endpoint = TCP4ClientEndpoint(reactor, HERE, self.port.getHost().port)
        await endpoint.connect(factory)
        [client] = talkers.made
        self.clients.append(client)
        return client

    async def enter(self):
        """The first client that agrees on TLS, and its session."""
        client = await self.dial()
        await until(lambda: self.sessions)
        [session] = self.sessions
        return client, session

    async def close(self):
        await maybeDeferred(self.port.stopListening)
        for client in self.clients:
            client.transport.abortConnection()
        await until(lambda: self.factory.admission.admitted == 0 and self.factory.refused == 0)


async def with_house(work, **options):
    house = House(**options)
    try:
        await work(house)
    finally:
        await house.close()


@pytest_twisted.ensureDeferred
async def test_a_session_begins_when_tls_is_agreed_on():
    async def work(house):
        silent = await house.dial(tls=False)
        await until(lambda: house.factory.admission.admitted == 1)
        assert house.sessions == []
        client, session = await house.enter()
        client.transport.write(b"alice\n")
        await until(lambda: session.heard == ["opened", b"alice\n"])
        assert not silent.closed

    await with_house(work)


@pytest_twisted.ensureDeferred
async def test_who_agrees_on_nothing_gives_up_the_place_when_all_are_taken():
    async def work(house):
        silent = await house.dial(tls=False)
        await until(lambda: house.factory.admission.admitted == 1)
        house.clock.advance(LEAST_SECONDS)
        await house.enter()
        assert house.factory.admission.admitted == 1
        await until(lambda: silent.closed)

    await with_house(work, connections=1, handshake=DEADLINE)


@pytest_twisted.ensureDeferred
async def test_who_agrees_on_nothing_is_hung_up_on():
    async def work(house):
        silent = await house.dial(tls=False)
        await until(lambda: silent.closed)
        assert (house.sessions, silent.data) == ([], b"")

    await with_house(work, handshake=0.05)


@pytest_twisted.ensureDeferred
async def test_positions_are_octets_of_tls_as_the_kernel_acknowledges_them():
    async def work(house):
        client, session = await house.enter()
        connection = session.connection
        client.transport.pauseProducing()
        first = connection.write(b"x" * 1_000)
        assert first > 1_000 + 500  # the handshake is among them
        await until(lambda: connection.acknowledged() == first)
        assert connection.write(b"x" * 1_000) - first > 1_000
        assert connection.silent() is not None
        connection.probe(probing=True)
        connection.expect(4_096)
        assert connection._tcp.bufferSize == 4_096

    await with_house(work)


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_nothing_fills_the_connection_and_is_told_of():
    async def work(house):
        client, session = await house.enter()
        session.connection.expect(10_000)
        client.transport.pauseProducing()
        written = b""
        while True not in session.heard:
            session.connection.write(b"x" * 50_000)
            written += b"x" * 50_000
        client.transport.resumeProducing()
        await until(lambda: False in session.heard and len(client.data) == len(written))

    await with_house(work)


@pytest_twisted.ensureDeferred
async def test_little_is_read_at_once_until_tls_is_agreed_on():
    async def work(house):
        _, session = await house.enter()
        assert session.connection._tcp.bufferSize == WARY_OCTETS

    await with_house(work)


@pytest_twisted.ensureDeferred
async def test_of_who_sends_short_records_little_is_read_at_once():
    async def work(house):
        client, session = await house.enter()
        session.connection.expect(65_536)
        client.transport.write(b"x" * 100_000)  # in a few long ones
        await until(lambda: sum(map(len, session.heard[1:])) == 100_000)
        assert session.connection._tcp.bufferSize == ENCRYPTED_OCTETS
        session.heard.clear()
        for _ in range(4_000):
            client.transport.write(b"x")
        await until(lambda: len(session.heard) == 4_000)
        assert session.connection._tcp.bufferSize // SHORTEST_RECORD <= RECORDS_AT_ONCE

    await with_house(work)


@pytest_twisted.ensureDeferred
async def test_a_held_connection_is_not_read():
    async def work(house):
        client, session = await house.enter()
        session.connection.hold(held=True)
        client.transport.write(b"later")
        assert session.heard == ["opened"]
        session.connection.hold(held=False)
        await until(lambda: session.heard == ["opened", b"later"])

    await with_house(work)


@pytest_twisted.ensureDeferred
async def test_the_last_word_arrives_though_the_client_goes_on_typing():
    async def work(house):
        client, session = await house.enter()
        client.transport.write(b"x" * 100_000)
        session.connection.write(b"goodbye")
        session.connection.close()
        client.transport.write(b"x" * 100_000)
        await until(lambda: client.closed)
        assert client.data == b"goodbye"
        await until(lambda: session.heard[-1] == "lost")

    await with_house(work, drain=0.05)


@pytest_twisted.ensureDeferred
async def test_a_few_of_the_refused_are_told_why():
    async def work(house):
        await house.enter()
        told = await house.dial()
        await until(lambda: told.closed)
        assert told.data.startswith(b"-ERR 422 this node has 1 connections already")
        house.factory.patience = Patience(refused=0.2)
        dumb = [await house.dial(tls=False) for _ in range(MOST_AGREEING + 3)]
        await until(lambda: sum(each.closed for each in dumb) >= 3)
        await until(lambda: all(each.closed for each in dumb))
        assert {each.data for each in dumb} == {b""}

    await with_house(work, connections=1, refused=DEADLINE)


@pytest_twisted.ensureDeferred
async def test_who_begins_without_tls_is_told_so():
    async def work(house):
        client = await house.dial(tls=False)
        client.transport.write(b"alice\r\n")
        await until(lambda: client.closed)
        assert client.data.startswith(b"-ERR 426 this port takes TLS only")
        assert house.sessions == []

    await with_house(work)
