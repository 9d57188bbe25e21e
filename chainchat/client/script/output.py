"""Standard output as a pipe with a slow reader: only the output waits for it.

A blocking write would hold up the whole client.
"""

import asyncio
import os
import select
from collections.abc import Callable, Iterable

from chainchat.client.model.backlog import Backlog

WRITE_OCTETS = 4096
"""Octets of one write: a pipe that poll calls writable takes so many without blocking."""

WRITES = 16


class Output:
    """Lines on their way to a file descriptor; needs a running event loop.

    Args:
        encoding: characters that it lacks become question marks.
        written: called when all lines are handed over.
    """

    def __init__(self, descriptor: int, encoding: str, written: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._written = written
        self._lines = Backlog()
        self._octets = b""  # of lines taken from there, not written yet
        self._scheduled = False
        self._is_broken = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._over: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._octets or self._lines)

    @property
    def full(self) -> bool:
        return self._lines.full

    def say(self, lines: Iterable[str]) -> None:
        if self._is_broken:
            return
        self._lines.add(lines)
        if self and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._write)

    def give_up(self) -> None:
        self._is_broken = True
        self._octets, self._lines = b"", Backlog()
        self._written()

    async def run(self) -> None:
        """Run until the reader has gone.

        Raises:
            OSError: the write that failed, mostly BrokenPipeError.
        """
        self._over = asyncio.get_running_loop().create_future()
        await self._over

    def _write(self) -> None:
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
