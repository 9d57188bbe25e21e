"""A session: one client's connection, from its greeting to its end.

It hears lines, carries out the requests in them and answers in their order. Both modes share all of
it; they differ in the voice (``chat.human``, ``chat.machine``).

What is pushed follows a cursor over the log: a session that has seen everything before is *live*
and gets each turn's messages from the room; one that has just logged in, or whose connection is
slow, is behind and reads on from the log. So a slow reader costs nothing and loses nothing.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, field

from chainchat.chat import commands, queries, requests
from chainchat.chat.commands import TO_EVERYBODY, UNKNOWN
from chainchat.chat.human import Human
from chainchat.chat.lines import TOO_LONG, TooLong, clean, is_http
from chainchat.chat.machine import Machine, greeting, tag_of
from chainchat.chat.queries import Page, Query
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import EVERYBODY
from chainchat.chat.state import REMEMBERED_SENDS, Accepted, Result, Said
from chainchat.chat.voice import Message, Voice
from chainchat.server.node import Clock, Timer
from chainchat.server.room import Room, render

LOGIN_SECONDS = 60.0
"""How long a connection may go without a login."""

CATCH_UP_MESSAGES = 200
"""Messages read from the log at a time for a session that is behind."""

COUNTED_MISSED = 1_000
"""More missed messages than this are not counted exactly."""

ALLOWED_BEFORE_LOGIN = (
    requests.Hello,
    requests.Login,
    requests.Resume,
    requests.Chain,
    requests.Help,
    requests.Ping,
    requests.Logout,
)


class Connection(Protocol):
    """The bytes of one client."""

    def write(self, data: bytes) -> None:
        """Send it, when the client's machine takes it."""

    def close(self) -> None:
        """Close when everything written was sent."""

    def hold(self, *, held: bool) -> None:
        """Whether to leave what the client sends in its socket."""

    def acknowledged(self) -> int | None:
        """How many of the octets written the client's machine has acknowledged.

        None where the system cannot tell.
        """


class Lobby(Struct, frozen=True):
    """What every session of a node has in common.

    Attributes:
        chain: the chain's name.
        max_line: octets of a client's line.
        addresses: ``host:port`` of every node for clients, by position.
        new_token: makes a session's token.
    """

    chain: str
    max_line: int
    addresses: dict[str, str]
    new_token: Callable[[], str]


class _Reply(Struct, eq=False):
    """The place of one reply in the order of replies.

    Attributes:
        lines: what to answer, as far as known.
        complete: whether that is all.
        start: what to do when all earlier replies are complete; None if it was done at once.
    """

    lines: list[str] = field(default_factory=list)
    complete: bool = False
    start: Callable[[], None] | None = None


class Session:
    """One client.

    Attributes:
        session: the session's id, empty before the login.
        account: number of the account that it holds, 0 before the login.
        name: of the account.
        voice: the mode.
        live: whether it has everything up to the newest entry applied, and so gets what comes next.
        notices: whether it is told who comes and goes.
        previous: id of the newest message pushable to it up to its cursor.
        day: UTC day of the last message shown.
    """

    def __init__(self, room: Room, connection: Connection, clock: Clock, lobby: Lobby) -> None:
        self.session = ""
        self.account = 0
        self.name = ""
        self.voice: Voice = Human()
        self.live = False
        self.notices = True
        self.previous = 0
        self.day = 0
        self._room = room
        self._node = room.node
        self._connection = connection
        self._clock = clock
        self._lobby = lobby
        self._client = ""
        self._quiet = False
        self._cursor = 0
        self._catching_up = False
        self._lines: deque[bytes | TooLong] = deque()
        self._replies: deque[_Reply] = deque()
        self._barrier = False
        """Whether later lines have to wait for a reply: after a login, a read, a deletion."""
        self._unanswered_sends = 0
        self._refused_send: int | None = None
        self._out: list[str] = []
        self._written = 0
        self._shown: deque[tuple[int, int]] = deque()
        """For people: (octets written when a push ended, id of its newest message)."""
        self._seen = 0
        self._output_full = False
        self._input_ended = False
        self._closing = False
        self._lost = False
        self._stopping = False
        self._told_waiting = False
        self._deleting = ""
        self._login_timer: Timer | None = None

    # --- the connection's events

    def opened(self) -> None:
        """Greet, or say why nobody is served here."""
        self._room.connections.add(self)
        self._login_timer = self._clock.callLater(LOGIN_SECONDS, self._login_took_too_long)
        self._say(
            self.voice.notice(
                "", f"chainchat: node {self._node.me.position} of the chain {self._lobby.chain}"
            )
        )
        if not self._node.standing.serving:
            self._refuse_service()
        else:
            self._say(
                self.voice.notice(
                    "",
                    "Type your name to log in; a new name makes a new account. /help tells more. "
                    "Times are UTC.",
                )
            )
            self.standing_changed()
        self.flush()

    def received(self, lines: list[bytes | TooLong]) -> None:
        """Take lines in."""
        if self._closing:
            return
        self._note_seen()
        self._lines.extend(lines)
        self.pump()
        self.flush()

    def input_ended(self) -> None:
        """The client sends no more; it is answered what it asked, then the connection is closed."""
        self._note_seen()
        self._input_ended = True
        self.pump()
        self.flush()

    def output_full(self, *, full: bool) -> None:
        """Whether more stands unsent than should.

        Nothing is pushed and no request is taken until it is sent.
        """
        self._output_full = full
        if full:
            self.live = False
        elif not self._lost:
            self._continue_reading()
            self.pump()
            self.flush()

    def lost(self) -> None:
        """The connection is gone."""
        self._lost = True
        self.live = False
        self._room.connections.discard(self)
        if self._login_timer is not None and self._login_timer.active():
            self._login_timer.cancel()
        if self.session:
            self._room.leave(self)
            self._node.submit(commands.End(self.session, self._seen))

    def _login_took_too_long(self) -> None:
        if not self.session:
            seconds = int(LOGIN_SECONDS)
            self._close_with(Code.LOGIN_TIMEOUT, f"no login within {seconds} seconds")

    # --- writing

    def answer_telnet(self, answer: bytes) -> None:
        """Answer the client's telnet negotiation; people do not see these octets."""
        self._write(answer)

    def _say(self, line: str) -> None:
        self._out.append(line)

    def tell(self, code: str, text: str, **values: str) -> None:
        """See ``Attendant``."""
        if not self._quiet:
            self._say(self.voice.notice(code, text, **values))
            self._room.unflushed(self)

    def push(self, data: bytes, newest: int, previous: int) -> None:
        """See ``Attendant``."""
        self._write_gathered()
        self._write(data)
        self._cursor = newest
        self.previous = previous
        if isinstance(self.voice, Human):
            self._shown.append((self._written, newest))

    def flush(self) -> None:
        """See ``Attendant``."""
        self._write_gathered()
        if self._closing:
            self._connection.close()
        elif self._catching_up:
            self._catch_up()

    def _write_gathered(self) -> None:
        if self._out:
            self._out.append("")
            data = "\r\n".join(self._out).encode()
            self._out = []
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self._lost:
            self._connection.write(data)
            self._written += len(data)

    def _close_with(self, code: Code, text: str) -> None:
        self._say(self.voice.refused("-", code, text))
        self._closing = True
        self.flush()

    def _others(self) -> str:
        """The addresses of the other nodes, for clients."""
        own = self._node.me.position
        return ",".join(a for position, a in self._lobby.addresses.items() if position != own)

    # --- the node's standing, and ends from outside

    def standing_changed(self) -> None:
        """See ``Attendant``."""
        standing = self._node.standing
        if self._closing:
            return
        if not standing.serving:
            self._refuse_service()
        elif standing.reason:
            text = f"{standing.reason}. What you say is not confirmed yet."
            self._told_waiting = True
            self.tell("waiting", text, **{"for": ",".join(standing.waiting_for)})
        elif self._told_waiting:
            self._told_waiting = False
            self.tell("serving", "the chain confirms again")

    def _refuse_service(self) -> None:
        others = self._others().replace(",", " or ")
        elsewhere = f"; try {others}" if others else ""
        self._close_with(Code.NOT_SERVING, f"{self._node.standing.reason}{elsewhere}")

    def take_no_more(self) -> None:
        """The node stops: carry out nothing that is not carried out yet."""
        self._note_seen()
        self._lines.clear()
        self._input_ended = False
        self._stopping = True
        self._connection.hold(held=True)

    def shut_down(self) -> None:
        """The node stops: say where to go, and close."""
        if not self._closing:
            nodes = self._others()
            text = "this node stops" + (f"; go on at {nodes.replace(',', ' or ')}" if nodes else "")
            self._say(self.voice.notice("closing", text, nodes=nodes))
            self._closing = True
            self.flush()

    def ended(self, reason: str, by: str) -> None:
        """See ``Attendant``."""
        match reason:
            case "moved":
                self._say(self.voice.notice("moved", "this session goes on elsewhere"))
            case "deleted" if self._deleting != self.name.lower():
                text = f"the account {self.name} was deleted by {by}"
                self._say(self.voice.notice("deleted", text, by=by))
            case "lost":
                text = "the chain took this node for dead and ended the session; log in again"
                self._say(self.voice.refused("-", Code.SESSION_ENDED, text))
            case _:
                pass
        self.session = ""
        self.live = False
        self._closing = True
        self._room.unflushed(self)

    # --- requests, one after another

    def pump(self) -> None:
        """Carry out lines until one has to be waited for."""
        while self._lines and not self._must_wait():
            self._hear(self._lines.popleft())
        self._connection.hold(held=bool(self._lines))
        if self._input_ended and not self._lines and not self._replies and not self._closing:
            self._closing = True
            self._room.unflushed(self)

    def _must_wait(self) -> bool:
        return (
            self._stopping
            or self._barrier
            or self._closing
            or self._output_full
            or self._node.congested
        )

    def _hear(self, line: bytes | TooLong) -> None:
        tag = "-" if line is TOO_LONG or not isinstance(self.voice, Machine) else tag_of(line)
        try:
            if line is TOO_LONG:
                raise RefusedError(
                    Code.LINE_TOO_LONG,
                    f"a line has at most {self._lobby.max_line} octets; not taken",
                )
            text = clean(line)
            if not text.strip():
                return
            if not self.session and is_http(text):
                self._close_with(Code.HTTP, "this is a chat, not a web server: use telnet or nc")
                return
            tag, request = self.voice.parse(text, logged_in=bool(self.session))
            self._carry_out(tag, request)
        except RefusedError as refusal:
            if refusal.tag != "-":
                tag = refusal.tag
            self._answer(self.voice.refused(tag, refusal.code, str(refusal.text)))

    def _carry_out(self, tag: str, request: requests.Request) -> None:
        """Raises RefusedError for what can be refused at once."""
        if not self.session and not isinstance(request, ALLOWED_BEFORE_LOGIN):
            raise RefusedError(Code.LOG_IN_FIRST, "log in first")
        match request:
            case requests.Say():
                self._send(tag, request)
            case requests.Hello():
                self._hello(request)
            case requests.Login() | requests.Resume():
                self._log_in(tag, request)
            case requests.Acknowledge():
                reply = self._reserve()
                done = self.voice.done(tag, "")
                self._room.seen(self.account, request.id, lambda: self._complete(reply, done))
            case requests.Since():
                count = (1 << 62) if request.count is None else request.count
                self._ask(tag, queries.Later(self.account, request.id, count))
            case requests.Last():
                self._ask(tag, queries.Recent(self.account, request.count))
            case requests.List():
                self._ask(tag, queries.Accounts(queries.checked_pattern(request.pattern)))
            case requests.Who():
                self._ask(tag, queries.Present())
            case requests.Delete():
                self._delete(tag, request)
            case requests.Chain():
                self._answer(*self.voice.chain(tag, self._node.view()))
            case requests.Help():
                self._answer(*self.voice.help(tag, request.verb))
            case requests.Notices():
                self.notices = request.on
                what = "shown" if request.on else "not shown"
                self._answer(self.voice.done(tag, f"who comes and goes is {what}"))
            case requests.Ping():
                self._answer(self.voice.done(tag, ""))
            case requests.Logout():
                self._log_out(tag)

    # --- replies, in order

    def _reserve(self, start: Callable[[], None] | None = None) -> _Reply:
        """The next place in the order of replies."""
        reply = _Reply(start=start)
        self._replies.append(reply)
        return reply

    def _answer(self, *lines: str) -> None:
        """Reply at once, or as soon as the earlier replies are complete."""
        if self._replies:
            self._complete(self._reserve(), *lines)
        else:
            self._out += lines

    def _complete(self, reply: _Reply, *lines: str) -> None:
        """The rest of a reply is known."""
        reply.lines += lines
        reply.complete = True
        while self._replies:
            first = self._replies[0]
            self._out += first.lines
            first.lines = []
            if not first.complete:
                break
            self._replies.popleft()
        self._start_first()
        self._room.unflushed(self)

    def _start_first(self) -> None:
        if self._replies and self._replies[0].start is not None:
            start, self._replies[0].start = self._replies[0].start, None
            start()

    def _release(self) -> None:
        """The reply that later lines had to wait for is complete."""
        self._barrier = False
        if not self._lost:
            self.pump()

    # --- hello, login, logout

    def _hello(self, request: requests.Hello) -> None:
        self._client = request.client
        self.notices = request.notices
        self.voice = Machine()
        nodes = list(self._lobby.addresses.values())
        self._answer(greeting(self._node.me.position, self._lobby.max_line, nodes))

    def _log_in(self, tag: str, request: requests.Login | requests.Resume) -> None:
        if self.session:
            raise RefusedError(Code.LOGGED_IN_ALREADY, f"you are logged in already, as {self.name}")
        session = self._room.new_session()
        token = ""
        command: commands.AnyCommand
        if isinstance(request, requests.Login):
            token = self._lobby.new_token() if self._client else ""
            command = commands.Login(session, request.name, self._client, _hashed(token))
        else:
            command = commands.Resume(session, request.name, self._client, _hashed(request.token))
        reply = self._reserve()
        self._barrier = True
        self.session = session

        def replied(result: Result) -> None:
            if isinstance(result, Accepted):
                self._complete(reply, self._attached(tag, request, token, result.id))
            else:
                self.session = ""
                self._complete(reply, self._refused(tag, result.code, result.about))
            self._release()

        self._node.submit(command, replied)

    def _attached(
        self, tag: str, request: requests.Login | requests.Resume, token: str, high: int
    ) -> str:
        """This connection holds the account now; delivery begins. Gives the reply."""
        account = self._node.state.account_of(self.session)
        assert account is not None
        self.account, self.name = account.number, account.name
        if not self._lost:
            self._room.enter(self)
        if isinstance(request, requests.Resume):
            self._begin_delivery(request.after)
            return self.voice.resumed(tag, high)
        self._quiet = request.quiet
        if not self._quiet:
            self._begin_delivery(account.seen)
        missed = self._node.history.missed(self.account, account.seen, COUNTED_MISSED)
        return self.voice.logged_in(tag, self.name, token, high, len(missed))

    def _log_out(self, tag: str) -> None:
        reply = self._reserve()
        self._barrier = True
        goodbye = self.voice.done(tag, "goodbye")
        if not self.session:
            self._complete(reply, goodbye)
            self._closing = True
            return
        self._note_seen()
        self._node.submit(
            commands.Logout(self.session, self._seen), lambda _: self._complete(reply, goodbye)
        )

    # --- saying and deleting

    def _send(self, tag: str, request: requests.Say) -> None:
        self._check_send(request.number)
        recipient, to = TO_EVERYBODY, EVERYBODY
        if request.to != EVERYBODY:
            account = self._node.state.account_named(request.to)
            recipient, to = (account.number, account.name) if account else (UNKNOWN, request.to)
        digest = _hashed(f"{request.to}\0{request.text}")[:8] if request.number else b""
        command = commands.Say(
            self.session,
            self.account,
            self.name,
            recipient,
            to,
            request.text,
            self._client,
            request.number,
            digest,
        )
        reply = self._reserve()
        self._unanswered_sends += 1

        def replied(result: Result) -> None:
            self._unanswered_sends -= 1
            if isinstance(result, Accepted):
                line = self.voice.sent(tag, result.id, again=result.again)
            else:
                line = self._refused(tag, result.code, result.about, again=result.again)
            self._complete(reply, line)

        self._node.submit(command, replied)

    def _check_send(self, number: int) -> None:
        """A program's SENDs keep their order: after a 4xx, no later number before that one."""
        if not number:
            return
        if self._refused_send is not None and number > self._refused_send:
            raise RefusedError(
                Code.EARLIER_REFUSED, f"not sent: SEND {self._refused_send} has to come first"
            )
        if self._unanswered_sends >= REMEMBERED_SENDS:
            self._refused_send = number
            raise RefusedError(
                Code.TOO_MANY_UNANSWERED,
                f"not sent: {REMEMBERED_SENDS} SENDs are unanswered; wait for replies",
            )
        self._refused_send = None

    def _delete(self, tag: str, request: requests.Delete) -> None:
        name = request.name or self.name
        account = self._node.state.account_named(name)
        if not request.confirmed:
            if account is None:
                raise RefusedError(Code.NO_SUCH_ACCOUNT, f"there is no account {name}; see /list")
            raise RefusedError(
                Code.CONFIRM_DELETION,
                f"this deletes {account.name} and all that waits for it: "
                f"type /delete {account.name} yes",
            )
        reply = self._reserve()
        self._barrier = True
        self._deleting = name.lower()

        def replied(result: Result) -> None:
            self._deleting = ""
            if isinstance(result, Accepted):
                line = self.voice.done(tag, f"{name} is deleted")
            else:
                line = self._refused(tag, result.code, result.about)
            self._complete(reply, line)
            self._release()

        number = account.number if account else UNKNOWN
        self._node.submit(commands.Delete(self.session, number, name), replied)

    def _refused(self, tag: str, code: Code, about: str, *, again: bool = False) -> str:
        return self.voice.refused(tag, code, _explanation(code, about), again=again)

    # --- reading

    def _ask(self, tag: str, query: Query) -> None:
        """Ask the tail when the earlier requests are answered; later ones wait for it."""
        reply = self._reserve(start=lambda: self._node.ask(query, show))
        self._barrier = True
        count = 0

        def show(page: Page) -> None:
            nonlocal count
            lines = [self.voice.item(tag, name) for name in page.names]
            lines += [self.voice.message_item(tag, m, self.name) for m in page.messages]
            count += len(lines)
            if page.more is None:
                what = (
                    "messages" if isinstance(query, queries.Recent | queries.Later) else "accounts"
                )
                self._complete(reply, *lines, self.voice.end(tag, f"{count} {what}"))
                self._release()
                return
            more = page.more
            self._out += lines
            self._room.unflushed(self)
            self._when_room(lambda: self._node.ask(more, show))

        self._start_first()

    def _when_room(self, go_on: Callable[[], None]) -> None:
        """Read on, but not faster than the client takes it."""
        self.flush()
        if self._lost:
            return
        if self._output_full:
            self._read_on = go_on
        else:
            go_on()

    _read_on: Callable[[], None] | None = None

    def _continue_reading(self) -> None:
        read_on, self._read_on = self._read_on, None
        if read_on is not None:
            read_on()
        if self.session and not self._quiet and self.account:
            self._catching_up = True

    # --- delivery

    def _begin_delivery(self, after: int) -> None:
        self._cursor = after
        self._seen = after
        self.previous = self._node.history.previous(self.account, after + 1)
        self._catching_up = True

    def _catch_up(self) -> None:
        """Push from the log until the session is live or its connection is full."""
        while self._catching_up and not self._output_full and not self._lost:
            missed = self._node.history.missed(self.account, self._cursor, CATCH_UP_MESSAGES)
            if not missed:
                self._catching_up = False
                self.live = True
                self._cursor = self._node.state.applied
                return
            data, self.day = render(self, [_as_said(message) for message in missed])
            self.push(data, missed[-1].id, missed[-1].id)

    def _note_seen(self) -> None:
        """A person did something, so what their machine has acknowledged by now was seen."""
        if not self.session or not isinstance(self.voice, Human):
            return
        acknowledged = self._connection.acknowledged()
        if acknowledged is None:
            acknowledged = self._written_before_input
            self._written_before_input = self._written
        seen = self._seen
        while self._shown and self._shown[0][0] <= acknowledged:
            seen = self._shown.popleft()[1]
        if seen > self._seen:
            self._seen = seen
            self._room.seen(self.account, seen)

    _written_before_input = 0


def _hashed(text: str) -> bytes:
    """SHA-256; empty for an empty text."""
    return hashlib.sha256(text.encode()).digest() if text else b""


def _as_said(message: Message) -> Said:
    return Said(message.id, message.time, 0, message.sender, 0, message.to, message.text)


def _explanation(code: Code, about: str) -> str:
    """What a refusal of ``ChatState`` means, and what to do."""
    match code:
        case Code.NAME_IN_USE:
            return f"the name {about} is in use; log in with another, or try again later"
        case Code.NO_SUCH_ACCOUNT:
            return f"there is no account {about}; the list of accounts has the names"
        case Code.BAD_TOKEN:
            return f"this token does not resume {about}; log in"
        case Code.NUMBER_REUSED:
            return "this number was used for another message; nothing was sent"
        case Code.NUMBER_FORGOTTEN:
            return "this number is too old to be remembered; it may have been sent before"
        case _:
            return "this session has ended; connect again"
