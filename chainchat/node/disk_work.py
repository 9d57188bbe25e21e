"""Carries out the effects for a node's disk."""

from msgspec import msgpack

from chainchat.chain import effects
from chainchat.node.budget import TurnClock
from chainchat.node.interfaces import Network, OperatorsLog
from chainchat.node.state_machine import StateMachine
from chainchat.node.tally import Tally
from chainchat.storage.interface import Storage

DiskEffect = (
    effects.Write
    | effects.Sync
    | effects.Save
    | effects.Mark
    | effects.Cut
    | effects.Stage
    | effects.StageRows
    | effects.StageEntries
    | effects.Unstage
)


class DiskWork:
    """Effects on the storage, which may need care once it ``has_written``."""

    def __init__(
        self,
        storage: Storage,
        state_machine: StateMachine,
        network: Network,
        *,
        clock: TurnClock,
        tally: Tally,
        tell: OperatorsLog,
    ) -> None:
        self.has_written = False
        self._storage = storage
        self._state_machine = state_machine
        self._network = network
        self._clock = clock
        self._tally = tally
        self._tell = tell

    def perform(self, effect: DiskEffect) -> None:
        """Carry out an effect.

        Raises:
            StorageError: the disk failed.
        """
        match effect:
            case effects.Write():
                self._clock.part("chain")
                self._storage.append(effect.entries, effect.committed)
                self._clock.part("writing")  # long if another process has locked the database
                self._tally.batches.add(len(effect.entries))
                self.has_written = True
            case effects.Sync():
                self._clock.part("chain")
                self._storage.sync()
                self._clock.synced()
            case effects.Save():
                self._storage.write_membership(msgpack.encode(effect.record))
            case effects.Mark():
                self._storage.write_committed(effect.seq)
            case effects.Cut():
                self._cut(effect.after)
            case effects.Stage():
                self._storage.stage(effect.offered)
            case effects.StageRows():
                self._storage.stage_rows(effect.rows, complete=effect.complete)
                self.has_written = True
            case effects.StageEntries():
                self._storage.stage_entries(effect.entries)
                self.has_written = True
            case effects.Unstage():
                self._unstage(effect.source, effect.reason)

    def _cut(self, after: int) -> None:
        last = self._storage.last.seq
        path = self._storage.cut(after)
        lost = f"{last - after} entries after {after} are not in the chain's log"
        self._tell(f"{lost}; they are now in {path}", event="cut", alarm=True)

    def install(self, source: str) -> bool:
        """Replace the data by a copied checkpoint; return False if that is flawed.

        Raises:
            StorageError: the disk failed.
        """
        flaw = self._state_machine.staged_flaw()
        if flaw:
            self._unstage(source, f"ALARM: {flaw}")
            return False
        staged = self._storage.staged
        assert staged is not None
        self._storage.install()
        text = f"goes on from the checkpoint as of {staged.offered.checkpoint} of {source}"
        self._tell(f"{text}, with the log after {self._storage.beginning}", event="installed")
        return True

    def _unstage(self, source: str, reason: str) -> None:
        self._storage.abandon_staged()
        if source:
            self._network.distrust(source, reason)
