"""Clients of a crowd: they speak the protocols with real sessions, over connections of their own.

What each session was pushed is kept, for the checks of ``crowds``.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

from chainchat.chat.lines import Line
from chainchat.chat.requests import Say
from chainchat.config import AccountRules
from chainchat.logs.audit import Audit
from chainchat.node.node import Node
from chainchat.sessions.guard import Guard
from chainchat.sessions.hashing import ThreadedHashing
from chainchat.sessions.hearing import Hearing
from chainchat.sessions.interfaces import ServerInfo
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from tests.simulation import work
from tests.simulation.checks import require
from tests.simulation.clients import PATIENCE, Records
from tests.simulation.hosts import Host
from tests.simulation.world import World

_PUSHED = re.compile(r"MSG (\d+) (\d+) .* :(?P<text>.*)")
_SHOWN = re.compile(r"#(\d+) \d\d:\d\d .*?: (?P<text>.*)")
_ITEM = re.compile(r"\| @SINCE\d+ MSG (\d+) .*")
_ANSWER = re.compile(r"(\+OK|-ERR \d+) @(\S+) ?(.*)")

SENT_AT_ONCE = 32
"""Messages that a guest sends in one piece."""


class PricedHearing(Hearing):
    """The product's hearing, which works for each line."""

    def _hear(self, line: Line, said: list[tuple[str, Say]] | None = None) -> None:
        assert isinstance(self._connection, Wire)
        self._connection.work(work.LINE)
        super()._hear(line, said)


class PricedSession(Session):
    """The product's session, whose lines have a price."""

    def __init__(self, sessions: Sessions, wire: "Wire", host: Host, info: ServerInfo) -> None:
        super().__init__(sessions, wire, host.clock, info)
        self._hearing = PricedHearing(self, wire, sessions, host.clock, info)


class House:
    """The sessions of all nodes.

    Attributes:
        server_info: what the sessions have in common.
        sessions: of the living nodes, by position.
    """

    def __init__(self, world: World, records: Records, said_at_once: int) -> None:
        self.world = world
        self.records = records
        addresses = {position: f"{position}:7001" for position in world.positions}
        guard = Guard(AccountRules(), ThreadedHashing(world), lambda: 0.0)  # nobody has a password
        audit = Audit("crowd", lambda *_: None)
        self.server_info = ServerInfo(
            "crowd", 1_024, addresses, self._new_token, guard, audit, said_at_once
        )
        self.sessions: dict[str, Sessions] = {}
        self.guests: list[Guest] = []
        self._tokens = 0
        world.on_start.append(self._started)
        world.on_death.append(self._died)

    def _new_token(self) -> str:
        self._tokens += 1
        return f"token{self._tokens}"

    def _started(self, host: Host) -> None:
        assert host.node is not None
        self.sessions[host.position] = Sessions(host.node, host.clock)

    def _died(self, host: Host) -> None:
        self.sessions.pop(host.position).stop()
        for guest in self.guests:
            guest.node_died(host)


class Wire:
    """One connection of a guest to a node: in order, and what is held waits at the guest's end."""

    address = ""
    encrypted = conceals = False

    def __init__(self, house: House, host: Host, guest: "Guest") -> None:
        self.host = host
        self.open = True
        self._house = house
        self._guest = guest
        self._life = host.life
        self._held = False
        self._lines: list[bytes] = []
        self._at_once = 0
        self._written = 0
        self._session = PricedSession(house.sessions[host.position], self, host, house.server_info)
        self._on_host(self._session.opened)

    # --- for the session

    def work(self, seconds: float) -> None:
        self._house.world.work(self.host, seconds)

    def logged_in(self) -> None:
        pass

    def write(self, data: bytes) -> int:
        self.work(work.WRITTEN)
        self._written += len(data)
        self._house.world.outward(self.host, partial(self._arrive, data))
        return self._written

    def close(self) -> None:
        self._house.world.outward(self.host, self._closed)

    def hold(self, *, held: bool) -> None:
        was, self._held = self._held, held
        if was and not held and self._lines:
            self._on_host(self._read)

    def expect(self, octets: int) -> None:
        self._at_once = octets

    def unread(self) -> int:
        return sum(len(line) + 1 for line in self._lines)

    def silent(self) -> float | None:
        return 0.0

    def probe(self, *, probing: bool) -> None:
        pass

    def abort(self) -> None:
        self.end()

    def acknowledged(self) -> int | None:
        return self._written

    # --- for the guest

    def say(self, lines: Sequence[str]) -> None:
        self._lines += [line.encode() for line in lines]
        self._on_host(self._read)

    def end(self) -> None:
        if self.open:
            self.open = False
            self._on_host(self._session.lost)

    # --- in between

    def _on_host(self, call: Callable[[], None]) -> None:
        world = self._house.world
        due = partial(world.on_host, self.host.position, partial(self._if_alive, call))
        world.later(world.network.soon(), due)

    def _if_alive(self, call: Callable[[], None]) -> None:
        if self.host.node is not None and self.host.life == self._life:
            call()

    def _read(self) -> None:
        if not self.open or self._held or not self._lines:
            return
        octets = count = 0
        while count < len(self._lines) and octets < self._at_once:
            octets += len(self._lines[count]) + 2
            count += 1
        lines, self._lines = self._lines[:count], self._lines[count:]
        self._session.received(b"".join(line + b"\n" for line in lines), octets, 0)
        if self._lines:
            self._on_host(self._read)

    def _arrive(self, data: bytes) -> None:
        for line in data.decode().split("\r\n"):
            if self.open and line:
                self._guest.hears(line)

    def _closed(self) -> None:
        if self.open:
            self.end()
            self._guest.was_left()


class Guest:
    """A person or a program.

    Attributes:
        logged_in: whether it has a session, as far as it was told.
        sessions: the ids that it was pushed, one list for each session.
        asked: questions that it has no answer to yet, and the newest id that anybody had been told
            of when they were asked.
    """

    def __init__(self, house: House, name: str, *, person: bool) -> None:
        self.name = name
        self.person = person
        self.logged_in = False
        self.sessions: list[list[int]] = []
        self.asked: dict[str, int] = {}
        self.unanswered: dict[int, str] = {}
        self._house = house
        self._world = house.world
        self._wire: Wire | None = None
        self._token = ""
        self._seen = 0
        self._after: int | None = None
        """What the next push comes after, if that is known."""
        self._item = 0
        """Id of the newest message that it was shown in an answer."""
        self._numbered = 0
        self._attempts = 0
        self._away = True
        house.guests.append(self)

    # --- connections

    @property
    def host(self) -> Host | None:
        return self._wire.host if self._wire is not None else None

    def come(self, position: str = "") -> None:
        """Connect and log in: at this position, if a node is there, or at any that serves."""
        self._away = False
        self._attempts += 1
        hosts = [h for h in self._world.hosts.values() if h.node and h.node.readiness.serving]
        wanted = [host for host in hosts if host.position == position]
        if not hosts:
            self._come_again(0.2)
            return
        self._wire = Wire(self._house, self._world.random.choice(wanted or hosts), self)
        self.sessions.append([])
        if self.person:
            self._wire.say([self.name])
        else:
            login = f"RESUME {self.name} {self._token} after={self._seen}"
            login = login if self._token else f"LOGIN {self.name}"
            self._wire.say(["/hello chainchat/1 client=bot", f"@l {login}"])
        self._world.later(3 * PATIENCE, self._no_answer, self._attempts)

    def _no_answer(self, attempt: int) -> None:
        if attempt == self._attempts and not self.logged_in and not self._away:
            self.was_left()

    def go_away(self) -> None:
        self._away = True
        self._end()

    def was_left(self) -> None:
        self._end()
        if not self._away:
            self._come_again(self._world.random.expovariate(20.0))

    def node_died(self, host: Host) -> None:
        if self._wire is not None and self._wire.host is host:
            self.was_left()

    def _end(self) -> None:
        self.logged_in = False
        self.asked.clear()
        if self.person:
            self.unanswered = {}
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.end()

    def _come_again(self, seconds: float) -> None:
        self._world.later(seconds, self._come_if, self._attempts)

    def _come_if(self, attempt: int) -> None:
        if attempt == self._attempts and not self._away:
            self.come()

    # --- what it does

    def forget(self) -> None:
        self._seen = 0

    def says(self, count: int) -> None:
        """Something new: so many messages in one piece. Later, if it is not logged in."""
        numbers = range(self._numbered + 1, self._numbered + 1 + count)
        texts = {number: f"{self.name}-{number}" for number in numbers}
        self._numbered += count
        self._house.records.sent |= dict.fromkeys(texts.values(), self._house.records.newest_told)
        if not self.person:
            self.unanswered |= texts
        if self.logged_in:
            self._send(texts)

    def _send(self, texts: dict[int, str]) -> None:
        assert self._wire is not None
        lines = list(texts.values())
        if not self.person:
            lines = [f"@{number} SEND {number} * :{text}" for number, text in texts.items()]
        self._wire.say(lines)

    def asks(self, *questions: str) -> None:
        """Ask, if it is logged in."""
        if not self.logged_in:
            return
        assert self._wire is not None
        self._item = 0
        if self.person:
            self._wire.say([f"/{question}" for question in questions])
            return
        tagged = {f"{question.split()[0]}{n}": question for n, question in enumerate(questions)}
        self.asked |= dict.fromkeys(tagged, self._house.records.newest_told)
        self._wire.say([f"@{tag} {question}" for tag, question in tagged.items()])

    # --- what it hears

    def hears(self, line: str) -> None:
        """One line from the node."""
        if self.person:
            self._person_hears(line)
            return
        if pushed := _PUSHED.fullmatch(line):
            self._pushed(int(pushed[1]), int(pushed[2]))
        elif answer := _ANSWER.fullmatch(line):
            self._answered(answer[1], answer[2], answer[3])
        elif item := _ITEM.fullmatch(line):
            self._item = int(item[1])
        elif line.startswith(". @"):
            told_before = self.asked.pop(line[3:])
            missed = line.startswith(". @SINCE") and self._item < told_before
            require(self._world, not missed, f"a read missed {told_before}: {self._item}")

    def _person_hears(self, line: str) -> None:
        if shown := _SHOWN.fullmatch(line):
            self.sessions[-1].append(int(shown[1]))
            self._house.records.told(int(shown[1]))
        elif not self.logged_in and line.startswith("+OK you are"):
            self.logged_in = True
        elif not self.logged_in and line.startswith("-ERR"):
            self.was_left()

    def _pushed(self, id_: int, previous: int) -> None:
        after = self._after
        text = f"{self.name} is pushed {id_} after {previous}, and had {after}"
        require(self._world, after is None or previous == after, text)
        self._after = self._seen = id_
        self.sessions[-1].append(id_)
        self._house.records.told(id_)

    def _answered(self, how: str, tag: str, words: str) -> None:
        done = how == "+OK"
        if tag == "l":
            self._login_answered(words, done=done)
        elif tag.isdigit() and done:
            self._acknowledged(int(tag), int(words.removeprefix("id=").split()[0]))
        elif tag.isdigit():
            self.was_left()
        else:
            self.asked.pop(tag, None)  # refused

    def _login_answered(self, words: str, *, done: bool) -> None:
        if not done:
            self._token = "" if "token" in words else self._token
            self.was_left()
            return
        values = dict(word.split("=") for word in words.split())
        self._token = values["session"]
        if "mark" in values:
            self._seen = int(values["mark"])
            self._after = None
        elif self._after != self._seen:
            self._after = None
        self.logged_in = True
        if self.unanswered:
            self._send(self.unanswered)

    def _acknowledged(self, number: int, id_: int) -> None:
        text = self.unanswered.pop(number, None)
        if text is None:
            return
        records = self._house.records
        records.acknowledged[text] = id_
        records.told(id_)
        node = self._wire.host.node if self._wire is not None else None
        if isinstance(node, Node):
            for told in records.on_acknowledged:
                told(text, id_, node)
