"""The links of some nodes on 127.0.0.1, and a peer that a test plays."""

from contextlib import contextmanager
from pathlib import Path

import pytest_twisted
from msgspec import msgpack
from msgspec.structs import replace
from tcp import HERE, Talkers, closed_port, reactor, until
from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.logger import globalLogPublisher
from twisted.protocols import amp

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Newest, encode
from chainchat.config import NodeSettings
from chainchat.peers.hello import PROTOCOL_VERSION, Hello, Introduction
from chainchat.peers.links import Links
from chainchat.peers.tunables import USUAL
from chainchat.tls.chain import ChainTLS
from chainchat.tls.contexts import Creator, between_nodes
from chainchat.tls.credentials import utc_now
from chainchat.tls.expiry import Expiry
from chainchat.tls.layers import encrypted

THREE = ("head", "middle", "tail")


def introduction(position, incarnation=1, port=0, **changed):
    me = Member(position, f"id-{position}", incarnation, HERE, port)
    return replace(Introduction(PROTOCOL_VERSION, "test", THREE, 2.0, me), **changed)


class Receiver:
    """The node, which notes what it hears."""

    def __init__(self):
        self.heard = []
        self.copy_full_at = {}
        self.refusals = set()
        self.members = {}
        self.reach = {}
        self.held = Newest()
        self.has_removed = False
        self.held_by = {}
        self.older = set()

    def linked(self, position, member, its, *, older):
        (self.older.add if older else self.older.discard)(position)
        self.held_by[position] = its
        self.heard.append(("linked", position, member.incarnation))

    def unlinked(self, position):
        self.heard.append(("unlinked", position))

    def reached(self, position, host, port, member):
        self.reach[position, port] = member.life

    def refused(self, position, host, port):
        self.refusals.add((position, host, port))
        if ("refused", position) not in self.heard:
            self.heard.append(("refused", position))

    def member(self, position):
        return self.members.get(position)

    def receive(self, sender, message):
        self.heard.append((sender, message))

    def full(self, position, *, full):
        self.heard.append(("full", position, full))

    def copy_full(self, position, *, full):
        self.copy_full_at[position] = full

    def messages(self):
        return [what for what in self.heard if what[0] in THREE]


class Rim:
    """Some nodes' links, each with its own port."""

    def __init__(self):
        self.ports = {}
        self.links = {}
        self.receivers = {}
        self.log = []
        self.settings = {}
        self.dialled = []
        self.expiry = Expiry(utc_now)
        self.tls = {}

    def listen(self, position):
        factory = Talkers()
        self.ports[position] = reactor.listenTCP(0, factory, interface=HERE)
        self.settings[position] = self.node(position, self.ports[position].getHost().port)

    @staticmethod
    def node(position, port):
        return NodeSettings(position, HERE, 0, port, Path())

    def start(self, position, tunables=USUAL, credentials=None, check_dates=True, **changed):
        """Start a node's links, with TLS if it gets ``credentials``."""
        tls = None
        if credentials is not None:
            changed.setdefault("tls", True)
            names = dict.fromkeys(THREE, (HERE, HERE))
            tls = self.tls[position] = ChainTLS(
                reactor, "test", names, credentials, self.expiry, check_dates=check_dates
            )
        mine = introduction(position, port=self.settings[position].chain_port, **changed)
        links = Links(reactor, mine, self.settings, tunables, tls)
        self.links[position] = links
        self.receivers[position] = Receiver()
        self.ports[position].factory = links.factory()
        links.start(mine, self.receivers[position])
        return links

    def start_tail_alone(self, tunables=USUAL, credentials=None, **changed):
        """Start the tail alone; a test plays the founders that dial it."""
        self.listen("tail")
        self.settings["head"] = self.node("head", closed_port())
        self.start("tail", tunables, credentials, **changed)

    # The state of a node's links at this moment.

    def table(self, position):
        return self.links[position]._table

    def link(self, position, other, lane="chain"):
        return self.table(position).linked[other, lane]

    def dialling(self, position):
        return self.links[position]._dialling

    def directory(self, position):
        return self.links[position]._directory

    def strangers(self, position):
        return self.links[position]._admission._strangers

    def trials(self, position):
        return self.links[position]._admission._trials

    def heard(self, position):
        return self.receivers[position].heard

    async def dial(self, position, *, as_=None, lane=b"chain", key=None, credentials=None):
        """Connect to a node's port, with TLS if there are ``credentials``; with ``as_`` say who.

        The chain lane then has the ``key`` for a membership lane.
        """
        port = self.settings[position].chain_port
        dialler = factory = Dialler()
        if credentials is not None:
            creator = Creator(between_nodes(credentials, check_dates=False))
            factory = encrypted(dialler, creator, reactor, dials=True)
        await TCP4ClientEndpoint(reactor, HERE, port).connect(factory)
        [client] = dialler.made
        self.dialled.append(client)
        if as_ is not None:
            said = msgpack.encode(as_)
            answer = await client.callRemote(Hello, identity=said, lane=lane, key=key)
            client.key = answer["key"]
        return client

    async def close(self):
        for links in self.links.values():
            links.stop()
        for client in self.dialled:
            client.transport.abortConnection()
        for port in self.ports.values():
            await maybeDeferred(port.stopListening)
        await until(lambda: not any(self.table(position).every for position in self.links))
        await until(lambda: all(client.closed for client in self.dialled))


class Dialled(amp.AMP):
    """The test's end of a connection."""

    def __init__(self):
        super().__init__()
        self.boxes = []
        self.closed = False
        self.key = None

    def makeConnection(self, transport):  # noqa: N802 - Twisted's name
        self.factory.made.append(self)
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason=None):  # noqa: N802 - Twisted's name
        self.closed = True
        amp.BinaryBoxProtocol.connectionLost(self, reason)

    def ampBoxReceived(self, box):  # noqa: N802 - Twisted's name
        if amp.COMMAND in box and amp.ASK not in box:
            self.boxes.append((box[amp.COMMAND].decode(), box[b"body"]))
        else:
            super().ampBoxReceived(box)

    def say(self, message):
        kind, body = encode(message)
        self.sendBox(amp.AmpBox({amp.COMMAND: kind.encode(), b"body": body}))


class Dialler(Talkers):
    protocol = Dialled

    def buildProtocol(self, addr):  # noqa: N802 - Twisted's name
        dialled = Dialled()
        dialled.factory = self
        return dialled


@contextmanager
def open_rim():
    rim = Rim()
    yield rim
    pytest_twisted.blockon(ensureDeferred(rim.close()))


@contextmanager
def lines_logged():
    """The lines logged inside the block."""
    lines = []

    def observe(event):
        if event.get("log_namespace", "").startswith("chainchat"):
            lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def linked(rim, one, other, incarnation=1):
    return ("linked", other, incarnation) in rim.heard(one)
