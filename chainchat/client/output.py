"""Standard output as a pipe that somebody reads, or does not: only the output waits for them.

A write that has to wait would hold the whole client: no answer would be read, no time would pass.
So only as much is written at once as a pipe takes for certain.
"""

import asyncio
import os
import select
from collections.abc import Callable, Iterable

from chainchat.client.backlog import Backlog

WRITE_OCTETS = 4096
"""How much is written at once: a pipe that poll calls writable takes that much without waiting."""

WRITES = 16
"""So many of these in one turn of the event loop."""


class Output:
    """Lines on their way to a file descriptor."""

    def __init__(self, descriptor: int, encoding: str, written: Callable[[], None]) -> None:
        """Make an output; it needs a running event loop from the first line on.

        Args:
            descriptor: where it goes.
            encoding: of what is written; what it cannot say becomes a question mark.
            written: called when all lines have been handed over.
        """
        self._descriptor = descriptor
        self._encoding = encoding
        self._written = written
        self._lines = Backlog()
        self._octets = b""  # of lines taken from there, not written yet
        self._scheduled = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._over: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        """Whether something is not written yet."""
        return bool(self._octets or self._lines)

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing should be added for now."""
        return self._lines.full

    def say(self, lines: Iterable[str]) -> None:
        """Write these lines, soon."""
        self._lines.add(lines)
        if self and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._write)

    async def run(self) -> None:
        """Go on until whoever reads has gone.

        Raises:
            OSError: what became of the descriptor, mostly BrokenPipeError.
        """
        self._over = asyncio.get_running_loop().create_future()
        await self._over

    def _write(self) -> None:
        """Write what is taken now, in a turn of bounded length, and come back for the rest."""
        self._scheduled = False
        try:
            for _ in range(WRITES):
                if not self._octets:
                    self._octets = self._encoded(self._lines.take())
                if not self or not self._poll.poll(0):
                    break
                count = os.write(self._descriptor, self._octets[:WRITE_OCTETS])
                self._octets = self._octets[count:]
        except BlockingIOError:  # we were given one that does not wait, and it took less after all
            pass
        except OSError as error:
            if self._over and not self._over.done():
                self._over.set_exception(error)
            return
        if self:
            self._come_back()
        else:
            self._written()

    def _encoded(self, lines: list[str]) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode(self._encoding, errors="replace")

    def _come_back(self) -> None:
        self._scheduled = True
        loop = asyncio.get_running_loop()
        try:
            loop.add_writer(self._descriptor, self._writable)
        except PermissionError:  # a file: epoll refuses it, for it is always writable
            loop.call_soon(self._write)

    def _writable(self) -> None:
        asyncio.get_running_loop().remove_writer(self._descriptor)
        self._write()
