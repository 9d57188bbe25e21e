"""What a node's disk needs besides the log's writes: checkpoints, room, and care."""

from collections.abc import Callable

from chainchat.chain.effects import Compare
from chainchat.chain.engine import Engine
from chainchat.chain.messages import StateDigest
from chainchat.node.budget import Slice, TurnClock
from chainchat.node.disk_work import DiskWork
from chainchat.node.interfaces import Network, OperatorsLog
from chainchat.node.retention import Retention
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
        *,
        retention: Retention,
        disk: DiskWork,
        clock: TurnClock,
        new_slice: Callable[[], Slice],
        tell: OperatorsLog,
    ) -> None:
        """``new_slice`` gives this turn's time for a checkpoint."""
        self._engine = engine
        self._state_machine = state_machine
        self._storage = storage
        self._network = network
        self._retention = retention
        self._disk = disk
        self._clock = clock
        self._new_slice = new_slice
        self._tell = tell
        self._makes_room = True

    def tick(self) -> None:
        """Look at everything in the next turn: a record was written, or a thread is done."""
        self._disk.has_written = True
        self._makes_room = True

    def turn(self) -> bool:
        """Do a slice of what there is to do; return whether more can be done at once."""
        clock, disk, machine = self._clock, self._disk, self._state_machine
        if machine.checkpointing:
            self._write_checkpoint()
            clock.part("checkpoint")
        if self._makes_room:
            self._makes_room = self._retention.make_room()
            disk.has_written = True
            clock.part("making room")
        more = machine.checkpointing or self._makes_room
        if disk.has_written:
            disk.has_written = False
            trouble = self._storage.care()
            clock.part("write-ahead log")
            if trouble:
                self._tell(trouble, event="database", alarm=True)
        return more

    # --- checkpoints

    def begin_checkpoint_if_due(self) -> None:
        if self._state_machine.checkpoint_is_due and not self._engine.lends_checkpoint:
            self._state_machine.begin_checkpoint()

    def _write_checkpoint(self) -> None:
        self._disk.has_written = True
        try:
            finished = self._state_machine.write_checkpoint(self._new_slice().left)
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
