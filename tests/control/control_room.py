"""A control socket with a node behind it: the socket is real, the node is alone and has no disk."""

from pathlib import Path

import pytest_twisted
from msgspec.structs import replace
from reports import sources
from sessions_house import House
from tcp import Reader, reactor, until
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent, globalLogPublisher

from chainchat.chat import scram
from chainchat.chat.refusals import Code, RefusedError
from chainchat.control.desk import Desk, Invitation, Office
from chainchat.control.listener import ControlFactory, listen
from chainchat.logs.audit import Audit
from chainchat.network.control_socket import socket_of
from chainchat.node.report import report
from chainchat.sessions.drain import Drain

PASSWORD = "k7qdp-93mfh-x2pwc"


class Asker(Reader):
    """One end of a connection to the socket."""

    @property
    def lines(self):
        return self.data.decode().split("\n")[:-1]


class Room:
    """The socket, its node, and those who ask."""

    def __init__(self, data: Path):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data, self.path = data, socket_of(data)
        self.house = House()
        self.reloads, self.invitations = ["[limits] per-address: 64 -> 8"], []
        self.logged = []
        self.drain = Drain(self.house.clock, lambda: self.house.sessions)
        self.stops, self.level = [], "info"
        self.sources = replace(sources(self.house, data), drained=lambda: self.drain.drained)
        office = Office(
            node=lambda: self.house.node,
            report=lambda: report(self.sources),
            reload=self._reload,
            new_invitation=self._new_invitation,
            audit=Audit("solo", self.house.clock.callLater),
            drain=self.drain.begin,
            undrain=self.drain.end,
            stop=lambda: self.stops.append(True),
            log_level=self._log_level,
        )
        self.desk = Desk(office)
        self.factory = ControlFactory(self.desk, reactor)
        self.port = listen(self.path, self.factory, reactor)
        self.askers = []
        self._turns = LoopingCall(self.house.clock.advance, 0)
        self.turn()
        globalLogPublisher.addObserver(self._observe)

    def _observe(self, event):
        text = formatEvent(event)
        if "audit: " in text:
            self.logged.append(text.partition("audit: ")[2])

    def _reload(self):
        if isinstance(self.reloads, Exception):
            raise self.reloads
        return self.reloads

    def _log_level(self, level):
        if level == "loud":
            raise RefusedError(Code.BAD_ARGUMENTS, "the levels are …")
        self.level = level or self.level
        return self.level

    def _new_invitation(self, name, reset):
        if self.invitations:
            return self.invitations.pop()
        salted = scram.salted(PASSWORD, b"salt", 1)
        return succeed(
            Invitation(PASSWORD, replace(scram.verifier_of(salted, b"salt", 1), once=True))
        )

    def turn(self):
        """Give the node turns, as they come."""
        self._turns.start(0.001)

    def stand_still(self):
        self._turns.stop()

    def has(self, *names, password=True):
        """Let there be these accounts, logged in."""
        clients = [self.house.client(name) for name in names]
        if password:
            for name in names:
                account = self.house.node.state.account_named(name)
                account.verifier = scram.verifier_of(b"", b"salt", 1)
        return clients

    async def call(self):
        """A connection."""
        endpoint = UNIXClientEndpoint(reactor, str(self.path))
        asker = await endpoint.connect(Factory.forProtocol(Asker))
        self.askers.append(asker)
        return asker

    async def ask(self, line, asker=None):
        """The lines that answer one, with the last that ends the answer."""
        asker = asker or await self.call()
        before = len(asker.lines)
        asker.transport.write(f"{line}\n".encode() if isinstance(line, str) else line)
        await until(lambda: [x for x in asker.lines[before:] if x[:1] in "+-."])
        return asker.lines[before:]

    def talk_without_socket(self, line):
        """A connection that has asked this, and reads when the test says so; time is the node's."""
        transport = StringTransport()
        transport.getHandle = lambda: self.port.socket
        conversation = ControlFactory(self.desk, self.house.clock).buildProtocol(None)
        conversation.makeConnection(transport)
        conversation.dataReceived(f"{line}\n".encode())
        self.house.clock.advance(0)
        return transport

    def close(self):
        globalLogPublisher.removeObserver(self._observe)
        if self._turns.running:
            self._turns.stop()
        self.factory.close()
        pytest_twisted.blockon(self.port.stopListening())
        pytest_twisted.blockon(Deferred.fromCoroutine(until(self._all_closed)))

    def _all_closed(self):
        return not self.factory.conversations and all(asker.closed for asker in self.askers)


def unusable():
    """How a reload ends whose file cannot be used."""
    return RefusedError(Code.NOT_RELOADED, "nothing has changed: chain.ini: line 7: nonsense")
