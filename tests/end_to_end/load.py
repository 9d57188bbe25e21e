"""Programs that keep talking whatever happens to the nodes, and the judge of what came of it.

The programs are the bundled client's engine. Each says numbered texts to everybody, some unanswered
at a time, and records every acknowledgement and every message delivered. ``check`` holds the
records against what the nodes have on their disks (``chronicle``).
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Self

from chronicle import Chronicle, Delivered, Log, Message, Send
from cluster import Cluster, Node
from talking import DEADLINE, until

from chainchat.chat import commands
from chainchat.chat.state import ChatState
from chainchat.client.connection import Connection
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.storage.sqlite import SQLiteStorage

UNANSWERED = 10
"""SENDs of one program that are on their way at a time."""

LONGEST_WAIT = 0.3
"""Seconds that a program waits at most between two attempts to reach a node."""

READ_OCTETS = 1 << 20


@dataclass
class Record:
    """What one program said and was told.

    Attributes:
        sends: by text, in the order in which they were said.
        answers: how many of them were acknowledged.
        refused: what it was told about texts that were refused.
        gaps: holes that it noticed in what was pushed: there should be none.
        ended: why it ended before its time, if it did.
        longest_wait: the most seconds between two acknowledgements.
    """

    name: str
    sends: dict[str, Send] = field(default_factory=dict)
    answers: int = 0
    delivered: list[Message] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    gaps: int = 0
    ended: str = ""
    longest_wait: float = 0.0

    def say(self, text: str, node: str = "") -> None:
        number = len(self.sends) + 1
        client = f"load-{self.name}"
        self.sends[text] = Send(self.name, client, number, text, node, time.monotonic())

    def told(self, text: str, id_: int, node: str = "") -> None:
        """It is told now that this is on the disks, as ``id_``."""
        now = time.monotonic()
        self.sends[text] = replace(self.sends[text], node=node, ended=now, id=id_)
        self.answers += 1

    @property
    def sent(self) -> list[str]:
        return list(self.sends)

    @property
    def acknowledged(self) -> list[tuple[int, str]]:
        return [(send.id, text) for text, send in self.sends.items() if send.id is not None]

    @property
    def complaints(self) -> list[str]:
        """What no program should ever be told."""
        found = [f"ended: {self.ended}"] if self.ended else []
        found += [f"refused: {refused}" for refused in self.refused]
        found += [f"noticed {self.gaps} gaps"] if self.gaps else []
        return [f"{self.name} {complaint}" for complaint in found]


class Impatient(Random):
    """Draws short waits: a test does not wait as long for the next attempt as a person may."""

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, min(b, LONGEST_WAIT))


class _Program:
    """One program: an engine, and what it has heard."""

    def __init__(
        self,
        name: str,
        nodes: Sequence[tuple[str, int]],
        seed: int,
        *,
        quiet: bool,
        pause: float,
    ) -> None:
        self.record = Record(name)
        self.pause = pause
        self.talking = True
        self.engine = Engine(name, f"load-{name}", nodes, Impatient(seed), quiet=quiet)
        self.connection = Connection(self.engine, self._heard)
        self._last = 0.0
        self._node = ""

    def _heard(self, event: events.Event) -> None:
        record = self.record
        match event:
            case events.Connected(node=node):
                self._node = node
            case events.LoggedIn() if not self._last:
                self._last = time.monotonic()
                self._say()
            case events.SendAcknowledged(id=id, text=text):
                record.told(text, id, self._node)
                now = time.monotonic()
                record.longest_wait = max(record.longest_wait, now - self._last)
                self._last = now
                if self.pause:
                    asyncio.get_running_loop().call_later(self.pause, self._say_and_flush)
                else:
                    self._say()
            case events.SendRefused(text=text, code=code, reason=reason):
                record.refused.append(f"{text}: {code} {reason}")
                self._say()
            case events.MessageArrived(id=id, sender=sender, text=text):
                record.delivered.append(Message(id, sender, text))
            case events.GapNoticed():
                record.gaps += 1
            case events.Ended(reason=reason, text=text) if reason != "logout":
                record.ended = f"{reason}: {text}"

    def _say_and_flush(self) -> None:
        self._say()
        self.connection.flush()

    def _say(self) -> None:
        while self.talking and self.engine.pending < UNANSWERED:
            text = f"{self.record.name} {len(self.record.sends) + 1}"
            self.record.say(text, self._node)
            self.engine.send(text)


class Load:
    """Programs that talk in a thread of their own, from ``with`` on."""

    def __init__(
        self,
        nodes: Sequence[Node],
        programs: int,
        *,
        name: str = "load",
        listeners: int = 2,
        pause: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            nodes: where to connect; the programs begin at different ones.
            name: what their accounts' names begin with.
            listeners: how many of them are told what the others say.
            pause: seconds between an answer and the next text; 0: as fast as the chain can.
        """
        addresses = [node.address for node in nodes]
        self._programs = []
        for i in range(programs):
            turn = i % len(addresses)
            nodes_in_turn = addresses[turn:] + addresses[:turn]
            quiet = i >= listeners
            program = _Program(f"{name}{i + 1}", nodes_in_turn, i, quiet=quiet, pause=pause)
            self._programs.append(program)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    @property
    def records(self) -> list[Record]:
        return [program.record for program in self._programs]

    @property
    def acknowledged(self) -> int:
        return sum(record.answers for record in self.records)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def wait_for(self, more: int, within: float = DEADLINE) -> None:
        """Wait until so many more texts were acknowledged."""
        goal = self.acknowledged + more
        until(
            lambda: self.acknowledged >= goal or self._error is not None,
            lambda: f"{self.acknowledged} of {goal} acknowledged; {self._trouble()}",
            within,
        )
        self._complain()

    def finish(self, within: float = DEADLINE) -> list[Record]:
        """Say nothing more, wait until all is settled, and leave; the records."""

        def leave() -> None:
            for program in self._programs:
                program.talking = False
                program.engine.logout()
                program.connection.flush()

        self._loop.call_soon_threadsafe(leave)
        self._thread.join(within)
        assert not self._thread.is_alive(), f"not settled within {within:g} s: {self._trouble()}"
        self._complain()
        return self.records

    def abandon(self) -> list[Record]:
        """Drop everything, settled or not; the records."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(DEADLINE)
        return self.records

    def _run(self) -> None:
        try:
            self._task = self._loop.create_task(self._run_all())
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._loop.close()

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for program in self._programs:
                group.create_task(program.connection.run())

    def _complain(self) -> None:
        if self._error is not None:
            raise self._error

    def _trouble(self) -> str:
        pending = {p.record.name: p.engine.pending for p in self._programs if p.engine.pending}
        ended = [record.ended for record in self.records if record.ended]
        return f"unanswered: {pending}; ended: {ended}"


# --- what the nodes have


class History(Log):
    """What one node has on its disk: every entry, and what became of it when it was applied."""

    def __init__(self, node: Node) -> None:
        """Read the disk of a node that does not run."""
        super().__init__()
        storage = SQLiteStorage(node.data)
        try:
            self.committed = storage.committed
            read = 0
            while read < storage.last.seq:
                self.entries += storage.read(read, storage.last.seq, READ_OCTETS)
                read = self.entries[-1].seq
        finally:
            storage.close()
        state = ChatState()
        for entry in self.entries:
            command = commands.decode(entry.command)
            outcome = state.apply(entry.seq, entry.origin, entry.number, entry.time, command)
            self.said += outcome.said


def histories(nodes: Iterable[Node]) -> dict[str, History]:
    """By position, of nodes that do not run."""
    return {node.position: History(node) for node in nodes}


def settle(cluster: Cluster, *loads: Load) -> list[Record]:
    """End the loads, let the dead catch up, stop all, and ``check`` every node; the records."""
    records = [record for load in loads for record in load.finish()]
    unsettled = {r.name for r in records if r.answers != len(r.sends)}
    assert not unsettled, f"never answered: {unsettled}"
    dead = [p for p, node in cluster.nodes.items() if node.process and not node.running]
    if dead:
        cluster.bring_back(*dead)
    cluster.stop()
    check(records, histories(node for node in cluster.nodes.values() if node.process))
    return records


def check(records: Sequence[Record], histories: Mapping[str, Log]) -> None:
    found = chronicle(records, histories).violations()
    found += [complaint for record in records for complaint in record.complaints]
    assert not found, "\n".join(found)


def chronicle(records: Sequence[Record], histories: Mapping[str, Log]) -> Chronicle:
    """What the programs were told, and what every node has."""
    return Chronicle(
        sends=[send for record in records for send in record.sends.values()],
        delivered=[Delivered(record.name, tuple(record.delivered)) for record in records],
        logs=dict(histories),
    )
