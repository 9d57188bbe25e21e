"""Finds out that a process is dead: its port refuses connections (rule 2 of membership).

When a process dies, its kernel closes its connections and then refuses new ones. A pause or a
partition can do neither, so nothing but a refusal counts: not a time-out, not an unreachable host,
not the end of a connection. A dying process may close its connections a moment before its port, so
one attempt is not enough.
"""

from typing import Any

from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as PortRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from chainchat.server.interfaces import Timer

FIRST_PAUSE, LAST_PAUSE = 0.001, 0.2
"""Seconds between two attempts: at first, and at most; each pause is twice the one before."""

CONNECT_SECONDS = 2
"""How long an attempt may take."""


class Probe(Protocol):
    """A connection that is only made to see whether it can be."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class ProbeFactory(Factory):
    """Makes probes."""

    noisy = False
    protocol = Probe


class Detector:
    """Tries the ports of nodes whose connections ended, until they are linked again."""

    def __init__(self, reactor: Any, refused: Any) -> None:
        """Watch nobody yet.

        Args:
            reactor: for time and connections.
            refused: called with the position whose port refused a connection.
        """
        self._reactor = reactor
        self._refused = refused
        self._attempts: dict[str, Deferred[Any]] = {}
        self._timers: dict[str, Timer] = {}

    def watch(self, position: str, host: str, port: int) -> None:
        """The connection with the node at ``position`` ended: try its port at once, and again."""
        if position not in self._attempts and position not in self._timers:
            self._try(position, host, port, FIRST_PAUSE)

    def ignore(self, position: str) -> None:
        """It is linked again."""
        timer = self._timers.pop(position, None)
        if timer is not None and timer.active():
            timer.cancel()
        attempt = self._attempts.pop(position, None)
        if attempt is not None:
            attempt.cancel()

    def stop(self) -> None:
        """Try nobody's port any more."""
        for position in [*self._attempts, *self._timers]:
            self.ignore(position)

    def _try(self, position: str, host: str, port: int, pause: float) -> None:
        self._timers.pop(position, None)
        endpoint = endpoints.TCP4ClientEndpoint(self._reactor, host, port, CONNECT_SECONDS)
        factory: Any = ProbeFactory()
        attempt = endpoint.connect(factory)
        self._attempts[position] = attempt

        def ended(outcome: object) -> None:
            if self._attempts.get(position) is not attempt:
                return  # ignored meanwhile
            del self._attempts[position]
            self._timers[position] = self._reactor.callLater(
                pause, self._try, position, host, port, min(2 * pause, LAST_PAUSE)
            )
            if isinstance(outcome, Failure) and outcome.check(PortRefusedError):
                self._refused(position)

        attempt.addBoth(ended)
