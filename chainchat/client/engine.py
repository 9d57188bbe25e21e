"""A correct client without I/O: inputs are method calls, outputs are events and bytes.

The program owns the socket and the clock (``connection`` does so on asyncio). It calls ``start``
once, then ``connected``, ``received`` and ``lost`` as its socket tells, ``tick`` some ten times a
second, and ``send``, ``request`` and ``logout`` as it likes. After each call it carries out the
events of ``take_events``, in order, and writes the octets of ``take_bytes``. After ``Disconnect``
it never mentions the old connection again. Times are monotonic seconds.

The engine repeats every SEND, on whichever node answers, until its result is known. So each happens
exactly once and in order; and every message arrives once and in order.
"""

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from math import inf
from random import Random

from chainchat.client import events, wire
from chainchat.client.backoff import Nodes
from chainchat.client.dialogue import Asked, Dialogue, Reply
from chainchat.client.inbox import PAGE, Inbox
from chainchat.client.login import Login
from chainchat.client.outbox import Outbox, Outgoing
from chainchat.client.wire import EVERYBODY, Done, Note, Push, Refusal, key_values, whole_number

CONNECT_WITHIN = 10.0
"""Seconds."""

GREETING_WITHIN = 3.0
"""Seconds before a node that accepted the connection answers ``/hello``; they double each time: who
leaves the queue of a node that admits a crowd at a pace, and joins it again, makes it longer."""

LONGEST_GREETING = 30.0
"""The most that they grow to; also granted to a node that has said anything at all."""

CLOSING_WITHIN = 2.0
"""Seconds that a closing node gets for its last answers."""

OFFLINE_TOLD_AFTER = 1.0
"""Seconds; most breaks are over before."""

EARLIER_REFUSED = 451
"""The refusal of a SEND because of an earlier one, which was told already."""

READS = frozenset({"CHAIN", "LIST", "SINCE", "WHO"})
"""Requests that may be repeated on a new connection."""


class _Phase(Enum):
    NEW = auto()
    PAUSING = auto()  # until the next attempt
    CONNECTING = auto()
    GREETING = auto()  # /hello is on its way
    LOGGING_IN = auto()
    ONLINE = auto()
    ENDED = auto()


class Engine:
    """One client of one account; the module's docstring tells how to run it."""

    def __init__(
        self,
        name: str,
        client: str,
        nodes: Iterable[wire.Address],
        random: Random,
        *,
        quiet: bool = False,
        notices: bool = False,
        insist: bool = False,
    ) -> None:
        """Make a client; ``start`` sets it going.

        Args:
            name: the account.
            client: the client ID, fresh for each engine.
            nodes: where to connect, in this order; the nodes say where else.
            quiet: log in without being told what others say.
            notices: be told who comes and goes.
            insist: try again when the name is in use, at the first login too.
        """
        self.name = name
        self.online = False
        self.newest = 0  # the highest message id heard of
        self._client = client
        self._numbered_from: int | None = None
        """The offset of this engine's SEND numbers on the wire, from the first login."""
        self._nodes = Nodes(nodes, random)
        self._notices = notices
        self._login = Login(name, random, quiet=quiet, insist=insist)
        self._outbox = Outbox(random)
        self._inbox = Inbox()
        self._max_line = 1024
        self._requests = 0
        self._held: deque[Asked] = deque()  # until we are logged in
        self._leaving = False
        self._events: list[events.Event] = []
        self._phase = _Phase.NEW
        self._now = 0.0
        self._alarm: float | None = None  # when the phase has lasted too long, or long enough
        self._online_since: float | None = None
        self._trouble_since: float | None = None  # until the next login; infinity: it was told
        self._greeting_within = GREETING_WITHIN
        self._connected_at = 0.0
        self._delay_told = False  # why SENDs have to wait, until one is acknowledged
        self._new_connection()

    def _new_connection(self) -> None:
        self.online = False
        self._dialogue = Dialogue(self._now)
        self._closing = False  # the node has said that it is about to go
        self._logout_sent = False

    # --- outputs ---------------------------------------------------------------------

    def take_events(self, *, seen: bool = True) -> list[events.Event]:
        """The events since the last call; their messages count as seen, or only after ``seen``."""
        taken, self._events = self._events, []
        if seen:
            self.seen()
        return taken

    def seen(self) -> None:
        """The program has delivered all messages that it took."""
        self._inbox.handed_over()

    def take_bytes(self) -> bytes:
        """The octets to write."""
        return self._dialogue.take_bytes()

    @property
    def pending(self) -> int:
        """How many SENDs have no final answer yet."""
        return len(self._outbox)

    @property
    def ended(self) -> bool:
        """True once ``Ended`` was said."""
        return self._phase is _Phase.ENDED

    @property
    def alarm(self) -> float | None:
        """The time at which ``tick`` is due, to the millisecond; None if nothing is urgent."""
        return self._alarm

    # --- what the program wants ------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to connect."""
        assert self._phase is _Phase.NEW, "an engine starts once"
        self._now = now
        self._connect()

    def send(self, text: str, to: str = EVERYBODY) -> int:
        """Say something; returns the number of this SEND in the events about it.

        Raises:
            UnsendableError: no server would take it. A text too long for the server becomes a
                ``SendRefused`` later.
        """
        outgoing = self._outbox.add(wire.checked(to), wire.checked(text))
        self._events.append(events.SendPending(outgoing.number, to, text))
        self._pump()
        return outgoing.number

    def request(self, verb: str, *arguments: str | int) -> int:
        """Ask for LIST, WHO, SINCE, CHAIN or DELETE, once logged in.

        Returns the number of this request in the event that answers it.

        Raises:
            UnsendableError: an argument holds a control character.
        """
        for argument in arguments:
            wire.checked(str(argument))
        self._requests += 1
        self._held.append(Asked(f"r{self._requests}", verb, self._requests, arguments))
        self._pump()
        return self._requests

    def logout(self) -> None:
        """Leave once every SEND is settled; ``Ended`` follows. The account stays."""
        self._leaving = True
        self._pump()

    # --- what the socket and the clock say -------------------------------------------

    def connected(self, now: float) -> None:
        """The connection that ``ConnectTo`` asked for is open."""
        assert self._phase is _Phase.CONNECTING, "no connection was asked for"
        self._now = now
        self._phase = _Phase.GREETING
        self._connected_at = now
        self._alarm = now + self._greeting_within
        self._dialogue = Dialogue(now)
        self._dialogue.hello(self._client, notices=self._notices)

    def received(self, data: bytes, now: float) -> None:
        """Take octets, cut anywhere. The fewer at a time, the shorter the turn."""
        self._now = now
        dialogue = self._dialogue
        if self._phase is _Phase.GREETING:
            self._alarm = self._connected_at + LONGEST_GREETING  # it is alive
        try:
            for said in dialogue.feed(data, now):
                self._said(said)
                if self._dialogue is not dialogue:
                    return  # what was said made us give the connection up
        except wire.ProtocolError as error:
            self._give_up(str(error))
        self._pump()

    def lost(self, now: float, reason: str = "the connection broke") -> None:
        """The connection, or the attempt, is over; ``reason``: for people."""
        self._now = now
        self._lost(reason)

    def _lost(self, reason: str, *, unanswered: bool = False) -> None:
        if self._phase in (_Phase.NEW, _Phase.PAUSING, _Phase.ENDED):
            return
        if self._logout_sent or (self._leaving and not self._outbox):
            self._end("logout", 0, "logged out")
            return
        served = None if self._online_since is None else self._now - self._online_since
        self._online_since = None
        self._note_trouble()
        host, port, _ = self._nodes.current
        wait = self._nodes.lost(served, sent_on=self._closing, unanswered=unanswered)
        self._events.append(events.ConnectionLost(host, port, reason, wait))
        self._ask_again(self._dialogue.unanswered)
        self._new_connection()
        if wait:
            self._phase = _Phase.PAUSING
            self._alarm = self._now + wait
        else:
            self._connect()

    def tick(self, now: float, *, listening: bool = True) -> None:
        """Time has passed; ``listening``: the program reads, so silence is the node's."""
        self._now = now
        if not listening:
            self._dialogue.deaf(now)
            if self._phase is _Phase.GREETING:
                self._alarm = now + self._greeting_within
        if self._alarm is not None and now >= self._alarm:
            self._alarm = None
            self._time_is_up()
        if self._trouble_since is not None and now - self._trouble_since >= OFFLINE_TOLD_AFTER:
            self._trouble_since = inf
            self._events.append(events.StillOffline())
        if self._phase in (_Phase.LOGGING_IN, _Phase.ONLINE):
            self._watch()
        if self._phase is _Phase.ONLINE:
            self._outbox.tick(now)
            self._acknowledge()
            self._pump()

    def _note_trouble(self) -> None:
        if self._trouble_since is None:
            self._trouble_since = self._now

    # --- the connection --------------------------------------------------------------

    def _connect(self) -> None:
        self._phase = _Phase.CONNECTING
        self._alarm = self._now + CONNECT_WITHIN
        self._events.append(events.ConnectTo(*self._nodes.current))

    def _learn(self, nodes: str) -> None:
        """Note where this node says that the others are: with TLS, if it was reached so."""
        self._nodes.learn(wire.parse_nodes(nodes, tls=self._nodes.current.tls))

    def _give_up(self, reason: str, *, unanswered: bool = False) -> None:
        self._events.append(events.Disconnect())
        self._lost(reason, unanswered=unanswered)

    def _end(self, reason: str, code: int, text: str) -> None:
        self._new_connection()
        self._phase = _Phase.ENDED
        self._alarm = self._trouble_since = None
        self._events += [events.Disconnect(), events.Ended(reason, code, text)]

    def _ask_again(self, interrupted: Iterable[Asked]) -> None:
        """Keep the program's unanswered reads for the next connection; refuse the other ones."""
        requests = [asked for asked in interrupted if asked.of_program]
        for asked in requests:
            if asked.verb not in READS:
                reason = "the connection broke before the answer: it may have been done"
                self._events.append(events.RequestRefused(asked.number, asked.verb, 0, reason))
            asked.forget()
        self._held.extendleft(asked for asked in reversed(requests) if asked.verb in READS)

    def _watch(self) -> None:
        if (reason := self._dialogue.trouble(self._now)) is not None:
            self._give_up(reason)

    def _time_is_up(self) -> None:
        match self._phase:
            case _Phase.PAUSING:
                self._connect()
            case _Phase.CONNECTING:
                self._give_up("no answer")
            case _Phase.GREETING:
                self._greeting_within = min(LONGEST_GREETING, 2 * self._greeting_within)
                self._give_up("no answer", unanswered=True)
            case _Phase.LOGGING_IN:
                self._log_in()
            case _Phase.ONLINE if self._closing:
                self._give_up("the node is closing")

    def _log_in(self) -> None:
        self._phase = _Phase.LOGGING_IN
        self._alarm = None
        self._dialogue.ask(self._login.request(self._inbox.last))

    def _logged_in(self, words: dict[str, str], *, resumed: bool) -> None:
        self._phase = _Phase.ONLINE
        self.online = True
        self._online_since = self._now
        self._trouble_since = None
        self._greeting_within = GREETING_WITHIN
        self._login.done(words)
        if self._numbered_from is None:
            self._numbered_from = whole_number(words.get("number", "1")) - 1
        self._outbox.reconnected()
        self._inbox.reconnected()
        high = whole_number(words.get("high", "0"))
        self._heard_of(high)
        self._events.append(events.LoggedIn(self.name, high, resumed))

    def _login_refused(self, verb: str, refusal: Refusal) -> None:
        match self._login.refused(verb, refusal):
            case events.LoginDelayed() as delayed:
                self._note_trouble()
                self._alarm = self._now + delayed.retry
                self._events.append(delayed)
            case events.Ended() as ended:
                self._end(ended.reason, ended.code, ended.text)
            case None:
                self._log_in()

    # --- writing ---------------------------------------------------------------------

    def _pump(self) -> None:
        if self._phase is not _Phase.ONLINE:
            if self._leaving and not self._outbox and not self.ended:
                self._end("logout", 0, "left while not logged in")
            return
        if self._closing or self._logout_sent:
            return
        while outgoing := self._outbox.next():
            number = outgoing.number + (self._numbered_from or 0)
            line = wire.send_line(outgoing.number, number, outgoing.to, outgoing.text)
            if wire.octets(line) <= self._max_line:
                self._dialogue.send(outgoing.number, line)
            else:
                self._outbox.unwritable(outgoing.number)
                reason = f"too long: a line here has at most {self._max_line} octets"
                self._send_refused(outgoing, 502, reason)
        while self._held:
            self._dialogue.ask(self._held.popleft())
        if self._leaving and not self._outbox:
            self._acknowledge(at_once=True)
            self._dialogue.ask(Asked("logout", "LOGOUT", 0, ("finished",)))
            self._logout_sent = True

    def _acknowledge(self, *, at_once: bool = False) -> None:
        if (seen := self._inbox.to_acknowledge(self._now, at_once=at_once)) is not None:
            self._dialogue.ask(Asked("ack", "ACK", 0, (seen,)))

    # --- reading ---------------------------------------------------------------------

    def _said(self, said: Push | Note | Refusal | Reply) -> None:
        match said:
            case Push():
                self._pushed(said)
            case Note():
                self._noted(said)
            case Refusal():
                self._learn(key_values(said.text).get("nodes", ""))
                self._give_up(said.text)
            case Reply(asked=asked, line=Done(rest=rest)):
                self._done(asked, rest)
            case Reply(asked=asked, line=Refusal() as refusal):
                self._refused(asked, refusal)
            case Reply(asked=asked):
                self._listed(asked)

    def _done(self, asked: Asked, rest: str) -> None:
        match asked.verb:
            case "SEND":
                self._send_acknowledged(asked.number, rest)
            case "HELLO":
                self._greeted(key_values(rest))
            case "LOGIN" | "RESUME":
                self._logged_in(key_values(rest), resumed=asked.verb == "RESUME")
            case "LOGOUT":
                self._end("logout", 0, "logged out")
            case "ACK":
                pass
            case _:
                self._events.append(events.Answered(asked.number, asked.verb, key_values(rest)))

    def _refused(self, asked: Asked, refusal: Refusal) -> None:
        code, text = refusal.code, refusal.text
        match asked.verb:
            case "SEND" if code < 500:
                self._send_delayed(asked.number, code, text)
            case "SEND":
                outgoing = self._outbox.answered(asked.number, self._now)
                self._send_refused(outgoing, code, text.removeprefix("again "))
            case "HELLO" if code < 500:
                self._give_up(text)
            case "HELLO":
                self._end("refused", code, text)
            case "LOGIN" | "RESUME":
                self._login_refused(asked.verb, refusal)
            case "LOGOUT":
                self._end("logout", code, text)
            case "ACK":
                pass  # the mark stays where it is; the next ACK moves it
            case _ if asked.tag == "gap":
                self._give_up(f"missed messages were refused: {text}")  # RESUME brings them
            case _:
                self._events.append(events.RequestRefused(asked.number, asked.verb, code, text))

    def _greeted(self, words: dict[str, str]) -> None:
        self._max_line = whole_number(words.get("max-line", "1024"))
        self._nodes.sessions = whole_number(words.get("sessions", "1"))
        host, port, _ = self._nodes.current
        self._learn(words.get("nodes", ""))
        self._events.append(events.Connected(host, port, words.get("node", "")))
        self._log_in()

    def _send_acknowledged(self, number: int, rest: str) -> None:
        word, _, more = rest.partition(" ")
        identifier = whole_number(word.removeprefix("id="))
        self._heard_of(identifier)
        done = self._outbox.answered(number, self._now)
        self._delay_told = False
        again = "again" in more.split()
        self._events.append(events.SendAcknowledged(number, identifier, done.to, done.text, again))

    def _send_delayed(self, number: int, code: int, text: str) -> None:
        """Repeat a SEND; say why once."""
        self._outbox.refused_for_now(self._now)
        if code != EARLIER_REFUSED and not self._delay_told:
            self._delay_told = True
            self._events.append(events.SendDelayed(number, code, text))

    def _send_refused(self, outgoing: Outgoing, code: int, reason: str) -> None:
        number, to, text = outgoing.number, outgoing.to, outgoing.text
        self._events.append(events.SendRefused(number, to, text, code, reason))

    def _pushed(self, push: Push) -> None:
        self._heard_of(push.message.id)
        filling = self._inbox.missing is not None
        if message := self._inbox.pushed(push):
            self._events.append(message)
        elif not filling:
            self._fill_hole()

    def _fill_hole(self) -> None:
        if self._inbox.missing is not None and self._inbox.last is not None:
            self._events.append(events.GapNoticed(self._inbox.last, self._inbox.missing))
            self._ask_page()

    def _ask_page(self) -> None:
        self._dialogue.ask(Asked("gap", "SINCE", 0, (self._inbox.after, PAGE)))

    def _listed(self, asked: Asked) -> None:
        if asked.verb != "SINCE":
            self._events.append(events.Listed(asked.number, asked.verb, tuple(asked.items)))
            return
        if asked.tag != "gap":
            self._events.append(events.HistoryListed(asked.number, tuple(asked.messages)))
            return
        hole = self._inbox.missing
        self._events += self._inbox.filled(asked.messages, self.name)
        if self._inbox.missing is not None and self._inbox.missing == hole:
            self._ask_page()
        else:
            self._fill_hole()

    def _noted(self, note: Note) -> None:
        match note.code:
            case "moved" | "deleted":
                self._end(note.code, 0, note.text)
                return
            case "closing":
                self._learn(note.words.get("nodes", ""))
                self._closing = True
                self._note_trouble()
                self._alarm = self._now + CLOSING_WITHIN
        self._events.append(events.Notice(note.code, note.words, note.text))

    def _heard_of(self, identifier: int) -> None:
        self.newest = max(self.newest, identifier)
