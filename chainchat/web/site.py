"""HTTP for strangers: few connections, small requests without a body, one answer each.

What an answer costs is bounded by the ``Desk`` that gives it.
"""

import json
from collections.abc import Collection
from typing import Any, Protocol

from msgspec import Struct
from twisted.internet.interfaces import ILoggingContext
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from zope.interface import implementer

from chainchat.node.interfaces import Clock, Timer
from chainchat.web.hosts import is_ours
from chainchat.web.limits import (
    HEADER_OCTETS,
    IDLE_SECONDS,
    LIFE_SECONDS,
    MOST_CONNECTIONS,
    MOST_HEADERS,
    MOST_WATCHERS,
)

TEXT, JSON = "text/plain; charset=utf-8", "application/json"

REASONS = {421: b"Misdirected Request"}

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Answer(Struct, frozen=True):
    """An answer; ``headers`` are further ones."""

    status: int
    kind: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def text(said: str, status: int = 200) -> Answer:
    return Answer(status, TEXT, f"{said}\n".encode())


class Asked(Struct, frozen=True):
    """What a request asks for, and which program asks."""

    path: str
    query: str
    accept: str
    agent: str


class Watcher(Protocol):
    """A connection that is told what is new."""

    def tell(self, data: bytes) -> bool:
        """Send more; if the last is still unread, end the connection and return False."""

    def close(self) -> None: ...


class Desk(Protocol):
    """Gives the answers."""

    def answer(self, asked: Asked) -> Answer: ...

    def watch(self, watcher: Watcher) -> None:
        """Tell a watcher what is new, from now on."""

    def leave(self, watcher: Watcher) -> None: ...


class WebRequest(Request):
    """One request; what is not asked for here is not parsed: that can take milliseconds."""

    channel: Any
    factory: "WebFactory"
    query = b""

    def parseCookies(self) -> None: ...

    def gotLength(self, length: int | None) -> None:
        super().gotLength(0)  # in memory: there is no body
        if length != 0:  # None: in chunks
            self.channel.refuse()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        path, _, self.query = path.partition(b"?")
        super().requestReceived(command, path, version)

    def process(self) -> None:
        factory = self.channel.factory
        for name, value in HEADERS.items():
            self.setHeader(name, value)
        if self.method not in (b"GET", b"HEAD"):
            refusal = text("only GET and HEAD are answered here", 405)
            self._say(Answer(405, TEXT, refusal.body, (("Allow", "GET, HEAD"),)))
        elif not is_ours(self._header(b"Host"), factory.names, self.channel.getHost().host):
            self._say(text("this node has another name: use an address of it, or set web-url", 421))
        elif self.path == b"/events" and self.method == b"GET":
            self._watch(factory)
        else:
            self._say(factory.desk.answer(self._asked()))

    def _asked(self) -> Asked:
        path, query = (part.decode("ascii", "replace") for part in (self.path, self.query))
        accept, agent = self._header(b"Accept") or "", self._header(b"User-Agent") or ""
        return Asked(path, query, accept, agent)

    def _header(self, name: bytes) -> str | None:
        found: bytes | None = self.getHeader(name)
        return None if found is None else found.decode(errors="replace")

    def _say(self, answer: Answer) -> None:
        self.setResponseCode(answer.status, REASONS.get(answer.status))
        self.setHeader("Content-Type", answer.kind)
        self.setHeader("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.setHeader(name, value)
        if self.method != b"HEAD":
            self.write(answer.body)
        self.finish()

    def _watch(self, factory: "WebFactory") -> None:
        if len(factory.watching) >= MOST_WATCHERS:
            self._say(text("too many watch this page already: it refreshes itself", 503))
            return
        self.setHeader("Content-Type", "text/event-stream")
        self.channel.stays()
        EventStream(self, factory)


class EventStream:
    """The ``Watcher`` of one connection: server-sent events."""

    def __init__(self, request: WebRequest, factory: "WebFactory") -> None:
        self._request = request
        self._factory = factory
        self._full = False
        request.notifyFinish().addBoth(self._gone)
        request.registerProducer(self, True)
        factory.watching.add(self)
        factory.desk.watch(self)

    def _gone(self, _: object) -> None:
        self._factory.watching.discard(self)
        self._factory.desk.leave(self)

    def tell(self, data: bytes) -> bool:
        if self._full:
            self.close()
            return False
        self._request.write(data)
        return True

    def close(self) -> None:
        self._request.channel.transport.abortConnection()

    # --- for the transport

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False

    def stopProducing(self) -> None: ...


def event(parts: object) -> bytes:
    """Return the event that tells a page of its new parts."""
    return f"event: parts\ndata: {json.dumps(parts, separators=(',', ':'))}\n\n".encode()


class WebChannel(HTTPChannel):
    """One connection; it may stay if it ``watches``."""

    factory: "WebFactory"
    transport: Any
    watches = False
    requestFactory = WebRequest
    totalHeadersSize = HEADER_OCTETS
    maxHeaders = MOST_HEADERS
    timeOut = IDLE_SECONDS
    abortTimeout = 1

    def connectionMade(self) -> None:
        self.factory.connections[self] = None
        self.transport.bufferSize = HEADER_OCTETS  # each line moves the rest of what was read
        self.callLater = self.factory.clock.callLater  # type: ignore[method-assign]
        self._life: Timer | None = self.callLater(LIFE_SECONDS, self.transport.abortConnection)
        super().connectionMade()

    def checkPersistence(self, request: WebRequest, version: bytes) -> bool:
        request.setHeader("Connection", "close")
        return False

    def lineReceived(self, line: bytes) -> None:
        if line[:1] in (b" ", b"\t"):  # a header's next line, which does not count as a header
            self.refuse()
        else:
            super().lineReceived(line)

    def refuse(self) -> None:
        """Answer as Twisted does to what is no request, and read no more."""
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.loseConnection()

    def stays(self) -> None:
        self.watches = True
        self._end_life()

    def _end_life(self) -> None:
        life, self._life = self._life, None
        if life is not None and life.active():
            life.cancel()

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()  # without a line in the log for each stranger

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end_life()
        self.factory.connections.pop(self, None)
        super().connectionLost(reason)


@implementer(ILoggingContext)
class WebFactory(Factory):
    """Makes a channel for each connection; of too many, the oldest that does not watch ends.

    Attributes:
        desk: set before the first connection is accepted.
        names: of this node, by which it may be asked.
        connections: the open ones, the oldest first.
    """

    noisy = False

    desk: Desk

    def __init__(self, clock: Clock, names: Collection[str]) -> None:
        self.clock = clock
        self.names = names
        self.connections: dict[WebChannel, None] = {}
        self.watching: set[EventStream] = set()

    def buildProtocol(self, addr: Any) -> Any:
        if len(self.connections) >= MOST_CONNECTIONS:
            self._end_oldest()
        channel = WebChannel()
        channel.factory = self
        return channel

    def _end_oldest(self) -> None:
        """End the oldest: answers come at once, so it has asked nothing, or does not read."""
        oldest = next(channel for channel in self.connections if not channel.watches)
        del self.connections[oldest]
        oldest.transport.abortConnection()

    def logPrefix(self) -> str:
        return "web port"

    def log(self, request: WebRequest) -> None:
        """Write no line for each request."""

    def close(self) -> None:
        for channel in [*self.connections]:
            channel.transport.abortConnection()
