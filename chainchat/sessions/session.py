"""A session: one client's connection, from its greeting to its end.

A session reads lines and hands the requests in them to its ``Handler``, in order, except those that
may overtake. Its ``Delivery`` pushes messages to the client. All modes share this code; a session
asks its mode (``chat.modes``) wherever modes differ.

An event from the socket, a timer or the log is only noted. The session works when its turn comes
(see ``rounds``): ``hear`` carries out some lines, ``go_on`` does one piece of what can wait, and
``flush`` writes octets and closes the connection.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from chainchat.chat import commands
from chainchat.chat.accounts import Account
from chainchat.chat.lines import TOO_LONG, Line, LineSplitter, clean, is_http
from chainchat.chat.modes import FIRST
from chainchat.chat.modes.mode import Mode, drawn
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import Say
from chainchat.node.interfaces import Clock, Timer
from chainchat.sessions.delivery import Delivery
from chainchat.sessions.input import NOTHING, InputQueue
from chainchat.sessions.interfaces import Connection, ServerInfo
from chainchat.sessions.pace import NEWCOMER, PERSON, PROGRAM, READ_UNITS, Pace
from chainchat.sessions.read_marks import Reading
from chainchat.sessions.requests import SAID_AT_ONCE, Handler
from chainchat.sessions.sessions import Sessions

PERSON_READ, PROGRAM_READ = 16 * 1024, 64 * 1024
"""Octets read at once from the socket of a person, and of a program.

Nothing is pushed to a client while more than this is unsent.
"""

LOGIN_SECONDS = 60.0
"""Time that a connection has for its login."""

WAITING_OCTETS = 16 * 1024
"""Octets of lines that may wait for their turn; the rest stays in the socket."""

NEWCOMER_OCTETS = 2 * 1024
"""The same before the login."""

HEARD_AT_ONCE = 16
"""Lines of one client that a turn carries out."""

HEARD_OF_PERSON = 4
"""The same for a person who had no lines left over: who types has one or two."""

LOOKED_AT_ONCE = 64
"""Waiting lines that a turn searches for those that may overtake."""

MUCH_OCTETS = 2 * 1024
"""A client with more octets of lines than this lets the others go first."""

SENDS_AS_LINE = SAID_AT_ONCE // HEARD_AT_ONCE
"""SENDs of a program that count as one line, since they are carried out together."""

REST_UNITS = 10
"""Lines that a client may send when its rest ends."""

UNREAD_AT_MOST, UNREAD_NEWCOMER = 500, 100
"""Unreadable lines in a row that close the connection: after the login, and before."""

PROBE_SECONDS = 9.0
"""Time for a client's machine to acknowledge a probe, when somebody else wants the name."""

LISTED = 20
"""Unanswered requests that a session lists when it closes; it counts the rest."""

_NO_LINES: list[str] = []
"""Shared by all clients that have nothing to be written; never added to."""


class Session:
    """One client.

    Attributes:
        id: the session's id, empty before the login.
        account: number of its account, 0 before the login.
        name: the account's name.
        mode: the mode.
        notices: True if the client wants to see others come and go.
        delivery: pushes its messages; None before the login, and for clients that want no pushes.
    """

    __slots__ = (  # there can be thousands
        "_clock",
        "_closing",
        "_connection",
        "_greeted",
        "_handler",
        "_input",
        "_input_ended",
        "_login_timer",
        "_node",
        "_open",
        "_out",
        "_output_full",
        "_paid_until",
        "_probing",
        "_reading",
        "_resting",
        "_says_much",
        "_server_info",
        "_sessions",
        "_splitter",
        "_taking",
        "_told_slow",
        "_told_waiting",
        "_unread",
        "_when_writable",
        "_written",
        "account",
        "delivery",
        "id",
        "mode",
        "name",
        "notices",
    )

    def __init__(
        self, sessions: Sessions, connection: Connection, clock: Clock, server_info: ServerInfo
    ) -> None:
        self.id = ""
        self.account = 0
        self.name = ""
        self.mode: Mode = FIRST
        self.notices = True
        self.delivery: Delivery | None = None
        self._sessions = sessions
        self._node = sessions.node
        self._connection = connection
        self._clock = clock
        self._server_info = server_info
        self._handler = Handler(self, sessions, server_info)
        self._splitter = LineSplitter(server_info.max_line)
        self._input = NOTHING
        self._out = _NO_LINES
        self._written = 0
        self._reading: Reading | None = None
        self._output_full = False
        self._when_writable: Callable[[], None] | None = None
        self._taking = True
        self._input_ended = False
        self._closing = False
        self._open = True
        self._greeted = False
        self._told_waiting = False
        self._told_slow = False
        self._login_timer: Timer | None = None
        self._paid_until = 0.0
        """See ``pace``."""
        self._resting = False
        self._says_much = False
        """True if lines were left over when it was last heard."""
        self._unread = 0
        """Unreadable lines in a row."""
        self._probing: Timer | None = None

    # --- the connection's events

    def opened(self) -> None:
        """Queue a new connection for its greeting."""
        self._sessions.connections[self] = None
        self._connection.expect(NEWCOMER_OCTETS)
        self._sessions.rounds.arrives(self)

    def _greet(self) -> None:
        """Greet the client, or say why this node serves nobody."""
        self._greeted = True
        self._login_timer = self._clock.callLater(LOGIN_SECONDS, self._login_took_too_long)
        position = self._node.me.position
        self.tell("", f"chainchat: node {position} of chain {self._server_info.chain}")
        if self._node.readiness.serving:
            how = "Type your name to log in; a new name makes a new account. Times are UTC."
            self.tell("", f"{how} /help tells more.")
        self.readiness_changed()

    def received(self, data: bytes, octets: int, commands: int) -> None:
        """Take in what one read of the socket brought.

        Args:
            data: the octets without telnet commands.
            octets: how many octets came.
            commands: how many telnet commands were among them.
        """
        if not self._taking:
            return
        self._note_seen()
        self._pay(READ_UNITS + octets / self._pace.octets + commands)
        self._splitter.add(data)
        if self._splitter.complete:
            if self._input is NOTHING:
                self._input = InputQueue(self._splitter)
            self._has_lines()
        self._hold()

    def sent_noise(self) -> None:
        """Close the connection: it sends what neither people nor programs send."""
        if self._taking:
            text = "what you send is neither lines of text nor telnet: connect again, type /help"
            self._close_with(Code.NOTHING_READ, text)
            self._hold()

    def input_ended(self) -> None:
        """Note that the client sends no more: answer what it asked, then close."""
        self._note_seen()
        self._input_ended = True
        self._sessions.unflushed(self)

    def output_full(self, *, full: bool) -> None:
        """Note whether too much is unsent; until it is sent, push nothing and take no request."""
        self._output_full = full
        if full and self.delivery is not None:
            self._sessions.news.no_more_live(self.delivery)
        if not full:
            self._has_lines()
            if self.id:
                self._sessions.rounds.waits(self)
        self._hold()

    def lost(self) -> None:
        """Note that the connection is gone."""
        self._open = False
        self._deliver_no_more()
        self._sessions.connections.pop(self, None)
        self._sessions.leave(self)
        for timer in (self._login_timer, self._probing):
            if timer is not None and timer.active():
                timer.cancel()
        if self.id:
            self._sessions.submit(self.account, commands.End(self.id, self.seen))

    def _login_took_too_long(self) -> None:
        if self.id:  # the chain has not answered the login yet
            self._login_timer = self._clock.callLater(LOGIN_SECONDS, self._login_took_too_long)
            return
        seconds = int(LOGIN_SECONDS)
        self._close_with(Code.LOGIN_TIMEOUT, f"no login within {seconds} seconds")

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
        self._sessions.unflushed(self)

    @property
    def takes_notices(self) -> bool:
        """See ``Attendee``. A client that does not read gets no notices."""
        return self.notices and not self._output_full

    def tell(self, code: str, text: str, **values: str) -> None:
        """See ``Attendee``."""
        self.say([self.mode.notice(code, text, **values)])

    def answer_telnet(self, answer: bytes) -> None:
        """Answer telnet negotiation, with octets that telnet does not show."""
        self._write(answer)

    def when_writable(self, go_on: Callable[[], None]) -> None:
        """See ``Client``."""
        assert self._when_writable is None
        self._when_writable = go_on
        self._sessions.rounds.waits(self)

    def push(self, data: bytes, newest: int) -> None:
        """See ``Attendee``. Earlier replies are written first."""
        if self._out:
            self._write_gathered()
        self._write(data)
        if self._reading is not None:
            self._reading.pushed(newest, self._written)
            self._sessions.marks.watch(self)
        if self._input_ended:
            self._sessions.unflushed(self)

    def lacks_nothing(self) -> None:
        """See ``Attendee``."""
        if self._input_ended:
            self._sessions.unflushed(self)

    def fell_behind(self) -> None:
        """See ``Attendee``."""
        self._sessions.rounds.waits(self)

    def _write_gathered(self) -> None:
        if self._out:
            data = "\r\n".join((*self._out, "")).encode()
            self._out = _NO_LINES
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._open:
            self._connection.write(data)
            self._written += len(data)

    # --- its turn

    def hear(self) -> bool:
        """See ``Attendee``."""
        if not self._open or self._resting:
            return False
        self._hear_lines()
        if self._input and self._must_wait() and not self._output_full:
            for line in self._input.take_overtaking(self._may_overtake, LOOKED_AT_ONCE):
                self._pay(1)
                self._hear(line)
        self._says_much = bool(self._input)
        if not self._says_much:
            self._input = NOTHING
        self._hold()
        if not self._says_much or self._resting:
            return False
        if self._must_wait():
            self._sessions.wait_for_room(self)
            return self._input.has_more_to_look_at and not self._output_full
        self._has_lines()
        return False

    def go_on(self) -> bool:
        """See ``Attendee``."""
        if not self._open or self._closing:
            return False
        if not self._greeted:
            self._greet()
            return bool(self._input)
        if self._input:
            self.hear()
        if self._output_full or not self.id:
            return False
        if self._when_writable is not None:
            go_on, self._when_writable = self._when_writable, None
            go_on()
            return self.delivery is not None and not self.delivery.live
        return self._catch_up()

    def _catch_up(self) -> bool:
        """Push a page from the log. True if there may be more."""
        delivery = self.delivery
        if delivery is None or delivery.live or not self._node.running:
            return False
        if not delivery.catch_up():
            return True
        self._sessions.news.now_live(delivery)
        if self._input_ended:
            self._sessions.unflushed(self)
        return False

    def flush(self) -> None:
        """See ``Attendee``."""
        if not self._open:
            return
        self._write_gathered()
        if self._closing or self._finished():
            self._open = False
            self._connection.close()
        else:
            self._has_lines()

    def has_room(self) -> None:
        """See ``Attendee``."""
        self._has_lines()

    def _has_lines(self) -> None:
        """Queue for a turn, if there are lines to hear."""
        if not self._input or self._resting:
            return
        rounds = self._sessions.rounds
        if not self.id:
            rounds.arrives(self)
        elif not self._says_much and self._input.octets <= MUCH_OCTETS:
            rounds.speaks(self)
        elif self.mode.pipelines:
            rounds.says_much(self)
        else:
            rounds.waits(self)

    def _finished(self) -> bool:
        """True if the client sends no more and has everything."""
        if not self._input_ended or self.busy or not self._greeted:
            return False
        delivery = self.delivery
        return delivery is None or (delivery.live and not self._sessions.news.lacks(delivery))

    # --- its pace

    @property
    def _pace(self) -> Pace:
        if not self.id:
            return NEWCOMER
        return PROGRAM if self.mode.pipelines else PERSON

    def _pay(self, units: float) -> None:
        """Charge the client; let it rest if it has sent too much."""
        pace, now = self._pace, self._clock.seconds()
        self._paid_until = pace.pay(self._paid_until, now, units)
        if not self._resting and pace.wait(self._paid_until, now):
            self._rest(now)

    def _rest(self, now: float) -> None:
        self._resting = True
        self._sessions.rounds.rests(self, self._pace.wait(self._paid_until, now, REST_UNITS))
        if self.id and not self._told_slow:
            self._told_slow = True
            rate = f"{self._pace.per_second:.0f} lines a second"
            self.tell("slowed", f"you send faster than {rate}: the rest is read at that pace")

    def rested(self) -> None:
        """See ``Attendee``."""
        self._resting = False
        self._has_lines()
        self._hold()

    def _hold(self) -> None:
        """Leave in the socket what cannot be heard now.

        Lines that wait for an answer are still read, since some of them may overtake.
        """
        if not self._open:
            return
        room = WAITING_OCTETS if self.id else NEWCOMER_OCTETS
        full = self._output_full or self._resting or self._input.octets > room
        self._connection.hold(held=full or not self._taking)

    # --- ends

    def close(self) -> None:
        """See ``Client``."""
        self._closing = True
        self._take_no_lines()
        self._deliver_no_more()
        self._sessions.unflushed(self)

    def _deliver_no_more(self) -> None:
        delivery, self.delivery = self.delivery, None
        if delivery is not None:
            self._sessions.news.no_more_live(delivery)

    def _close_with(self, code: Code, text: str) -> None:
        self.say([self.mode.refused("-", code, text)])
        self.close()

    def _take_no_lines(self) -> None:
        self._taking = False
        self._input = NOTHING

    def ended(self, reason: str, by: str) -> None:
        """See ``Attendee``."""
        match reason:
            case "moved":
                self.tell("moved", "this session goes on elsewhere")
            case "deleted" if by != self.name:
                self.tell("deleted", f"the account {self.name} was deleted by {by}", by=by)
            case "lost":
                text = "the chain took this node for dead and ended your session; log in again"
                self.say([self.mode.refused("-", Code.SESSION_ENDED, text)])
            case _:
                pass
        self.id = ""
        self.close()

    def take_no_more(self) -> None:
        """Read no more, because the node stops; answer what was read."""
        self._note_seen()
        self._taking = False
        self._hold()

    @property
    def busy(self) -> bool:
        """True if something that was read has no answer yet."""
        return bool(self._input or self._handler.replies)

    def shut_down(self) -> None:
        """Say goodbye, because the node stops."""
        self._say_goodbye("this node stops")

    def dropped_out(self) -> None:
        """Say goodbye, because the chain went on without this node."""
        self._say_goodbye("the chain goes on without this node")

    def _say_goodbye(self, why: str) -> None:
        """List the requests without an answer, say where to go, and close."""
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
        self.flush()

    def _unheard(self) -> Iterator[str]:
        """Yield the lines not heard yet, where they can be shown."""
        for line in self._input:
            with suppress(RefusedError):
                if line is not TOO_LONG and (text := clean(line).strip()):
                    yield text

    def _others(self) -> list[str]:
        """The client addresses of the other nodes."""
        own = self._node.me.position
        return [a for position, a in self._server_info.addresses.items() if position != own]

    # --- the node's readiness

    def readiness_changed(self) -> None:
        """See ``Attendee``."""
        readiness = self._node.readiness
        if self._closing or not self._greeted:
            return
        if not readiness.serving:
            self._turn_away(readiness.reason)
        elif readiness.reason:
            text = readiness.reason
            if not readiness.confirms:
                text += ". What you say is not confirmed yet."
            self._told_waiting = True
            self.tell("waiting", text, **{"for": ",".join(readiness.waiting_for)})
            self._handler.replies.overtake()
            if self._input:
                self._input.look_again()
                self._has_lines()
        elif self._told_waiting:
            self._told_waiting = False
            self.tell("serving", "the chain confirms again")

    def _turn_away(self, reason: str) -> None:
        """Refuse to serve: show the chain, say why, name the other nodes, close."""
        for line in drawn(self._node.view()):
            if line != reason:
                self.tell("", line)
        elsewhere = "; try " + " or ".join(self._others()) if self._others() else ""
        self._close_with(Code.NOT_SERVING, f"{reason}{elsewhere}")

    # --- requests, one after another

    def _hear_lines(self) -> None:
        """Carry out lines until one has to wait, or the turn is over."""
        heard = 0
        most = HEARD_AT_ONCE if self.mode.pipelines or self._says_much else HEARD_OF_PERSON
        said: list[tuple[str, Say]] = []
        while heard < most and self._input and not self._held_up:
            room = self._room_left
            if room <= 0:
                break
            lines = self._input.next(min(SAID_AT_ONCE, room))
            sends = self.mode.leading_messages(lines) if self.id else []
            self._input.take(len(sends) or 1)
            if sends:
                self._handler.send(sends)
                heard += 1 + len(sends) // SENDS_AS_LINE
            else:
                self._pay(1)
                self._hear(lines[0], said)
                heard += 1
        self._say(said)

    @property
    def _room_left(self) -> int:
        return self._node.room_for(self._handler.on_their_way)

    @property
    def _held_up(self) -> bool:
        """True until the client has read, or has its answer: no line can be carried out before."""
        return self._output_full or self._handler.replies.holding_later

    def _must_wait(self) -> bool:
        return self._held_up or self._room_left <= 0

    def _may_overtake(self, line: Line) -> bool:
        """True if a line may be answered before the lines ahead of it."""
        if line is TOO_LONG or not self.mode.may_be_answered_at_once(line):
            return False
        try:
            _, request = self.mode.parse(clean(line), logged_in=bool(self.id))
        except RefusedError:
            return False
        return self._handler.is_answered_at_once(request)

    def _hear(self, line: Line, said: list[tuple[str, Say]] | None = None) -> None:
        """Carry out one line, or refuse it.

        ``said`` gathers consecutive messages of a person, to submit them as one command.
        """
        tag = ""
        try:
            if line is TOO_LONG:
                most = self._server_info.max_line
                raise RefusedError(Code.LINE_TOO_LONG, f"a line has at most {most} octets")
            text = clean(line)
            if not text or text.isspace():
                return
            if not self.id and is_http(text):
                self._close_with(Code.HTTP, "this is a chat, not a web server: use telnet or nc")
                return
            tag, request = self.mode.parse(text, logged_in=bool(self.id))
            self._unread = 0
            if said is not None and self.id and isinstance(request, Say):
                said.append((tag, request))
            else:
                self._say(said)
                self._handler.carry_out(tag, request)
        except RefusedError as refusal:
            self._say(said)
            self._unread += 1
            if refusal.tag != "-":
                tag = refusal.tag
            elif not tag:
                tag = self.mode.tag_of(line)
            self._handler.refuse(tag, refusal.code, refusal.text)
            self._close_if_nothing_is_read()

    def _say(self, said: list[tuple[str, Say]] | None) -> None:
        if said:
            self._handler.send(said)
            said.clear()

    def _close_if_nothing_is_read(self) -> None:
        """Close the connection of a client that only sends lines without meaning."""
        if self._unread >= (UNREAD_AT_MOST if self.id else UNREAD_NEWCOMER):
            text = f"none of the last {self._unread} lines could be read: connect again, type /help"
            self._close_with(Code.NOTHING_READ, text)

    # --- the account, and what is seen of its messages

    def attach(self, account: Account, after: int, *, quiet: bool) -> None:
        """See ``Client``."""
        # The state's own strings, not copies: there can be thousands of sessions.
        self.account, self.name, self.id = account.number, account.name, account.session
        self._stop_login_timer()
        if not self._open:
            return
        self._sessions.enter(self)
        self._paid_until = 0.0
        self._connection.expect(PROGRAM_READ if self.mode.pipelines else PERSON_READ)
        self.notices = self.notices and not quiet
        if not self.mode.acknowledges:
            self._reading = Reading(account.seen)
        if not quiet:
            self.delivery = Delivery(self, self._node.history, after)
            self._sessions.rounds.waits(self)

    @property
    def seen(self) -> int:
        """See ``Client``."""
        return 0 if self._reading is None else self._reading.seen

    def _note_seen(self) -> None:
        reading = self._reading
        if reading is None:
            return
        if reading.did_something(self._connection.acknowledged(), self._written):
            self._sessions.marks.move(self.account, reading.seen)

    def look(self) -> bool:
        """See ``Attendee``."""
        reading = self._reading
        if reading is None or not self._open:
            return False
        now, silent = self._clock.seconds(), self._connection.silent()
        if silent is not None:
            acknowledged = self._connection.acknowledged()
            if reading.shows_signs_of_life(acknowledged, now - silent, now):
                self._sessions.marks.move(self.account, reading.seen)
        return reading.may_have_seen_more

    # --- somebody else wants its name

    def contested(self) -> None:
        """See ``Attendee``: say how long this connection was silent, and probe it."""
        silent = self._connection.silent()
        seconds = -1 if silent is None else int(silent)
        self._node.submit(commands.Held(self.id, seconds))
        if self._probing is None and silent is not None:
            self._connection.probe(probing=True)
            self._probing = self._clock.callLater(PROBE_SECONDS, self._probed)

    def _probed(self) -> None:
        """Free the name if the client's machine acknowledged nothing since the probe."""
        self._probing = None
        silent = self._connection.silent()
        if silent is not None and silent >= PROBE_SECONDS - 1:
            self._connection.abort()
        else:
            self._connection.probe(probing=False)
