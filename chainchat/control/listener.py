"""The control socket: connections, lines, and one answer after the other.

The grammar is machine mode's, with JSON in the place of words: ``@1 kick alice`` is answered by
``+OK @1 {"name":"alice"}`` or ``-ERR 521 @1 there is no account alice``, a list by ``| @1 {…}`` for
each item and ``. @1``.
"""

import os
import socket
import stat
import struct
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, json
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chainchat.chat.lines import TOO_LONG, Line, LineSplitter, clean
from chainchat.chat.modes.machine import MACHINE
from chainchat.chat.modes.verbs import tagged
from chainchat.chat.refusals import Code, RefusedError
from chainchat.config import ConfigError
from chainchat.control.desk import Desk
from chainchat.control.verbs import Pages, Stopping, Verb, verb_of
from chainchat.node.interfaces import Timer
from chainchat.storage.private import FILE_MODE

MOST_CONNECTIONS = 8
MOST_OCTETS = 256

MOST_LINES = 16
"""Lines that wait; at so many, nothing more is read."""

READ_OCTETS = 4_096

IDLE_SECONDS = 300.0

log = Logger()


@implementer(IPullProducer)
class Conversation(Protocol):
    """One connection: carries out one command at a time, and writes a page in a turn."""

    transport: Any
    factory: "ControlFactory"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._splitter = LineSplitter(MOST_OCTETS)
        self._lines: deque[Line] = deque()
        self._busy = False
        self._connected = True
        self._idle: Timer | None = None
        self.stopping = False
        """True if this connection has ordered the end of the process, and waits for it."""
        self._answer: Iterator[str] = iter(())
        self._tag = ""

    # --- from the socket

    def connectionMade(self) -> None:
        self.transport.bufferSize = READ_OCTETS
        self.factory.conversations.add(self)
        self._rest()

    def dataReceived(self, data: bytes) -> None:
        self._splitter.add(data)
        self._lines += self._splitter.cut()
        if len(self._lines) >= MOST_LINES:
            self.transport.pauseProducing()
        if not self._busy:
            self._next()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connected = False
        self._rest_no_more()
        self._lines.clear()
        self.factory.conversations.discard(self)

    # --- one line after the other

    def _next(self) -> None:
        self._busy = bool(self._lines)
        if not self._lines:
            self._rest()
            return
        self._rest_no_more()
        line = self._lines.popleft()
        if len(self._lines) < MOST_LINES:
            self.transport.resumeProducing()
        self.factory.clock.callLater(0, self._hear, line)

    def _rest(self) -> None:
        self._rest_no_more()
        end = self.transport.abortConnection
        self._idle = self.factory.clock.callLater(IDLE_SECONDS, end)

    def _rest_no_more(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None and idle.active():
            idle.cancel()

    def _hear(self, line: Line) -> None:
        if not self._connected:
            return
        self._tag = MACHINE.tag_of(line)
        try:
            if line is TOO_LONG:
                text = f"a command has at most {MOST_OCTETS} octets"
                raise RefusedError(Code.LINE_TOO_LONG, text)
            text = clean(line).strip()
            if not text:
                self._next()
                return
            self._tag, word, rest = tagged(text, "status")
            words = rest.split()
            verb = verb_of(word, words)
        except RefusedError as refusal:
            self._refuse(refusal)
            return
        self._carry_out(verb, " ".join([word.lower(), *words]), words)

    def _carry_out(self, verb: Verb, said: str, words: list[str]) -> None:
        def audit(outcome: str) -> None:
            if verb.changes:
                self._desk.office.audit.controlled(said, peer, outcome)

        def done(value: Struct | Pages) -> None:
            self.stopping = isinstance(value, Stopping)
            audit("done")
            self._say(self._shown(value))

        def failed(failure: Failure) -> None:
            if isinstance(failure.value, RefusedError):
                audit(f"refused: {failure.value}")
                self._refuse(failure.value)
            else:
                log.failure("the control command {said} is a bug", failure, said=said, event="bug")
                audit("a bug")
                self.transport.abortConnection()

        peer = self._peer()
        Deferred.fromCoroutine(verb.carry_out(self._desk, words)).addCallbacks(done, failed)

    def _peer(self) -> str:
        if sys.platform != "linux":
            return "the owner"
        form = struct.Struct("3i")
        handle = self.transport.getHandle()
        _, uid, _ = form.unpack(handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))
        return f"uid {uid}"

    # --- answers

    def _refuse(self, refusal: RefusedError) -> None:
        line = MACHINE.refused(self._tag, refusal.code, refusal.text)
        self._say(iter([f"{line}\n"]))

    def _shown(self, value: Struct | Pages) -> Iterator[str]:
        if isinstance(value, Struct):
            yield f"+OK @{self._tag} {json.encode(value).decode()}\n"
            return
        for page in value:
            items = (MACHINE.item(self._tag, json.encode(item).decode()) for item in page)
            yield "".join(f"{item}\n" for item in items)
        yield f"{MACHINE.end(self._tag, '')}\n"

    def _say(self, answer: Iterator[str]) -> None:
        if self._connected:
            self._answer = answer
            self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self._rest()
        piece = next(self._answer, "")
        if piece:
            self.transport.write(piece.encode())
        else:
            self.transport.unregisterProducer()
            self._next()

    def stopProducing(self) -> None:
        self._answer = iter(())


class TooManyProtocol(Protocol):
    """A connection too many, which is told so and closed."""

    transport: Any

    def connectionMade(self) -> None:
        text = f"{MOST_CONNECTIONS} programs have this socket open already; close one of them"
        line = MACHINE.refused("-", Code.TOO_MANY_CONNECTIONS, text)
        self.transport.write(f"{line}\n".encode())
        self.transport.loseConnection()


class ControlFactory(Factory):
    """Makes a conversation for each connection."""

    noisy = False

    def __init__(self, desk: Desk, clock: Any) -> None:
        self.clock = clock
        self.conversations: set[Conversation] = set()
        self._desk = desk

    def buildProtocol(self, addr: Any) -> Any:
        if len(self.conversations) >= MOST_CONNECTIONS:
            return TooManyProtocol()
        conversation = Conversation(self._desk)
        conversation.factory = self
        return conversation

    def close(self) -> None:
        """End all conversations, except one that ordered the end of the process."""
        for conversation in [*self.conversations]:
            if not conversation.stopping:
                conversation.transport.loseConnection()


def listen(path: Path, factory: ControlFactory, reactor: Any) -> Any:
    """Listen at ``path``, for the owner alone. Call this with the data locked.

    A socket that is there already belongs to a dead process, as that does not hold the lock.

    Raises:
        ConfigError: something else is there.
        CannotListenError: the system does not allow it.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is in the way of the control socket: move it elsewhere")
        os.unlink(path)
    except FileNotFoundError:
        pass
    return reactor.listenUNIX(str(path), factory, mode=FILE_MODE)
