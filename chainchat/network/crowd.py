"""The sockets of clients, of which the reactor serves some at a time.

Twisted's reactor serves every ready socket before anything else: ten thousand clients that say
something, or hang up, in one instant take a quarter of a second, in which no ping is answered. So
their sockets have an epoll of their own, one reader to the reactor. What is ready beyond
``AT_ONCE``, or when ``SERVE_SECONDS`` are over, waits for the next round; what has waited longest
comes first.

A paused connection stays in the epoll, so its reset is noticed at once; Twisted's reactors notice
it when they read or write again.
"""

import select
from collections import deque
from contextlib import suppress
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionFdescWentAway, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chainchat.node.budget import Slice

AT_ONCE = 200
"""Sockets served in one round of the reactor, mostly in some 5 ms."""

SERVE_SECONDS = 0.01
"""A round begins with no other socket after this: under TLS, one can take thirty milliseconds."""

# 0 where there is no epoll: then nobody uses these.
_IN: int = getattr(select, "EPOLLIN", 0)
_OUT: int = getattr(select, "EPOLLOUT", 0)
_ENDED: int = getattr(select, "EPOLLHUP", 0) | getattr(select, "EPOLLERR", 0)

_FAILURES: dict[type, Failure] = {
    error: Failure(error()) for error in (ConnectionDone, ConnectionLost)
}
"""Made once, as thousands of connections may end together."""

log = Logger()


def crowded(reactor: Any) -> Any:
    """The reactor for clients' sockets: a ``Crowd``, or ``reactor`` where there is no epoll."""
    return Crowd(reactor) if hasattr(select, "epoll") else reactor


@implementer(IReactorFDSet, IReadDescriptor)
class Crowd:
    """Many descriptors that are one to the reactor; hands on all else to the reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._descriptors: dict[int, Any] = {}
        self._wanted: dict[int, int] = {}
        self._ready: deque[tuple[int, Any, int]] = deque()
        """Number, descriptor and event of those that this round or the next one serves."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    # --- for the descriptors

    def addReader(self, reader: Any) -> None:
        self._want(reader, _IN)

    def addWriter(self, writer: Any) -> None:
        self._want(writer, _OUT)

    def removeReader(self, reader: Any) -> None:
        self._want_no_more(reader, _IN)

    def removeWriter(self, writer: Any) -> None:
        self._want_no_more(writer, _OUT)

    def removeAll(self) -> list[Any]:
        removed = [*self._descriptors.values()]
        for number in [*self._descriptors]:
            self._forget(number)
        return removed

    def getReaders(self) -> list[Any]:
        return self._waiting_for(_IN)

    def getWriters(self) -> list[Any]:
        return self._waiting_for(_OUT)

    def _waiting_for(self, event: int) -> list[Any]:
        return [self._descriptors[n] for n, wanted in self._wanted.items() if wanted & event]

    def _want(self, descriptor: Any, event: int) -> None:
        number = descriptor.fileno()
        wanted = self._wanted.get(number)
        if wanted is None:
            self._epoll.register(number, event)
            if not self._descriptors:
                self._reactor.addReader(self)
            self._descriptors[number] = descriptor
            self._wanted[number] = event
        elif not wanted & event:
            self._modify(number, wanted | event)

    def _want_no_more(self, descriptor: Any, event: int) -> None:
        number = descriptor.fileno()
        if number < 0:  # it is closed: look for what it was; Twisted's own are removed before
            known = self._descriptors.items()
            self._forget(next((n for n, each in known if each is descriptor), -1))
            return
        wanted = self._wanted.get(number)
        if wanted is None:
            return
        left = wanted & ~event
        if not left and not descriptor.connected:
            self._forget(number)
        elif left != wanted:
            self._modify(number, left)

    def _modify(self, number: int, wanted: int) -> None:
        self._epoll.modify(number, wanted)
        self._wanted[number] = wanted

    def _forget(self, number: int) -> None:
        if self._descriptors.pop(number, None) is None:
            return
        del self._wanted[number]
        with suppress(OSError):  # a closed file is in no epoll
            self._epoll.unregister(number)
        if not self._descriptors:
            self._reactor.removeReader(self)

    # --- for the reactor

    def fileno(self) -> int:
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        return "clients"

    def doRead(self) -> None:
        share = Slice(self._reactor.seconds, SERVE_SECONDS)
        if not self._ready:
            ready = self._epoll.poll(0, AT_ONCE)
            self._ready.extend([(n, self._descriptors.get(n), event) for n, event in ready])
        while self._ready:
            number, descriptor, event = self._ready.popleft()
            # Another of these may have ended it, or let it wait; its number may be another's now.
            if descriptor is not None and self._descriptors.get(number) is descriptor:
                happened = event & (self._wanted[number] | _ENDED)
                if happened:
                    self._serve(descriptor, number, happened)
            if not share.left():
                break

    def connectionLost(self, reason: Failure) -> None:
        """End all connections, as the reactor does with its own when it stops."""
        for descriptor in self.removeAll():
            descriptor.connectionLost(reason)

    def _serve(self, descriptor: Any, number: int, event: int) -> None:
        """Serve one as Twisted's reactors do; ``IReadDescriptor`` says what ``ended`` can be."""
        reading = True
        if event & _ENDED and not event & _IN:
            reading = bool(self._wanted[number] & _IN)
            ended: Any = ConnectionDone() if reading else ConnectionLost()
        else:
            try:
                if descriptor.fileno() == -1:
                    ended = ConnectionFdescWentAway()
                else:
                    ended = descriptor.doRead() if event & _IN else None
                    if not ended and event & _OUT:
                        reading = False
                        ended = descriptor.doWrite()
            except Exception as error:
                log.failure("a connection failed")
                ended = error
        if ended:
            try:
                self._end(descriptor, ended, reading=reading)
            except Exception:  # or the reactor would take all of them for lost, and the port
                log.failure("the end of a connection failed")

    def _end(self, descriptor: Any, why: Exception, *, reading: bool) -> None:
        self.removeReader(descriptor)
        failure = _FAILURES.get(type(why)) or Failure(why)
        half = reading and isinstance(why, ConnectionDone)
        if half and IHalfCloseableDescriptor.providedBy(descriptor):
            descriptor.readConnectionLost(failure)
        else:
            self.removeWriter(descriptor)
            descriptor.connectionLost(failure)
