"""Cables between nodes, which can be cut, frozen and mended, one direction at a time if wished.

A cable is a TCP proxy between two nodes; all run in one thread.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

from networks import Way
from talking import DEADLINE, HOST

CHUNK = 1 << 16


class Cable:
    """The connection between two nodes.

    Attributes:
        recorded: everything that went through, by way, while ``Cables.recording``.
    """

    def __init__(self, cables: "Cables", far_port: int) -> None:
        self.port = 0
        self.recorded = {"there": bytearray(), "back": bytearray()}
        self._cables = cables
        self._far_port = far_port
        self._whole = True
        self._open = {"there": asyncio.Event(), "back": asyncio.Event()}
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        for way in self._open.values():
            way.set()

    # --- for tests

    def cut(self) -> None:
        self._cables.run(self._cut())

    def interrupt(self) -> None:
        """Cut and mend it in one moment: what was connected is not, and can connect again."""
        self._cables.run(self._interrupt())

    def freeze(self, *ways: str) -> None:
        """Let nothing through, without a word: ``there`` (away from the dialling node) or ``back``.

        Both ways if none is named.
        """
        self._cables.run(self._freeze(ways or ("there", "back")))

    def thaw(self, way: str) -> None:
        """Let everything through again this way; what was held arrives."""
        self._cables.run(self._thaw(way))

    def mend(self) -> None:
        """Let everything through again; what was held on the way arrives."""
        self._cables.run(self._mend())

    # --- in the thread

    async def _cut(self) -> None:
        self._whole = False
        for writer in self._connections:
            writer.transport.abort()

    async def _interrupt(self) -> None:
        await self._cut()
        await self._mend()

    async def _freeze(self, ways: tuple[str, ...]) -> None:
        for way in ways:
            self._open[way].clear()

    async def _thaw(self, way: str) -> None:
        self._open[way].set()

    async def _mend(self) -> None:
        self._whole = True
        for way in self._open.values():
            way.set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Break everything."""
        self._server.close()
        await self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(
        self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections.add(near_writer)
        try:
            if self._whole:
                far_reader, far_writer = await asyncio.open_connection(HOST, self._far_port)
                self._connections.add(far_writer)
                try:
                    await asyncio.gather(
                        self._carry(near_reader, far_writer, "there"),
                        self._carry(far_reader, near_writer, "back"),
                    )
                finally:
                    far_writer.transport.abort()
                    self._connections.discard(far_writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            near_writer.transport.abort()
            self._connections.discard(near_writer)
            self._tasks.discard(task)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        while data := await reader.read(CHUNK):
            await self._open[way].wait()
            if self._cables.recording:
                self.recorded[way] += data
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # either end is both ends


class Cables:
    """All cables of a cluster, and the thread they run in.

    Attributes:
        recording: True to record what goes through them.
    """

    def __init__(self) -> None:
        self.recording = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._cables: dict[frozenset[str], Cable] = {}
        self._near: dict[frozenset[str], str] = {}

    def lay(self, near: str, far: str, far_port: int) -> int:
        """Lay a cable between two nodes; the port of its near end."""
        cable = Cable(self, far_port)
        self.run(cable.listen())
        self._cables[frozenset((near, far))] = cable
        self._near[frozenset((near, far))] = near
        return cable.port

    def between(self, one: str, other: str) -> Cable:
        return self._cables[frozenset((one, other))]

    def lose(self, *ways: Way) -> None:
        """Let nothing through that these senders send to these receivers, without a word."""
        for way in ways:
            self.between(*way).freeze(self._direction(way))

    def carry(self, *ways: Way) -> None:
        """Let that through again; what was held arrives."""
        for way in ways:
            self.between(*way).thaw(self._direction(way))

    def _direction(self, way: Way) -> str:
        return "there" if way[0] == self._near[frozenset(way)] else "back"

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def close(self) -> None:
        """Break all cables and end the thread."""
        for cable in self._cables.values():
            with contextlib.suppress(TimeoutError):
                self.run(cable.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()
