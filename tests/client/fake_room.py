"""A room for tests of the client: as many nodes as wanted, one state, no disk, no chain.

Machine mode with the server's own grammar, as docs/protocol.md says. Connections are objects
without I/O; `Server` puts them on sockets, in a thread of its own.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from held_ports import HeldPorts
from patience import DEADLINE

from chainchat.chat.lines import TOO_LONG, LineSplitter, clean
from chainchat.chat.modes import machine
from chainchat.chat.modes.human import Human
from chainchat.chat.modes.mode import ChainView, ChatMessage, LoggedIn
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    Acknowledge,
    Chain,
    Delete,
    Hello,
    List,
    Login,
    Logout,
    Ping,
    Request,
    Resume,
    Say,
    Since,
    Who,
)

MAX_LINE = 1024
NOON = 1_795_348_987_120  # 2026-11-22T12:03:07.120Z

Judge = Callable[[Say], Code | None]


class Room:
    """Accounts, messages, sessions, and the memory of what each program has sent."""

    def __init__(self) -> None:
        self.messages: list[ChatMessage] = []
        self.marks: dict[str, int] = {}  # by account, in the writing of its first login
        self.tokens: dict[str, str] = {}
        self.online: dict[str, Connection] = {}
        self.results: dict[tuple[str, str], dict[int, tuple[Say, int]]] = {}
        self.addresses: list[str] = ["127.0.0.1:9"]
        self.judge: Judge = lambda say: None  # refuses a SEND, or not
        self.holding = False  # SENDs are not carried out until `release`
        self.late = False  # they are, but not answered until then
        self.held: list[Callable[[], None]] = []
        self.requests: list[Request] = []
        self.next_number = 1
        self._last_id = 1000
        self._tokens = 0

    def say(self, sender: str, text: str, to: str = "*") -> int:
        """Somebody says something."""
        self._last_id += 3  # other entries of the log have ids too
        message = ChatMessage(self._last_id, 0, NOON, sender, to, text)
        self.messages.append(message)
        for name, connection in list(self.online.items()):
            if pushable(message, name):
                connection.push(message)
        return message.id

    def previous(self, message_id: int, name: str) -> int:
        latest_first = reversed(self.messages)
        earlier = (m.id for m in latest_first if m.id < message_id and pushable(m, name))
        return next(earlier, 0)

    @property
    def high(self) -> int:
        return self._last_id

    def new_token(self, name: str) -> str:
        self._tokens += 1
        self.tokens[name] = f"token{self._tokens:017}"
        return self.tokens[name]

    def release(self) -> None:
        """Answer the SENDs that were held."""
        self.holding = self.late = False
        held, self.held = self.held, []
        for answer in held:
            answer()


def pushable(message: ChatMessage, name: str) -> bool:
    return message.sender != name and message.to in ("*", name)


class Connection:
    """One connection to a node of the room: bytes in, `out` are the bytes to send."""

    def __init__(self, room: Room, node: str = "tail") -> None:
        self.room = room
        self.node = node
        self.out = bytearray(b"* This is chainchat.\r\n* Who are you?\r\n")
        self.closed = False
        self._voice = machine.Machine()
        self._splitter = LineSplitter(MAX_LINE)
        self._client = ""
        self._name = ""
        self._quiet = False
        self._holds = False  # replies keep the order of the requests
        self._refused_from: int | None = None

    def line(self, text: str) -> None:
        self.out += text.encode() + b"\r\n"

    def feed(self, data: bytes) -> None:
        self._splitter.add(data)
        for line in self._splitter.cut():
            if self.closed:
                return
            tag = machine.NO_TAG
            try:
                if line is TOO_LONG:
                    raise RefusedError(Code.LINE_TOO_LONG, "that line is too long")
                tag = machine.MACHINE.tag_of(line)
                self._take(clean(line))
            except RefusedError as error:
                tag = tag if error.tag == machine.NO_TAG else error.tag
                self.line(self._voice.refused(tag, error.code, error.text))

    def _take(self, line: str) -> None:
        if not self._client:
            _, hello = Human().parse(line, logged_in=False)
            assert isinstance(hello, Hello), "a program begins with /hello"
            self._client = hello.client
            sessions = len(self.room.online) + 1
            self.line(machine.MACHINE.greeting(self.node, MAX_LINE, self.room.addresses, sessions))
            return
        tag, request = self._voice.parse(line, logged_in=bool(self._name))
        self.room.requests.append(request)
        self._carry_out(tag, request)

    def _carry_out(self, tag: str, request: Request) -> None:
        if not isinstance(request, Chain | Ping) and (
            self._holds or (isinstance(request, Say) and self.room.holding)
        ):
            self._holds = True
            self.room.held.append(lambda: self._carry_out_late(tag, request))
        else:
            self._carry_out_now(tag, request)

    def _carry_out_late(self, tag: str, request: Request) -> None:
        self._holds = False
        if not self.closed:
            self._carry_out_now(tag, request)

    def _carry_out_now(self, tag: str, request: Request) -> None:
        room = self.room
        match request:
            case Login():
                self._log_in(tag, request)
            case Resume():
                self._resume(tag, request)
            case Say():
                self._say(tag, request)
            case Acknowledge(id=identifier):
                room.marks[self._name] = max(room.marks[self._name], identifier)
                self.line(f"+OK @{tag}")
            case Since(id=after, count=count):
                listed = [
                    message
                    for message in room.messages
                    if message.id > after
                    and (message.sender == self._name or pushable(message, self._name))
                ]
                for message in listed[: count or None]:
                    self.line(self._voice.item(tag, self._push_line(message)))
                self.line(f". @{tag}")
            case List():
                self._list(tag, sorted(room.marks))
            case Who():
                self._list(tag, sorted(room.online))
            case Chain():
                view = ChainView(3, ("head", "tail"), self.node, self.node, room.high)
                self.line(self._voice.chain(tag, view)[0])
            case Ping():
                self.line(f"+OK @{tag}")
            case Delete(name=name):
                self.line(f"+OK @{tag}")
                self._delete(name)
            case Logout():
                self.line(f"+OK @{tag}")
                room.tokens.pop(self._name, None)
                self.close()

    def _list(self, tag: str, names: list[str]) -> None:
        for name in names:
            self.line(f"| @{tag} {name}")
        self.line(f". @{tag}")

    def _log_in(self, tag: str, login: Login) -> None:
        if login.name in self.room.online:
            raise RefusedError(Code.NAME_IN_USE, f"{login.name} is in use", tag)
        token = self.room.new_token(login.name)
        high = self.room.high
        mark = self.room.marks.setdefault(login.name, high)
        answer = LoggedIn(login.name, token, high, mark, missed=0, number=self._number(login.name))
        self.line(self._voice.logged_in(tag, answer))
        self._attach(login.name, mark, quiet=login.quiet)

    def _number(self, name: str) -> int:
        """The lowest number that a new SEND of this program can have."""
        known = self.room.results.get((name, self._client), {})
        return max(known) + 1 if known else self.room.next_number

    def _resume(self, tag: str, resume: Resume) -> None:
        if self.room.tokens.get(resume.name) != resume.token:
            raise RefusedError(Code.BAD_TOKEN, "the token is not valid", tag)
        if ghost := self.room.online.get(resume.name):
            ghost.line("NOTE moved :this session was resumed elsewhere")
            ghost.close()
        token = self.room.new_token(resume.name)
        self.line(self._voice.resumed(tag, token, self.room.high, self._number(resume.name)))
        self._attach(resume.name, resume.after, quiet=False)

    def _attach(self, name: str, after: int, *, quiet: bool) -> None:
        self._name, self._quiet = name, quiet
        self.room.online[name] = self
        for message in self.room.messages:
            if message.id > after and pushable(message, name):
                self.push(message)

    def _say(self, tag: str, say: Say) -> None:
        if self.closed:
            return
        code = self.room.judge(say)
        if code is None and self._refused_from is not None and say.number > self._refused_from:
            code = Code.EARLIER_REFUSED
        if code is not None:
            if code < 500:
                self._refused_from = min(say.number, self._refused_from or say.number)
            self.line(self._voice.refused(tag, code, "for a test"))
            return
        self._refused_from = None
        known = self.room.results.setdefault((self._name, self._client), {})
        if say.number in known:
            first, identifier = known[say.number]
            assert first == say, "one number, two messages"
            self.line(self._voice.sent(tag, identifier, again=True))
            return
        assert say.number > max(known, default=0), "a number below the highest"
        identifier = self.room.say(self._name, say.text, say.to)
        known[say.number] = (say, identifier)
        if self.room.late:
            self._holds = True
            self.room.held.append(lambda: self._answer_late(tag, identifier))
        else:
            self.line(self._voice.sent(tag, identifier, again=False))

    def _answer_late(self, tag: str, identifier: int) -> None:
        self._holds = False
        if not self.closed:
            self.line(self._voice.sent(tag, identifier, again=False))

    def _delete(self, name: str) -> None:
        self.room.marks.pop(name, None)
        self.room.tokens.pop(name, None)
        if connection := self.room.online.get(name):
            connection.line(f"NOTE deleted by={self._name} :the account {name} was deleted")
            connection.close()

    def push(self, message: ChatMessage) -> None:
        if not self._quiet:
            self.line(self._push_line(message))

    def _push_line(self, message: ChatMessage) -> str:
        previous = self.room.previous(message.id, self._name)
        push = ChatMessage(
            message.id, previous, message.time, message.sender, message.to, message.text
        )
        return self._voice.message(push, self._name)

    def close(self) -> None:
        """The connection ends, from whichever side."""
        self.closed = True
        if self.room.online.get(self._name) is self:
            del self.room.online[self._name]


class _Socket(asyncio.Protocol):
    def __init__(self, server: "Server", node: str) -> None:
        self.server = server
        self.connection = Connection(server.room, node)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.sockets.append(self)
        self.server.flush()

    def data_received(self, data: bytes) -> None:
        self.connection.feed(data)
        self.server.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.sockets.remove(self)
        self.connection.close()
        self.server.flush()


class Server:
    """Nodes of one room on 127.0.0.1; what happens in them happens in a thread."""

    def __init__(self) -> None:
        self.room = Room()
        self.sockets: list[_Socket] = []
        self._ports = HeldPorts()
        self._listeners: dict[int, asyncio.Server] = {}
        self._loop = asyncio.new_event_loop()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for port in list(self._listeners):
            self.kill(port)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()
        self._ports.let_go()

    def listen(self, node: str = "tail", at: int = 0) -> int:
        """One more node, at any port or at one that had died; its port."""
        port = at or self._ports.new()

        async def begin() -> None:
            self._listeners[port] = await self._loop.create_server(
                lambda: _Socket(self, node), "127.0.0.1", port
            )

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(DEADLINE)
        return port

    def kill(self, port: int) -> None:
        """The node at ``port`` dies: its connections break, new ones are refused."""

        async def end() -> None:
            self._listeners.pop(port).close()
            for socket in list(self.sockets):
                if socket.transport.get_extra_info("sockname")[1] == port:
                    with suppress(OSError):  # the other end has gone already
                        socket.transport.write_eof()  # before a reset, if something is unread
                    socket.transport.abort()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(DEADLINE)
        self.wait(lambda: not any(s.transport.is_closing() for s in self.sockets))

    def do(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Let something happen in the room."""

        async def act() -> Any:
            result = action(*arguments)
            self.flush()
            return result

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(DEADLINE)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until the room is as it should be."""
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE), "it did not come to that"

    def flush(self) -> None:
        for socket in list(self.sockets):
            connection = socket.connection
            if connection.out:
                socket.transport.write(bytes(connection.out))
                connection.out.clear()
            if connection.closed:
                socket.transport.close()
        with self._changed:
            self._changed.notify_all()
