"""A connection that a system makes of a dialled port and itself: dropped, and the port is free."""

import socket

import pytest
import pytest_twisted
from links_rim import linked
from tcp import HERE, a_moment, free_port, reactor, until
from twisted.internet.endpoints import TCP4ClientEndpoint

from chainchat.peers import detector, dialling

# A bind that fails, as the port is still another attempt's, leaves its socket to the collector.
pytestmark = [
    pytest.mark.reactor,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def dialled_itself(monkeypatch, request):
    """Every dial of a module leaves from the very port that it dials; the ports, each time."""
    made = []

    def endpoint_of(reactor, host, port, timeout):
        made.append(port)
        return TCP4ClientEndpoint(reactor, host, port, timeout, bindAddress=(host, port))

    monkeypatch.setattr(request.param, "endpoint_of", endpoint_of)
    return made


def can_be_taken(port):
    """True if a node can listen there, as twistd would."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HERE, port))
            listening.listen()
        except OSError:
            return False
    return True


@pytest.mark.parametrize("dialled_itself", [dialling], indirect=True)
@pytest_twisted.ensureDeferred
async def test_a_node_that_meets_itself_hangs_up_and_dials_again(rim, logged, dialled_itself):
    rim.listen("head")
    rim.settings["tail"] = rim.node("tail", free_port())
    port = rim.settings["tail"].chain_port
    rim.start("head")
    await until(lambda: dialled_itself.count(port) >= 5)
    assert not linked(rim, "head", "tail")
    assert logged == []
    rim.links["head"].stop()
    await until(lambda: can_be_taken(port))


@pytest.mark.parametrize("dialled_itself", [detector], indirect=True)
@pytest_twisted.ensureDeferred
async def test_a_probe_that_meets_itself_proves_nothing_and_keeps_no_port(dialled_itself):
    refused = []
    prober, port = detector.Detector(reactor, lambda *at: refused.append(at)), free_port()
    prober.watch("tail", HERE, port)
    await until(lambda: len(dialled_itself) >= 3)
    prober.stop()
    await a_moment()
    assert refused == []
    await until(lambda: can_be_taken(port))
