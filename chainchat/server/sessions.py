"""A session: one client's connection, from its greeting to its end.

It hears lines and hands the requests in them to its ``Handler``, one after another; it tells the
client what it did not ask for: messages, through its ``Delivery``, and notices. Both modes share
all of it; they differ in the voice (``chat.human``, ``chat.machine``).
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from chainchat.chat import commands
from chainchat.chat.human import Human
from chainchat.chat.lines import TOO_LONG, TooLong, clean, is_http
from chainchat.chat.machine import Machine, tag_of
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.state import Account
from chainchat.chat.voice import Voice
from chainchat.server.delivery import Delivery
from chainchat.server.handler import Handler, Lobby
from chainchat.server.node import Clock, Timer
from chainchat.server.room import Room

LOGIN_SECONDS = 60.0
"""How long a connection may go without a login."""


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


class Session:
    """One client.

    Attributes:
        session: the session's id, empty before the login.
        account: number of the account that it holds, 0 before the login.
        name: of the account.
        voice: the mode.
        notices: whether it is told who comes and goes.
        delivery: what it is pushed; None before the login, and for those who want nothing.
        seen: id up to which a person has seen what was pushed.
    """

    def __init__(self, room: Room, connection: Connection, clock: Clock, lobby: Lobby) -> None:
        self.session = ""
        self.account = 0
        self.name = ""
        self.voice: Voice = Human()
        self.notices = True
        self.delivery: Delivery | None = None
        self.seen = 0
        self._room = room
        self._node = room.node
        self._connection = connection
        self._clock = clock
        self._lobby = lobby
        self._handler = Handler(self, room, lobby)
        self._lines: deque[bytes | TooLong] = deque()
        self._out: list[str] = []
        self._written = 0
        self._written_before_input = 0
        self._output_full = False
        self._when_writable: Callable[[], None] | None = None
        self._input_ended = False
        self._closing = False
        self._lost = False
        self._told_waiting = False
        self._login_timer: Timer | None = None

    # --- the connection's events

    def opened(self) -> None:
        """Greet, or say why nobody is served here."""
        self._room.connections.add(self)
        self._login_timer = self._clock.callLater(LOGIN_SECONDS, self._login_took_too_long)
        position = self._node.me.position
        self.say(self.voice.notice("", f"chainchat: node {position} of chain {self._lobby.chain}"))
        if self._node.standing.serving:
            how = "Type your name to log in; a new name makes a new account. Times are UTC."
            self.say(self.voice.notice("", f"{how} /help tells more."))
        self.standing_changed()
        self.flush()

    def received(self, lines: list[bytes | TooLong]) -> None:
        """Take lines in."""
        if not self._closing:
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

        Until it is sent, nothing is pushed and no request is taken.
        """
        self._output_full = full
        if full:
            if self.delivery is not None:
                self.delivery.live = False
        elif not self._lost:
            go_on, self._when_writable = self._when_writable, None
            if go_on is not None:
                go_on()
            self.pump()
            self.flush()

    def lost(self) -> None:
        """The connection is gone."""
        self._lost = True
        self.delivery = None
        self._room.connections.discard(self)
        self._stop_login_timer()
        if self.session:
            self._room.leave(self)
            self._node.submit(commands.End(self.session, self.seen))

    def _login_took_too_long(self) -> None:
        seconds = int(LOGIN_SECONDS)
        self._close_with(Code.LOGIN_TIMEOUT, f"no login within {seconds} seconds")

    def _stop_login_timer(self) -> None:
        if self._login_timer is not None and self._login_timer.active():
            self._login_timer.cancel()

    # --- writing

    def say(self, line: str) -> None:
        """See ``Client``."""
        self._out.append(line)
        self._room.unflushed(self)

    def tell(self, code: str, text: str, **values: str) -> None:
        """See ``Attendant``."""
        self.say(self.voice.notice(code, text, **values))

    def answer_telnet(self, answer: bytes) -> None:
        """Answer the client's telnet negotiation; people do not see these octets."""
        self._write(answer)

    def flush(self) -> None:
        """See ``Attendant``: write what was gathered, then what was missed, then close if due."""
        self._write_gathered()
        while self.delivery is not None and not (self.delivery.live or self._output_full):
            self.delivery.catch_up()
        if self._closing:
            self._connection.close()

    def when_writable(self, go_on: Callable[[], None]) -> None:
        """See ``Client``."""
        self.flush()
        if self._output_full:
            self._when_writable = go_on
        elif not self._lost:
            go_on()

    def _write_gathered(self) -> None:
        if self._out:
            data = "\r\n".join((*self._out, "")).encode()
            self._out = []
            self._write(data)

    def _write(self, data: bytes) -> int:
        """Write to the connection; gives the octets written to it so far."""
        if not self._lost:
            self._connection.write(data)
            self._written += len(data)
        return self._written

    def _push(self, data: bytes) -> int:
        """Write messages, behind the replies that came before them."""
        self._write_gathered()
        return self._write(data)

    # --- ends

    def close(self) -> None:
        """See ``Client``."""
        self._closing = True
        self._lines.clear()
        self._room.unflushed(self)

    def _close_with(self, code: Code, text: str) -> None:
        self.say(self.voice.refused("-", code, text))
        self.close()
        self.flush()

    def ended(self, reason: str, by: str) -> None:
        """See ``Attendant``."""
        match reason:
            case "moved":
                self.tell("moved", "this session goes on elsewhere")
            case "deleted" if not self._handler.deletes(self.name):
                self.tell("deleted", f"the account {self.name} was deleted by {by}", by=by)
            case "lost":
                text = "the chain took this node for dead and ended the session; log in again"
                self.say(self.voice.refused("-", Code.SESSION_ENDED, text))
            case _:
                pass
        self.session = ""
        self.delivery = None
        self.close()

    def take_no_more(self) -> None:
        """The node stops: what was begun is finished, nothing more is begun."""
        self._note_seen()
        self._lines.clear()
        self._connection.hold(held=True)

    def shut_down(self) -> None:
        """The node stops: say where to go, and close."""
        if not self._closing:
            nodes = self._others()
            where = f"; go on at {' or '.join(nodes)}" if nodes else ""
            self.tell("closing", f"this node stops{where}", nodes=",".join(nodes))
            self.close()
            self.flush()

    def _others(self) -> list[str]:
        """The addresses of the other nodes, for clients."""
        own = self._node.me.position
        return [a for position, a in self._lobby.addresses.items() if position != own]

    # --- the node's standing

    def standing_changed(self) -> None:
        """See ``Attendant``."""
        standing = self._node.standing
        if self._closing:
            return
        if not standing.serving:
            elsewhere = "; try " + " or ".join(self._others()) if self._others() else ""
            self._close_with(Code.NOT_SERVING, f"{standing.reason}{elsewhere}")
        elif standing.reason:
            text = f"{standing.reason}. What you say is not confirmed yet."
            self._told_waiting = True
            self.tell("waiting", text, **{"for": ",".join(standing.waiting_for)})
        elif self._told_waiting:
            self._told_waiting = False
            self.tell("serving", "the chain confirms again")

    # --- requests, one after another

    def pump(self) -> None:
        """Carry out lines until one has to be waited for."""
        if self._lost:
            return
        while self._lines and not self._must_wait():
            self._hear(self._lines.popleft())
        self._connection.hold(held=bool(self._lines))
        if self._input_ended and not self._lines and not self._handler.replies:
            self.close()

    def _must_wait(self) -> bool:
        return self._handler.waiting or self._output_full or self._node.congested

    def _hear(self, line: bytes | TooLong) -> None:
        """Carry out one line, or say why not."""
        tag = "-"
        try:
            if line is TOO_LONG:
                most = self._lobby.max_line
                raise RefusedError(Code.LINE_TOO_LONG, f"a line has at most {most} octets")
            if isinstance(self.voice, Machine):
                tag = tag_of(line)
            text = clean(line)
            if not text.strip():
                return
            if not self.session and is_http(text):
                self._close_with(Code.HTTP, "this is a chat, not a web server: use telnet or nc")
                return
            tag, request = self.voice.parse(text, logged_in=bool(self.session))
            self._handler.carry_out(tag, request)
        except RefusedError as refusal:
            tag = tag if refusal.tag == "-" else refusal.tag
            self._handler.replies.answer(self.voice.refused(tag, refusal.code, refusal.text))

    # --- the account, and what is seen of its messages

    def attach(self, account: Account, after: int, *, quiet: bool) -> None:
        """See ``Client``."""
        self.account, self.name = account.number, account.name
        self.seen = account.seen
        self._stop_login_timer()
        if self._lost:
            return
        self._room.enter(self)
        self.notices = self.notices and not quiet
        if not quiet:
            self.delivery = Delivery(
                self.account, self.name, self.voice, self._node.history, self._push, after=after
            )
            self._room.unflushed(self)

    def _note_seen(self) -> None:
        """A person did something, so what their machine has acknowledged by now was seen."""
        if self.delivery is None or not isinstance(self.voice, Human):
            return
        octets = self._connection.acknowledged()
        if octets is None:
            octets, self._written_before_input = self._written_before_input, self._written
        seen = self.delivery.seen(octets)
        if seen > self.seen:
            self.seen = seen
            self._room.seen(self.account, seen)
