"""One client's connection, from its greeting to its end; its login opens a session of the chat.

Its ``Hearing`` turns lines into requests, a ``Handler`` carries them out, its ``Delivery`` pushes
messages. Events are noted, and acted on in its turn (see ``rounds``).
"""

from collections.abc import Callable, Sequence

from chainchat import __version__
from chainchat.chat import commands
from chainchat.chat.accounts import Account
from chainchat.chat.modes import FIRST
from chainchat.chat.modes.mode import Mode, drawn
from chainchat.chat.refusals import Code
from chainchat.node.budget import Slice
from chainchat.node.interfaces import Clock
from chainchat.node.status import DRAINED
from chainchat.sessions.contests import Probe
from chainchat.sessions.delivery import Delivery
from chainchat.sessions.explanations import (
    GIVES_WAY,
    LISTED,
    OUR_BUG,
    STOPPED,
    how_to_log_in,
    unanswered,
    why_ended,
)
from chainchat.sessions.hearing import NEWCOMER_OCTETS, Hearing
from chainchat.sessions.interfaces import Connection, ServerInfo
from chainchat.sessions.isolation import isolated
from chainchat.sessions.read_marks import Reading
from chainchat.sessions.sessions import Sessions
from chainchat.storage.interface import StorageError

PERSON_READ, PROGRAM_READ = 16 * 1024, 64 * 1024
"""Octets read at once; while more is unsent, nothing is pushed."""

DOUBTS = 2
"""Single messages for a client that says no more, before pages.

The machine of somebody who has hung up answers the first with a reset, which the second finds.
"""

_NO_LINES: list[str] = []
"""Shared by all clients with nothing to write; never added to."""


class Session:
    """One client; for other attributes see ``Client``.

    Attributes:
        id: empty before the login.
        account: 0 before the login.
        delivery: None before the login, and for clients that want no pushes.
    """

    __slots__ = (  # there can be thousands
        "_asked", "_clock", "_closing", "_connection", "_doubts", "_greeted", "_hearing",
        "_input_ended", "_node", "_out", "_probe", "_reading", "_server_info",
        "_sessions", "_told_waiting", "_when_writable", "_written", "account", "delivery", "id",
        "is_full", "is_open", "mode", "name", "notices",
    )  # fmt: skip

    def __init__(
        self, sessions: Sessions, connection: Connection, clock: Clock, server_info: ServerInfo
    ) -> None:
        self.id = ""
        self.account = 0
        self.name = ""
        self.mode: Mode = FIRST
        self.notices = True
        self.is_open = True
        self.is_full = False
        self.delivery: Delivery | None = None
        self._sessions = sessions
        self._node = sessions.node
        self._connection = connection
        self._clock = clock
        self._server_info = server_info
        self._hearing = Hearing(self, connection, sessions, clock, server_info)
        self._out = _NO_LINES
        self._written = 0
        self._reading: Reading | None = None
        self._when_writable: Callable[[], None] | None = None
        self._input_ended = False
        self._doubts = 0
        self._closing = False
        self._greeted = False
        self._told_waiting = False
        self._asked = False
        """True from a question until what it was for is done: pushes wait."""
        self._probe: Probe | None = None

    # --- the connection's events

    @isolated
    def opened(self) -> None:
        self._sessions.connections[self] = None
        self._connection.expect(NEWCOMER_OCTETS)
        self._sessions.rounds.arrives(self)

    def _greet(self) -> None:
        self._greeted = True
        self._hearing.handler.entrance.begin()
        position = self._node.me.position
        self.tell(
            "", f"chainchat {__version__}: node {position} of chain {self._server_info.chain}"
        )
        if self._node.readiness.serving and not self._server_info.drained():
            everybody = self._server_info.guard.open_to_all
            for text in how_to_log_in(everybody=everybody, encrypted=self._connection.encrypted):
                self.tell("", text)
        self.readiness_changed()

    @isolated
    def received(self, data: bytes, octets: int, telnet_commands: int) -> None:
        """Take in what one read of the socket brought.

        Args:
            data: the octets without telnet commands.
            telnet_commands: how many of these there were.
        """
        if self._hearing.taking:
            self._note_seen()
            self._hearing.take_in(data, octets, telnet_commands)

    @isolated
    def received_no_text(self, octets: int) -> None:
        if self._hearing.taking:
            self._hearing.take_textless(octets)

    @isolated
    def sent_noise(self) -> None:
        """Close, as neither people nor programs send this."""
        if self._hearing.taking:
            text = "what you send is neither lines of text nor telnet: connect again, type /help"
            self.close_with(Code.NOTHING_READ, text)
            self._hearing.hold()

    @isolated
    def input_ended(self) -> None:
        """Answer what was asked, then close."""
        self._note_seen()
        self._input_ended = True
        self._doubts = DOUBTS
        self._sessions.unflushed(self)

    @isolated
    def output_full(self, *, full: bool) -> None:
        """Push nothing and take no request while too much is unsent."""
        self.is_full = full
        if full and self.delivery is not None:
            self._sessions.news.no_more_live(self.delivery)
        if full and self._reading is not None:
            self._reading.begins_to_wait()
            self._sessions.marks.watch(self)
        if not full:
            self._hearing.queue()
            if self.id:
                self._sessions.rounds.waits(self)
        self._hearing.hold()

    def lost(self) -> None:
        self.is_open = False
        if self.is_full and self.id:
            self._sessions.took_nothing(self.account)
        self._deliver_no_more()
        self._sessions.connections.pop(self, None)
        self._sessions.leave(self)
        self._hearing.handler.entrance.stop()
        if self._probe is not None:
            self._probe.stop()
        if self.id:
            self._sessions.submit(self.account, commands.End(self.id, self.seen))

    # --- writing

    def say(self, lines: Sequence[str]) -> None:
        if not self._out:
            self._out = []
        self._out += lines
        self._sessions.unflushed(self)

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def encrypted(self) -> bool:
        return self._connection.encrypted

    @property
    def takes_notices(self) -> bool:
        """False for a client that does not read, or is asked."""
        return self.notices and not self.is_full and not self._asked

    def tell(self, code: str, text: str, **values: str) -> None:
        self.say([self.mode.notice(code, text, **values)])

    def ask(self, question: str) -> None:
        self._asked = True
        if self.delivery is not None:
            self._sessions.news.no_more_live(self.delivery)
        self._write_gathered()
        # What nc shows of the telnet command, the question covers.
        self._write(self._connection.conceal() + f"\r{self.mode.question(question)}".encode())
        self._sessions.unflushed(self)  # the answer may be here

    def answered(self) -> None:
        if self._connection.conceals:
            self._write(b"\r\n")

    def asked_all(self) -> None:
        if self._asked:
            self._asked = False
            self._write(self._connection.reveal())
            if self.id:
                self._sessions.rounds.waits(self)

    def turned_away(self) -> None:
        unread = self._connection.unread()  # before anybody can have read the answer
        self._write_gathered()
        self._hearing.drop_typed_ahead(self._written, unread)

    def answer_telnet(self, answer: bytes) -> None:
        """Answer negotiation, with octets that telnet does not show."""
        self._write(answer)

    def when_writable(self, go_on: Callable[[], None]) -> None:
        assert self._when_writable is None
        self._when_writable = go_on
        self._sessions.rounds.waits(self)

    def push(self, data: bytes, newest: int) -> None:
        """Push messages; earlier replies are written first."""
        if self._out:
            self._write_gathered()
        self._write(data)
        if self._reading is not None:
            self._reading.pushed(newest, self._written)
            self._sessions.marks.watch(self)
        if self._input_ended:
            self._sessions.unflushed(self)

    @isolated
    def lacks_nothing(self) -> None:
        if self._input_ended:
            self._sessions.unflushed(self)

    @isolated
    def fell_behind(self) -> None:
        self._sessions.rounds.waits(self)

    def _write_gathered(self) -> None:
        if self._out:
            data = "\r\n".join((*self._out, "")).encode()
            self._out = _NO_LINES
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self.is_open:
            self._written = self._connection.write(data)

    # --- its turn

    @isolated
    def hear(self, share: Slice) -> bool:
        return self._hearing.hear(share)

    @isolated
    def rested(self) -> None:
        self._hearing.rested()

    @isolated
    def go_on(self, share: Slice) -> bool:
        if not self.is_open or self._closing:
            return False
        if not self._greeted:
            self._greet()
            return bool(self._hearing)
        if self._hearing:
            self._hearing.hear(share)
        if self.is_full or not self.id:
            return False
        if self._when_writable is not None:
            go_on, self._when_writable = self._when_writable, None
            go_on()
            return self.delivery is not None and not self.delivery.live
        return self._catch_up(share)

    def _catch_up(self, share: Slice) -> bool:
        delivery = self.delivery
        if delivery is None or delivery.live or self._asked or not self._node.running:
            return False
        if self._doubts:
            self._doubts -= 1
            has_all = delivery.catch_up(share, 1)
        else:
            has_all = delivery.catch_up(share)
        if self.is_full:
            return False
        if not has_all:
            return True
        self._sessions.news.now_live(delivery)
        if self._input_ended:
            self._sessions.unflushed(self)
        return False

    @isolated
    def flush(self) -> None:
        if not self.is_open:
            return
        self._write_gathered()
        if self._closing or self._finished():
            self.is_open = False
            self._connection.close()
        else:
            self._hearing.queue()

    @isolated
    def has_room(self) -> None:
        self._hearing.queue(first=True)

    def _finished(self) -> bool:
        if not self._input_ended or not self._greeted:
            return False
        if self._awaits_answer and not self._hearing:
            self._hearing.handler.entrance.answer(b"")  # nothing more comes
            return False
        if self.busy:
            return False
        delivery = self.delivery
        return delivery is None or (delivery.live and not self._sessions.news.lacks(delivery))

    # --- ends

    def close(self) -> None:
        self._closing = True
        self._hearing.stop()
        self._deliver_no_more()
        self._sessions.unflushed(self)

    def _deliver_no_more(self) -> None:
        delivery, self.delivery = self.delivery, None
        if delivery is not None:
            self._sessions.news.no_more_live(delivery)

    def close_with(self, code: Code, text: str) -> None:
        self._node.tally.refused[code] += 1
        self.say([self.mode.refused("-", code, text)])
        self.close()

    @isolated
    def gives_way(self) -> None:
        """End, since others want the place of who has not logged in."""
        if not self._closing:
            self.close_with(Code.TOO_MANY_CONNECTIONS, GIVES_WAY)

    def broke(self, error: Exception) -> None:
        if isinstance(error, StorageError) or not self._node.running:
            raise error
        self._node.bugs.note(error, "the connection of a client")
        if not self._closing:
            self.close_with(Code.BUG, OUR_BUG)
        else:  # its last words may be what is wrong
            self.is_open = False
            self._connection.abort()

    @isolated
    def ended(self, reason: str, by: str) -> None:
        if reason == "lost":
            text = "the chain took this node for dead and ended your session; log in again"
            self.say([self.mode.refused("-", Code.SESSION_ENDED, text)])
        elif told := why_ended(reason, self.name, by):
            code, text, values = told
            self.tell(code, text, **values)
        self.id = ""
        self.close()

    @isolated
    def take_no_more(self) -> None:
        self._note_seen()
        self._hearing.take_no_more()

    @property
    def busy(self) -> bool:
        return bool(self._hearing or (self._hearing.handler.replies and not self._awaits_answer))

    @property
    def _awaits_answer(self) -> bool:
        return self._hearing.handler.entrance.asking

    @isolated
    def sent_elsewhere(self, why: str) -> None:
        if self._closing:
            self.flush()  # there may be no other turn
            return
        self._tell_unanswered()
        nodes = self._others()
        where = f"; go on at {' or '.join(nodes)}" if nodes else ""
        self.tell("closing", f"{why}{where}", nodes=",".join(nodes))
        self.close()
        self.flush()

    def _tell_unanswered(self) -> None:
        unconfirmed = self._hearing.handler.unconfirmed()
        lines, more = self._hearing.unheard(LISTED)
        unread = self._connection.unread() > 0
        for code, text in unanswered(unconfirmed, lines, more, unread=unread):
            self.tell(code, text)

    def _others(self) -> list[str]:
        own = self._node.me.position
        return [a for position, a in self._server_info.addresses.items() if position != own]

    # --- the node's readiness

    @isolated
    def readiness_changed(self) -> None:
        readiness = self._node.readiness
        if self._closing or not self._greeted:
            return
        if not readiness.serving:
            self._turn_away(readiness.reason)
        elif not self.id and self._server_info.drained():
            self._turn_away(DRAINED)
        elif readiness.reason:
            text = readiness.reason
            if not readiness.confirms:
                text += ". What you say is not confirmed yet."
            self._told_waiting = True
            self.tell("waiting", text, **{"for": ",".join(readiness.waiting_for)})
            self._hearing.handler.replies.overtake()
            self._hearing.look_again()
        elif self._told_waiting:
            self._told_waiting = False
            self.tell("serving", "the chain confirms again")

    def _turn_away(self, reason: str) -> None:
        """Show the chain, say why, name the other nodes, close."""
        for line in drawn(self._node.view()):
            if line != reason:
                self.tell("", line)
        elsewhere = "; try " + " or ".join(self._others()) if self._others() else ""
        self.close_with(Code.NOT_SERVING, f"{reason}{elsewhere}")

    # --- the account, and its read mark

    def attach(self, account: Account, after: int, *, quiet: bool) -> None:
        # The state's own strings, not copies: there can be thousands of sessions.
        self.account, self.name, self.id = account.number, account.name, account.session
        if not self.is_open:
            return
        self._sessions.enter(self)
        self._hearing.forgive()
        self._connection.expect(PROGRAM_READ if self.mode.pipelines else PERSON_READ)
        self.notices = self.notices and not quiet
        if not self.mode.acknowledges:
            self._reading = Reading(account.seen)
        if not quiet:
            self.delivery = Delivery(self, self._node.history, after)
            self._sessions.rounds.waits(self)

    @property
    def seen(self) -> int:
        return 0 if self._reading is None else self._reading.seen

    def _note_seen(self) -> None:
        reading = self._reading
        if reading is None:
            return
        if reading.did_something(self._connection.acknowledged(), self._written):
            self._sessions.marks.move(self.account, reading.seen)

    @isolated
    def look(self) -> bool:
        reading = self._reading
        if reading is None or not self.is_open:
            return False
        now, silent = self._clock.seconds(), self._connection.silent()
        acknowledged = self._connection.acknowledged()
        if silent is not None and acknowledged is not None:
            if reading.shows_signs_of_life(acknowledged, now - silent, now):
                self._sessions.marks.move(self.account, reading.seen)
            if reading.is_stopped(acknowledged, now - silent, now):
                self._end_stopped()
                return False
        return reading.may_have_seen_more or self.is_full

    def _end_stopped(self) -> None:
        """End the session of a person who has stopped their terminal.

        The reason stands behind what they have not read, and waits there for a while.
        """
        self._tell_unanswered()
        self._sessions.took_nothing(self.account)
        self._sessions.leave(self)
        self._sessions.submit(self.account, commands.End(self.id, self.seen))
        self.id = ""
        self._connection.wait_for_reader()
        self.close_with(Code.SESSION_ENDED, STOPPED)

    @isolated
    def contested(self) -> None:
        if self._finished():
            return  # its end is on its way, and answers better
        if self._probe is None:
            self._probe = Probe(self._connection, self._clock)
        self._node.submit(commands.Held(self.id, self._probe.begin()))
