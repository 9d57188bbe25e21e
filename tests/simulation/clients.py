"""Simulated people and programs: they send, read, and go elsewhere when their node dies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any
from zlib import crc32

from chainchat.chat import commands
from chainchat.chat.commands import TO_EVERYBODY
from chainchat.chat.outcomes import Accepted, Result
from chainchat.chat.queries import Page, Recent
from chainchat.chat.refusals import Code
from chainchat.node.node import Node, Replied
from tests.simulation.hosts import Host
from tests.simulation.world import World

READ_MESSAGES = 20
"""How many of the newest messages a client reads."""

PATIENCE = 3.0
"""Seconds without an answer after which a client tries another node."""


@dataclass
class Read:
    """A read of the newest messages that was answered.

    Attributes:
        told_before: the newest id that anybody had been told of when it began.
        shown: the ids that it showed.
        about: whose it was, where and when, for the trace.
        kept_from: when it was answered, a node had removed all messages before this id.
    """

    told_before: int
    shown: list[int]
    about: str = ""
    kept_from: int = 0


@dataclass
class Records:
    """What clients were told.

    Attributes:
        acknowledged: the id of each text that was acknowledged.
        sent: by text, the newest id that anybody had been told of when it was first sent.
        newest_told: the newest id that anybody was told of, by an acknowledgement or a read.
        marks: by account, the newest read mark that was acknowledged.
        on_acknowledged: called with text, id and node of each acknowledgement.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    newest_told: int = 0
    reads: list[Read] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    on_acknowledged: list[Callable[[str, int, Node], None]] = field(default_factory=list)

    def told(self, newest: int) -> None:
        self.newest_told = max(self.newest_told, newest)


class Client:
    """Says things to everybody, one at a time or some at once.

    A program resumes and sends again what was not answered; a person logs in again, says it once,
    and leaves it to the node that took it. Some programs take another client ID for each run.

    Attributes:
        logged_in: it has a session, as far as it was told.
    """

    def __init__(
        self,
        world: World,
        name: str,
        records: Records,
        *,
        window: int,
        person: bool,
        named_anew: bool = False,
    ) -> None:
        self.name = name
        self.logged_in = False
        self._world = world
        self._records = records
        self._window = window
        self._program = "" if person else "program"
        self._named_anew = named_anew
        self._node: Node | None = None
        self._session = ""
        self._token = sha256(name.encode()).digest()
        self._has_token = False
        self._account = 0
        self._numbered = 0
        self._unanswered: dict[int, str] = {}
        self._sessions = 0
        self._attempt = 0
        world.on_death.append(self._node_died)
        world.later(world.random.random(), self._connect)

    # --- connections

    def _connect(self) -> None:
        """Go to some living node that serves."""
        self._attempt += 1
        serving = [
            host.node
            for host in self._world.hosts.values()
            if host.node is not None and host.node.readiness.serving
        ]
        if not serving:
            self._world.later(0.2, self._reconnect, self._attempt)
            return
        node = self._node = self._world.random.choice(serving)
        self._sessions += 1
        if self._named_anew and not self._unanswered:
            self._program = f"run {self._sessions}"
        self._session = f"{node.me.origin}.{self.name}-{self._sessions}"
        make = commands.Resume if self._has_token else commands.Login
        self._submit(make(self._session, self.name, self._program, self._token), self._logged_in)
        self._world.later(PATIENCE, self._reconnect, self._attempt)

    def _submit(self, command: commands.AnyCommand, replied: Replied) -> None:
        """Ask, and hear the answer only while this is still the connection."""
        assert self._node is not None
        self._node.submit(command, self._heard(self._node, replied))

    def _heard(self, node: Node, heard: Callable[[Any], None]) -> Callable[[Any], None]:
        """``heard``, when the node's host gets so far, if this is still the connection then."""
        attempt, host = self._attempt, self._world.hosts[node.me.position]

        def arrive(answer: Any) -> None:
            if attempt == self._attempt:
                heard(answer)

        return lambda answer: self._world.outward(host, partial(arrive, answer))

    def _node_died(self, host: Host) -> None:
        if self._node is not None and self._node.me.position == host.position:
            self._leave()

    def _reconnect(self, attempt: int) -> None:
        if attempt == self._attempt:
            self._leave()

    def _leave(self) -> None:
        """The connection ends; the node, if it lives, notes that."""
        self._attempt += 1
        self.logged_in = False
        node, self._node = self._node, None
        if node is not None and node.running and self._session:
            node.submit(commands.End(self._session, 0))
        self._session = ""
        if not self._program:
            self._unanswered = {}
        self._world.later(self._world.random.expovariate(5.0), self._connect_again, self._attempt)

    def _connect_again(self, attempt: int) -> None:
        if attempt == self._attempt:
            self._connect()

    def _logged_in(self, results: Sequence[Result]) -> None:
        [result] = results
        assert self._node is not None
        if isinstance(result, Accepted):
            self._attempt += 1
            self.logged_in = True
            account = self._node.state.account_of(self._session)
            assert account is not None
            self._account = account.number
            self._has_token = bool(self._program)
            if self._unanswered:
                self._send(self._unanswered)
            self._chat(self._attempt)
        elif result.code is Code.BAD_TOKEN:
            self._has_token = False
            self._leave()
        else:
            self._leave()

    # --- talking

    def _chat(self, attempt: int) -> None:
        """Say or read something now and then, while this connection lasts."""
        if attempt != self._attempt or self._world.calm:
            return
        if self._world.random.random() < 0.2:
            self._read()
        elif len(self._unanswered) < self._window:
            self._say(self._world.random.randint(1, self._window - len(self._unanswered)))
        elif self._world.random.random() < 0.02:
            self._leave()
            return
        self._world.later(self._world.random.expovariate(25.0), self._chat, attempt)

    def _say(self, count: int) -> None:
        """Something new: so many messages in one piece."""
        numbers = range(self._numbered + 1, self._numbered + 1 + count)
        texts = {number: f"{self.name}-{number}" for number in numbers}
        self._numbered += count
        self._unanswered.update(texts)
        self._records.sent |= dict.fromkeys(texts.values(), self._records.newest_told)
        self._send(texts)

    def _send(self, texts: Mapping[int, str]) -> None:
        sent = dict(texts)
        sayings = tuple(
            commands.Saying(
                text,
                TO_EVERYBODY,
                "*",
                number if self._program else 0,
                crc32(text.encode()),
            )
            for number, text in sent.items()
        )
        say = commands.Say(self._session, self._account, self.name, self._program, sayings)

        def answered(results: Sequence[Result]) -> None:
            for (number, text), result in zip(sent.items(), results, strict=True):
                self._answered(number, text, result)

        self._submit(say, answered)

    def _answered(self, number: int, text: str, result: Result) -> None:
        if self._node is None:
            return  # left, because an earlier one was refused
        if isinstance(result, Accepted):
            self._unanswered.pop(number, None)
            self._records.acknowledged[text] = result.id
            self._records.told(result.id)
            for told in self._records.on_acknowledged:
                told(text, result.id, self._node)
            if self._world.random.random() < 0.1:
                self._mark(result.id)
        else:
            self._leave()

    def _mark(self, newest: int) -> None:
        def marked(results: Sequence[Result]) -> None:
            [result] = results
            if isinstance(result, Accepted):
                self._records.marks[self.name] = newest

        self._submit(commands.Seen(((self._account, newest),)), marked)

    def _read(self) -> None:
        assert self._node is not None
        node, before, ids = self._node, self._records.newest_told, list[int]()
        asked = self._world.clock.now

        def shown(page: Page) -> None:
            ids.extend(message.id for message in page.messages)
            if page.more is not None:
                node.ask(page.more, self._heard(node, shown))
                return
            about = f" at {node.me.position}, {asked:.4f} s to {self._world.clock.now:.4f} s,"
            self._records.reads.append(Read(before, ids, about, self._world.kept_from()))
            self._records.told(max(ids, default=0))

        node.ask(Recent(self._account, READ_MESSAGES), self._heard(node, shown))
