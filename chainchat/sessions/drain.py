"""Empties a node before it is stopped: its clients go on to other nodes, and no new ones come.

Clients are sent away one by one over some seconds, each after its answers.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred

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
        self._calls: dict[Attendee | None, Timer] = {}
        self._leaving: set[Attendee] = set()
        self._until = 0.0
        """When clients that do not read count as gone."""
        self._emptied: list[Deferred[bool]] = []

    def begin(self, seconds: float) -> Deferred[bool]:
        """Send everybody elsewhere, spread over ``seconds``.

        Returns:
            True when all are gone or have been told; False if ``end`` came first.
        """
        self.drained = True
        self._stop_calls()
        here = list(self._sessions().connections)
        self._until = self._clock.seconds() + seconds + 2 * ANSWER_SECONDS
        for place, session in enumerate(here):
            delay = seconds * place / max(1, len(here))
            self._later(session, delay, self._send_away, session)
        emptied: Deferred[bool] = Deferred()
        self._emptied.append(emptied)
        self._look()
        return emptied

    def end(self) -> None:
        self.drained = False
        self._tell(emptied=False)

    def stop(self) -> None:
        self._tell(emptied=False)

    def _later(
        self, whose: Attendee | None, delay: float, what: Callable[..., None], *arguments: object
    ) -> None:
        self._calls[whose] = self._clock.callLater(delay, what, *arguments)

    def _send_away(self, session: Attendee) -> None:
        session.take_no_more()
        self._leaving.add(session)
        self._leave(session, self._clock.seconds() + ANSWER_SECONDS)

    def _leave(self, session: Attendee, deadline: float) -> None:
        del self._calls[session]
        if session.busy and self._clock.seconds() < deadline:
            self._later(session, LOOK_SECONDS, self._leave, session, deadline)
        else:
            self._leaving.discard(session)
            session.sent_elsewhere(REASON)

    def _look(self) -> None:
        self._calls.pop(None, None)
        if self._sessions().connections and self._clock.seconds() < self._until:
            self._later(None, LOOK_SECONDS, self._look)
        else:
            self._tell(emptied=True)

    def _tell(self, *, emptied: bool) -> None:
        self._stop_calls()
        waiting, self._emptied = self._emptied, []
        for deferred in waiting:
            deferred.callback(emptied)

    def _stop_calls(self) -> None:
        for call in self._calls.values():
            if call.active():
                call.cancel()
        self._calls = {}
        while self._leaving:
            self._leaving.pop().sent_elsewhere(REASON)
