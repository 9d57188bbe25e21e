"""News for the operator of a running node: changes, pauses, progress, its disk."""

from collections.abc import Callable

from chainchat.chain.engine import Engine
from chainchat.node.interfaces import Clock, OperatorsLog
from chainchat.node.status import NodeStatus, Readiness, Replay, readiness, status
from chainchat.node.surroundings import NodeSurroundings
from chainchat.node.tally import Tally
from chainchat.node.write_pause import CompletedChange, WritePause

PROGRESS_SECONDS = 1.0


class Watch:
    """Watches one life of a node."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        surroundings: NodeSurroundings,
        tell: OperatorsLog,
        *,
        snapshot: Callable[[], NodeStatus],
        tally: Tally,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._surroundings = surroundings
        self._space = surroundings.space
        self._tell = tell
        self._snapshot = snapshot
        self._change: CompletedChange | None = None
        self._tally = tally
        self._followed = engine.configuration
        """The configuration in force after the last input."""
        self._write_pause = WritePause(engine.me, clock, self._changed)
        self._replay = Replay()
        self._progress_told = 0.0

    def status(self, readiness: Readiness, wall: int) -> NodeStatus:
        return status(
            self._engine,
            readiness,
            self._clock.seconds(),
            wall=wall,
            disk=self._space.note,
            disk_left=self._space.left,
            writes_paused=self._write_pause.seconds,
            change=self._change,
            warnings=self._surroundings.warnings(),
        )

    def readiness(self, *, overdue: bool) -> Readiness:
        engine, now = self._engine, self._clock.seconds()
        replay = self._replay.look(engine.replica.applied, engine.replica.synced, now)
        return readiness(engine.membership, now, overdue=overdue, replay=replay)

    def look_at_configuration(self) -> None:
        """Note, after an input, if writes may stand still."""
        if not self._engine.active:
            self._write_pause.begins()
        configuration = self._engine.configuration
        if configuration != self._followed:
            self._write_pause.changed(self._followed, configuration)
            self._followed = configuration

    def _changed(self, change: CompletedChange) -> None:
        self._change = change
        self._tally.changed(change, self._surroundings.wall())
        self._tell(self._snapshot().change_line, event="epoch")

    def unlinked(self, position: str) -> None:
        if position in self._engine.configuration.positions:
            self._write_pause.begins()

    def applied(self, epoch: int) -> None:
        """Note that writes go on, if the entry is of the newest epoch."""
        if self._write_pause.may_end and epoch == self._engine.configuration.epoch:
            self._write_pause.ends()

    def tick(self, *, idle: bool) -> None:
        """Note if writes make progress; ``idle``: no request of this node waits."""
        replica = self._engine.replica
        idle = replica.committed == replica.last.seq and idle
        self._write_pause.tick(replica.committed, idle=idle)

    def look_at_disk(self) -> None:
        change = self._space.look(self._clock.seconds())
        if change:
            self._tell(change, event="disk", alarm=self._space.note != "")

    def tell_progress(self) -> None:
        now, learner = self._clock.seconds(), self._engine.learner
        copying = learner.source is not None and learner.end.seq and not learner.caught_up
        if copying and now - self._progress_told > PROGRESS_SECONDS:
            self._progress_told = now
            self._tell(self._snapshot().progress, event="progress")
