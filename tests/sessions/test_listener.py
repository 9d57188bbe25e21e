"""The client port with real connections: refusals, and how many are accepted at a time."""

import socket
from contextlib import ExitStack

import pytest
import pytest_twisted
from patience import DEADLINE
from tcp import HERE, reactor, until
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock, deferLater

from chainchat.network.farewell import DRAIN_SECONDS
from chainchat.network.ports import ACCEPTS_PER_TURN, SHED_AT_ONCE, SHED_PRICE
from chainchat.node.budget import ACCEPT_SHARE
from chainchat.node.share import Share
from chainchat.sessions.admission import FORGIVING_SECONDS, MOST_FAREWELLS, Admission
from chainchat.sessions.limits import ClientLimits, Limits
from chainchat.sessions.listener import (
    RECEIVE_OCTETS,
    SEND_OCTETS,
    ClientFactory,
    ClientPort,
    Patience,
)
from chainchat.sessions.newcomers import LEAST_SECONDS

pytestmark = pytest.mark.reactor

SO_BUF_LOCK, SOCK_RCVBUF_LOCK = 72, 2
"""Linux since 5.14: tells whether the kernel leaves a buffer as it was set."""


class FakeSession:
    """Says hello, and notes its end."""

    id = ""

    def __init__(self, connection, lost):
        self.connection, self._lost = connection, lost

    def opened(self):
        self.connection.write(b"hello\r\n")

    def received(self, data, octets, commands):
        self.connection.hold(held=True)

    def sent_noise(self):
        pass

    def input_ended(self):
        self.connection.close()

    def output_full(self, *, full):
        pass

    def gives_way(self):
        self.connection.write(b"bye\r\n")
        self.connection.close()

    def lost(self):
        self._lost.append(self)


class House:
    """A client port with sessions of the test."""

    def __init__(self, drain=DRAIN_SECONDS, **limits):
        self.clock = Clock()
        self.opened, self.lost = [], []
        self.admission = Admission(
            "solo",
            Limits(ClientLimits(exempt=(), **limits), self.clock.seconds),
            self.clock.seconds,
            lambda: 1,
        )
        self.clock.advance(FORGIVING_SECONDS)
        patience = Patience(drain=drain)
        factory = ClientFactory(
            self._open, admission=self.admission, clock=reactor, patience=patience
        )
        self.port = ClientPort(0, factory, 1_000, HERE, reactor)
        self.port.startListening()
        self._stack = ExitStack()

    def _open(self, connection):
        self.opened.append(FakeSession(connection, self.lost))
        return self.opened[-1]

    def call(self):
        """Open a connection; the kernel does so without this process."""
        address = HERE, self.port.getHost().port
        caller = self._stack.enter_context(socket.create_connection(address))
        caller.setblocking(False)
        return caller

    def close(self):
        self._stack.close()
        pytest_twisted.blockon(self.port.stopListening())
        pytest_twisted.blockon(ensureDeferred(until(self._all_lost)))

    def _all_lost(self):
        return len(self.lost) == len(self.opened)


@pytest.fixture
def new_house():
    with ExitStack() as stack:

        def new(**limits):
            house = House(**{"connections": 1_000, "per_address": 1_000, "files": 1_000, **limits})
            stack.callback(house.close)
            return house

        yield new


async def hears(caller):
    """Everything until the node hangs up, or says hello."""
    heard = b""

    def ended():
        nonlocal heard
        try:
            data = caller.recv(1_000)
        except BlockingIOError:
            return False
        heard += data
        return not data or heard == b"hello\r\n"

    await until(ended)
    return heard.decode()


@pytest_twisted.ensureDeferred
async def test_who_is_one_too_many_is_told_why_and_closed(new_house):
    house = new_house(per_address=1)
    assert await hears(house.call()) == "hello\r\n"
    assert await hears(house.call()) == (
        "-ERR 424 your address has 1 connections here already; close one of them\r\n"
    )
    assert len(house.opened) == 1


@pytest_twisted.ensureDeferred
async def test_those_who_connect_on_and_on_are_cut_off_before_the_next_is_heard(new_house):
    house = new_house()
    house.port.sheds = lambda host: house.port.socket.left > 3
    callers = [house.call() for _ in range(SHED_AT_ONCE)]
    for caller in callers[: SHED_AT_ONCE - 3]:
        with pytest.raises(ConnectionResetError):
            await hears(caller)
    assert await hears(callers[-3]) == "hello\r\n"


@pytest_twisted.ensureDeferred
async def test_of_those_so_many_are_cut_off_in_a_turn_and_the_price_is_low(new_house):
    house = new_house()
    shed, prices = [], []
    house.port.sheds = lambda host: not shed.append(host)
    price = house.port._price

    def noted(seconds):
        prices.append((seconds, price(seconds), len(shed)))
        return price(seconds)

    house.port._price = noted
    callers = [house.call() for _ in range(SHED_AT_ONCE + 1)]
    with pytest.raises(ConnectionResetError):
        await hears(callers[-1])
    assert prices[0][2] == SHED_AT_ONCE
    assert SHED_PRICE * prices[0][0] <= prices[0][1] < prices[0][0]
    assert house.opened == []


@pytest_twisted.ensureDeferred
async def test_a_place_is_free_again_when_a_connection_ends(new_house):
    house = new_house(files=1)
    first = house.call()
    assert await hears(first) == "hello\r\n"
    assert (await hears(house.call())).startswith("-ERR 422 ")
    first.close()
    await until(lambda: house.lost)
    assert await hears(house.call()) == "hello\r\n"


@pytest_twisted.ensureDeferred
async def test_who_has_not_logged_in_gives_up_the_place_at_once_and_is_told(new_house):
    house = new_house(files=2)
    inside, waiting = house.call(), house.call()
    assert [await hears(caller) for caller in (inside, waiting)] == ["hello\r\n"] * 2
    house.opened[0].connection.logged_in()
    house.clock.advance(LEAST_SECONDS)
    newest = house.call()
    assert await hears(newest) == "hello\r\n"
    assert house.admission.admitted == 2
    assert await hears(waiting) == "bye\r\n"
    waiting.close()
    await until(lambda: len(house.lost) == 1)
    assert house.admission.admitted == 2
    for caller in (inside, newest):
        caller.close()
    await until(lambda: len(house.lost) == 3)
    assert house.admission.admitted == 0
    house.clock.advance(LEAST_SECONDS)
    assert house.admission.newcomers.who_gives_way((HERE,)) is None


@pytest_twisted.ensureDeferred
async def test_of_many_who_gave_way_few_keep_their_connections(new_house):
    house = new_house(files=MOST_FAREWELLS + 2, drain=1_000.0)
    first = [house.call() for _ in range(MOST_FAREWELLS + 2)]
    assert {await hears(caller) for caller in first} == {"hello\r\n"}
    house.clock.advance(LEAST_SECONDS)
    second = [house.call() for _ in range(MOST_FAREWELLS + 2)]
    assert {await hears(caller) for caller in second} == {"hello\r\n"}
    await until(lambda: len(house.lost) == 2)
    assert len(house.opened) - len(house.lost) == house.admission.admitted + MOST_FAREWELLS


@pytest_twisted.ensureDeferred
async def test_one_that_is_refused_and_reads_nothing_is_closed_all_the_same(new_house):
    house = new_house(files=0)
    before = set(reactor.getReaders()) | set(reactor.getWriters())
    for _ in range(3):
        house.call()
    await until(lambda: sum(house.admission.refused.values()) == 3)
    await until(lambda: set(reactor.getReaders()) | set(reactor.getWriters()) == before)


@pytest_twisted.ensureDeferred
async def test_many_that_come_at_once_come_in_by_turns(new_house):
    house = new_house()
    for _ in range(5 * ACCEPTS_PER_TURN):
        house.call()
    in_turn = []

    def count():
        in_turn.append(len(house.opened))
        return len(house.opened) == 5 * ACCEPTS_PER_TURN

    while not count():
        await deferLater(reactor, 0)  # one turn of the reactor
    steps = [after - before for before, after in zip([0, *in_turn], in_turn, strict=False)]
    assert max(steps) == ACCEPTS_PER_TURN


@pytest_twisted.ensureDeferred
async def test_after_taking_some_in_the_port_rests(new_house):
    house, clock = new_house(), Clock()
    house.port._accepting = Share(clock, house.port.startReading, ACCEPT_SHARE)
    for _ in range(ACCEPTS_PER_TURN + 1):
        house.call()
    await until(lambda: house.opened)
    for _ in range(20):
        await deferLater(reactor, 0)  # one turn of the reactor
    assert len(house.opened) == ACCEPTS_PER_TURN
    clock.advance(60)
    await until(lambda: len(house.opened) == ACCEPTS_PER_TURN + 1)


@pytest_twisted.ensureDeferred
async def test_the_kernel_keeps_so_much_for_a_client_and_does_not_make_it_more_by_itself(
    new_house,
):
    house = new_house()
    house.call()
    await until(lambda: house.opened)
    kept = house.opened[0].connection.transport.getHandle()
    # Linux doubles the value, for its own bookkeeping.
    assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * RECEIVE_OCTETS
    assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_OCTETS
    assert kept.getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK) & SOCK_RCVBUF_LOCK


@pytest_twisted.ensureDeferred
async def test_the_last_word_arrives_though_the_client_has_sent_what_nobody_reads(new_house):
    house = new_house(drain=DEADLINE)
    caller = house.call()
    assert await hears(caller) == "hello\r\n"
    connection = house.opened[0].connection
    caller.send(b"a line\n")
    await until(lambda: connection._held)
    caller.send(b"x" * 100_000)  # more than the node reads while it holds
    connection.write(b"goodbye\r\n")
    connection.close()
    for _ in range(20):
        caller.send(b"more\n")  # would be refused if the connection had been reset
        await deferLater(reactor, 0)
    assert await hears(caller) == "goodbye\r\n"
    caller.close()
    await until(lambda: house.lost)


@pytest_twisted.ensureDeferred
async def test_who_goes_on_sending_after_the_last_word_is_closed_all_the_same(new_house):
    house = new_house()
    caller = house.call()
    await hears(caller)
    house.opened[0].connection.close()
    assert await hears(caller) == ""
    await until(lambda: house.lost)
