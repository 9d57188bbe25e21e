"""All sessions of a node.

A message is rendered once per kind of session, not once per receiver, and each socket is written
once per turn. A turn visits only the sessions that it concerns.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from chainchat.chat import commands
from chainchat.chat.state import Event, Held, Joined, Left, Outcome, Result
from chainchat.node.budget import HEAR_SECONDS, PATIENT_SECONDS, TELL_SECONDS, Slice
from chainchat.node.interfaces import Clock, Timer
from chainchat.node.node import Node
from chainchat.node.pending import Replied
from chainchat.sessions.announcements import Announcements, Hearer
from chainchat.sessions.contests import Contests
from chainchat.sessions.delivery import Delivery
from chainchat.sessions.news import News
from chainchat.sessions.rounds import Rounds, Speaker

MARKS_PAUSE = 1.0
"""Seconds for which read marks are gathered into one entry."""

MARKS_IN_ENTRY = 100
"""Read marks in one entry: each takes at most 20 octets, and changes an account."""

LOOK_PAUSE = 1.0
"""Seconds between two looks at what people's machines have acknowledged."""


class Attendant(Speaker, Hearer, Protocol):
    """A session, as ``Sessions`` sees it.

    Attributes:
        id: the session's id.
        delivery: pushes its messages; None before the login, and for clients that want no pushes.
    """

    id: str
    delivery: Delivery | None

    def ended(self, reason: str, by: str) -> None:
        """Close: an entry of the log ended the session."""

    def contested(self) -> None:
        """Find out whether the client is alive: somebody else wants to log in under its name."""

    def look(self) -> bool:
        """Look how much the person has seen. True if they may see more."""

    def flush(self) -> None:
        """Write what was gathered, queue for lines that had to wait, close if due."""

    def has_room(self) -> None:
        """Queue for a turn: fewer requests are on their way."""

    def readiness_changed(self) -> None:
        """Note that the node's readiness changed."""


class Sessions:
    """The sessions of one node; its ``Audience``.

    A turn of the node calls it three times. In ``hear``, sessions carry out lines, or read on from
    the log. Then the node applies entries and answers come in, and ``happened`` notes what to say.
    ``flush`` writes: replies first, then the turn's messages to all sessions that have the earlier
    ones, then notices. Each step is done in slices; the next turn goes on with what is left, in the
    same order for each session.

    Attributes:
        node: the node.
        connections: every connection, logged in or not, the oldest first.
        rounds: whose turn it is.
        news: the newest messages, on their way to the sessions that have the earlier ones.
        contests: refused logins that wait to hear about the holder of their name.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        self.node = node
        self.connections: dict[Attendant, None] = {}
        self.rounds = Rounds(clock, node.wake)
        self.news = News(node.wake)
        self._clock = clock
        self._sessions: dict[str, Attendant] = {}
        self._counter = 0
        self._unflushed: OrderedDict[Attendant, None] = OrderedDict()
        self._uninformed: deque[Attendant] = deque()
        """Sessions that do not know the node's readiness yet."""
        self._without_room: dict[Attendant, None] = {}
        """Sessions that wait until fewer requests are on their way."""
        self._announcements = Announcements(clock, node.wake)
        self._marks: dict[int, int] = {}
        self._acknowledging: dict[int, list[Callable[[], None]]] = {}
        """By account: what to call when the gathered marks are in place."""
        self._marking: Timer | None = None
        self._reading: dict[Attendant, None] = {}
        """People who may see more than their read mark says."""
        self._to_look_at: deque[Attendant] = deque()
        self._looking: Timer | None = None
        self.contests = Contests(clock)
        node.audience = self

    # --- for sessions

    @property
    def count(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def new_session(self) -> str:
        """A session id that is unique for ever."""
        self._counter += 1
        return f"{self.node.me.origin}.{self._counter}"

    def enter(self, attendant: Attendant) -> None:
        """Note that the session ``attendant.id`` lives here."""
        self._sessions[attendant.id] = attendant

    def leave(self, attendant: Attendant) -> None:
        """Note that a connection or its session is over."""
        self._sessions.pop(attendant.id, None)
        self._reading.pop(attendant, None)
        self._without_room.pop(attendant, None)
        self.rounds.forget(attendant)

    def unflushed(self, attendant: Attendant) -> None:
        """Flush the session in this turn, or in the next."""
        self._unflushed[attendant] = None
        if not self.node.in_turn:  # in a turn, the flush is still to come
            self.node.wake()

    def wait_for_room(self, attendant: Attendant) -> None:
        """Wake the session when fewer requests are on their way."""
        self._without_room[attendant] = None

    def submit(
        self,
        account: int,
        command: commands.AnyCommand,
        replied: Replied | None = None,
    ) -> None:
        """Submit a command of an account, behind the read mark that it has acknowledged."""
        if account in self._acknowledging:
            self.send_marks()
        self.node.submit(command, replied)

    # --- read marks

    def seen(self, account: int, newest: int) -> None:
        """Move the read mark of an account up to ``newest``, within a second or so."""
        self._gather_mark(account, newest, MARKS_PAUSE)

    def acknowledge(self, account: int, newest: int, done: Callable[[], None]) -> None:
        """Move the read mark of an account up to ``newest``, soon; then call ``done``."""
        self._acknowledging.setdefault(account, []).append(done)
        self._gather_mark(account, newest, 0.0)

    def _gather_mark(self, account: int, newest: int, pause: float) -> None:
        """Gather marks, so that many make one entry."""
        self._marks[account] = max(newest, self._marks.get(account, 0))
        if self._marking is None:
            self._marking = self._clock.callLater(pause, self.send_marks)
        elif not pause:
            self._marking.reset(0.0)

    def send_marks(self) -> None:
        """Submit the gathered marks."""
        if self._marking is not None and self._marking.active():
            self._marking.cancel()
        self._marking = None
        marks, self._marks = tuple(self._marks.items()), {}
        acknowledging, self._acknowledging = self._acknowledging, {}
        for start in range(0, len(marks), MARKS_IN_ENTRY):
            part = marks[start : start + MARKS_IN_ENTRY]
            done = [call for account, _ in part for call in acknowledging.get(account, ())]
            self.node.submit(commands.Seen(part), partial(_call_all, done))

    def reads(self, attendant: Attendant) -> None:
        """Look now and then how much this person has seen."""
        self._reading[attendant] = None
        if self._looking is None:
            self._looking = self._clock.callLater(LOOK_PAUSE, self._look_again)

    def _look_again(self) -> None:
        self._looking = None
        self._to_look_at.extend(self._reading)
        self._reading = {}
        self.node.wake()

    def _look(self, share: Slice) -> None:
        """Look at some of the people who may have seen more."""
        while self._to_look_at:
            attendant = self._to_look_at.popleft()
            if attendant in self.connections and attendant.look():
                self.reads(attendant)
            if not share.left():
                break
        if self._to_look_at:
            self.node.wake()

    def stop(self) -> None:
        """Stop announcements and read marks."""
        self.rounds.stop()
        self._announcements.stop()
        self.contests.stop()
        for call in (self._marking, self._looking):
            if call is not None and call.active():
                call.cancel()

    # --- the node's audience

    def hear(self) -> bool:
        """See ``Audience``."""
        speaks = self.rounds.somebody_speaks
        if speaks:
            self.rounds.serve_speaking(self.node.slice(HEAR_SECONDS))
        waits = self.rounds.somebody_waits
        if waits:
            self.rounds.serve_patient(self.node.slice(PATIENT_SECONDS))
        return speaks or waits

    def happened(self, outcome: Outcome) -> None:
        """See ``Audience``."""
        if outcome.said:
            self.news.add(outcome.said)
        for event in outcome.events:
            self._note(event)

    def _note(self, event: Event) -> None:
        match event:
            case Joined():
                self._announcements.joined(event.name)
            case Left():
                self._announcements.left(event.name)
                attendant = self._sessions.pop(event.session, None)
                if attendant is not None:
                    attendant.ended(event.reason, event.by)
            case Held(silent=None):
                attendant = self._sessions.get(event.session)
                if attendant is not None:
                    attendant.contested()
            case Held():
                self.contests.told(event.session, event.silent)

    def flush(self) -> bool:
        """See ``Audience``."""
        waiting = self._unflushed or self._uninformed or self._to_look_at
        if not waiting and not self.news.waiting and not self._announcements.waiting:
            return False
        share = self.node.slice(TELL_SECONDS)
        self._flush(share)
        self.news.push(share)
        self._inform(share)
        self._announcements.tell(self._sessions.values(), share)
        self._look(share)
        if self._unflushed:
            self.node.wake()
        return True

    def _flush(self, share: Slice) -> None:
        for _ in range(len(self._unflushed)):
            attendant, _ = self._unflushed.popitem(last=False)
            attendant.flush()
            if not share.left():
                break

    def readiness_changed(self) -> None:
        """See ``Audience``."""
        self._uninformed = deque(self.connections)
        self.node.wake()

    def _inform(self, share: Slice) -> None:
        while self._uninformed:
            attendant = self._uninformed.popleft()
            if attendant in self.connections:
                attendant.readiness_changed()
            if not share.left():
                break
        if self._uninformed:
            self.node.wake()

    def room_again(self) -> None:
        """See ``Audience``."""
        waiting, self._without_room = self._without_room, {}
        for attendant in waiting:
            attendant.has_room()


def _call_all(functions: list[Callable[[], None]], _results: Sequence[Result]) -> None:
    for function in functions:
        function()
