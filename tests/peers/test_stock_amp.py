"""A program with stock AMP, and only the messages of this project, talks to a node."""

import pytest
import pytest_twisted
from links_rim import introduction, linked
from logs_made_up import chained
from msgspec import msgpack
from tcp import HERE, reactor, until
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols import amp

from chainchat.chain.entries import Entry, EntryId, Submission
from chainchat.chain.messages import Ack, Forward, Submit, decode, encode

pytestmark = pytest.mark.reactor


class RefusedError(Exception):
    pass


class Hello(amp.Command):
    arguments = [
        (b"identity", amp.String()),
        (b"lane", amp.String()),
        (b"key", amp.String(optional=True)),
    ]
    response = [(b"identity", amp.String()), (b"key", amp.String(optional=True))]
    errors = {RefusedError: b"REFUSED"}


class OfTheChain(amp.Command):
    """A message: no answer, and one argument."""

    arguments = [(b"body", amp.String())]
    requiresAnswer = False  # noqa: N815 - Twisted's name


COMMANDS = {
    kind: type(OfTheChain)(kind, (OfTheChain,), {}) for kind in ("Submit", "Forward", "Ack")
}


class Stock(amp.AMP):
    """The other end: stock AMP with responders."""

    def __init__(self, introduction):
        super().__init__()
        self.heard, self.hellos = [], []
        self._introduction = introduction

    def say(self, message):
        kind, body = encode(message)
        return self.callRemote(COMMANDS[kind], body=body)

    @Hello.responder
    def hello(self, identity, lane, key=None):
        self.hellos.append(lane)
        return {"identity": self._introduction, "key": b"a key" if lane == b"chain" else key}

    @COMMANDS["Submit"].responder
    def submit(self, body):
        return self._note("Submit", body)

    @COMMANDS["Forward"].responder
    def forward(self, body):
        return self._note("Forward", body)

    @COMMANDS["Ack"].responder
    def ack(self, body):
        return self._note("Ack", body)

    def _note(self, kind, body):
        self.heard.append(decode(kind, body))
        return {}


class StockFactory(Factory):
    noisy = False

    def __init__(self, introduction):
        self.made = []
        self._introduction = introduction

    def buildProtocol(self, addr):  # noqa: N802 - Twisted's name
        self.made.append(Stock(self._introduction))
        return self.made[-1]

    def on(self, lane):
        return next((each for each in self.made if lane in each.hellos), None)


ENTRIES = chained(
    EntryId(),
    (Entry(seq, 1, "head", seq, 1_700_000_000_000, b"x" * 2_000) for seq in range(1, 9)),
)
MESSAGES = [
    *(Ack(1, seq) for seq in range(50)),
    Forward(1, EntryId(), ENTRIES, 0),
    Submit(1, "head", (Submission(1, b""),)),
    *(Submit(1, "head", (Submission(number, b"y" * 60_000),)) for number in range(2, 12)),
    Ack(1, 99),
]


async def talk(rim, node, stock, position):
    """Let each say something to the other, and check what it hears, in order."""
    for message in MESSAGES:
        assert stock.say(message) is None  # without waiting for answers
        rim.links[node].send(position, message)
    await until(lambda: len(rim.receivers[node].messages()) == len(MESSAGES))
    await until(lambda: len(stock.heard) == len(MESSAGES))
    assert rim.receivers[node].messages() == [(position, message) for message in MESSAGES]
    assert stock.heard == MESSAGES


@pytest_twisted.ensureDeferred
async def test_a_stock_amp_that_dials_a_node_is_linked_and_talks_with_it(rim):
    rim.start_tail_alone()
    said = msgpack.encode(introduction("head"))
    port = rim.settings["tail"].chain_port
    endpoint = TCP4ClientEndpoint(reactor, HERE, port)
    stock = await endpoint.connect(StockFactory(said))
    answer = await stock.callRemote(Hello, identity=said, lane=b"chain")
    assert msgpack.decode(answer["identity"])["member"]["position"] == "tail"
    assert answer["key"]
    await until(lambda: linked(rim, "tail", "head"))
    await talk(rim, "tail", stock, "head")
    stock.transport.abortConnection()
    await until(lambda: ("unlinked", "head") in rim.heard("tail"))


@pytest_twisted.ensureDeferred
async def test_a_stock_amp_that_a_node_does_not_want_is_told_why_and_closed(rim):
    rim.start_tail_alone()
    said = msgpack.encode(introduction("head", chain="other"))
    endpoint = TCP4ClientEndpoint(reactor, HERE, rim.settings["tail"].chain_port)
    stock = await endpoint.connect(StockFactory(said))
    with pytest.raises(RefusedError, match="belongs to the chain 'other', not 'test'"):
        await stock.callRemote(Hello, identity=said, lane=b"chain")
    await until(lambda: stock.transport is None)  # closed, says AMP


@pytest_twisted.ensureDeferred
async def test_a_stock_amp_that_a_node_dials_is_linked_and_talks_with_it(rim):
    rim.listen("head")
    port = reactor.listenTCP(0, Factory(), interface=HERE)
    number = port.getHost().port
    said = msgpack.encode(introduction("tail", port=number))
    factory = port.factory = StockFactory(said)
    rim.settings["tail"] = rim.node("tail", number)
    rim.ports["tail"] = port
    rim.start("head")
    await until(lambda: linked(rim, "head", "tail"))
    await until(lambda: len(rim.table("head").linked) == 2)  # with the membership lane
    await talk(rim, "head", factory.on(b"chain"), "tail")
    rim.links["head"].stop()
    await until(lambda: all(stock.transport is None for stock in factory.made))
