"""Planted bugs in what leaves the log, and in copying checkpoints; see ``planted``."""

from chainchat.chain import kept
from chainchat.chat import commands
from chainchat.chat.outcomes import Removed
from chainchat.chat.state import ChatState
from chainchat.node.state_machine import StateMachine
from chainchat.storage.memory import MemoryStorage

_replaced = kept.replaced
_remove, _install, _rows = MemoryStorage.remove, MemoryStorage.install, MemoryStorage.rows


def _remove_all_the_same(storage, up_to):
    finished, storage._checkpoint = storage._checkpoint, None
    storage._checkpoint = finished and finished._replace(seq=max(up_to, finished.seq))
    try:
        return _remove(storage, min(up_to, storage.committed)) if finished else False
    finally:
        storage._checkpoint = finished


class RemovesWhatNoCheckpointCovers(StateMachine):
    """Entries leave the log as soon as nobody is shown them any more."""

    also = {"chainchat.storage.memory.MemoryStorage.remove": _remove_all_the_same}

    @property
    def needless(self):
        return self.state.removed.before - 1


class RemovesUnread(ChatState):
    """Messages go though some account has not seen them."""

    def _forget(self, command: commands.Forget) -> None:
        if command.before > self.removed.before:
            self.removed = Removed(min(command.before, self.applied), command.days)


def _without_the_last(storage, after, octets):
    rows, complete = _rows(storage, after, octets)
    return (rows[:-1] if complete and len(rows) > 1 else rows), complete


class TakesAnyCheckpoint(StateMachine):
    """Rows are lost on their way, and the digest of a copied checkpoint is not looked at."""

    also = {"chainchat.storage.memory.MemoryStorage.rows": _without_the_last}

    def staged_flaw(self) -> str:
        return ""


def installs_half(storage):
    """The copied log takes the place of the log, and then the checkpoint that of the checkpoint."""
    log, beginning = storage._staged_log, storage._staged.offered.beginning
    storage._log, storage._beginning = log, beginning
    storage.machine.before_write("rest of what was copied")
    _install(storage)


def replaces_what_it_confirmed_alone(log, committed, replace, alone_in):
    """A node that was the only member gives its log up like any other that was away for long."""
    yield from _replaced(log, committed, replace, alone_in=0)
