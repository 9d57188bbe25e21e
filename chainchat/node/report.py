"""The report of a node: all that operators see of it from outside.

It has no message and no account's name, but for one that the control socket adds.
"""

import datetime
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from chainchat import __version__
from chainchat.chat.modes.mode import drawn
from chainchat.node.node import Node
from chainchat.node.space import free_octets
from chainchat.node.status import DRAINED, NodeStatus
from chainchat.node.tally import NotedChange
from chainchat.node.times import shown_time
from chainchat.storage.interface import StorageError
from chainchat.storage.sizes import sizes


class Peer(Struct, frozen=True):
    """Another node, as this one sees it.

    Attributes:
        role: ``head``, ``middle``, ``tail``; outside the chain ``learner``, ``left out``,
            ``spare``.
        away: it should take part, but is not heard.
        silent: seconds since its last ping, if any.
        progress: of a learner, or why it is not let in.
    """

    position: str
    role: str
    linked: bool
    away: bool
    silent: float | None
    low: bool
    progress: str


class Disk(Struct, frozen=True):
    """A node's disk, in octets; see ``Space``.

    Attributes:
        free: None: unknown.
        stop: with less, nothing new is taken; 0: never.
    """

    free: int | None
    stop: int
    left: float | None
    files: dict[str, int]
    note: str


class Certificate(Struct, frozen=True):
    """A certificate; ``left``: seconds until it expires."""

    whose: str
    expires: str
    left: float


class KeptUnread(Struct, frozen=True):
    """What keeps old messages from going; see ``Unseen``.

    Attributes:
        since: ``seconds`` ago.
        account: its name; empty but over the control socket.
    """

    after: int
    since: str
    seconds: float
    account: str = ""


class ReportedChange(Struct, frozen=True):
    """A change of configuration; see ``CompletedChange``.

    Attributes:
        time: when this node knew its outcome.
        members: from then on, in chain order.
    """

    time: str
    kind: str
    epoch: int
    members: tuple[str, ...]
    why: str
    outcome: str
    paused: float | None


class Report(Struct, frozen=True):
    """A node, and the chain seen from there; see also ``NodeStatus``, ``Readiness``.

    Attributes:
        founding: from chain.ini; the longest chain.
        serving: it takes clients: a member, not drained.
        reason: what is wrong, for people; or empty.
        since: when its readiness last changed.
        removed: messages below this id were removed; 0: none.
        kept_unread: what keeps more from going, at the head.
        last, synced, committed, applied: see ``chain.log``.
        checkpoint: the newest entry in a checkpoint here.
        peers: those of the chain first.
        changes: of configuration, newest first.
        shown: the lines of ``/chain``.
    """

    version: str
    chain: str
    position: str
    id: str
    incarnation: int
    now: str
    started: str
    epoch: int
    members: tuple[str, ...]
    founding: tuple[str, ...]
    role: str
    serving: bool
    drained: bool
    confirms: bool
    reason: str
    since: str
    waiting_for: tuple[str, ...]
    away: tuple[str, ...]
    low: tuple[str, ...]
    first: int
    removed: int
    kept_unread: KeptUnread | None
    last: int
    synced: int
    committed: int
    applied: int
    checkpoint: int
    in_flight: int
    clock_behind: float
    writes_paused: float
    learners: dict[str, str]
    progress: str
    missing: int
    clients: int
    connections: int
    peers: tuple[Peer, ...]
    disk: Disk
    certificates: tuple[Certificate, ...]
    changes: tuple[ReportedChange, ...]
    warnings: tuple[str, ...]
    shown: tuple[str, ...]


class Sources(Struct, frozen=True):
    """Where a report comes from.

    Attributes:
        started: the process, UTC milliseconds.
        expires: by whose certificate it is.
        wall: UTC milliseconds.
    """

    chain: str
    started: int
    founding: tuple[str, ...]
    positions: tuple[str, ...]
    data: Path
    stop: int
    node: Callable[[], Node]
    clients: Callable[[], int]
    connections: Callable[[], int]
    links: Callable[[], list[tuple[str, str]]]
    expires: Callable[[], Mapping[str, datetime.datetime]]
    wall: Callable[[], int]
    drained: Callable[[], bool] = lambda: False


def report(sources: Sources) -> Report:
    node = sources.node()
    seen, now = node.status, sources.wall()
    readiness, marks = seen.readiness, seen.marks
    return Report(
        version=__version__,
        chain=sources.chain,
        position=seen.node,
        id=node.me.id,
        incarnation=node.me.incarnation,
        now=shown_time(now),
        started=shown_time(sources.started),
        epoch=seen.configuration.epoch,
        members=seen.configuration.positions,
        founding=sources.founding,
        role=seen.standing,
        serving=readiness.serving and not sources.drained(),
        drained=sources.drained(),
        confirms=readiness.serving and (readiness.confirms or not readiness.reason),
        reason=readiness.reason or (DRAINED if sources.drained() else ""),
        since=shown_time(node.readiness_since),
        waiting_for=readiness.waiting_for,
        away=seen.silent,
        low=readiness.low,
        first=node.first,
        removed=node.state.removed.before,
        kept_unread=_kept_unread(node, now),
        last=marks.last,
        synced=marks.synced,
        committed=seen.committed,
        applied=marks.applied,
        checkpoint=node.checkpointed,
        in_flight=max(0, seen.in_flight),
        clock_behind=max(0.0, round(seen.clock_behind, 3)),
        writes_paused=round(seen.writes_paused, 3),
        learners=dict(seen.learners),
        progress=seen.progress,
        missing=seen.missing,
        clients=sources.clients(),
        connections=sources.connections(),
        peers=_peers(sources, seen),
        disk=_disk(sources, seen),
        certificates=_certificates(sources, now),
        changes=tuple(_reported(change) for change in reversed(node.tally.changes)),
        warnings=seen.warnings,
        shown=tuple(drawn(seen.view)),
    )


def _kept_unread(node: Node, now: int) -> KeptUnread | None:
    unseen = node.unseen
    if unseen is None:
        return None
    return KeptUnread(unseen.after, shown_time(unseen.since), max(0, now - unseen.since) / 1000)


def _peers(sources: Sources, seen: NodeStatus) -> tuple[Peer, ...]:
    linked = {position for position, _ in sources.links()}
    members = seen.configuration.positions
    others = (*members, *sources.positions, *seen.learners, *sorted(linked))
    return tuple(
        Peer(
            position=position,
            role=_role(sources, seen, position),
            linked=position in linked,
            away=position in seen.silent,
            silent=_rounded(seen.silences.get(position)),
            low=position in seen.readiness.low,
            progress=seen.learners.get(position, ""),
        )
        for position in dict.fromkeys(others)
        if position != seen.node
    )


def _role(sources: Sources, seen: NodeStatus, position: str) -> str:
    configuration = seen.configuration
    role = configuration.role(position) if configuration.members else None
    if role is not None:
        return role.value
    if position in seen.learners:
        return "learner"
    return "left out" if position in sources.founding else "spare"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _disk(sources: Sources, seen: NodeStatus) -> Disk:
    free: int | None = None
    files: dict[str, int] = {}
    with suppress(StorageError):  # the node itself notices, and stops
        free = free_octets(sources.data)
        files = sizes(sources.data)
    return Disk(free, sources.stop, _rounded(seen.disk_left), files, seen.disk)


def _certificates(sources: Sources, now: int) -> tuple[Certificate, ...]:
    return tuple(
        Certificate(
            whose,
            shown_time(int(expires.timestamp() * 1000)),
            round(expires.timestamp() - now / 1000),
        )
        for whose, expires in sources.expires().items()
    )


def _reported(noted: NotedChange) -> ReportedChange:
    change = noted.change
    return ReportedChange(
        time=shown_time(noted.time),
        kind=change.kind,
        epoch=change.new.epoch,
        members=change.new.positions,
        why=change.new.why,
        outcome=change.outcome,
        paused=_rounded(change.paused),
    )
