"""The sockets of clients: some are served in each round of the reactor, and all in the end."""

import os
import select
import socket
import struct

import pytest
import pytest_twisted
from patience import DEADLINE
from tcp import HERE, reactor, until
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionDone, ConnectionFdescWentAway, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Port
from zope.interface import implementer

from chainchat.network.crowd import AT_ONCE, SERVE_SECONDS, Crowd, crowded

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


class Reactor:
    """Notes whom it is to read; its clock stands still unless somebody moves it."""

    def __init__(self):
        self.readers = []
        self.now = 7.0

    def addReader(self, reader):
        self.readers.append(reader)

    def removeReader(self, reader):
        self.readers.remove(reader)

    def seconds(self):
        return self.now


class Descriptor:
    """One end of two connected sockets; ``other`` is the other end."""

    def __init__(self, result=None, ends=None):
        self.mine, self.other = ends or socket.socketpair()
        self.result = result
        self.connected = True
        self.number = self.mine.fileno()
        self.events = []

    def fileno(self):
        return self.number

    def doRead(self):
        self.events.append("read")
        self.mine.recv(100)
        return self.done()

    def doWrite(self):
        self.events.append("write")
        return self.done()

    def done(self):
        if self.result is ZeroDivisionError:
            raise self.result
        return self.result

    def connectionLost(self, reason):
        self.events.append(reason.type)
        self.connected = False
        for remove in (self.crowd.removeReader, self.crowd.removeWriter):
            remove(self)

    def close(self):
        self.mine.close()
        self.other.close()


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(Descriptor):
    def readConnectionLost(self, reason):
        self.events.append(("half", reason.type))


@pytest.fixture
def crowd():
    return Crowd(Reactor())


@pytest.fixture
def new(crowd):
    made = []

    def make(kind=Descriptor, **how):
        made.append(kind(**how))
        made[-1].crowd = crowd
        crowd.addReader(made[-1])
        return made[-1]

    yield make
    crowd.removeAll()
    for each in made:
        each.close()


def test_a_system_with_epoll_has_a_crowd():
    reactor = Reactor()
    assert isinstance(crowded(reactor), Crowd)


def test_for_all_else_it_is_the_reactor(crowd):
    assert crowd.seconds() == 7.0


def test_the_reactor_reads_it_while_there_is_anybody(crowd, new):
    reactor = crowd._reactor
    one, other = new(), new()
    assert reactor.readers == [crowd]
    one.connected = False
    crowd.removeReader(one)
    crowd.addWriter(other)
    crowd.removeReader(other)
    crowd.removeWriter(other)  # it may go on
    assert reactor.readers == [crowd]
    assert crowd.getReaders() == crowd.getWriters() == []
    other.connected = False
    crowd.removeReader(other)
    assert reactor.readers == []
    crowd.removeReader(other)  # once more does no harm
    assert reactor.readers == []


def test_it_is_ready_when_one_of_them_is(crowd, new):
    one = new()
    assert select.select([crowd], [], [], 0)[0] == []
    one.other.send(b"x")
    assert select.select([crowd], [], [], 0)[0] == [crowd]
    crowd.doRead()
    assert one.events == ["read"]
    assert select.select([crowd], [], [], 0)[0] == []


def test_a_round_serves_so_many_and_those_who_waited_come_first(crowd, new):
    them = [new() for _ in range(2 * AT_ONCE + 1)]
    for each in them:
        each.other.send(b"x" * 1_000)  # more than one read takes: all are ready again
    served = []
    for _ in range(3):
        crowd.doRead()
        served.append(sum(len(each.events) for each in them))
    assert served == [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE]
    assert {len(each.events) for each in them} == {1, 2}


def test_a_round_ends_when_its_time_is_over_and_the_next_goes_on_with_those_who_waited(crowd, new):
    them = [new() for _ in range(6)]
    for each in them:
        each.other.send(b"x" * 1_000)
        each.done = lambda: setattr(crowd._reactor, "now", crowd._reactor.now + SERVE_SECONDS / 2)
    served = []
    for _ in range(4):
        crowd.doRead()
        served.append([len(each.events) for each in them].count(1))
    assert served == [2, 4, 6, 4]  # the last round serves two a second time


def test_who_ends_before_the_next_round_is_not_taken_for_who_gets_its_number(crowd, new):
    first, second, third = new(), new(), new()
    first.done = lambda: setattr(crowd._reactor, "now", crowd._reactor.now + SERVE_SECONDS)
    for each in (first, second):
        each.other.send(b"x")
    second.other.close()
    crowd.doRead()
    assert (first.events, second.events) == (["read"], [])
    second.connected = third.connected = False
    crowd.removeReader(second)
    crowd.removeReader(third)
    os.dup2(third.mine.fileno(), second.number)
    third.number, third.doRead = second.number, lambda: third.events.append("read")
    crowd.addReader(third)
    crowd.doRead()
    assert third.events == []


def test_readers_and_writers_are_served_as_they_ask(crowd, new):
    one = new()
    crowd.addWriter(one)
    one.other.send(b"x")
    crowd.doRead()
    assert one.events == ["read", "write"]
    assert crowd.getReaders() == crowd.getWriters() == [one]
    crowd.removeWriter(one)
    one.other.send(b"x")
    crowd.doRead()
    assert one.events == ["read", "write", "read"]
    assert crowd.getWriters() == []


@pytest.mark.parametrize("kind", [ConnectionDone, ConnectionLost, ConnectionFdescWentAway])
def test_what_a_descriptor_returns_ends_it(crowd, new, kind):
    one = new(result=kind())
    one.other.send(b"x")
    crowd.doRead()
    assert one.events == ["read", kind]
    assert crowd.getReaders() == []


def test_the_end_of_input_is_no_more_where_half_a_connection_can_go_on(crowd, new):
    one = new(HalfCloseable, result=ConnectionDone())
    crowd.addWriter(one)
    one.other.send(b"x")
    crowd.doRead()
    assert one.events == ["read", ("half", ConnectionDone)]
    assert (crowd.getReaders(), crowd.getWriters()) == ([], [one])


def test_a_connection_that_is_gone_whole_ends(crowd, new):
    reading, writing = new(), new()
    crowd.removeReader(writing)
    crowd.addWriter(writing)
    for each in (reading, writing):
        each.mine.shutdown(socket.SHUT_RDWR)
        each.other.close()
    while reading.events[-1:] != [ConnectionDone]:  # what can be read is read first
        reading.result = ConnectionDone()
        crowd.doRead()
    assert writing.events == [ConnectionLost]
    assert crowd.removeAll() == []


@pytest.mark.parametrize("ends", ["in order", "with a reset"])
def test_that_a_connection_is_reset_is_noticed_while_nobody_reads(crowd, new, ends):
    with socket.create_server((HERE, 0)) as port:
        there = socket.create_connection(port.getsockname())
        here, _ = port.accept()
    paused = new(ends=(here, there))
    crowd.removeReader(paused)
    crowd.doRead()
    assert paused.events == []
    if ends == "in order":
        there.close()
        assert here.recv(1) == b""
        crowd.doRead()
        assert paused.events == []
        here.send(b"there?")  # the answer is a reset
    else:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
    select.select([crowd], [], [], DEADLINE)
    crowd.doRead()
    assert paused.events == [ConnectionLost]
    assert crowd._reactor.readers == []


def test_an_error_ends_the_one_and_no_other(crowd, new, logged_failures):
    broken, well = new(result=ZeroDivisionError), new()
    for each in (broken, well):
        each.other.send(b"x")
    crowd.doRead()
    assert broken.events == ["read", ZeroDivisionError]
    assert well.events == ["read"]
    assert crowd.getReaders() == [well]
    assert len(logged_failures) == 1
    logged_failures.clear()


def test_an_error_at_the_end_of_one_is_no_error_of_the_others(crowd, new, logged_failures):
    ends, well = new(result=ConnectionDone()), new()
    ends.connectionLost = lambda _: 1 / 0
    for each in (ends, well):
        each.other.send(b"x")
    crowd.doRead()
    assert (ends.events, well.events) == (["read"], ["read"])
    assert len(logged_failures) == 1
    logged_failures.clear()


def test_one_that_has_closed_its_socket_by_itself_can_be_removed(crowd, new):
    one = new()
    one.other.send(b"x")
    one.number = -1
    crowd.doRead()
    assert one.events == [ConnectionFdescWentAway]
    assert crowd._reactor.readers == []


@pytest.mark.parametrize("connected", [True, False])
def test_who_is_paused_or_ended_by_another_of_the_round_is_not_served(crowd, new, connected):
    first, second = new(), new()
    second.connected = connected
    first.doRead = lambda: crowd.removeReader(second)
    for each in (first, second):
        each.other.send(b"x")
    crowd.doRead()
    assert second.events == []


def test_when_the_reactor_stops_all_end(crowd, new):
    them = [new(), new()]
    crowd.connectionLost(connectionDone)
    assert [each.events for each in them] == [[ConnectionDone], [ConnectionDone]]
    assert crowd._reactor.readers == []


class Rounds:
    """Counts the rounds of the reactor."""

    def __init__(self):
        self.now = 0
        self._next()

    def _next(self):
        self.now += 1
        self._call = reactor.callLater(0, self._next)

    def stop(self):
        self._call.cancel()


class Talker(Protocol):
    def connectionMade(self):
        self.factory.made.append(self)

    def dataReceived(self, _):
        self.factory.heard.append(self.factory.rounds.now)

    def connectionLost(self, reason=connectionDone):
        self.factory.lost.append(self.factory.rounds.now)


@pytest.mark.reactor
@pytest_twisted.ensureDeferred
async def test_many_who_speak_or_hang_up_together_leave_the_reactor_time_for_others():
    many = 3 * AT_ONCE
    rounds, factory = Rounds(), Factory.forProtocol(Talker)
    factory.rounds, factory.made, factory.heard, factory.lost = rounds, [], [], []
    port = Port(0, factory, many, HERE, Crowd(reactor))
    port.startListening()
    clients = [socket.create_connection((HERE, port.getHost().port)) for _ in range(many)]
    await until(lambda: len(factory.made) == many)
    for client in clients:
        client.send(b"x")
    await until(lambda: len(factory.heard) == many)
    for client in clients:
        client.close()
    await until(lambda: len(factory.lost) == many)
    for happened in (factory.heard, factory.lost):
        assert max(map(happened.count, happened)) <= AT_ONCE
    rounds.stop()
    await maybeDeferred(port.stopListening)
