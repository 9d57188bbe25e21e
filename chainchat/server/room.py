"""The room: all sessions at this node, and what reaches them.

A message costs its receivers one rendering per kind of session, not one each, and each socket one
write per turn.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from chainchat.chat import commands
from chainchat.chat.state import Deleted, Event, Joined, Left, Result, Said
from chainchat.chat.voice import Message
from chainchat.server.delivery import Delivery, render
from chainchat.server.node import Clock, Node, Timer

NOTICE_PAUSE = 1.0
"""Seconds between two announcements of who came and went."""

NAMED_AT_ONCE = 5
"""How many are announced by name; more are counted."""

MARKS_PAUSE = 1.0
"""Seconds for which read marks are gathered into one entry."""

MARKS_IN_ENTRY = 1_000
"""Read marks in one entry of the log: at most 20 octets each."""


class Attendant(Protocol):
    """What the room needs of a session.

    Attributes:
        session: the session's id.
        delivery: what it is pushed, None before its login and for those who want nothing.
        name: of its account.
        notices: whether it is told who comes and goes.
    """

    session: str
    delivery: Delivery | None
    name: str
    notices: bool

    def tell(self, code: str, text: str, **values: str) -> None:
        """Write a notice."""

    def ended(self, reason: str, by: str) -> None:
        """The session was ended by an entry of the log."""

    def flush(self) -> None:
        """Write what was gathered."""

    def pump(self) -> None:
        """Go on with lines that were held back."""

    def standing_changed(self) -> None:
        """The node's standing is not what it was."""


class Room:
    """The sessions at one node; its ``Audience``.

    Attributes:
        node: the node.
        connections: every connection, logged in or not.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        self.node = node
        self.connections: set[Attendant] = set()
        self._clock = clock
        self._sessions: dict[str, Attendant] = {}
        self._counter = 0
        self._news: list[Said] = []
        self._unflushed: dict[Attendant, None] = {}
        self._came: list[str] = []
        self._went: list[str] = []
        self._announcement: Timer | None = None
        self._marks: dict[int, int] = {}
        self._marked: list[Callable[[], None]] = []
        self._marking: Timer | None = None
        node.audience = self

    # --- for sessions

    def new_session(self) -> str:
        """A session id that was never used before and never will be."""
        self._counter += 1
        return f"{self.node.me.origin}.{self._counter}"

    def enter(self, attendant: Attendant) -> None:
        """The session ``attendant.session`` lives on this connection."""
        self._sessions[attendant.session] = attendant

    def leave(self, attendant: Attendant) -> None:
        """It does so no more."""
        self._sessions.pop(attendant.session, None)

    def unflushed(self, attendant: Attendant) -> None:
        """The session has something to write at the end of the turn."""
        self._unflushed[attendant] = None

    def seen(self, account: int, newest: int, done: Callable[[], None] | None = None) -> None:
        """Move an account's read mark up to ``newest``; many marks make one entry.

        ``done`` is called when it was applied; a mark without one is in no hurry.
        """
        self._marks[account] = max(newest, self._marks.get(account, 0))
        pause = MARKS_PAUSE
        if done is not None:
            self._marked.append(done)
            pause = 0.0
        if self._marking is None:
            self._marking = self._clock.callLater(pause, self.send_marks)
        elif not pause:
            self._marking.reset(0.0)

    def send_marks(self) -> None:
        """Put the gathered marks into the log."""
        if self._marking is not None and self._marking.active():
            self._marking.cancel()
        self._marking = None
        if self._marks:
            marked, self._marked = self._marked, []
            marks, self._marks = tuple(self._marks.items()), {}
            for start in range(0, len(marks), MARKS_IN_ENTRY):
                part = marks[start : start + MARKS_IN_ENTRY]
                last = start + MARKS_IN_ENTRY >= len(marks)
                self.node.submit(commands.Seen(part), partial(_call_all, marked if last else []))

    def stop(self) -> None:
        """No more announcements and marks."""
        for call in (self._announcement, self._marking):
            if call is not None and call.active():
                call.cancel()

    # --- the node's audience

    def happened(self, event: Event) -> None:
        """See ``Audience``."""
        match event:
            case Said():
                self._news.append(event)
            case Joined():
                self._came.append(event.name)
            case Left():
                self._went.append(event.name)
                attendant = self._sessions.pop(event.session, None)
                if attendant is not None:
                    attendant.ended(event.reason, event.by)
            case Deleted():
                pass

    def flush(self) -> None:
        """See ``Audience``."""
        if self._news:
            news, self._news = self._news, []
            self._deliver(news)
        if (self._came or self._went) and self._announcement is None:
            self._announce()
        while self._unflushed:
            unflushed, self._unflushed = self._unflushed, {}
            for attendant in unflushed:
                attendant.flush()

    def standing_changed(self) -> None:
        """See ``Audience``."""
        for attendant in list(self.connections):
            attendant.standing_changed()
            attendant.flush()

    def room_again(self) -> None:
        """See ``Audience``."""
        for attendant in list(self.connections):
            attendant.pump()

    # --- delivery

    def _deliver(self, news: list[Said]) -> None:
        """Push the turn's messages to every session that has all before them."""
        broadcasts = [_message(said) for said in news if not said.recipient]
        private: dict[int, list[Said]] = {}
        for said in news:
            if said.recipient:
                private.setdefault(said.recipient, []).append(said)
        senders = {said.sender_account for said in news if not said.recipient}
        rendered: dict[object, tuple[bytes, int]] = {}
        for attendant in self._sessions.values():
            delivery = attendant.delivery
            if delivery is None or not delivery.live:
                continue
            account = delivery.account
            if account in private or account in senders:
                own = [
                    _message(said)
                    for said in news
                    if said.recipient in (0, account) and said.sender_account != account
                ]
                _push(delivery, own, {})
            else:
                _push(delivery, broadcasts, rendered)

    def _announce(self) -> None:
        """Tell who came and went: at once after a quiet second, then once a second."""
        self._announcement = None
        came, self._came = self._came, []
        went, self._went = self._went, []
        if not came and not went:
            return
        self._announcement = self._clock.callLater(NOTICE_PAUSE, self._announce_and_flush)
        for attendant in list(self._sessions.values()):
            if attendant.notices:
                for code, text, name in _announcements(came, went, attendant.name):
                    attendant.tell(code, text, name=name)

    def _announce_and_flush(self) -> None:
        self._announce()
        self.flush()


def _message(said: Said) -> Message:
    return Message(said.id, 0, said.time, said.sender, said.to, said.text)


def _push(
    delivery: Delivery, messages: list[Message], rendered: dict[object, tuple[bytes, int]]
) -> None:
    """Push ``messages``; ``rendered`` keeps what deliveries that look alike have in common."""
    if not messages:
        return
    alike = (type(delivery.voice), delivery.previous, delivery.day)
    known = rendered.get(alike)
    if known is None:
        known = rendered[alike] = render(delivery, messages)
    data, delivery.day = known
    delivery.push(data, messages[-1].id)


def _call_all(functions: Iterable[Callable[[], None]], _result: Result) -> None:
    for function in functions:
        function()


def _announcements(came: list[str], went: list[str], viewer: str) -> list[tuple[str, str, str]]:
    """(code, text, name) of each line about others."""
    others_came = [name for name in came if name != viewer]
    others_went = [name for name in went if name != viewer]
    lines = _about("joined", "has joined", others_came)
    return lines + _about("left", "has left", others_went)


def _about(code: str, verb: str, names: list[str]) -> list[tuple[str, str, str]]:
    if len(names) > NAMED_AT_ONCE:
        return [(code, f"{len(names)} others: each {verb}", "*")]
    return [(code, f"{name} {verb}", name) for name in names]
