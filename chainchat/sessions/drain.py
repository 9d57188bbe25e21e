"""Empties a node before it is stopped: its clients go on to other nodes, and no new ones come.

Clients are sent away one by one over some seconds, each after its answers.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred

from chainchat.node.budget import TELL_SECONDS, Slice
from chainchat.node.interfaces import Clock, Timer
from chainchat.sessions.interfaces import Attendee
from chainchat.sessions.sessions import Sessions

ANSWER_SECONDS = 1.0

LOOK_SECONDS = 0.05

REASON = "this node is drained, to be stopped"


class Drain:
    """From ``begin`` to ``end``, the node is ``drained``: nobody is let in."""

    def __init__(self, clock: Clock, sessions: Callable[[], Sessions]) -> None:
        self.drained = False
        self._clock = clock
        self._sessions = sessions
        self._call: Timer | None = None
        self._here: deque[tuple[float, Attendee]] = deque()
        """Who is to be sent away, and when."""
        self._leaving: dict[Attendee, float] = {}
        """Who gets no more than answers, and until when."""
        self._until = 0.0
        """When clients that do not read count as gone."""
        self._emptied: list[Deferred[bool]] = []

    def begin(self, seconds: float) -> Deferred[bool]:
        """Send everybody elsewhere, spread over ``seconds``.

        Returns:
            True when all are gone or have been told; False if ``end`` came first.
        """
        self.drained = True
        now, here = self._clock.seconds(), list(self._sessions().connections)
        self._until = now + seconds + 2 * ANSWER_SECONDS
        step = seconds / max(1, len(here))
        self._here = deque((now + place * step, session) for place, session in enumerate(here))
        emptied: Deferred[bool] = Deferred()
        self._emptied.append(emptied)
        self._go_on()
        return emptied

    def end(self) -> None:
        self.drained = False
        self._here.clear()
        self._tell(emptied=False)

    def stop(self) -> None:
        """Leave all who are still here to the end of the node."""
        self._cancel()
        self._here.clear()
        self._leaving.clear()
        self._tell(emptied=False)

    def _go_on(self) -> None:
        """Do a slice: thousands may be due together."""
        self._cancel()
        sessions = self._sessions()
        share = sessions.node.slice(TELL_SECONDS)
        self._send_away(share)
        self._let_go(share)
        if not sessions.connections or self._clock.seconds() >= self._until:
            self._tell(emptied=True)
        if self._emptied or self._here or self._leaving:
            self._call = self._clock.callLater(self._pause(share), self._go_on)

    def _send_away(self, share: Slice) -> None:
        now = self._clock.seconds()
        while self._here and self._here[0][0] <= now:
            _, session = self._here.popleft()
            session.take_no_more()
            self._leaving.setdefault(session, now + ANSWER_SECONDS)
            if not share.left():
                break

    def _let_go(self, share: Slice) -> None:
        """Close whoever has all answers, or has waited too long for them."""
        now = self._clock.seconds()
        for session, deadline in [*self._leaving.items()]:
            if not session.busy or now >= deadline:
                del self._leaving[session]
                session.sent_elsewhere(REASON)
            if not share.left():
                break

    def _pause(self, share: Slice) -> float:
        if not share.left():
            return 0.0
        due = self._here[0][0] - self._clock.seconds() if self._here else LOOK_SECONDS
        return min(max(due, 0.0), LOOK_SECONDS)

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _tell(self, *, emptied: bool) -> None:
        waiting, self._emptied = self._emptied, []
        for deferred in waiting:
            deferred.callback(emptied)
