"""Ordinary users, who each say a line ten times a second, and how long they wait for the answers.

People in human mode, in a process of their own. A line is said when its time has come, whether or
not those before it were answered, and the wait counts from that time: a node that stands still for
two seconds costs each of them twenty waits. Who is hung up on calls the next node, logs in, and
says again what has no answer.
"""

import asyncio
import contextlib
import itertools
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from helpers import Helper, pipe, shared
from talking import DEADLINE, until

USERS = 10
PAUSE = 0.1
"""Seconds between two lines of one user."""

AGAIN = 0.25
"""Seconds after which somebody calls again who was hung up on or refused."""

NEWCOMERS = 0.5
"""Seconds between two newcomers, who log in and leave."""

LET_IN_WITHIN = 5.0
"""Seconds that a newcomer waits."""

GRACE = 5.0
"""Seconds that are waited in the end for answers."""

ANSWERED, DROPPED, REFUSED = range(3)

Line = tuple[float, float | None]
"""When something was due, and when it was answered, if it was."""


@dataclass(frozen=True)
class Speech:
    """An ordinary user in the words of one kind of server.

    Attributes:
        login: what to say first, by name.
        welcome: the line that says that one is in.
        say: the line with a number, by name.
        answer: the answer to a line; its group, if there is any, is a refusal.
        closing: a line after which the server hangs up.
        leave: what to say in the end.
        then: what is in a line after which more has to be said, and that.
    """

    login: Callable[[str], bytes]
    welcome: bytes
    say: Callable[[str, int], bytes]
    answer: bytes
    closing: bytes
    leave: bytes
    then: tuple[bytes, bytes] | None = None


CHAINCHAT = Speech(
    login=lambda name: f"{name}\r\n".encode(),
    welcome=rb"^\+OK you are ",
    say=lambda name, number: f"{name} says line {number}, as ordinary as any\r\n".encode(),
    answer=rb"^(?:\+OK \d|(-ERR \d+))",
    closing=rb"^-ERR (?:4[23]\d|505) ",
    leave=b"/logout\r\n",
)


@dataclass
class Waits:
    """How long lines took that were due in some time.

    Attributes:
        seconds: of each line; those without an answer count as waiting until the end.
        unanswered: how many never had one.
    """

    seconds: list[float] = field(default_factory=list, repr=False)
    unanswered: int = 0

    def percentile(self, percent: float) -> float:
        """The wait that so many percent of the lines did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    @property
    def longest(self) -> float:
        return max(self.seconds)


class Users:
    """The users, from ``with`` on: then all are logged in and talk."""

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        *,
        name: str = "user",
        count: int = USERS,
        pause: float = PAUSE,
        speech: Speech = CHAINCHAT,
    ) -> None:
        """The users begin at one address after the other; ``pause``: seconds between two lines."""
        self._counts = shared(3)
        self._here, there = pipe()
        callers = [
            (
                f"{name}{i + 1}",
                [addresses[(i + turn) % len(addresses)] for turn in range(len(addresses))],
            )
            for i in range(count)
        ]
        self._helper = Helper(_talk, there, self._counts, callers, pause, speech)
        self._lines: list[Line] = []
        self._newcomers: list[Line] = []
        self._end = 0.0

    def __enter__(self) -> Self:
        self._helper.__enter__()
        try:
            assert self._here.poll(DEADLINE), "ordinary users cannot log in"
            self._here.recv()
        except BaseException:
            self._helper.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._helper.end()

    @property
    def answered(self) -> int:
        return int(self._counts[ANSWERED])

    @property
    def dropped(self) -> int:
        return int(self._counts[DROPPED])

    @property
    def refused(self) -> int:
        return int(self._counts[REFUSED])

    def wait_for(self, more: int, within: float = DEADLINE) -> None:
        goal = self.answered + more
        until(lambda: self.answered >= goal, lambda: f"{self.answered} of {goal} answered", within)

    def finish(self) -> None:
        """Say nothing more, and wait a while for what has no answer; afterwards ask ``between``."""
        self._here.send(None)
        assert self._here.poll(GRACE + DEADLINE), "the ordinary users do not come to an end"
        self._lines, self._newcomers = self._here.recv()
        self._end = time.monotonic()
        self._helper.wait()

    def between(self, begin: float, end: float) -> Waits:
        """What came of the lines that were due from one ``time.monotonic()`` to another."""
        return _waits(self._lines, begin, end, self._end)

    def newcomers(self, begin: float, end: float) -> Waits:
        """Likewise of those who came in that time; ``unanswered`` are those not let in."""
        return _waits(self._newcomers, begin, end, self._end)


def _waits(lines: Iterable[Line], begin: float, end: float, last: float) -> Waits:
    waits = Waits()
    for due, answered in lines:
        if begin <= due < end:
            waits.seconds.append((last if answered is None else answered) - due)
            waits.unanswered += answered is None
    return waits


def _talk(
    end: Any,
    counts: Any,
    callers: Sequence[tuple[str, Sequence[tuple[str, int]]]],
    pause: float,
    speech: Speech,
) -> None:
    """What the process of the users does."""

    async def talk() -> None:
        users = [_User(name, nodes, speech, counts) for name, nodes in callers]
        await asyncio.gather(*(user.call() for user in users))
        await asyncio.gather(*(user.welcome.wait() for user in users))
        end.send(None)
        begin = time.monotonic()
        talking = [
            asyncio.create_task(user.talk(begin + i * pause / len(users), pause))
            for i, user in enumerate(users)
        ]
        newcomers: list[Line] = []
        nodes = [nodes[0] for _, nodes in callers]
        talking.append(asyncio.create_task(_newcomers(callers[0][0], nodes, speech, newcomers)))
        asked = asyncio.Event()
        asyncio.get_running_loop().add_reader(end.fileno(), asked.set)
        await asked.wait()
        asyncio.get_running_loop().remove_reader(end.fileno())
        for task in talking:
            task.cancel()
        await asyncio.wait(
            [asyncio.create_task(user.settled.wait()) for user in users], timeout=GRACE
        )
        end.send(([line for user in users for line in user.lines()], newcomers))

    asyncio.run(talk())


async def _newcomers(
    name: str, nodes: Sequence[tuple[str, int]], speech: Speech, lines: list[Line]
) -> None:
    """Now and then somebody else comes, at one node after the other, and leaves."""
    due = time.monotonic()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        answered = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            newcomer = f"{name}-new{number % 100}"
            async with asyncio.timeout(LET_IN_WITHIN):
                await _come_and_go(nodes[number % len(nodes)], newcomer, speech)
            answered = time.monotonic()
        lines.append((due, answered))
        due = max(due + NEWCOMERS, time.monotonic())


async def _come_and_go(node: tuple[str, int], name: str, speech: Speech) -> None:
    reader, writer = await asyncio.open_connection(*node)
    try:
        writer.write(speech.login(name))
        welcome = re.compile(speech.welcome, re.MULTILINE)
        while not welcome.search(line := await reader.readuntil(b"\n")):
            if speech.then and speech.then[0] in line:
                writer.write(speech.then[1])
        writer.write(speech.leave)
    finally:
        writer.close()


class _User(asyncio.Protocol):
    def __init__(
        self, name: str, nodes: Sequence[tuple[str, int]], speech: Speech, counts: Any
    ) -> None:
        self.welcome = asyncio.Event()
        self.settled = asyncio.Event()
        self.unanswered: deque[tuple[float, int]] = deque()
        self._name = name
        self._nodes = deque(nodes)
        self._speech = speech
        self._counts = counts
        self._said = 0
        self._answered: list[Line] = []
        self._rest = b""
        self._transport: Any = None
        self._lines = re.compile(speech.answer, re.MULTILINE)
        self._login = re.compile(speech.welcome, re.MULTILINE)
        self._closing = re.compile(speech.closing, re.MULTILINE)
        self._again: asyncio.Task[None] | None = None

    def lines(self) -> Iterable[Line]:
        yield from self._answered
        yield from ((due, None) for due, _ in self.unanswered)

    async def call(self) -> None:
        """Connect to some node; the first that has a socket for it."""
        while True:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, *self._nodes[0])
            except OSError:
                self._nodes.rotate(-1)
                await asyncio.sleep(AGAIN)
            else:
                return

    async def talk(self, due: float, pause: float) -> None:
        """Say a line whenever it is time."""
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._said += 1
            self.unanswered.append((due, self._said))
            self.settled.clear()
            if self.welcome.is_set():
                self._transport.write(self._speech.say(self._name, self._said))
            due += pause

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""
        self._transport.write(self._speech.login(self._name))

    def data_received(self, data: bytes) -> None:
        """Look for answers among all that others say."""
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if not newline:
            return
        if self._speech.then and self._speech.then[0] in whole:
            self._transport.write(self._speech.then[1])
        if not self.welcome.is_set():
            found = self._login.search(whole)
            if not found:
                if re.search(rb"^-ERR ", whole, re.MULTILINE):
                    self._transport.abort()  # the name is still held, perhaps
                return
            self.welcome.set()
            for _, number in self.unanswered:
                self._transport.write(self._speech.say(self._name, number))
            whole = whole[found.end() :]
        elif self._closing.search(whole):
            whole = self._closing.split(whole)[0]
        self._take(self._lines.findall(whole))

    def _take(self, answers: Sequence[bytes]) -> None:
        now = time.monotonic()
        for answer in answers[: len(self.unanswered)]:
            due, _ = self.unanswered.popleft()
            self._answered.append((due, now))
            self._counts[ANSWERED] += 1
            self._counts[REFUSED] += answer.startswith(b"-ERR")
        if not self.unanswered:
            self.settled.set()

    def connection_lost(self, _: Exception | None) -> None:
        self._counts[DROPPED] += self.welcome.is_set()
        self.welcome.clear()
        self._nodes.rotate(-1)
        self._again = asyncio.create_task(self._call_again())

    async def _call_again(self) -> None:
        await asyncio.sleep(AGAIN)
        await self.call()
