"""A session: one client's connection, from its greeting to its end.

It hears lines and hands the requests in them to its ``Handler``, one after another, but for those
that may overtake; it tells the client what it did not ask for: messages, through its ``Delivery``,
and notices. Both modes share all of it; they differ in the voice (``chat.human``,
``chat.machine``).

Whatever comes, from the socket, a timer or the log, is only noted. Lines are heard, octets written
and the connection closed in ``flush`` alone, which the room calls in its phase (see ``Room``).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from chainchat.chat import commands
from chainchat.chat.accounts import Account
from chainchat.chat.human import HUMAN, Human, drawn
from chainchat.chat.lines import TOO_LONG, Line, clean, is_http
from chainchat.chat.machine import Machine, leading_sends, tag_of
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.voice import Voice
from chainchat.server.delivery import Delivery, Reading
from chainchat.server.handler import SAID_AT_ONCE, Handler, Lobby
from chainchat.server.intake import NOTHING, Intake
from chainchat.server.interfaces import Clock, Timer
from chainchat.server.room import Room

LOGIN_SECONDS = 60.0
"""How long a connection may go without a login."""

WAITING_OCTETS = 16 * 1024
"""How many octets of lines may wait for their turn before the rest is left in the socket."""

LISTED = 20
"""Requests that are listed when the connection ends without an answer to them; more are counted."""

_NO_LINES: list[str] = []
"""What is gathered for a client that is told nothing: one for all of them, and never added to."""


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
    """

    __slots__ = (  # one of it for each client, of whom there can be thousands
        "_clock",
        "_closing",
        "_connection",
        "_handler",
        "_input_ended",
        "_intake",
        "_lobby",
        "_login_timer",
        "_node",
        "_open",
        "_out",
        "_output_full",
        "_reading",
        "_room",
        "_taking",
        "_told_waiting",
        "_when_writable",
        "_written",
        "account",
        "delivery",
        "name",
        "notices",
        "session",
        "voice",
    )

    def __init__(self, room: Room, connection: Connection, clock: Clock, lobby: Lobby) -> None:
        self.session = ""
        self.account = 0
        self.name = ""
        self.voice: Voice = HUMAN
        self.notices = True
        self.delivery: Delivery | None = None
        self._room = room
        self._node = room.node
        self._connection = connection
        self._clock = clock
        self._lobby = lobby
        self._handler = Handler(self, room, lobby)
        self._intake = NOTHING
        self._out = _NO_LINES
        self._written = 0
        self._reading: Reading | None = None
        self._output_full = False
        self._when_writable: Callable[[], None] | None = None
        self._taking = True
        self._input_ended = False
        self._closing = False
        self._open = True
        self._told_waiting = False
        self._login_timer: Timer | None = None

    # --- the connection's events

    def opened(self) -> None:
        """Greet, or say why nobody is served here."""
        self._room.connections[self] = None
        self._login_timer = self._clock.callLater(LOGIN_SECONDS, self._login_took_too_long)
        position = self._node.me.position
        self.tell("", f"chainchat: node {position} of chain {self._lobby.chain}")
        if self._node.standing.serving:
            how = "Type your name to log in; a new name makes a new account. Times are UTC."
            self.tell("", f"{how} /help tells more.")
        self.standing_changed()
        self._room.flush()

    def received(self, lines: list[Line]) -> None:
        """Take lines in."""
        if self._taking:
            self._note_seen()
            if not self._intake:
                self._intake = Intake()
            self._intake.add(lines)
            self._flush_now()

    def input_ended(self) -> None:
        """The client sends no more; it is answered what it asked, then the connection is closed."""
        self._note_seen()
        self._input_ended = True
        self._flush_now()

    def output_full(self, *, full: bool) -> None:
        """Whether more stands unsent than should.

        Until it is sent, nothing is pushed and no request is taken.
        """
        self._output_full = full
        if not full:
            self._flush_now()
        elif self.delivery is not None:
            self.delivery.live = False

    def lost(self) -> None:
        """The connection is gone."""
        self._open = False
        self.delivery = None
        self._room.connections.pop(self, None)
        self._stop_login_timer()
        if self.session:
            self._room.leave(self)
            self._room.submit(self.account, commands.End(self.session, self.seen))

    def _login_took_too_long(self) -> None:
        if self.session:  # asked for, and the chain has not answered yet
            self._login_timer = self._clock.callLater(LOGIN_SECONDS, self._login_took_too_long)
            return
        seconds = int(LOGIN_SECONDS)
        self._close_with(Code.LOGIN_TIMEOUT, f"no login within {seconds} seconds")
        self._room.flush()

    def _stop_login_timer(self) -> None:
        timer, self._login_timer = self._login_timer, None
        if timer is not None and timer.active():
            timer.cancel()

    # --- writing

    def say(self, lines: Sequence[str]) -> None:
        """See ``Client``."""
        if not self._out:
            self._out = []
        self._out += lines
        self._room.unflushed(self)

    def tell(self, code: str, text: str, **values: str) -> None:
        """See ``Attendant``."""
        self.say([self.voice.notice(code, text, **values)])

    def answer_telnet(self, answer: bytes) -> None:
        """Answer the client's telnet negotiation; people do not see these octets."""
        self._write(answer)

    def when_writable(self, go_on: Callable[[], None]) -> None:
        """See ``Client``."""
        assert self._when_writable is None
        self._when_writable = go_on
        self._room.unflushed(self)

    def push(self, data: bytes, newest: int) -> None:
        """See ``Recipient``: written behind the replies that came before."""
        self._write_gathered()
        self._write(data)
        if self._reading is not None:
            self._reading.pushed(newest, self._written)

    def _write_gathered(self) -> None:
        if self._out:
            data = "\r\n".join((*self._out, "")).encode()
            self._out = _NO_LINES
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._open:
            self._connection.write(data)
            self._written += len(data)

    # --- the end of a turn

    def flush(self) -> None:
        """See ``Attendant``."""
        if not self._open:
            return
        self._hear_lines()
        self._write_gathered()
        while self._node.running and self.delivery is not None:
            if self.delivery.live or self._output_full:
                break
            self.delivery.catch_up()
        if self._when_writable is not None and not self._output_full:
            go_on, self._when_writable = self._when_writable, None
            go_on()
        if self._closing or self._finished():
            self._open = False
            self._connection.close()

    def _flush_now(self) -> None:
        """Act on what came between two turns."""
        self._room.unflushed(self)
        self._room.flush()

    def _finished(self) -> bool:
        """Whether the client sends no more, and has everything."""
        pushed = self.delivery is None or self.delivery.live
        return self._input_ended and pushed and not self.busy

    # --- ends

    def close(self) -> None:
        """See ``Client``."""
        self._closing = True
        self._take_no_lines()
        self.delivery = None
        self._room.unflushed(self)

    def _close_with(self, code: Code, text: str) -> None:
        self.say([self.voice.refused("-", code, text)])
        self.close()

    def _take_no_lines(self) -> None:
        self._taking = False
        self._intake = NOTHING

    def ended(self, reason: str, by: str) -> None:
        """See ``Attendant``."""
        match reason:
            case "moved":
                self.tell("moved", "this session goes on elsewhere")
            case "deleted" if by != self.name:
                self.tell("deleted", f"the account {self.name} was deleted by {by}", by=by)
            case "lost":
                text = "the chain took this node for dead and ended the session; log in again"
                self.say([self.voice.refused("-", Code.SESSION_ENDED, text)])
            case _:
                pass
        self.session = ""
        self.close()

    def take_no_more(self) -> None:
        """The node stops: what was read is answered, nothing more is read."""
        self._note_seen()
        self._taking = False
        self._flush_now()

    @property
    def busy(self) -> bool:
        """Whether something that was read is not answered yet."""
        return bool(self._intake or self._handler.replies)

    def shut_down(self) -> None:
        """The node stops."""
        self._say_goodbye("this node stops")

    def dropped_out(self) -> None:
        """The chain went on without this node."""
        self._say_goodbye("the chain goes on without this node")

    def _say_goodbye(self, why: str) -> None:
        """List what was asked for and has no answer, say where to go, and close."""
        if self._closing:
            return
        unanswered = [
            ("waiting", f"not confirmed, it may or may not have been {about}")
            for about in self._handler.unconfirmed()
        ]
        unanswered += [("undone", f"not done: {text}") for text in self._unheard()]
        for code, text in unanswered[:LISTED]:
            self.tell(code, text)
        if len(unanswered) > LISTED:
            self.tell("undone", f"and {len(unanswered) - LISTED} more, not confirmed or not done")
        nodes = self._others()
        where = f"; go on at {' or '.join(nodes)}" if nodes else ""
        self.tell("closing", f"{why}{where}", nodes=",".join(nodes))
        self.close()
        self._room.flush()

    def _unheard(self) -> Iterator[str]:
        """The lines that have not had their turn, as far as they can be shown."""
        for line in self._intake:
            with suppress(RefusedError):
                if line is not TOO_LONG and (text := clean(line).strip()):
                    yield text

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
            self._turn_away(standing.reason)
        elif standing.reason:
            text = standing.reason
            if not standing.confirms:
                text += ". What you say is not confirmed yet."
            self._told_waiting = True
            self.tell("waiting", text, **{"for": ",".join(standing.waiting_for)})
            self._handler.replies.overtake()
            self._intake.look_again()
        elif self._told_waiting:
            self._told_waiting = False
            self.tell("serving", "the chain confirms again")

    def _turn_away(self, reason: str) -> None:
        """Nobody is served here: show what ``/chain`` would, say why, name the others, close."""
        for line in drawn(self._node.view()):
            if line != reason:
                self.tell("", line)
        elsewhere = "; try " + " or ".join(self._others()) if self._others() else ""
        self._close_with(Code.NOT_SERVING, f"{reason}{elsewhere}")

    # --- requests, one after another

    def _hear_lines(self) -> None:
        """Carry out lines until one has to wait; then those that overtake it."""
        while self._intake and not self._must_wait():
            lines = self._intake.next(SAID_AT_ONCE)
            sends = leading_sends(lines) if self.session and self._is_program else []
            self._intake.take(len(sends) or 1)
            if sends:
                self._handler.send(sends)
            else:
                self._hear(lines[0])
        if self._intake and not self._output_full:
            for line in self._intake.take_overtaking(self._may_overtake):
                self._hear(line)
        if not self._intake:
            self._intake = NOTHING
        # To find what may overtake it has to be read, though other lines wait.
        room = 0 if self._output_full else WAITING_OCTETS
        self._connection.hold(held=self._intake.octets > room or not self._taking)

    def _must_wait(self) -> bool:
        return self._output_full or self._node.congested or self._handler.replies.holding_later

    def _may_overtake(self, line: Line) -> bool:
        """Whether a line that comes before its turn is answered all the same."""
        if line is TOO_LONG:
            return False
        try:
            _, request = self.voice.parse(clean(line), logged_in=bool(self.session))
        except RefusedError:
            return False
        return self._handler.is_answered_at_once(request)

    def _hear(self, line: Line) -> None:
        """Carry out one line, or say why not."""
        tag = ""
        try:
            if line is TOO_LONG:
                most = self._lobby.max_line
                raise RefusedError(Code.LINE_TOO_LONG, f"a line has at most {most} octets")
            text = clean(line)
            if not text or text.isspace():
                return
            if not self.session and is_http(text):
                self._close_with(Code.HTTP, "this is a chat, not a web server: use telnet or nc")
                return
            tag, request = self.voice.parse(text, logged_in=bool(self.session))
            self._handler.carry_out(tag, request)
        except RefusedError as refusal:
            if refusal.tag != "-":
                tag = refusal.tag
            elif not tag:
                tag = self._tag_of(line)
            self._handler.refuse(tag, refusal.code, refusal.text)

    @property
    def _is_program(self) -> bool:
        return isinstance(self.voice, Machine)

    def _tag_of(self, line: Line) -> str:
        """The tag of a line that could not be read."""
        if line is TOO_LONG or not self._is_program:
            return "-"
        return tag_of(line)

    # --- the account, and what is seen of its messages

    def attach(self, account: Account, after: int, *, quiet: bool) -> None:
        """See ``Client``."""
        # The state's own string for each, not another of the same text: there can be thousands.
        self.account, self.name, self.session = account.number, account.name, account.session
        self._stop_login_timer()
        if not self._open:
            return
        self._room.enter(self)
        self.notices = self.notices and not quiet
        if isinstance(self.voice, Human):
            self._reading = Reading(account.seen)
        if not quiet:
            self.delivery = Delivery(self, self._node.history, after)
            self._room.unflushed(self)

    @property
    def seen(self) -> int:
        """See ``Client``."""
        return 0 if self._reading is None else self._reading.seen

    def _note_seen(self) -> None:
        reading = self._reading
        if reading is None:
            return
        if reading.did_something(self._connection.acknowledged(), self._written):
            self._room.seen(self.account, reading.seen)
