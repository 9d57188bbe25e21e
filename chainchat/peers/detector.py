"""The failure detector: a process is dead if its port refuses connections (rule 2 of membership).

No time-out, no unreachable host, no end of a connection proves that.
"""

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as PortRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from chainchat.network.sockets import Transport
from chainchat.node.interfaces import Timer
from chainchat.peers.endpoint import endpoint_of
from chainchat.peers.interfaces import Reactor

Target = tuple[str, str, int]
"""Position, host, port."""

FIRST_PAUSE, LAST_PAUSE = 0.001, 0.2
"""Seconds between attempts; each pause is twice the last."""

CONNECT_SECONDS = 2


class Probe(Protocol):
    """A connection that only shows whether the port refuses it."""

    transport: Transport  # type: ignore[assignment]

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class ProbeFactory(Factory):
    """Makes probes."""

    noisy = False
    protocol = Probe


class Detector:
    """Tries the ports of nodes whose connections ended, until they are linked again."""

    def __init__(
        self,
        reactor: Reactor,
        refused: Callable[[str, str, int], None],
        matters: Callable[[str, str, int], bool] = lambda *_: True,
    ) -> None:
        """``matters``: True while that node is of interest there."""
        self._reactor = reactor
        self._refused = refused
        self._matters = matters
        self._attempts: dict[Target, Deferred[IProtocol]] = {}
        self._timers: dict[Target, Timer] = {}

    def watch(self, position: str, host: str, port: int) -> None:
        target = position, host, port
        if target not in self._attempts and target not in self._timers:
            self._try(target, FIRST_PAUSE)

    def ignore(self, position: str) -> None:
        for target in [*self._attempts, *self._timers]:
            if target[0] == position:
                self._give_up(target)

    def stop(self) -> None:
        for target in [*self._attempts, *self._timers]:
            self._give_up(target)

    def _give_up(self, target: Target) -> None:
        timer = self._timers.pop(target, None)
        if timer is not None and timer.active():
            timer.cancel()
        attempt = self._attempts.pop(target, None)
        if attempt is not None:
            attempt.cancel()

    def _try(self, target: Target, pause: float) -> None:
        self._timers.pop(target, None)
        _, host, port = target
        endpoint = endpoint_of(self._reactor, host, port, CONNECT_SECONDS)
        attempt = endpoint.connect(cast(IProtocolFactory, ProbeFactory()))
        self._attempts[target] = attempt

        def ended(outcome: object) -> None:
            if self._attempts.get(target) is not attempt:
                return  # ignored in the meantime
            del self._attempts[target]
            if not self._matters(*target):
                return
            self._timers[target] = self._reactor.callLater(
                pause, self._try, target, min(2 * pause, LAST_PAUSE)
            )
            if isinstance(outcome, Failure) and outcome.check(PortRefusedError):
                self._refused(*target)

        attempt.addBoth(ended)
