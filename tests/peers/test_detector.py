"""The detector: only a refusing port is a proof, and nobody is tried longer than needed."""

from collections import Counter

import pytest
import pytest_twisted
from tcp import HERE, Talkers, a_moment, closed_port, reactor, until
from twisted.internet.error import (
    ConnectionLost,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.internet.error import ConnectionRefusedError as PortRefusedError
from twisted.internet.error import TimeoutError as AttemptTimeoutError
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from chainchat.peers.detector import FIRST_PAUSE, LAST_PAUSE, Detector

pytestmark = pytest.mark.reactor


@pytest.fixture
def refused():
    return []


@pytest.fixture
def note(refused):
    """Note who refused; some tests look where."""
    return lambda position, host, port: refused.append(position)


@pytest.fixture
def detector(note):
    detector = Detector(reactor, note)
    yield detector
    detector.stop()
    pytest_twisted.blockon(deferLater(reactor, 0))  # Twisted's last word on what was given up


@pytest_twisted.ensureDeferred
async def test_a_port_that_nobody_listens_on_is_a_proof(detector, refused):
    detector.watch("tail", HERE, closed_port())
    await until(lambda: refused)
    assert set(refused) == {"tail"}


@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_accepted_proves_nothing_and_is_closed(detector, refused):
    factory = Talkers()
    port = reactor.listenTCP(0, factory, interface=HERE)
    detector.watch("tail", HERE, port.getHost().port)
    await until(lambda: len(factory.made) >= 3 and all(t.closed for t in factory.made))
    assert refused == []
    detector.ignore("tail")
    await port.stopListening()
    await a_moment()
    assert refused == []


@pytest_twisted.ensureDeferred
async def test_it_goes_on_trying_until_the_port_is_closed(detector, refused):
    factory = Talkers()
    port = reactor.listenTCP(0, factory, interface=HERE)
    detector.watch("tail", HERE, port.getHost().port)
    await until(lambda: len(factory.made) >= 2)
    assert refused == []
    await port.stopListening()
    await until(lambda: refused)


@pytest_twisted.ensureDeferred
async def test_whoever_is_linked_again_is_tried_no_more(detector, refused):
    detector.watch("tail", HERE, closed_port())
    await until(lambda: refused)
    detector.ignore("tail")
    count = len(refused)
    await a_moment(2 * LAST_PAUSE)
    assert len(refused) == count


@pytest_twisted.ensureDeferred
async def test_each_is_tried_on_its_own(detector, refused):
    for position in ("head", "middle"):
        detector.watch(position, HERE, closed_port())
    await until(lambda: set(refused) == {"head", "middle"})
    detector.ignore("head")
    seen = Counter(refused)
    await until(lambda: refused.count("middle") > seen["middle"])
    assert refused.count("head") == seen["head"]


@pytest_twisted.ensureDeferred
async def test_one_can_be_watched_at_several_addresses_and_is_ignored_at_all_of_them():
    refusals = []
    detector = Detector(reactor, lambda *target: refusals.append(target))
    ports = {closed_port(), closed_port()}
    for port in ports:
        detector.watch("tail", HERE, port)
    await until(lambda: set(refusals) == {("tail", HERE, port) for port in ports})
    detector.ignore("tail")
    count = len(refusals)
    await a_moment(2 * LAST_PAUSE)
    assert len(refusals) == count


# --- without sockets ---------------------------------------------------------------------


class Attempts(MemoryReactorClock):
    """A reactor that keeps attempts to connect until a test decides their outcome."""

    @property
    def begun(self):
        return self.connectors

    def end(self, outcome):
        _, _, factory, _, _ = self.tcpClients[-1]
        factory.clientConnectionFailed(self.connectors[-1], outcome)


@pytest.fixture
def attempts():
    return Attempts()


@pytest.mark.parametrize(
    ("error", "proof"),
    [
        (PortRefusedError(), True),
        (AttemptTimeoutError(), False),
        (TCPTimedOutError(), False),
        (NoRouteError(), False),
        (ConnectionLost(), False),
        (OSError(), False),
    ],
)
def test_only_a_refusal_is_a_proof(attempts, refused, note, error, proof):
    detector = Detector(attempts, note)
    detector.watch("tail", HERE, 7103)
    attempts.end(Failure(error))
    assert refused == (["tail"] if proof else [])
    assert len(attempts.getDelayedCalls()) == 1
    detector.stop()
    assert attempts.getDelayedCalls() == []


def test_each_pause_is_twice_the_one_before_up_to_a_limit(attempts, refused, note):
    detector = Detector(attempts, note)
    detector.watch("tail", HERE, 7103)
    pauses = []
    for _ in range(10):
        attempts.end(Failure(PortRefusedError()))
        [call] = attempts.getDelayedCalls()
        pauses.append(round(call.getTime() - attempts.seconds(), 9))
        attempts.advance(pauses[-1])
    assert pauses == [min(FIRST_PAUSE * 2**n, LAST_PAUSE) for n in range(10)]
    detector.stop()


def test_one_that_is_watched_already_is_not_tried_twice_at_once(attempts, refused, note):
    detector = Detector(attempts, note)
    for _ in range(3):
        detector.watch("tail", HERE, 7103)
    assert len(attempts.begun) == 1
    attempts.end(Failure(PortRefusedError()))
    detector.watch("tail", HERE, 7103)
    assert len(attempts.begun) == 1
    attempts.advance(FIRST_PAUSE)
    assert len(attempts.begun) == 2
    detector.stop()


def test_an_attempt_that_is_given_up_proves_nothing(attempts, refused, note):
    detector = Detector(attempts, note)
    detector.watch("tail", HERE, 7103)
    detector.ignore("tail")
    assert attempts.begun[-1].stoppedConnecting
    assert (refused, attempts.getDelayedCalls()) == ([], [])


def test_an_address_that_matters_no_more_is_tried_no_more(attempts, refused, note):
    matters = [True, False]
    detector = Detector(attempts, note, lambda *_: matters.pop(0))
    detector.watch("tail", HERE, 7103)
    attempts.end(Failure(PortRefusedError()))
    attempts.advance(FIRST_PAUSE)
    attempts.end(Failure(PortRefusedError()))
    assert (refused, len(attempts.begun), attempts.getDelayedCalls()) == (["tail"], 2, [])


def test_after_it_stopped_nobody_is_tried(attempts, refused, note):
    detector = Detector(attempts, note)
    detector.watch("head", HERE, 7101)
    attempts.end(Failure(PortRefusedError()))
    detector.watch("tail", HERE, 7103)
    detector.stop()
    attempts.advance(10)
    assert (len(attempts.begun), refused) == (2, ["head"])
    assert attempts.getDelayedCalls() == []


def test_one_that_is_ignored_can_be_watched_again(attempts, refused, note):
    detector = Detector(attempts, note)
    detector.ignore("tail")
    detector.watch("tail", HERE, 7103)
    detector.ignore("tail")
    detector.watch("tail", HERE, 7103)
    attempts.end(Failure(PortRefusedError()))
    assert refused == ["tail"]
    detector.stop()
