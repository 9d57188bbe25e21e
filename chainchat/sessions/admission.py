"""Admission to the client port: bounds on connections, addresses and open files."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Never

from twisted.logger import Logger

from chainchat.chat.refusals import Code, RefusedError
from chainchat.logs.complaints import Complaints
from chainchat.network.farewell import Farewells
from chainchat.network.ports import ACCEPTS_PER_TURN
from chainchat.sessions.buckets import WIDER, Buckets, rates_of
from chainchat.sessions.limits import Limits
from chainchat.sessions.newcomers import Newcomers
from chainchat.sessions.pace import Rate

FORGIVING_SECONDS = 30.0
"""After a start or a change of epoch, an address has no limit for so long.

A dead node's clients come at once, a whole office behind one address. But nobody takes all places,
and who connected on and on before has the usual limits.
"""

OWN_FILES = 59
"""Open files besides connections, with some to spare.

Standard files, log, reactor, two ports and their epoll, the control socket with eight connections,
the lock, the database with its companions, twice, SQLite's passing files, /proc.
"""

FILES_PER_POSITION = 9
"""Three lanes, each with an old one closing; a dial, a look, a probe."""

TOLD = Rate(per_second=1, at_once=60)
"""Refused connections of an address that are told why."""

UNHEARD_SECONDS = 1.0
"""For so long the connections of an address end unheard that was refused more often."""

MOST_UNHEARD = 1_000
"""Addresses and networks remembered to be so."""

MOST_AGREEING = 2 * ACCEPTS_PER_TURN
"""Refused connections that agree on TLS, to be told why."""

MOST_FAREWELLS = 24

_WHOSE = "your address", "the network of your address"
"""Of ``Limits.owners``."""

log = Logger()


def reserve(positions: int) -> int:
    return OWN_FILES + FILES_PER_POSITION * positions + MOST_AGREEING + MOST_FAREWELLS


class Admission:
    """Counts the clients of one node, and the refused since the start."""

    def __init__(
        self, position: str, limits: Limits, clock: Callable[[], float], epoch: Callable[[], int]
    ) -> None:
        """``clock`` gives monotonic seconds, ``epoch`` the newest epoch known."""
        self._position = position
        self.admitted = 0
        self.refused: dict[Code, int] = {}
        self.newcomers = Newcomers(clock)
        self.farewells = Farewells(MOST_FAREWELLS)
        """At all ports together."""
        self._limits = limits
        self._clock = clock
        self._epoch = epoch
        self._known_epoch = epoch()
        self._forgiving_until = clock() + FORGIVING_SECONDS
        self._of: dict[str, int] = {}
        self._told: Buckets[str] = Buckets(clock)
        self._unheard: dict[str, float] = {}
        """Until when, by owner."""
        self._unheard_until = 0.0
        self._complaints: Complaints[Code] = Complaints(clock, len(Code))

    def admit(self, host: str) -> tuple[str, ...]:
        """Admit a connection; return for whom it counts, for ``leave``.

        Raises:
            RefusedError: there are too many.
        """
        self.notice_epoch()
        owners = self._limits.owners(host)
        if self._full and self.newcomers.who_gives_way(owners) is None:
            self._refuse_for_full()
        forgiving = self._clock() < self._forgiving_until and not self._was_refused_often(owners)
        self._refuse_if_many(owners, forgiving=forgiving)
        if not forgiving:
            self._refuse_if_often(owners)
        if self._full and not self._make_room(owners):
            self._refuse_for_full()
        for owner in owners:
            self._of[owner] = self._of.get(owner, 0) + 1
        self.admitted += 1
        return owners

    @property
    def _most(self) -> int:
        limits = self._limits.current
        return min(limits.connections, limits.files)

    @property
    def _full(self) -> bool:
        return self.admitted >= self._most

    def _refuse_for_full(self) -> Never:
        self._complain_of_full("{most} connections are open")
        raise RefusedError(
            Code.TOO_MANY_CONNECTIONS,
            f"this node has {self._most} connections already; try another node",
        )

    def _make_room(self, owners: Sequence[str]) -> bool:
        made = self.newcomers.give_way(owners)
        if made:
            self._complain_of_full("{most} connections are open: one that did not log in is ended")
        return made

    def _complain_of_full(self, why: str) -> None:
        most = self._most
        if most < self._limits.current.connections:
            why += "; for more the limit of open files is too low"
        self._complain(Code.TOO_MANY_CONNECTIONS, why, most=most)

    def _most_of(self, number: int, *, forgiving: bool) -> int:
        """Connections of an owner, by its place among them: never all that there are.

        A /48 has WIDER times as many as a /64, but no more than half; so has anybody meanwhile.
        """
        most, half = self._limits.current.per_address, self._most // 2
        if forgiving:
            return max(most, half)
        return max(most, min(most * WIDER, half)) if number else most

    def _refuse_if_many(self, owners: Sequence[str], *, forgiving: bool) -> None:
        for number, owner in enumerate(owners):
            has = self._of.get(owner, 0)
            if has >= self._most_of(number, forgiving=forgiving):
                why = "{owner} has {has} connections already (per-address)"
                self._note_refused(owner, WIDER**number)
                self._complain(Code.TOO_MANY_OF_ADDRESS, why, owner=owner, has=has)
                raise RefusedError(
                    Code.TOO_MANY_OF_ADDRESS,
                    f"{_WHOSE[number]} has {has} connections here already; close one of them",
                )

    def _refuse_if_often(self, owners: Sequence[str]) -> None:
        limits, connected = self._limits.current, self._limits.connected
        for number, (owner, rate, wait) in enumerate(connected.waits(owners, limits.connecting)):
            if wait > 0:
                times = int(rate.at_once)
                why = "{owner} has connected {times} times within a minute"
                self._note_refused(owner, WIDER**number)
                self._complain(Code.CONNECTS_TOO_OFTEN, why, owner=owner, times=times)
                raise RefusedError(
                    Code.CONNECTS_TOO_OFTEN,
                    f"{_WHOSE[number]} has connected here {times} times within a minute; try again "
                    f"in {ceil(wait)} s",
                )
        connected.take(owners, limits.connecting)

    def _was_refused_often(self, owners: Sequence[str]) -> bool:
        """True of nobody who has only just come back."""
        rates = rates_of(owners, TOLD)
        return any(self._told.wait(owner, rate, rate.at_once / 2) for owner, rate in rates)

    def _note_refused(self, owner: str, times: int) -> None:
        """``times``: see ``WIDER``."""
        rate = TOLD.times(times)
        if not self._told.wait(owner, rate):
            self._told.take(owner, rate)
            return
        if len(self._unheard) >= MOST_UNHEARD:
            del self._unheard[next(iter(self._unheard))]
        self._unheard_until = self._unheard[owner] = self._clock() + UNHEARD_SECONDS

    def sheds(self, host: str) -> bool:
        """Count a connection that is to end unheard, as such of its address were told why often."""
        now = self._clock()
        if now >= self._unheard_until:  # nearly always
            self._unheard.clear()
            return False
        for owner in self._limits.owners(host):
            if now < self._unheard.get(owner, 0.0):
                self._count(Code.CONNECTS_TOO_OFTEN)
                return True
        return False

    def leave(self, owners: Sequence[str]) -> None:
        self.admitted -= 1
        for owner in owners:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]

    def notice_epoch(self) -> None:
        """Forgive again if the epoch is new."""
        epoch = self._epoch()
        if epoch != self._known_epoch:
            self._known_epoch = epoch
            self._forgiving_until = self._clock() + FORGIVING_SECONDS

    def _count(self, code: Code) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1

    def _complain(self, code: Code, why: str, **values: object) -> None:
        self._count(code)
        if count := self._complaints.count(code):
            since = "" if count == 1 else f" ({count} refused since the last line)"
            text = f"{{position}}: refusing clients: {why}{since}"
            log.warn(text, event="refusing", position=self._position, **values)
