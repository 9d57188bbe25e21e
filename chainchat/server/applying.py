"""What the log comes to at this node: the chat's state, the message index, the checkpoints."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from chainchat.chain.messages import UNDECODABLE, Entry
from chainchat.chat import commands, queries
from chainchat.chat.queries import Page
from chainchat.chat.refusals import RefusedError
from chainchat.chat.state import ChatState, Outcome, Said
from chainchat.server.history import History
from chainchat.storage import EVERY_READER, Checkpoint, Indexed, Storage, StorageError

CHECKPOINT_ENTRIES = 20_000
"""A checkpoint is made after so many sequence numbers, if the state is not too large for that."""

CHECKPOINT_RECORDS = 2
"""After so many for each record of the state, else: what checkpoints cost does not grow with it.

They fall on the same entries on every node.
"""


_RECIPIENT = attrgetter("recipient")


class StateMismatchError(Exception):
    """Two nodes applied the same entries and came to different states: a bug."""


class Applied:
    """What was applied, up to some entry.

    Attributes:
        state: the chat's.
        history: the messages.
    """

    def __init__(self, storage: Storage) -> None:
        """As of the newest checkpoint.

        Raises:
            StorageError: it is corrupt.
        """
        self.state = _restored(storage)
        self.history = History(storage)
        self._storage = storage
        self._checkpointed = self.state.applied
        self._digests: dict[int, bytes] = {}

    def apply(self, entry: Entry) -> Outcome:
        """Apply the next entry. What it says is in the history when this returns.

        Raises:
            StorageError: it is not what was written.
        """
        try:
            command = commands.decode(entry.command)
        except UNDECODABLE as error:
            raise StorageError(f"{self._storage}: entry {entry.seq}: {error}") from None
        outcome = self.state.apply(entry.seq, entry.origin, entry.number, entry.time, command)
        if outcome.said:
            self._storage.index(_indexed(outcome.said))
        return outcome

    # --- checkpoints

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether to make one now."""
        since = self.state.applied - self._checkpointed
        return since >= CHECKPOINT_ENTRIES and since >= CHECKPOINT_RECORDS * self.state.size

    def checkpoint(self) -> bytes:
        """Write one; gives the state's digest."""
        seq = self._checkpointed = self.state.applied
        image = self.state.image()
        self._storage.write_checkpoint(Checkpoint(seq, image))
        digest = ChatState.digest(image)
        self._digests = {seq: digest}
        return digest

    def compare(self, seq: int, digest: bytes, sender: str) -> None:
        """Compare digests. The tail applies first: it has its own when its predecessor's comes.

        Raises:
            StateMismatchError: they differ.
        """
        if self._digests.get(seq, digest) != digest:
            raise StateMismatchError(
                f"the state as of entry {seq} differs from that of {sender}: this is a bug"
            )

    # --- reading

    def evaluate(self, query: bytes, budget: queries.Budget) -> bytes:
        """The encoded answer to an encoded query, as much of it as there is time for."""
        try:
            page = queries.answer(queries.decode_query(query), self.state, self.history, budget)
        except RefusedError as refusal:  # the asker's RE2 took the pattern, and this one does not
            page = Page(refused=refusal.code)
        return queries.encode(page)


def _restored(storage: Storage) -> ChatState:
    checkpoint = storage.newest_checkpoint()
    if checkpoint is None:
        return ChatState()
    try:
        return ChatState.from_image(checkpoint.image)
    except UNDECODABLE as error:
        raise StorageError(f"{storage}: the checkpoint is corrupt: {error}") from None


def _indexed(said: Sequence[Said]) -> Iterator[Indexed]:
    """What one sender has said: for everybody, or for each of the two whom it concerns."""
    sender = said[0].sender_account
    for recipient, group in groupby(said, _RECIPIENT):
        ids = [one.id for one in group]
        for reader in {recipient, sender} if recipient else (EVERY_READER,):
            yield Indexed(reader, ids, sender)
