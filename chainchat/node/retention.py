"""Retention: which messages go, and how their room becomes free.

From the head's ``Forget`` command on, nobody is shown them. Then each node removes their entries
from its log, in slices, once a checkpoint covers them and no other node can need them
(``Engine.removable``).
"""

from collections.abc import Callable

from msgspec import Struct

from chainchat.chain.engine import Engine
from chainchat.chat import commands
from chainchat.node.state_machine import StateMachine
from chainchat.node.times import DAY, shown_time
from chainchat.storage.interface import Storage


class Keep(Struct, frozen=True):
    """What operators want to keep.

    Attributes:
        days, octets: about; 0: no limit.
        unread: keep what an account has not seen, however old.
        at_least: sequence numbers that go together, unless none went for ``patience`` seconds.
    """

    days: int = 0
    octets: int = 0
    unread: bool = True
    look_seconds: float = 10.0
    at_least: int = 1_000
    patience: float = 3_600.0


EVERYTHING = Keep()


class Unseen(Struct, frozen=True):
    """Old messages that stay, because an account has not seen them.

    Attributes:
        account: of several, the one that has seen least.
        after: it has seen none after this id.
        since: when the first unseen one was said, UTC milliseconds.
    """

    account: int
    after: int
    since: int


class Retention:
    """The retention of one life of one node."""

    def __init__(
        self,
        keep: Keep,
        engine: Engine,
        machine: StateMachine,
        storage: Storage,
        *,
        submit: Callable[[commands.AnyCommand], None],
        tell: Callable[[str], None],
    ) -> None:
        self._keep = keep
        self._engine = engine
        self._machine = machine
        self._storage = storage
        self._submit = submit
        self._tell = tell
        self._unseen: Unseen | None = None
        self._told_of = 0
        self._next_look = self._next_unread = 0.0
        self._went = 0.0
        """When messages last went; 0: unknown."""
        self._removed_up_to = 0
        """The number up to which no whole row of the log is left."""

    # --- the head: what is to go

    def look(self, now: float, time: Callable[[], int]) -> None:
        """At the head, find out what is to go.

        ``now``: monotonic seconds; ``time``: of the next entry, UTC milliseconds.
        """
        if not (self._keep.days or self._keep.octets) or now < self._next_look:
            return
        self._next_look = now + self._keep.look_seconds
        engine = self._engine
        if engine.active and engine.configuration.head == engine.me.position:
            self._forget(now, time())
        else:
            self._unseen = None

    @property
    def unseen(self) -> Unseen | None:
        """What keeps more from going, at the head; elsewhere None."""
        unseen = self._unseen
        if unseen is None:
            return None
        account = self._machine.state.accounts.get(unseen.account)
        return unseen if account is not None and account.seen == unseen.after else None

    def _forget(self, now: float, time: int) -> None:
        before, days = max((self._by_age(time), self._keep.days), (self._by_size(), 0))
        more = before - max(self._machine.state.removed.before, 1)
        enough = self._keep.at_least if now - self._went < self._keep.patience else 1
        if more < enough or now < self._next_unread:
            return
        if self._keep.unread and self._somebody_has_to_see(enough):
            self._next_unread = now + 60 * self._keep.look_seconds
            return
        self._unseen = None
        self._went = now
        self._submit(commands.Forget(before, not self._keep.unread, days))

    def _somebody_has_to_see(self, enough: int) -> bool:
        """Return whether an account has to see more first, and tell operators."""
        state = self._machine.state
        behind = state.furthest_behind()
        if behind is None or behind.seen + 1 - max(state.removed.before, 1) >= enough:
            return False
        [first] = self._storage.entries([max(behind.seen, self._storage.beginning.seq) + 1])
        self._unseen = Unseen(behind.number, behind.seen, first.time)
        if behind.number != self._told_of:
            self._told_of = behind.number
            self._tell(
                f"old messages stay: {behind.name} has seen none after {behind.seen}, since "
                f"{shown_time(first.time)}; delete the account, or set keep-unread = no"
            )
        return True

    def _by_age(self, time: int) -> int:
        if not self._keep.days:
            return 0
        oldest, storage = time - self._keep.days * DAY, self._storage
        low, high = storage.beginning.seq, self._machine.state.applied
        while low < high:  # times never fall along the log
            middle = (low + high + 1) // 2
            [entry] = storage.entries([middle])
            low, high = (entry.seq, high) if entry.time < oldest else (low, entry.first - 1)
        return min(low, self._machine.state.applied) + 1

    def _by_size(self) -> int:
        """Return the first id that stays if the oldest make room.

        While entries are being removed, nobody knows how much more has to go.
        """
        if not self._keep.octets or self.busy:
            return 0
        excess = self._storage.octets() - self._keep.octets
        end = self._storage.end_of_oldest(excess) if excess > 0 else 0
        return min(end, self._machine.state.applied) + 1 if end else 0

    # --- every node: making room

    @property
    def busy(self) -> bool:
        return self._removed_up_to < self._machine.needless

    def make_room(self) -> bool:
        """Remove a slice of what nobody needs; return whether more can go."""
        machine = self._machine
        if self._removed_up_to < machine.needless:
            up_to = self._engine.removable(machine.needless)
            if up_to > self._storage.beginning.seq and self._storage.remove(up_to):
                return True
            self._removed_up_to = max(self._removed_up_to, up_to)
        return self._storage.tidy()
