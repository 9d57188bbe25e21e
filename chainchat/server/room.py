"""The room: all sessions at this node, and what reaches them.

A message costs its receivers one rendering per kind of session, not one each, and each socket one
write per turn.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from chainchat.chat import commands
from chainchat.chat.state import Event, Joined, Left, Outcome, Result, Said
from chainchat.chat.voice import Message
from chainchat.server.delivery import Delivery, render
from chainchat.server.interfaces import Clock, Timer
from chainchat.server.node import Node, Replied

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
        """The end of a turn: hear lines held back, write, catch up, close if that is due."""

    def standing_changed(self) -> None:
        """The node's standing is not what it was."""


class Room:
    """The sessions at one node; its ``Audience``.

    A turn has two phases. First entries are applied and answers come in: what happened and what is
    to be said is only noted; nothing is heard, written, caught up or closed. Then comes ``flush``,
    in which nothing more is applied: the turn's messages are pushed to every live delivery, and
    then each session for which something was noted hears its lines, writes, catches up and closes.
    So a delivery that catches up never finds in the log what is still to be pushed to it.

    What a socket or a timer brings between two turns is noted likewise, and flushed at once.

    Attributes:
        node: the node.
        connections: every connection, logged in or not, the oldest first.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        self.node = node
        self.connections: dict[Attendant, None] = {}
        self._clock = clock
        self._sessions: dict[str, Attendant] = {}
        self._counter = 0
        self._news: list[Said] = []
        self._unflushed: dict[Attendant, None] = {}
        self._comings: dict[str, int] = {}
        """How often each name came since the last announcement, less how often it went."""
        self._announcement: Timer | None = None
        self._marks: dict[int, int] = {}
        self._acknowledging: dict[int, list[Callable[[], None]]] = {}
        """By account: what to do when the marks gathered are in place."""
        self._marking: Timer | None = None
        node.audience = self

    # --- for sessions

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self._sessions)

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
        """The session has something to do in the next ``flush``."""
        self._unflushed[attendant] = None

    def submit(
        self,
        account: int,
        command: commands.AnyCommand,
        replied: Replied | None = None,
    ) -> None:
        """Submit what the session of an account asks for, behind what it has acknowledged."""
        if account in self._acknowledging:
            self.send_marks()
        self.node.submit(command, replied)

    def seen(self, account: int, newest: int) -> None:
        """Move an account's read mark up to ``newest``, within a second or so."""
        self._gather_mark(account, newest, MARKS_PAUSE)

    def acknowledge(self, account: int, newest: int, done: Callable[[], None]) -> None:
        """Move an account's read mark up to ``newest``, soon; ``done`` is called when it is."""
        self._acknowledging.setdefault(account, []).append(done)
        self._gather_mark(account, newest, 0.0)

    def _gather_mark(self, account: int, newest: int, pause: float) -> None:
        """Many marks make one entry."""
        self._marks[account] = max(newest, self._marks.get(account, 0))
        if self._marking is None:
            self._marking = self._clock.callLater(pause, self.send_marks)
        elif not pause:
            self._marking.reset(0.0)

    def send_marks(self) -> None:
        """Put the gathered marks into the log."""
        if self._marking is not None and self._marking.active():
            self._marking.cancel()
        self._marking = None
        marks, self._marks = tuple(self._marks.items()), {}
        acknowledging, self._acknowledging = self._acknowledging, {}
        for start in range(0, len(marks), MARKS_IN_ENTRY):
            part = marks[start : start + MARKS_IN_ENTRY]
            done = [call for account, _ in part for call in acknowledging.get(account, ())]
            self.node.submit(commands.Seen(part), partial(_call_all, done))

    def stop(self) -> None:
        """No more announcements and marks."""
        for call in (self._announcement, self._marking):
            if call is not None and call.active():
                call.cancel()

    # --- the node's audience

    def happened(self, outcome: Outcome) -> None:
        """See ``Audience``."""
        self._news += outcome.said
        for event in outcome.events:
            self._note(event)

    def _note(self, event: Event) -> None:
        match event:
            case Joined():
                self._comings[event.name] = self._comings.get(event.name, 0) + 1
            case Left():
                self._comings[event.name] = self._comings.get(event.name, 0) - 1
                attendant = self._sessions.pop(event.session, None)
                if attendant is not None:
                    attendant.ended(event.reason, event.by)
            case _:
                pass

    def flush(self) -> None:
        """See ``Audience``."""
        if self.node.running:
            self.node.guarded(self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        if self._news:
            news, self._news = self._news, []
            self._deliver(news)
        self._announce()
        while self._unflushed:
            unflushed, self._unflushed = self._unflushed, {}
            for attendant in unflushed:
                attendant.flush()

    def standing_changed(self) -> None:
        """See ``Audience``."""
        for attendant in self.connections:
            attendant.standing_changed()
        self.flush()

    def room_again(self) -> None:
        """See ``Audience``. Lines that had to wait are heard in the next ``flush``."""
        self._unflushed.update(self.connections)

    # --- delivery

    def _deliver(self, news: list[Said]) -> None:
        """Push the turn's messages to every session that has all before them."""
        live = [
            attendant.delivery
            for attendant in self._sessions.values()
            if attendant.delivery is not None and attendant.delivery.live
        ]
        if not live:
            return
        broadcasts = [said for said in news if not said.recipient]
        unlike = {said.sender_account for said in broadcasts}
        unlike.update(said.recipient for said in news if said.recipient)
        rendered: dict[object, tuple[bytes, int]] = {}
        for delivery in live:
            account = delivery.recipient.account
            if account in unlike:
                own = [
                    said
                    for said in news
                    if said.recipient in (0, account) and said.sender_account != account
                ]
                _push(delivery, own, {})
            else:
                _push(delivery, broadcasts, rendered)

    def _announce(self) -> None:
        """Tell who came and went: at once after a quiet second, then once a second.

        Whoever went and came back in between, or came and went, did neither.
        """
        if self._announcement is not None or not self._comings:
            return
        comings, self._comings = self._comings, {}
        came = [name for name, times in comings.items() if times > 0]
        went = [name for name, times in comings.items() if times < 0]
        if came or went:
            self._announcement = self._clock.callLater(NOTICE_PAUSE, self._announce_again)
            for attendant in self._sessions.values():
                if attendant.notices:
                    for code, text, name in _announcements(came, went, attendant.name):
                        attendant.tell(code, text, name=name)

    def _announce_again(self) -> None:
        self._announcement = None
        self.flush()


def _push(
    delivery: Delivery, news: Sequence[Said], rendered: dict[object, tuple[bytes, int]]
) -> None:
    """Push ``news``; ``rendered`` keeps what deliveries that look alike have in common."""
    if not news:
        return
    alike = (delivery.recipient.voice, delivery.previous, delivery.day)
    known = rendered.get(alike)
    if known is None:
        messages = [Message(n.id, 0, n.time, n.sender, n.to, n.text) for n in news]
        known = rendered[alike] = render(delivery, messages)
    data, delivery.day = known
    delivery.push(data, news[-1].id)


def _call_all(functions: list[Callable[[], None]], _results: Sequence[Result]) -> None:
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
