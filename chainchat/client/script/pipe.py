"""The client for scripts, and for terminals that cannot redraw: plain lines in and out.

Lines in are what a person would type, lines out those of human mode, or with ``--json`` an object
per event. A verb such as ``/who`` waits until all lines before it are settled, and the next line
for its answer: a script's output does not depend on timing.
"""

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from chainchat.chat.modes.typed import is_command
from chainchat.chat.refusals import Code
from chainchat.client.connection import Connection
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.wire import harmless
from chainchat.client.model.conversation import Conversation
from chainchat.client.model.standing import Names, Standing
from chainchat.client.script.output import Output

NOT_CONFIRMED, REFUSED, TRY_AGAIN = 1, 3, 75
"""Exit statuses: perhaps said; refused and not said; no login, so nothing was said.

The last is ``EX_TEMPFAIL`` of sysexits.h.
"""

MOST_PENDING = 4096
"""Unacknowledged lines at which reading waits."""

LONGEST_LINE = 17 * 1024
"""Octets kept of a typed line: every server refuses so many."""

READ_OCTETS = 16 * 1024

MOST_TYPED = 100


class Pipe:
    """One run without a terminal.

    Args:
        follow: stay, and print, after the end of the input.
        timeout: seconds to settle everything after the end of the input.
        send: say these, and print only their ids; None: read standard input.
        named: the name of what is sent, if it has one.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        json: bool = False,
        follow: bool = False,
        timeout: float = 30.0,
        send: Sequence[str] | None = None,
        to: str = "*",
        tls: ssl.SSLContext | None = None,
        named: str = "",
        names: Names | None = None,
    ) -> None:
        self._engine = engine
        self._json = json
        self._follow = follow
        self._timeout = timeout
        self._send = send
        self._to = to
        self._connection = Connection(engine, self._heard, tls)
        self._standing = Standing(names)
        self._conversation = Conversation(engine, notices=False, name_of=self._standing.name_of)
        self._named = named
        self._changed = asyncio.Event()
        self._output = Output(sys.stdout.fileno(), sys.stdout.encoding, self._written)
        self._has_been_online = False
        self._refused = 0
        self._trouble = ""  # of a login or a line
        self._ended: events.Ended | None = None

    async def run(self) -> int:
        """Say everything; returns the exit status, 0 if all was confirmed."""
        work = (self._work(), self._connection.run(), self._print())
        tasks = [asyncio.create_task(each) for each in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # What was printed has still to be written, unless nobody is there to read it.
            tasks.append(asyncio.create_task(self._all_written()))
            await asyncio.wait(tasks[-2:], return_when=asyncio.FIRST_COMPLETED)
            done = [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        return self._verdict()

    async def _print(self) -> None:
        """Print; with ``send``, everything is said even if nobody reads."""
        try:
            await self._output.run()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                _complain(f"cannot print: {error.strerror}")
            if self._send is None:
                raise BrokenPipeError from error
            self._output.give_up()
            await asyncio.Event().wait()

    async def _all_written(self) -> None:
        while self._output:
            self._changed.clear()
            await self._changed.wait()

    async def _work(self) -> None:
        await self._feed()
        if self._follow:
            await self._until(lambda: self._engine.ended)
            return
        # The verdict tells what a timeout has left unsettled.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._until(lambda: self._has_been_online and not self._engine.pending)
                self._engine.logout()
                await self._until(lambda: self._engine.ended)

    def _verdict(self) -> int:
        pending, ended = self._engine.pending, self._ended
        if ended is not None and ended.reason != "logout":
            if self._json or self._send is not None:
                _complain(ended.text)
            if pending and self._has_been_online:
                return NOT_CONFIRMED
            return TRY_AGAIN if 0 < ended.code < 500 else REFUSED
        if not self._has_been_online:
            _complain(f"not logged in within {self._timeout:g} seconds: {self._state()}")
            return TRY_AGAIN
        if pending:
            lines = "1 line" if pending == 1 else f"{pending} lines"
            _complain(f"not confirmed, perhaps said: {lines} ({self._state()})")
            return NOT_CONFIRMED
        return REFUSED if self._refused else 0

    def _state(self) -> str:
        nodes = "; ".join(self._standing.troubles_of_nodes())
        waiting = self._standing.trouble_of_chain() if self._engine.online else ""
        return "; ".join(filter(None, [nodes, waiting, self._trouble])) or "nothing was heard"

    # --- in ----------------------------------------------------------------------------

    async def _feed(self) -> None:
        if self._send is not None:
            for text in self._send:
                await self._until(lambda: self._engine.pending <= MOST_PENDING)
                self._engine.send(text, self._to)
            self._connection.flush()
            return
        async for lines in read_lines(sys.stdin.fileno()):
            for count, line in enumerate(lines, 1):
                if count % MOST_TYPED == 0:
                    await asyncio.sleep(0)
                await self._type(line)
            self._connection.flush()

    async def _type(self, line: str) -> None:
        limit = 0 if is_command(line) else MOST_PENDING
        await self._until(lambda: self._engine.pending <= limit and not self._output.full)
        lines = self._conversation.typed(line)
        self._refused += sum(shown.startswith("-ERR") for shown in lines)
        if self._json:
            for shown in lines:
                _complain(shown)
        else:
            self._say(lines)
        await self._until(lambda: not self._conversation.asked)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._engine.ended:
            self._changed.clear()
            self._connection.flush()
            await self._changed.wait()

    # --- out -----------------------------------------------------------------------------

    def _heard(self, event: events.Event) -> None:
        self._note(event)
        lines = self._conversation.heard(event)
        if self._json:
            self._say([msgspec.json.encode(event).decode()])
        elif self._send is None:
            self._say(lines)
        elif isinstance(event, events.SendAcknowledged):
            self._say([str(event.id)])
        elif isinstance(event, events.SendRefused):
            reused = self._named and event.code == Code.NUMBER_REUSED
            other = f"something else was said under the name {self._named}"
            _complain(f"not sent: {event.code} {other if reused else event.reason}")
        self._changed.set()

    def _say(self, lines: Iterable[str]) -> None:
        """Write lines; until the reader has taken them, nothing is acknowledged or read."""
        self._output.say(lines)
        if self._output:
            self._connection.behind()
        if self._output.full:
            self._connection.hold()

    def _written(self) -> None:
        self._connection.shown()
        self._changed.set()

    def _note(self, event: events.Event) -> None:
        self._standing.heard(event, 0.0)
        match event:
            case events.LoggedIn():
                self._has_been_online = True
                self._trouble = ""
            case events.SendRefused() | events.RequestRefused():
                self._refused += 1
            case events.LoginDelayed(text=text) | events.SendDelayed(text=text):
                self._trouble = text
            case events.Ended():
                self._ended = event


async def read_lines(descriptor: int) -> AsyncIterator[list[str]]:
    """Lines of a pipe, terminal or file, as many at a time as there are.

    Octets that are not UTF-8 become surrogates. A line too long for any server is cut, and stays
    too long.
    """
    rest = bytearray()  # of a line without its end
    while True:
        await _readable(descriptor)
        chunk = os.read(descriptor, READ_OCTETS)
        first, *more = chunk.split(b"\n")
        rest += first[: LONGEST_LINE - len(rest)]
        lines: list[bytes] = []
        for piece in more:
            lines.append(bytes(rest))
            rest = bytearray(piece)
        if not chunk and rest:
            lines.append(bytes(rest))
        yield [_decoded(line) for line in lines]
        if not chunk:
            return


def _decoded(line: bytes) -> str:
    cut = len(line) == LONGEST_LINE  # perhaps within a character
    return line.removesuffix(b"\r").decode(errors="ignore" if cut else "surrogateescape")


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a file: epoll refuses it, for it is always readable
        await asyncio.sleep(0)
        return
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _complain(line: str) -> None:
    print(f"chainchat-client: {harmless(line)}", file=sys.stderr, flush=True)
