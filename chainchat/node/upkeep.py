"""What a node's disk needs besides the log's writes: checkpoints, room, and care."""

from collections.abc import Callable

from chainchat.chain.effects import Compare
from chainchat.chain.engine import Engine
from chainchat.chain.messages import StateDigest
from chainchat.node.budget import CHECKPOINT_SHARE, Slice, TurnClock
from chainchat.node.disk_work import DiskWork
from chainchat.node.interfaces import Clock, Network, OperatorsLog
from chainchat.node.retention import Retention
from chainchat.node.share import Share
from chainchat.node.state_machine import StateMachine, StateMismatchError
from chainchat.storage.interface import Storage


class Upkeep:
    """The upkeep of one life's disk, in slices."""

    def __init__(
        self,
        engine: Engine,
        state_machine: StateMachine,
        storage: Storage,
        network: Network,
        clock: Clock,
        *,
        retention: Retention,
        disk: DiskWork,
        turn_clock: TurnClock,
        new_slice: Callable[[], Slice],
        wake: Callable[[], None],
        tell: OperatorsLog,
    ) -> None:
        """``new_slice`` gives this turn's time for a checkpoint."""
        self._engine = engine
        self._state_machine = state_machine
        self._storage = storage
        self._network = network
        self._retention = retention
        self._disk = disk
        self._turn_clock = turn_clock
        self._share = Share(clock, wake, CHECKPOINT_SHARE)
        self._wake = wake
        self._new_slice = new_slice
        self._tell = tell
        self._makes_room = True

    def tick(self) -> None:
        """Look at everything in the next turn: a record was written, or a thread is done."""
        self._disk.has_written = True
        self._makes_room = True

    def stop(self) -> None:
        self._share.stop()

    def turn(self) -> None:
        """Do a slice of what there is to do."""
        clock, disk = self._turn_clock, self._disk
        if self._state_machine.checkpointing:
            self._go_on_with_checkpoint()
        if self._makes_room:
            self._makes_room = self._retention.make_room()
            disk.has_written = True
            clock.part("making room")
            if self._makes_room:
                self._wake()
        if disk.has_written:
            disk.has_written = False
            trouble = self._storage.care()
            clock.part("write-ahead log")
            if trouble:
                self._tell(trouble, event="database", alarm=True)

    # --- checkpoints

    def begin_checkpoint_if_due(self) -> None:
        if self._state_machine.checkpoint_is_due and not self._engine.lends_checkpoint:
            self._state_machine.begin_checkpoint()

    def _go_on_with_checkpoint(self) -> None:
        if self._share.is_due:
            time = self._new_slice()
            self._write_checkpoint(time)
            self._share.took(time.spent())
            self._turn_clock.part("checkpoint")
        if self._state_machine.checkpointing:
            self._share.wake_when_due()

    def _write_checkpoint(self, time: Slice) -> None:
        self._disk.has_written = True
        try:
            finished = self._state_machine.write_checkpoint(time.left)
        except StateMismatchError as error:
            self._tell(f"ALARM: {error}", event="alarm", alarm=True)
            return
        configuration = self._engine.configuration
        successor = configuration.successor(self._engine.me.position)
        if finished is not None and successor is not None:
            epoch, identity = configuration.epoch, configuration.identity
            message = StateDigest(epoch, finished.seq, finished.digest, identity)
            self._network.send(successor, message)

    def compare(self, other: Compare) -> None:
        """Compare the state with the predecessor's, as of the same entry."""
        try:
            self._state_machine.compare(other.seq, other.digest, other.sender)
        except StateMismatchError as error:
            self._network.distrust(other.sender, f"ALARM: {error}")
