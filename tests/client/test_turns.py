"""No turn of the client's event loop is long, whatever is sent, typed, or not read."""

import asyncio
import functools
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from random import Random

import pytest
from patience import DEADLINE

from chainchat.client.connection import READ_OCTETS, Connection
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.model.backlog import MOST_CHARACTERS, MOST_LINES, Backlog
from chainchat.client.script.output import WRITE_OCTETS, WRITES, Output
from chainchat.client.script.pipe import LONGEST_LINE, read_lines

TIME = "2026-11-22T11:03:07.120Z"


def in_a_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a test in an asyncio loop of its own."""

    @functools.wraps(test)
    def run(*arguments: object, **named: object) -> None:
        asyncio.run(test(*arguments, **named))

    return run


class Turns:
    """Counts the turns of the running event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._next()

    def _next(self) -> None:
        self.count += 1
        asyncio.get_running_loop().call_soon(self._next)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for is a turn of the loop
            await asyncio.sleep(0)


# --- reading from the server ---------------------------------------------------------


class Listener(Engine):
    """An engine that notes how much it is given in which turn."""

    def __init__(self, port: int) -> None:
        super().__init__("alice", "c7f3", [("127.0.0.1", port)], Random(1))
        self.turns = Turns()
        self.readings: list[tuple[int, int]] = []

    def received(self, data: bytes, now: float) -> None:
        self.readings.append((self.turns.count, len(data)))
        super().received(data, now)


class Node:
    """A node with as many messages for whoever logs in as wanted."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.acknowledged: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Node":
        self._server = await asyncio.start_server(self._come, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._talk(reader, writer)))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := (await reader.readline()).decode().split():
                match line:
                    case ["/hello", *_]:
                        writer.write(b"+OK @- node=tail max-line=1024 nodes=\r\n")
                    case [tag, "LOGIN", _]:
                        writer.write(f"+OK {tag} session={'t' * 22} high=9 mark=0\r\n".encode())
                        self._tasks.append(asyncio.create_task(self._push(writer)))
                    case [tag, "ACK", number]:
                        self.acknowledged.append(int(number))
                        writer.write(f"+OK {tag}\r\n".encode())
                    case [tag, *_]:
                        writer.write(f"+OK {tag}\r\n".encode())
        finally:
            writer.transport.abort()

    async def _push(self, writer: asyncio.StreamWriter) -> None:
        for number in range(1, self.messages + 1):
            writer.write(f"MSG {number} {number - 1} {TIME} bob * :hi\r\n".encode())
            await writer.drain()


@in_a_loop
async def test_a_turn_reads_a_bounded_piece() -> None:
    async with Node(20_000) as node:
        engine = Listener(node.port)
        heard: list[int] = []

        def hear(event: events.Event) -> None:
            if isinstance(event, events.MessageArrived):
                heard.append(event.id)

        running = asyncio.create_task(Connection(engine, hear).run())
        await until(lambda: len(heard) == 20_000)
        running.cancel()
    assert max(length for _, length in engine.readings) == READ_OCTETS
    turns = [turn for turn, _ in engine.readings]
    assert len(set(turns)) == len(turns)
    assert heard == list(range(1, 20_001))


@in_a_loop
async def test_a_program_that_holds_gets_no_more_and_acknowledges_nothing_until_it_has_shown() -> (
    None
):
    async with Node(20_000) as node:
        engine = Listener(node.port)
        heard: list[int] = []

        def hear(event: events.Event) -> None:
            if isinstance(event, events.MessageArrived):
                heard.append(event.id)
                connection.hold()

        connection = Connection(engine, hear)
        running = asyncio.create_task(connection.run())
        for _ in range(3):
            before = len(heard)
            await until(lambda before=before: len(heard) > before)  # type: ignore[misc]
            pieces, turn = len(engine.readings), engine.turns.count
            await until(lambda turn=turn: engine.turns.count > turn + 100)  # type: ignore[misc]
            assert len(engine.readings) == pieces
            assert engine._receiving._inbox._handed_over < heard[-1]
            connection.shown()
            assert engine._receiving._inbox._handed_over == heard[-1]
        running.cancel()
    assert len(heard) < 20_000


@in_a_loop
async def test_whoever_catches_up_moves_the_read_mark_while_it_goes_on() -> None:
    async with Node(10**9) as node:
        heard: list[int] = []
        loop = asyncio.get_running_loop()

        def hear(event: events.Event) -> None:
            if isinstance(event, events.MessageArrived):
                heard.append(event.id)
                connection.hold()
                loop.call_soon(connection.shown)

        connection = Connection(Listener(node.port), hear)
        running = asyncio.create_task(connection.run())
        await until(lambda: len(node.acknowledged) >= 2)
        running.cancel()
    first, second, *_ = node.acknowledged
    assert 0 < first < second <= heard[-1]


# --- what is to be shown -------------------------------------------------------------


def test_a_turn_shows_so_many_lines_and_makes_no_others() -> None:
    made = []

    def lines() -> Iterator[str]:
        for number in range(10_000):
            made.append(number)
            yield str(number)

    backlog = Backlog()
    backlog.add(lines())
    backlog.add(["last"])
    assert backlog.take() == [str(number) for number in range(MOST_LINES)]
    assert len(made) == MOST_LINES
    while taken := backlog.take():
        assert len(taken) <= MOST_LINES
        last = taken[-1]
    assert last == "last"
    assert not backlog


def test_a_turn_shows_so_many_characters_and_at_least_a_line() -> None:
    backlog = Backlog()
    backlog.add(["x" * (MOST_CHARACTERS // 2)] * 3)
    backlog.add(["y" * (3 * MOST_CHARACTERS)])
    assert [len(backlog.take()) for _ in range(2)] == [2, 2]
    assert not backlog.take()


def test_what_shows_nothing_takes_no_place() -> None:
    backlog = Backlog()
    backlog.add([])
    assert not backlog


# --- standard output -----------------------------------------------------------------


@in_a_loop
async def test_a_reader_that_does_not_read_holds_nobody_and_gets_everything_in_order() -> None:
    reading, writing = os.pipe()
    written = asyncio.Event()
    output = Output(writing, "utf-8", written.set)
    lines = [f"line {number}" for number in range(50_000)]
    output.say(lines[:40_000])
    output.say(lines[40_000:])
    turns = Turns()
    await until(lambda: turns.count > 100)
    assert output
    assert not written.is_set()
    got = bytearray()
    while output:
        octets = os.read(reading, 1 << 16)
        got += octets
        before = turns.count
        await until(lambda before=before: turns.count > before + 2)  # type: ignore[misc]
    os.close(writing)
    while octets := os.read(reading, 1 << 16):
        got += octets
    os.close(reading)
    assert got.decode().splitlines() == lines
    assert written.is_set()


@in_a_loop
async def test_a_turn_writes_a_bounded_piece_even_to_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turns = Turns()
    pieces: dict[int, int] = {}
    write = os.write

    def noted(descriptor: int, data: bytes) -> int:
        pieces[turns.count] = pieces.get(turns.count, 0) + len(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", noted)
    path = tmp_path / "out"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    written = asyncio.Event()
    output = Output(descriptor, "utf-8", written.set)
    output.say(f"line {number}" for number in range(50_000))
    await until(written.is_set)
    os.close(descriptor)
    assert len(path.read_text().splitlines()) == 50_000
    assert max(pieces.values()) <= WRITES * WRITE_OCTETS


@in_a_loop
async def test_a_reader_that_has_gone_ends_it() -> None:
    reading, writing = os.pipe()
    output = Output(writing, "utf-8", lambda: None)
    running = asyncio.create_task(output.run())
    await asyncio.sleep(0)
    os.close(reading)
    output.say(["anybody there?"])
    with pytest.raises(BrokenPipeError):
        await running
    os.close(writing)


@in_a_loop
async def test_what_the_encoding_cannot_say_is_a_question_mark() -> None:
    reading, writing = os.pipe()
    output = Output(writing, "ascii", lambda: None)
    output.say(["näh"])
    await until(lambda: not output)
    assert os.read(reading, 100) == b"n?h\n"
    os.close(reading)
    os.close(writing)


# --- standard input ------------------------------------------------------------------


@in_a_loop
async def test_of_an_endless_line_of_the_input_only_a_bounded_part_is_kept() -> None:
    reading, writing = os.pipe()
    lines: list[str] = []

    async def read() -> None:
        async for some in read_lines(reading):
            lines.extend(some)

    task = asyncio.create_task(read())
    os.set_blocking(writing, False)
    left = b"\xc3\xa4" * (1 << 20) + b"\nshort\r\nlast"
    while left:
        try:
            left = left[os.write(writing, left) :]
        except BlockingIOError:
            await asyncio.sleep(0)
    os.close(writing)
    await task
    os.close(reading)
    assert [len(line.encode()) for line in lines[:-2]] == [LONGEST_LINE]
    assert lines[-2:] == ["short", "last"]
