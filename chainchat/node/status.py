"""A node's status, for ``/chain``, CHAIN, notices of waiting and the log."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from chainchat import __version__
from chainchat.chain.configuration import Configuration
from chainchat.chain.engine import Engine
from chainchat.chain.membership.membership import Membership
from chainchat.chain.record import Status
from chainchat.chat.modes.mode import ChainView
from chainchat.node.write_pause import CompletedChange

REPLAYED_AT_LEAST = 20_000
"""A replay of fewer sequence numbers is not told."""

DRAINED = "this node is drained, and takes no clients"


class Readiness(Struct, frozen=True):
    """Whether a node can serve its clients now.

    Attributes:
        serving: True for a member; other nodes have no sessions.
        waiting_for: positions that keep the chain from answering.
        reason: for people; empty if nothing is wrong.
        confirms: the chain still confirms messages.
        low: members with nearly full disks: nothing new is taken.
    """

    serving: bool
    waiting_for: tuple[str, ...]
    reason: str
    confirms: bool = False
    low: tuple[str, ...] = ()


class Marks(Struct, frozen=True):
    """The marks besides ``committed``; see ``chain.log``."""

    last: int = 0
    synced: int = 0
    applied: int = 0


class NodeStatus(Struct, frozen=True):
    """The chain seen from one node, at one moment; texts are mostly empty.

    Attributes:
        standing: ``head``, ``middle``, ``tail``, ``only``; or why the node has no role:
            ``founding``, ``wedged``, ``learner``; ``active`` for a member that holds a vote.
        in_flight: sequence numbers here not known to be committed.
        clock_behind: seconds behind the newest message.
        odd_clock: how the clock differs from most others.
        learners: by position, their progress, or why they are not let in.
        writes_paused: seconds so far.
        change: the newest whose outcome is known.
        warnings: for operators, such as of certificates that expire soon.
        missing: sequence numbers that this learner lacks.
        silences: by position, seconds since its last ping.
    """

    node: str
    configuration: Configuration
    standing: str
    readiness: Readiness
    committed: int
    in_flight: int
    silent: tuple[str, ...]
    clock_behind: float
    odd_clock: str
    disk: str
    progress: str
    learners: Mapping[str, str]
    writes_paused: float
    change: CompletedChange | None
    warnings: tuple[str, ...] = ()
    marks: Marks = Marks()
    missing: int = 0
    silences: Mapping[str, float] = {}
    disk_left: float | None = None

    @property
    def line(self) -> str:
        """What is wrong, or the configuration served, for the log."""
        return self.readiness.reason or f"serving in {self.configuration}"

    @property
    def change_line(self) -> str:
        return str(self.change)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else people should know, a line each."""
        flight, behind = self.in_flight, self.clock_behind
        notes = (
            f"in flight here: {flight} entries" if flight > 0 else "",
            f"this machine's clock is {behind:.1f} s behind the messages" if behind > 1 else "",
            self.odd_clock,
            self.readiness.reason,
            self.disk,
            self.progress,
            *(f"{who}: {how}" for who, how in self.learners.items()),
            *self.warnings,
        )
        return tuple(note for note in notes if note)

    @property
    def view(self) -> ChainView:
        return ChainView(
            epoch=self.configuration.epoch,
            members=self.configuration.positions,
            node=self.node,
            role=self.standing,
            committed=self.committed,
            away=self.silent,
            notes=self.notes,
            version=__version__,
        )


def status(
    engine: Engine,
    readiness: Readiness,
    now: float,
    *,
    wall: int,
    disk: str = "",
    disk_left: float | None = None,
    writes_paused: float = 0.0,
    change: CompletedChange | None = None,
    warnings: tuple[str, ...] = (),
) -> NodeStatus:
    me, membership, configuration = engine.me.position, engine.membership, engine.configuration
    role = configuration.role(me) if engine.active else None
    replica, learner = engine.replica, engine.learner
    missing = learner.end.seq - engine.last if learner.source is not None else 0
    return NodeStatus(
        node=me,
        configuration=configuration,
        standing=role.value if role else membership.status.value,
        readiness=readiness,
        committed=engine.committed,
        in_flight=replica.last.seq - engine.committed,
        silent=membership.silent(now),
        clock_behind=(replica.time - wall) / 1000,
        odd_clock=engine.odd_clock(),
        disk=disk,
        disk_left=disk_left,
        progress=learner.progress(now),
        learners=membership.learners(now),
        writes_paused=writes_paused,
        change=change,
        warnings=warnings,
        marks=Marks(replica.last.seq, replica.synced, replica.applied),
        missing=max(missing, 0),
        silences=membership.silences(now),
    )


class Replay:
    """Progress in tenths, where much of the log is to be applied."""

    def __init__(self) -> None:
        self._began: tuple[int, float] | None = None
        """The newest entry applied, and the time."""
        self._tenths = -1
        self._progress = ""

    def look(self, applied: int, last: int, now: float) -> str:
        """Return progress for people; empty if little is to be applied.

        ``now``: monotonic seconds.
        """
        if last - applied < REPLAYED_AT_LEAST:
            self._began = None
            return ""
        if self._began is None:
            self._began, self._tenths = (applied, now), -1
        begin, since = self._began
        tenths = 10 * (applied - begin) // (last - begin)
        if tenths != self._tenths:
            rate = (applied - begin) / max(now - since, 0.001)
            left = f", {(last - applied) / rate:.0f} s left" if rate else ""
            self._tenths, self._progress = tenths, f"{10 * tenths} %{left}"
        return self._progress


def readiness(membership: Membership, now: float, *, overdue: bool, replay: str = "") -> Readiness:
    """Judge readiness; ``overdue``: a request waits too long; ``replay``: see ``Replay``."""
    silent = membership.silent(now)
    names = ", ".join(silent)
    match membership.status:
        case _ if membership.set_back:
            reason = "these data are older than the chain's: put the newest back, or empty ones"
        case Status.FOUNDING:
            reason = f"the chain is not founded yet: waiting for {names or 'the votes'}"
        case Status.WEDGED:
            reason = f"restarted; waiting to be taken back by {names or 'the others'}"
        case Status.LEARNER:
            chain = ", ".join(membership.configuration.positions)
            reason = f"this node is catching up with the chain ({chain})"
            if membership.own_log.low:
                reason += "; it does not join: its disk is nearly full"
        case Status.ACTIVE:
            low = membership.low(now)
            if replay:
                reason = f"this node replays its log ({replay}): answers wait for that"
                return Readiness(serving=True, waiting_for=silent, reason=reason, low=low)
            if overdue or (silent and not membership.needed.isdisjoint(silent)):
                reason = f"the chain cannot confirm: waiting for {names or 'acknowledgements'}"
                return Readiness(serving=True, waiting_for=silent, reason=reason, low=low)
            if low:
                reason, waiting_for = nearly_full(low), (*low, *silent)
                return Readiness(
                    serving=True, waiting_for=waiting_for, reason=reason, confirms=True, low=low
                )
            reason = f"lists and old messages have to wait for {names}" if silent else ""
            return Readiness(serving=True, waiting_for=silent, reason=reason, confirms=True)
    return Readiness(serving=False, waiting_for=silent, reason=reason)


def nearly_full(positions: Sequence[str]) -> str:
    *others, last = positions
    disks = (
        f"the disks of {', '.join(others)} and {last} are" if others else f"the disk of {last} is"
    )
    return (
        f"{disks} nearly full: nothing new is taken until there is room; what was said can be read"
    )
