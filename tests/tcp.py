"""Real connections on 127.0.0.1, for the tests of links and of the detector."""

from collections.abc import Callable
from typing import Any

from held_ports import HeldPorts
from patience import DEADLINE
from twisted.internet import reactor as installed_reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

reactor: Any = installed_reactor

HERE = "127.0.0.1"


async def until(condition: Callable[[], Any]) -> None:
    """Let the reactor run until it is so."""
    give_up = reactor.seconds() + DEADLINE
    while not condition():
        assert reactor.seconds() < give_up, "it did not come to that"
        await deferLater(reactor, 0.002)


async def a_moment(seconds: float = 0.05) -> None:
    """For what must not happen: long enough for it to have happened."""
    await deferLater(reactor, seconds)


class Reader(Protocol):
    """One end of a connection, which keeps all that comes."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self.data += data

    def connectionLost(self, reason: object = None) -> None:  # noqa: N802 - Twisted's name
        self.closed = True


class Talker(Reader):
    """One that a test holds in its hands."""

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.factory.made.append(self)


class Talkers(Factory):
    """Makes them, for a port or for dialling; ``made`` has all of them."""

    noisy = False
    protocol = Talker

    def __init__(self) -> None:
        self.made: list[Talker] = []


held_ports = HeldPorts()


def closed_port() -> int:
    """A port that nobody listens on; it is the test's as long as ``held_ports`` are held."""
    return held_ports.new()


def free_port() -> int:
    """One that can be dialled from, too, which somebody else may take."""
    port = closed_port()
    held_ports.let_go()
    return port
