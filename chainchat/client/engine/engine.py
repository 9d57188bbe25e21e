"""A correct client without I/O: inputs are method calls, outputs are events and bytes.

The program owns the socket and the clock (``connection`` does so on asyncio). It calls ``start``
once, then ``connected``, ``received`` and ``lost`` as its socket tells, ``tick`` some ten times a
second, and ``send``, ``request`` and ``logout`` as it likes. After each call it carries out the
events of ``take_events``, in order, and writes the octets of ``take_bytes``. After ``Disconnect``
it never mentions the old connection again. Times are monotonic seconds.

A SEND is repeated, on whichever node answers, until its result is known: each happens, and each
message arrives, exactly once and in order.
"""

from collections.abc import Iterable
from random import Random

from chainchat.chat.requests import EVERYBODY
from chainchat.client.engine import events, wire
from chainchat.client.engine.backoff import Nodes
from chainchat.client.engine.dialogue import Asked, Dialogue, Reply
from chainchat.client.engine.login import Login
from chainchat.client.engine.memory import Memory
from chainchat.client.engine.passwords import CHANGED, NEEDED, Passwords, Step
from chainchat.client.engine.phases import CLOSING_WITHIN, Phase, Phases
from chainchat.client.engine.proof import Keys
from chainchat.client.engine.receiving import Receiving
from chainchat.client.engine.requests import Requests
from chainchat.client.engine.sending import Sending
from chainchat.client.engine.wire import (
    Done,
    Note,
    Push,
    Refusal,
    key_values,
    whole_number,
)

PASSWORD_CODES = frozenset({CHANGED, NEEDED})
"""Refusals of a LOGIN that needs a proof, or another proof."""

PASSWORD_WRONG = 500
"""Refusals below this are temporary."""


class Engine:
    """One client of one account.

    Args:
        client: a fresh client ID; ``memory`` may know an earlier one.
        nodes: where to connect, in this order.
        quiet: log in without being told what others say.
        insist: retry while the name is in use, at the first login too.
        keys: to log in without the password; None: kept only while this runs.
        asks: somebody answers ``PasswordNeeded``.
    """

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
        keys: Keys | None = None,
        password: str = "",
        asks: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self.name = name
        self.online = False
        self.newest = 0  # the highest message id heard of
        self._events: list[events.Event] = []
        self._memory = memory or Memory()
        self._client = self._memory.begin(client)
        self._nodes = Nodes(nodes, random)
        self._notices = notices
        self._passwords = Passwords(name, keys or Keys(), random.randbytes, password, asks=asks)
        self._login = Login(name, random, self._memory, quiet=quiet, insist=insist)
        self._sending = Sending(random, self._memory, self._events)
        self._receiving = Receiving(name, self._memory, self._events)
        self._requests = Requests(self._events)
        self._leaving = False
        self._phases = Phases()
        self._now = 0.0
        self._new_connection()

    def _new_connection(self) -> None:
        self.online = False
        self._dialogue = Dialogue(self._now)
        self._closing = False  # the node has said that it is about to go
        self._logout_sent = False

    # --- outputs ---------------------------------------------------------------------

    def take_events(self) -> list[events.Event]:
        """Events since the last call; they count as seen after ``seen``."""
        taken = list(self._events)
        self._events.clear()
        return taken

    def seen(self) -> None:
        """Note that the program has delivered all events that it took."""
        self._receiving.handed_over()

    def take_bytes(self) -> bytes:
        """Octets to write, after the memory has kept what must not be lost."""
        self._memory.keep(self._now)
        return self._dialogue.take_bytes()

    @property
    def pending(self) -> int:
        """SENDs without a final answer."""
        return len(self._sending)

    def longest(self, to: str = EVERYBODY) -> int:
        """Octets of the longest text that the server takes."""
        return self._sending.longest(to)

    @property
    def ended(self) -> bool:
        """True once ``Ended`` is among the events."""
        return self._phases.now is Phase.ENDED

    @property
    def alarm(self) -> float | None:
        """When ``tick`` is due, to the millisecond; None if nothing is urgent."""
        return self._phases.alarm

    # --- what the program wants ------------------------------------------------------

    def start(self, now: float) -> None:
        assert self._phases.now is Phase.NEW, "an engine starts once"
        self._now = now
        self._connect()

    def send(self, text: str, to: str = EVERYBODY) -> int:
        """Say something; return the SEND's number in events.

        Raises:
            UnsendableError: no server would take it. A text too long becomes a ``SendRefused``.
        """
        number = self._sending.add(wire.checked(to), wire.checked(text))
        self._pump()
        return number

    def request(self, verb: str, *arguments: str | int) -> int:
        """Ask once logged in; return the request's number in its answer.

        Raises:
            UnsendableError: an argument holds a control character.
        """
        number = self._requests.add(verb, arguments)
        self._pump()
        return number

    @property
    def has_password(self) -> bool:
        return self._passwords.is_protected

    def password(self, password: str) -> None:
        """Answer ``PasswordNeeded``.

        Raises:
            RefusedError: 522, no account can have it.
        """
        if self._phases.now is Phase.LOGGING_IN and self._passwords.wanted:
            self._ask(self._passwords.answer(password))
        else:
            self._passwords.keep(password)

    def change_password(self, old: str, new: str) -> None:
        """Set another password, or remove it if ``new`` is empty; ``old``: if there is one.

        Raises:
            RefusedError: 522, no account can have it.
        """
        if self.online:
            self._ask(self._passwords.change(old, new))
        else:
            text = "there is no connection: nothing is changed; type /password once there is one"
            self._events.append(events.PasswordRefused(0, text))

    def _ask(self, step: Step) -> None:
        match step:
            case Asked():
                self._dialogue.ask(step)
            case events.Event():
                self._events.append(step)
            case Refusal():
                self._end("refused", step.code, step.text)
            case None:
                self._log_in()

    def logout(self) -> None:
        """Leave once every SEND is settled; ``Ended`` follows."""
        self._leaving = True
        self._pump()

    # --- what the socket and the clock say -------------------------------------------

    def connected(self, now: float) -> None:
        assert self._phases.now is Phase.CONNECTING, "no connection was asked for"
        self._now = now
        self._phases.greeting(now)
        self._dialogue = Dialogue(now)
        self._dialogue.hello(self._client, notices=self._notices)

    def received(self, data: bytes, now: float) -> None:
        """Take octets, cut anywhere: the fewer, the shorter the turn."""
        self._now = now
        dialogue = self._dialogue
        self._phases.heard()
        try:
            for said in dialogue.feed(data, now):
                self._said(said)
                if self._dialogue is not dialogue:
                    return  # what was said made us give the connection up
        except wire.ProtocolError as error:
            self._give_up(str(error))
        self._pump()

    def lost(self, now: float, reason: str = "the connection broke") -> None:
        """Note the end of the connection or the attempt; ``reason`` is for people."""
        self._now = now
        self._lost(reason)

    def _lost(self, reason: str, *, unanswered: bool = False) -> None:
        if self._phases.now in (Phase.NEW, Phase.PAUSING, Phase.ENDED):
            return
        if self._logout_sent or (self._leaving and not self._sending):
            self._end("logout", 0, "logged out")
            return
        served = self._phases.broke(self._now)
        host, port, _ = self._nodes.current
        wait = self._nodes.lost(served, sent_on=self._closing, unanswered=unanswered)
        self._events.append(events.ConnectionLost(host, port, reason, wait))
        unanswered_requests = self._dialogue.unanswered
        self._requests.ask_again(unanswered_requests)
        if any(asked.verb == "LOGIN" for asked in unanswered_requests):
            self._login.lost()
        if (broken := self._passwords.broke()) is not None:
            self._events.append(broken)
        self._new_connection()
        if wait:
            self._phases.pausing(self._now + wait)
        else:
            self._connect()

    def tick(self, now: float, *, listening: bool = True) -> None:
        """Do what is due; ``listening``: the program reads, so silence is the node's."""
        self._now = now
        if not listening:
            self._dialogue.deaf(now)
            self._phases.deaf(now)
        if self._phases.is_over(now):
            self._time_is_up()
        if self._phases.trouble_lasts(now):
            self._events.append(events.StillOffline())
        if self._phases.now in (Phase.LOGGING_IN, Phase.ONLINE):
            self._watch()
        if self._phases.now is Phase.ONLINE:
            self._sending.tick(now)
            self._receiving.acknowledge(self._dialogue, now)
            self._pump()

    # --- the connection --------------------------------------------------------------

    def _connect(self) -> None:
        self._phases.connecting(self._now)
        self._events.append(events.ConnectTo(*self._nodes.current))

    def _learn(self, nodes: str) -> None:
        """Learn addresses, with TLS if this node was reached with it."""
        addresses = wire.parse_nodes(nodes, tls=self._nodes.current.tls)
        if learned := self._nodes.learn(addresses):
            self._memory.learned(learned)

    def _give_up(self, reason: str, *, unanswered: bool = False) -> None:
        self._events.append(events.Disconnect())
        self._lost(reason, unanswered=unanswered)

    def _end(self, reason: str, code: int, text: str) -> None:
        self._new_connection()
        self._phases.ended()
        self._memory.ended(reason)
        self._events += [events.Disconnect(), events.Ended(reason, code, text)]

    def _watch(self) -> None:
        if (reason := self._dialogue.trouble(self._now)) is not None:
            self._give_up(reason)

    def _time_is_up(self) -> None:
        match self._phases.now:
            case Phase.PAUSING:
                self._connect()
            case Phase.CONNECTING:
                self._give_up("no answer")
            case Phase.GREETING:
                self._phases.no_greeting()
                self._give_up("no answer", unanswered=True)
            case Phase.LOGGING_IN:
                self._log_in()
            case Phase.ONLINE if self._closing:
                self._give_up("the node is closing")

    def _log_in(self) -> None:
        self._phases.logging_in()
        self._dialogue.ask(self._login.request(self._receiving.last))

    def _logged_in(self, words: dict[str, str], *, resumed: bool) -> None:
        self._phases.online(self._now)
        self.online = True
        self._login.done(words)
        if self._memory.numbered_from is None:
            self._memory.numbered(whole_number(words.get("number", "1")) - 1)
        self._sending.reconnected()
        self._receiving.reconnected()
        high = whole_number(words.get("high", "0"))
        self._heard_of(high)
        after = self._memory.seen if self._receiving.last is None else self._receiving.last
        self._events.append(events.LoggedIn(self.name, high, resumed, after or 0))

    def _login_refused(self, verb: str, refusal: Refusal) -> None:
        match self._login.refused(verb, refusal):
            case events.LoginDelayed() as delayed:
                self._phases.troubled(self._now, delayed.retry)
                self._events.append(delayed)
            case events.Ended() as ended:
                self._end(ended.reason, ended.code, ended.text)
            case None:
                self._log_in()

    def _password_refused(self, refusal: Refusal) -> None:
        if self._phases.now is Phase.LOGGING_IN and refusal.code < PASSWORD_WRONG:
            self._login_refused("LOGIN", refusal)
        else:
            self._ask(self._passwords.refused(refusal))

    # --- writing ---------------------------------------------------------------------

    def _pump(self) -> None:
        if self._phases.now is not Phase.ONLINE:
            if self._leaving and not self._sending and not self.ended:
                self._end("logout", 0, "left while not logged in")
            return
        if self._closing or self._logout_sent:
            return
        self._sending.write(self._dialogue)
        self._requests.write(self._dialogue)
        if self._leaving and not self._sending:
            finished = ("finished",) if self._memory.finishes else ()
            self._receiving.acknowledge(self._dialogue, self._now, at_once=True)
            self._dialogue.ask(Asked("logout", "LOGOUT", 0, finished))
            self._logout_sent = True

    # --- reading ---------------------------------------------------------------------

    def _said(self, said: Push | Note | Refusal | Reply) -> None:
        match said:
            case Push():
                self._heard_of(said.message.id)
                self._receiving.pushed(said, self._dialogue)
            case Note():
                self._noted(said)
            case Refusal():
                self._learn(key_values(said.text).get("nodes", ""))
                self._give_up(said.text)
            case Reply(asked=asked, line=Done(rest=rest)):
                self._done(asked, rest)
            case Reply(asked=asked, line=Refusal() as refusal):
                self._refused(asked, refusal)
            case Reply(asked=asked) if asked.tag == "gap":
                self._receiving.filled(asked, self._dialogue)
            case Reply(asked=asked):
                self._requests.listed(asked)

    def _done(self, asked: Asked, rest: str) -> None:
        match asked.verb:
            case "SEND":
                self._heard_of(self._sending.acknowledged(asked.number, rest, self._now))
            case "HELLO":
                self._greeted(key_values(rest))
            case "LOGIN" | "RESUME":
                self._logged_in(key_values(rest), resumed=asked.verb == "RESUME")
            case "AUTH" | "PROVE" | "SECRET":
                self._ask(self._passwords.done(asked.verb, rest))
            case "LOGOUT":
                self._end("logout", 0, "logged out")
            case "ACK":
                pass
            case _:
                self._requests.done(asked, key_values(rest))

    def _refused(self, asked: Asked, refusal: Refusal) -> None:
        code, text = refusal.code, refusal.text
        match asked.verb:
            case "SEND":
                self._sending.refused(asked.number, code, text, self._now)
            case "HELLO" if code < 500:
                self._give_up(text)
            case "HELLO":
                self._end("refused", code, text)
            case "LOGIN" if code in PASSWORD_CODES:
                self._ask(self._passwords.needed(refusal))
            case "LOGIN" | "RESUME":
                self._login_refused(asked.verb, refusal)
            case "AUTH" | "PROVE" | "SECRET":
                self._password_refused(refusal)
            case "LOGOUT":
                self._end("logout", code, text)
            case "ACK":
                pass  # the mark stays where it is; the next ACK moves it
            case _ if asked.tag == "gap":
                self._give_up(f"missed messages were refused: {text}")  # RESUME brings them
            case _:
                self._requests.refused(asked, code, text)

    def _greeted(self, words: dict[str, str]) -> None:
        self._sending.max_line = whole_number(words.get("max-line", "1024"))
        self._nodes.sessions = whole_number(words.get("sessions", "1"))
        host, port, _ = self._nodes.current
        self._learn(words.get("nodes", ""))
        self._events.append(events.Connected(host, port, words.get("node", "")))
        self._log_in()

    def _noted(self, note: Note) -> None:
        match note.code:
            case "moved" | "deleted" | "kicked":
                self._end(note.code, 0, note.text)
                return
            case "closing":
                self._learn(note.words.get("nodes", ""))
                self._closing = True
                self._phases.troubled(self._now, CLOSING_WITHIN)
        self._events.append(events.Notice(note.code, note.words, note.text))

    def _heard_of(self, identifier: int) -> None:
        self.newest = max(self.newest, identifier)
