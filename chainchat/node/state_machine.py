"""What the log makes of a node: chat state, message index, checkpoints."""

from collections.abc import Callable, Iterator
from itertools import groupby, islice
from operator import attrgetter
from typing import NamedTuple

from chainchat.chain.entries import UNDECODABLE, Entry
from chainchat.chain.messages import BadMessageError
from chainchat.chat import commands, queries
from chainchat.chat.bounds import USUAL_BOUNDS, Bounds
from chainchat.chat.outcomes import AllAccepted, Outcome
from chainchat.chat.queries import Page
from chainchat.chat.records import DIGEST_OCTETS, Digest
from chainchat.chat.refusals import RefusedError
from chainchat.chat.snapshots import Snapshot
from chainchat.chat.state import ChatState
from chainchat.node.budget import USUAL_PACE, CheckpointPace
from chainchat.node.history import History
from chainchat.storage.interface import EVERY_READER, Indexed, Storage, StorageError

_RECIPIENT = attrgetter("recipient")


class StateMismatchError(Exception):
    """Nodes differ in state, or in entries applied: a bug."""


class StateAsOf(NamedTuple):
    """A node's digest of the state as of entry ``seq``, with the entry's own."""

    seq: int
    digest: bytes
    node: str = ""


class StateMachine:
    """The log applied up to some entry.

    ``checkpointed``: the entry of the newest finished checkpoint.
    """

    def __init__(
        self,
        storage: Storage,
        pace: CheckpointPace = USUAL_PACE,
        bounds: Bounds = USUAL_BOUNDS,
    ) -> None:
        """Begin with the newest checkpoint.

        Raises:
            StorageError: it is corrupt.
        """
        storage.abandon_checkpoint()
        self.state = _restored(storage, bounds)
        self.history = History(
            storage, lambda: self.state.removed.before, lambda: self.state.applied
        )
        self._storage = storage
        self._pace = pace
        self._due_at = self._multiple_after(self.state.applied)
        self._snapshot: Snapshot | None = None
        self.checkpointed = self.state.applied
        self._own: StateAsOf | None = None
        self._heard: StateAsOf | None = None

    def apply(self, entry: Entry) -> Outcome:
        """Apply the next entry; then its messages are in the history.

        An entry without a command has no effect: the head numbers requests without looking inside,
        and none may stop all nodes, at every start.
        """
        try:
            command = commands.decode(entry.command)
        except UNDECODABLE:
            return self.state.skip(entry.seq, entry.time)
        if commands.span(command) != entry.span:
            return self.state.skip(entry.seq, entry.time)
        outcome = self.state.apply(entry.seq, entry.origin, entry.number, entry.time, command)
        if outcome.said:
            self._storage.index(_indexed(outcome))
        elif self.state.removed.before - 1 > self.checkpointed:  # which must stay for now
            self._due_at = min(self._due_at, self.state.applied)
        return outcome

    # --- checkpoints

    @property
    def checkpoint_is_due(self) -> bool:
        return self.state.applied >= self._due_at and self._snapshot is None

    @property
    def needless(self) -> int:
        """The number up to which neither this state nor a start needs the log."""
        return min(self.state.removed.before - 1, self.checkpointed)

    def _multiple_after(self, seq: int) -> int:
        entries = self._pace.checkpoint_entries
        return (seq // entries + 1) * entries

    def begin_checkpoint(self) -> None:
        """Begin a checkpoint of the present state, which costs next to nothing."""
        self._snapshot = self.state.snapshot()
        self._due_at = self._multiple_after(self._snapshot.seq)
        self._storage.begin_checkpoint(self._snapshot.seq)

    @property
    def checkpointing(self) -> bool:
        return self._snapshot is not None

    def write_checkpoint(self, left: Callable[[], bool]) -> StateAsOf | None:
        """Write a part, or more while there is time; return the digest at the end.

        Raises:
            StateMismatchError: a neighbour's differs.
        """
        snapshot = self._snapshot
        if snapshot is None:
            return None
        at_once = self._pace.records_at_once
        while True:
            records = list(islice(snapshot.records, at_once))
            more = self._storage.write_records(records)
            if len(records) < at_once and not more:
                break
            if not left():
                return None
        self._snapshot = None
        header = snapshot.header()
        self._storage.finish_checkpoint(header)
        self.checkpointed = snapshot.seq
        entry = self._storage.id_of(snapshot.seq)
        assert entry is not None
        self._own = StateAsOf(snapshot.seq, header[:DIGEST_OCTETS] + entry.digest)
        self._compare()
        return self._own

    def staged_flaw(self) -> str:
        """Say why a copied checkpoint cannot be believed; else empty."""
        staged = self._storage.staged
        assert staged is not None
        header, seq = staged.offered.header, staged.offered.checkpoint.seq
        digest = Digest()
        for key, data in self._storage.staged_records():
            digest.put(key, data)
        if digest.with_header(header[DIGEST_OCTETS:]) != header[:DIGEST_OCTETS]:
            return f"the checkpoint as of entry {seq} is not what its digest was made of"
        return ""

    def compare(self, seq: int, digest: bytes, sender: str) -> None:
        """Compare digests, now or when this node has its own.

        Raises:
            StateMismatchError: they differ.
        """
        self._heard = StateAsOf(seq, digest, sender)
        self._compare()

    def _compare(self) -> None:
        own, heard = self._own, self._heard
        if own is None or heard is None or own.seq != heard.seq or own.digest == heard.digest:
            return
        raise StateMismatchError(
            f"the state as of entry {own.seq} differs from that of {heard.node}: this is a bug"
        )

    # --- reading

    def evaluate(self, query: bytes, budget: queries.Budget) -> bytes:
        """Answer an encoded query, as far as there is time.

        Raises:
            BadMessageError: it is no query.
        """
        try:
            asked = queries.decode_query(query)
        except UNDECODABLE as error:
            raise BadMessageError(f"a question that does not fit: {error}") from error
        try:
            page = queries.answer(asked, self.state, self.history, budget)
        except RefusedError as refusal:  # the asker's RE2 accepts the pattern, this one does not
            page = Page(refused=refusal.code)
        return queries.encode(page)


def _restored(storage: Storage, bounds: Bounds) -> ChatState:
    checkpoint = storage.newest_checkpoint()
    if checkpoint is None:
        return ChatState(bounds)
    try:
        return ChatState.restored(checkpoint.header, storage.records(), bounds)
    except UNDECODABLE as error:
        raise StorageError(f"{storage}: the checkpoint is corrupt: {error}") from None


def _indexed(outcome: Outcome) -> Iterator[Indexed]:
    sender = outcome.said[0].sender_account
    if isinstance(outcome.results, AllAccepted):
        yield Indexed(EVERY_READER, outcome.results.ids, sender)
        return
    for recipient, group in groupby(outcome.said, _RECIPIENT):
        ids = [one.id for one in group]
        for reader in {recipient, sender} if recipient else (EVERY_READER,):
            yield Indexed(reader, ids, sender)
