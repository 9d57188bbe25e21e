"""A web port with a node behind it: the sockets are real, the node is alone and has no disk."""

import json

import pytest_twisted
from msgspec.structs import replace
from reports import metrics_sources
from sessions_house import House
from tcp import HERE, Reader, reactor, until
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from chainchat.config import NodeSettings
from chainchat.web.desk import WebDesk
from chainchat.web.hosts import names_of
from chainchat.web.site import WebFactory


class Browser(Reader):
    """One connection, that reads until it is told not to."""

    @property
    def status(self):
        return int(self.data.split(b" ", 2)[1])

    @property
    def head(self):
        return self.data.partition(b"\r\n\r\n")[0].decode()

    @property
    def body(self):
        return self.data.partition(b"\r\n\r\n")[2].decode()

    @property
    def events(self):
        lines = [x for x in self.body.splitlines() if x.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]


class Room:
    """The port; time for its connections and its page is the node's."""

    def __init__(self, data):
        self.house = House()
        self.clock = self.house.clock
        self.drawn = 0
        self.drained = False
        sources = metrics_sources(self.house, data, drained=lambda: self.drained)
        self.sources = replace(sources, report=lambda: self._report(sources))
        own = NodeSettings(
            "solo", "10.1.2.3", 1, 2, data, web_port=1, web_url="https://chat.example.org/solo/"
        )
        self.desk = WebDesk(self.sources, {}, self.clock)
        self.factory = WebFactory(self.clock, names_of(own))
        self.factory.desk = self.desk
        self.port = reactor.listenTCP(0, self.factory, interface=HERE)
        self.browsers = []
        self.desk.start()

    def _report(self, sources):
        self.drawn += 1
        return sources.report()

    async def call(self):
        """A connection."""
        endpoint = TCP4ClientEndpoint(reactor, HERE, self.port.getHost().port)
        browser = await connectProtocol(endpoint, Browser())
        self.browsers.append(browser)
        return browser

    async def send(self, octets):
        """A connection that has sent these octets."""
        browser = await self.call()
        browser.transport.write(octets)
        return browser

    async def get(self, path, method="GET", **headers):
        """A whole answer."""
        given = {"Host": "127.0.0.1", **{k.replace("_", "-"): v for k, v in headers.items()}}
        lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
        request = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
        browser = await self.send(request.encode())
        await until(lambda: browser.closed)
        return browser

    async def watch(self):
        """A browser that watches, and has heard what there is."""
        browser = await self.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: browser.events)
        return browser

    def close(self):
        self.desk.stop()
        self.factory.close()
        pytest_twisted.blockon(self.port.stopListening())
        pytest_twisted.blockon(Deferred.fromCoroutine(self._all_closed()))

    async def _all_closed(self):
        await until(lambda: not self.factory.connections and all(b.closed for b in self.browsers))
