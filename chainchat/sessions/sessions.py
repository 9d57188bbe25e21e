"""All sessions of a node.

A message is rendered once per kind of session, a socket written once per turn, and a turn visits
only the sessions that it concerns.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice

from chainchat.chat import commands
from chainchat.chat.commands import UNANNOUNCED, is_announced
from chainchat.chat.outcomes import Event, Held, Joined, Left, Outcome
from chainchat.node.budget import HEAR_SECONDS, PATIENT_SECONDS, TELL_SECONDS, Slice
from chainchat.node.interfaces import Clock
from chainchat.node.node import Node
from chainchat.node.pending import Replied
from chainchat.sessions.announcements import Announcements
from chainchat.sessions.contests import Contests
from chainchat.sessions.interfaces import Attendee
from chainchat.sessions.limits import UNLIMITED, Limits
from chainchat.sessions.news import News
from chainchat.sessions.read_marks import ReadMarks
from chainchat.sessions.rounds import Rounds

MOST_REMEMBERED = 1000
"""The most accounts remembered because their last connection took nothing."""

WOKEN_AT_ONCE = 1_000
"""Sessions woken in a turn because there is room again: some milliseconds."""


class Sessions:
    """The sessions of one node; its ``Audience``.

    In ``hear``, sessions carry out lines, or read on from the log. Then the node applies entries,
    and ``happened`` notes what to say. ``flush`` writes replies, then messages, then notices.

    Attributes:
        connections: logged in or not, the oldest first.
    """

    def __init__(self, node: Node, clock: Clock, limits: Limits | None = None) -> None:
        self.node = node
        self.limits = limits or Limits(UNLIMITED, clock.seconds)
        self.connections: dict[Attendee, None] = {}
        self.rounds = Rounds(clock, node.wake)
        self.news = News(clock, node.wake)
        self._sessions: dict[str, Attendee] = {}
        self._counter = 0
        self._unflushed: OrderedDict[Attendee, None] = OrderedDict()
        self._took_nothing: OrderedDict[int, None] = OrderedDict()
        self._uninformed: deque[Attendee] = deque()
        self._without_room: dict[Attendee, None] = {}
        self._waking: dict[Attendee, None] = {}
        """For whom there is room again."""
        self._announcements = Announcements(clock, node.wake)
        self.contests = Contests(clock, node.wake)
        self.marks = ReadMarks(node, clock)
        node.audience = self

    # --- for sessions

    @property
    def count(self) -> int:
        return len(self._sessions)

    def kinds(self) -> Counter[tuple[str, str]]:
        return Counter(
            ("human" if one.mode.asks else "machine", "tls" if one.encrypted else "plain")
            for one in self._sessions.values()
        )

    def new_session(self, *, announced: bool = True) -> str:
        """An id, unique for ever; ``announced``: others are told."""
        self._counter += 1
        return f"{self.node.me.origin}.{self._counter}{'' if announced else UNANNOUNCED}"

    def took_nothing(self, account: int) -> None:
        """Note that an account's connection ended while it took nothing."""
        self._took_nothing[account] = None
        if len(self._took_nothing) > MOST_REMEMBERED:
            self._took_nothing.popitem(last=False)

    def has_taken_nothing(self, account: int) -> bool:
        """True, once, after ``took_nothing``."""
        return bool(self._took_nothing) and self._took_nothing.pop(account, "") is None

    def enter(self, session: Attendee) -> None:
        self._sessions[session.id] = session

    def leave(self, session: Attendee) -> None:
        self._sessions.pop(session.id, None)
        self.marks.forget(session)
        self._without_room.pop(session, None)
        self._waking.pop(session, None)
        self.rounds.forget(session)

    def unflushed(self, session: Attendee) -> None:
        """Flush a session in this turn, or in the next."""
        self._unflushed[session] = None
        if not self.node.in_turn:  # in a turn, the flush is still to come
            self.node.wake()

    def wait_for_room(self, session: Attendee) -> None:
        """Wake a session when fewer requests are on their way."""
        self._without_room[session] = None

    def submit(
        self,
        account: int,
        command: commands.AnyCommand,
        replied: Replied | None = None,
    ) -> None:
        """Submit an account's command, behind its read mark."""
        if account in self.marks.acknowledged:
            self.marks.send()
        self.node.submit(command, replied)

    def one_by_one(self, act: Callable[[Attendee], None]) -> Iterator[None]:
        """Do something with everybody who is here; yields when the node has to have a turn."""
        share = self.node.slice(TELL_SECONDS)
        for session in [*self.connections]:
            if not share.left():
                yield
                share = self.node.slice(TELL_SECONDS)
            if session in self.connections:
                act(session)

    def stop(self) -> None:
        self.rounds.stop()
        self.news.stop()
        self._announcements.stop()
        self.contests.stop()
        self.marks.stop()

    # --- the node's audience

    def hear(self) -> bool:
        if self._waking:
            self._wake_some()
        speaks = self.rounds.somebody_speaks
        if speaks:
            self.rounds.serve_speaking(self.node.slice(HEAR_SECONDS))
        waits = self.rounds.somebody_waits
        if waits:
            self.rounds.serve_patient(self.node.slice(PATIENT_SECONDS))
        comes = self.contests.somebody_comes
        if comes:
            self.contests.let_in(self.node.slice(HEAR_SECONDS))
        return speaks or waits or comes

    def happened(self, outcome: Outcome) -> None:
        if outcome.said:
            self.news.add(outcome.said)
        for event in outcome.events:
            self._note(event)

    def _note(self, event: Event) -> None:
        match event:
            case Joined():
                if is_announced(event.session):
                    self._announcements.joined(event.name)
            case Left():
                if is_announced(event.session):
                    self._announcements.left(event.name)
                session = self._sessions.pop(event.session, None)
                if session is not None:
                    session.ended(event.reason, event.by)
                self.contests.left(event.session)
            case Held(silent=None):
                session = self._sessions.get(event.session)
                if session is not None:
                    session.contested()
            case Held():
                self.contests.told(event.session, event.silent)

    def flush(self) -> bool:
        waiting = self._unflushed or self._uninformed or self.marks.due or self.marks.moved
        if not waiting and not self.news.waiting and not self._announcements.waiting:
            return False
        share = self.node.slice(TELL_SECONDS)
        self.marks.answer(share)
        self._flush(share)
        self.news.push(share)
        self._inform(share)
        self._announcements.tell(self._sessions.values(), share)
        self.marks.look(share)
        if self._unflushed:
            self.node.wake()
        return True

    def _flush(self, share: Slice) -> None:
        for _ in range(len(self._unflushed)):
            session, _ = self._unflushed.popitem(last=False)
            session.flush()
            if not share.left():
                break

    def readiness_changed(self) -> None:
        self._uninformed = deque(self.connections)
        self.node.wake()

    def _inform(self, share: Slice) -> None:
        while self._uninformed:
            session = self._uninformed.popleft()
            if session in self.connections:
                session.readiness_changed()
            if not share.left():
                break
        if self._uninformed:
            self.node.wake()

    def room_again(self) -> None:
        self._waking |= self._without_room
        self._without_room = {}
        self._wake_some()

    def _wake_some(self) -> None:
        for session in reversed([*islice(self._waking, WOKEN_AT_ONCE)]):
            del self._waking[session]
            session.has_room()  # before all others
        if self._waking:
            self.node.wake()
