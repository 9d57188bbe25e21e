"""Hearing: the lines of one client, from its socket to its requests.

Lines wait in an ``InputQueue`` for the client's turn. A client that exceeds its ``pace`` rests; one
whose account exceeds its ``limits``, or has no room for requests, waits. The rest stays in the
socket.
"""

from contextlib import suppress

from chainchat.chat.lines import TOO_LONG, Line, LineSplitter, clean, is_http
from chainchat.chat.passwords import TYPED_BEFORE
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import Say
from chainchat.node.budget import Slice
from chainchat.node.interfaces import Clock
from chainchat.sessions.handler import Handler
from chainchat.sessions.input import NOTHING, InputQueue
from chainchat.sessions.interfaces import Client, Connection, ServerInfo
from chainchat.sessions.pace import NEWCOMER, PERSON, PROGRAM, READ_UNITS, TEXTLESS_IN_UNIT, Pace
from chainchat.sessions.sessions import Sessions

WAITING_OCTETS = 16 * 1024

NEWCOMER_OCTETS = 2 * 1024

HEARD_AT_ONCE = 16
"""Lines of one client in a turn."""

HEARD_OF_PERSON = 4
"""Lines in a turn of a person who had none left over."""

LOOKED_AT_ONCE = 64
"""Waiting lines searched in a turn for those that may overtake."""

MUCH_OCTETS = 2 * 1024
"""A client with more octets of lines lets others go first."""

LITTLE = 4
"""Messages on their way of a client that says little."""

MUCH_SECONDS = 10.0
"""A client says little if it had few messages on their way for so long."""

SENDS_AS_LINE = 32
"""A program's SENDs that count as one line."""

REST_UNITS = 10
"""Lines that a client may send when its rest ends."""

MOST_UNREADABLE, NEWCOMER_UNREADABLE = 500, 100
"""Unreadable lines in a row that close the connection."""


ROOM_FOR_TAGS = 96
"""More octets in a program's line, for what precedes a SEND's text."""


class Hearing:
    """Hears one client, and reads on while ``taking``."""

    __slots__ = (  # there can be thousands
        "_client",
        "_clock",
        "_connection",
        "_deaf_until",
        "_input",
        "_max_line",
        "_much_until",
        "_paid_until",
        "_resting",
        "_said_at_once",
        "_says_much",
        "_sessions",
        "_slowed",
        "_splitter",
        "_told_slow",
        "_told_slowed",
        "_unreadable",
        "handler",
        "taking",
    )

    def __init__(
        self,
        client: Client,
        connection: Connection,
        sessions: Sessions,
        clock: Clock,
        server_info: ServerInfo,
    ) -> None:
        self.handler = Handler(client, connection, sessions, clock, server_info)
        self.taking = True
        self._client = client
        self._connection = connection
        self._sessions = sessions
        self._clock = clock
        self._max_line = server_info.max_line
        self._splitter = LineSplitter(server_info.max_line)
        self._said_at_once = server_info.said_at_once
        self._input = NOTHING
        self._paid_until = 0.0
        self._resting = False
        self._told_slow = False
        self._slowed = False
        """True while the client rests for its account's limit."""
        self._told_slowed = False
        self._says_much = False
        self._much_until = 0.0
        self._unreadable = 0
        self._deaf_until = 0
        """What comes before so many octets are acknowledged was typed ahead."""

    def __bool__(self) -> bool:
        return bool(self._input)

    # --- the socket

    def take_in(self, data: bytes, octets: int, telnet_commands: int) -> None:
        self._pay(READ_UNITS + octets / self._pace.octets + telnet_commands)
        is_typed = not self._client.mode.pipelines
        self._splitter.limit = self._max_line + (0 if is_typed else ROOM_FOR_TAGS)
        self._splitter.add(data, typed=is_typed)
        if self._deaf_until and self._types_ahead():
            self._splitter.drop()
        if self._splitter.complete:
            if self._input is NOTHING:
                self._input = InputQueue(self._splitter)
            self.queue()
        self.hold()

    def take_textless(self, octets: int) -> None:
        self._pay(octets / TEXTLESS_IN_UNIT)
        self.hold()

    def hold(self) -> None:
        """Leave in the socket what cannot be heard now."""
        if not self._client.is_open:
            return
        room = WAITING_OCTETS if self._client.id else NEWCOMER_OCTETS
        full = self._client.is_full or self._resting or self._input.octets > room
        self._connection.hold(held=full or not self.taking)

    def drop_typed_ahead(self, answered: int, unread: int) -> None:
        """Drop what was typed before an answer could be read, for it may be a password.

        That is what was read, and what comes until the machine has acknowledged the answer. If more
        stands in the socket, the connection ends.

        Args:
            answered: the end of the answer, as ``Connection.write`` counts.
            unread: octets that stood in the socket before it was written.
        """
        if not self._client.is_open:
            return
        were_cut, were_not = self._input.drop(), self._splitter.drop()
        self._deaf_until = answered
        if were_cut or were_not or unread:
            self._client.tell("", "what you typed before this answer is not read")
        if unread:
            self._client.close()

    def _types_ahead(self) -> bool:
        acknowledged = self._connection.acknowledged()
        if acknowledged is None or acknowledged >= self._deaf_until:
            self._deaf_until = 0
        return self._deaf_until > 0

    def take_no_more(self) -> None:
        self.taking = False
        self.hold()

    def stop(self) -> None:
        self.taking = False
        self._input = NOTHING

    def unheard(self, most: int) -> tuple[list[str], int]:
        """The first ``most`` lines not heard, without secrets, and how many more there are."""
        waiting = self._input.next(most)
        lines = []
        for line in waiting:
            with suppress(RefusedError):
                typed = self.handler.entrance.was_typed(line)
                if line is not TOO_LONG and not typed and (text := clean(line).strip()):
                    lines.append(text)
        mode, logged_in = self._client.mode, bool(self._client.id)
        if mode.asks and self.handler.entrance.may_be_asking:
            return [], 0
        shown = mode.without_secrets(lines, logged_in=logged_in)
        # A secret may follow, in any number of lines.
        return shown, len(self._input) - len(waiting) if len(shown) == len(lines) else 0

    # --- its turn

    def queue(self, *, first: bool = False) -> None:
        """Queue for a turn, if there are lines; ``first``: before the others."""
        if self._input is NOTHING or self._resting or not self._input:
            return
        rounds = self._sessions.rounds
        if not self._client.id:
            rounds.arrives(self._client)
        elif not self._says_much and self._input.octets <= MUCH_OCTETS:
            rounds.speaks(self._client, first=first)
        elif self._client.mode.pipelines:
            rounds.says_much(self._client, first=first)
        else:
            rounds.waits(self._client, first=first)

    def hear(self, share: Slice) -> bool:
        if not self._client.is_open or self._resting:
            return False
        heard = self._hear_lines(share)
        if self._input and self._must_wait() and self._may_look_ahead:
            for line in self._input.take_overtaking(self._may_overtake, LOOKED_AT_ONCE):
                self._pay(1)
                self._hear(line)
        self._says_much = bool(self._input)
        if not self._says_much:
            self._input = NOTHING
        self._note_how_much()
        self.hold()
        if not self._says_much or self._resting:
            return False
        if self._may_say <= 0:
            if not self._slowed:
                self._slow_down()
            return self._input.has_more_to_look_at and self._may_look_ahead
        if self._must_wait() and not (heard and self._is_patient):  # else the others come first
            self._sessions.wait_for_room(self._client)
            return self._input.has_more_to_look_at and self._may_look_ahead
        self.queue()
        return False

    def _note_how_much(self) -> None:
        on_their_way = self.handler.on_their_way
        if not on_their_way or not self._client.account:  # who logs in says nothing yet
            return
        now = self._clock.seconds()
        if self._says_much or on_their_way > LITTLE:
            self._much_until = now + MUCH_SECONDS
        elif now >= self._much_until:
            self._sessions.rounds.says_little()

    def _hear_lines(self, share: Slice) -> int:
        heard = 0
        most = HEARD_AT_ONCE if self._client.mode.pipelines or self._says_much else HEARD_OF_PERSON
        said: list[tuple[str, Say]] = []
        may_say = self._may_say
        while heard < most and may_say > 0 and self._input and not self._held_up:
            room = self._room_left
            if room <= 0 or (heard and not share.left()):
                break
            lines = self._input.next(min(self._said_at_once, room, may_say))
            reads_ahead = self._client.id and not self.handler.entrance.asking
            sends = self._client.mode.leading_messages(lines) if reads_ahead else []
            self._input.take(len(sends) or 1)
            may_say -= len(sends) or 1
            if sends:
                self.handler.send(sends)
                heard += 1 + len(sends) // SENDS_AS_LINE
            else:
                self._pay(1)
                self._hear(lines[0], said)
                heard += 1
        self._say(said)
        return heard

    @property
    def _is_patient(self) -> bool:
        """True for people who say more than they type, and for programs if others say little."""
        if self._client.mode.pipelines:
            return self._sessions.rounds.somebody_says_little
        return self._says_much

    @property
    def _room_left(self) -> int:
        on_their_way, patient = self.handler.on_their_way, self._is_patient
        at_least = LITTLE if self._client.mode.pipelines else 0
        return self._sessions.node.room_for(on_their_way, patient=patient, at_least=at_least)

    @property
    def _held_up(self) -> bool:
        replies = self.handler.replies
        waits = replies.holding_later and not self.handler.entrance.asking
        return self._client.is_full or waits or replies.too_many

    @property
    def _may_say(self) -> int:
        return self._sessions.limits.may_say(self._client.account)

    def _must_wait(self) -> bool:
        return self._held_up or self._room_left <= 0 or self._may_say <= 0

    def _slow_down(self) -> None:
        self._slowed = True
        limits = self._sessions.limits
        self._sessions.rounds.rests(self._client, limits.wait(self._client.account))
        rate = limits.current.saying
        if rate is not None and not self._told_slowed:
            self._told_slowed = True
            text = f"you say more than {rate.per_second:.0f} lines a second"
            self._client.tell("slowed", f"{text}: the rest waits, and is said at that pace")

    @property
    def _may_look_ahead(self) -> bool:
        """True if lines may overtake: none may where the next may be a password."""
        client = self._client
        may_be_asked = client.mode.asks and self.handler.entrance.may_be_asking
        return not client.is_full and not may_be_asked

    def _may_overtake(self, line: Line) -> bool:
        if line is TOO_LONG or not self._client.mode.may_be_answered_at_once(line):
            return False
        try:
            _, request = self._client.mode.parse(clean(line), logged_in=bool(self._client.id))
        except RefusedError:
            return False
        if self.handler.entrance.was_typed(line):  # it will be refused, and a refusal waits
            return False
        return self.handler.is_answered_at_once(request)

    def look_again(self) -> None:
        if self._input:
            self._input.look_again()
            self.queue()

    # --- one line

    def _hear(self, line: Line, said: list[tuple[str, Say]] | None = None) -> None:
        """Hear a line; ``said`` gathers a person's consecutive messages."""
        tag = ""
        if self.handler.entrance.asking:
            self.handler.entrance.answer(line)
            return
        try:
            if line is TOO_LONG:
                text = f"a line has at most {self._splitter.limit} octets"
                raise RefusedError(Code.LINE_TOO_LONG, text)
            text = clean(line)
            if not text or text.isspace():
                return
            if self.handler.entrance.was_typed(line):
                raise RefusedError(Code.TYPED_AS_PASSWORD, TYPED_BEFORE)
            if not self._client.id and is_http(text):
                text = "this is a chat, not a web server: use telnet or nc"
                self._client.close_with(Code.HTTP, text)
                return
            tag, request = self._client.mode.parse(text, logged_in=bool(self._client.id))
            self._unreadable = 0
            if said is not None and self._client.id and isinstance(request, Say):
                said.append((tag, request))
            else:
                self._say(said)
                self.handler.carry_out(tag, request)
        except RefusedError as refusal:
            self._say(said)
            self._unreadable += 1
            if refusal.tag != "-":
                tag = refusal.tag
            elif not tag:
                tag = self._client.mode.tag_of(line)
            self.handler.refuse(tag, refusal.code, refusal.text)
            if self._client.mode.precedes_secret(line, logged_in=bool(self._client.id)):
                self._client.turned_away()
            self._close_if_nothing_is_read()

    def _say(self, said: list[tuple[str, Say]] | None) -> None:
        if said:
            self.handler.send(said)
            said.clear()

    def _close_if_nothing_is_read(self) -> None:
        lines, newcomer = self._unreadable, not self._client.id
        if lines >= (NEWCOMER_UNREADABLE if newcomer else MOST_UNREADABLE):
            text = f"none of the last {lines} lines could be read: connect again, type /help"
            self._client.close_with(Code.NOTHING_READ, text)

    # --- its pace

    @property
    def _pace(self) -> Pace:
        if not self._client.id:
            return NEWCOMER
        return PROGRAM if self._client.mode.pipelines else PERSON

    def _pay(self, units: float) -> None:
        pace, now = self._pace, self._clock.seconds()
        self._paid_until = pace.pay(self._paid_until, now, units)
        if not self._resting and pace.wait(self._paid_until, now):
            self._rest(now)

    def _rest(self, now: float) -> None:
        self._resting = True
        seconds = self._pace.wait(self._paid_until, now, REST_UNITS)
        self._sessions.rounds.rests(self._client, seconds)
        if self._client.id and not self._told_slow:
            self._told_slow = True
            rate = f"{self._pace.per_second:.0f} lines a second"
            text = f"you send faster than {rate}: the rest is read at that pace"
            self._client.tell("slowed", text)

    def rested(self) -> None:
        self._resting = self._slowed = False
        self.queue()
        self.hold()

    def forgive(self) -> None:
        """Charge nothing for what came before the login."""
        self._paid_until = 0.0
