"""How a node outside the chain copies the log from the tail (rule 10).

The learner finds the last common entry, and cuts off its own log after that. The tail answers a
question at the end of its log once there is more. The learner writes the parts of a long answer
together.

A learner that lacks much, or what the tail has removed, is offered a *checkpoint*. It copies that
and the tail's log beside its own data, which both replace at once; after a restart, it goes on if
the tail still has that checkpoint.
"""

from collections.abc import Iterator

from msgspec import Struct

from chainchat.chain.checkpoints import Offered, Staged
from chainchat.chain.configuration import Member
from chainchat.chain.effects import Cut, Install, Send, StageEntries, StageRows, Unstage
from chainchat.chain.entries import Entry, EntryId
from chainchat.chain.limits import USUAL_PROTOCOL, ProtocolLimits
from chainchat.chain.log import (
    DivergenceError,
    Log,
    newest_common,
    newest_not_after,
    size,
)
from chainchat.chain.messages import (
    BadMessageError,
    Copied,
    Differs,
    Fetch,
    FetchRows,
    Offer,
    Rows,
    Synced,
)
from chainchat.chain.timing import Timing


class Apart(Struct, frozen=True):
    """Before a resume: the source has the entry ``theirs``, which this log lacks."""

    source: str
    theirs: EntryId


class Replace(Struct, frozen=True):
    """Copy a checkpoint in place of this log; ``common``: the source's log continues this one."""

    source: str
    offered: Offered
    common: bool


class Take(Struct, frozen=True):
    """Append entries, perhaps none; those up to ``committed`` may be applied."""

    entries: tuple[Entry, ...]
    committed: int


Output = Send | Cut | Take | Apart | Replace | StageRows | StageEntries | Install | Unstage


class Learner:
    """The side that copies another node's log.

    Attributes:
        frozen: the tail votes for this log as it ends: the log must not change.
        end: the source's last known entry.
        copied_octets: measured by ``size``.
        began: monotonic seconds.
    """

    def __init__(
        self, me: Member, log: Log, timing: Timing, limits: ProtocolLimits = USUAL_PROTOCOL
    ) -> None:
        self.source: str | None = None
        self.frozen = False
        self.end = EntryId()
        self.copied_entries = 0
        self.copied_octets = 0
        self.began = 0.0
        self._me = me
        self._log = log
        self._timing = timing
        self._limits = limits
        self._epoch = self._identity = 0
        self._committed = True
        self._candidate = EntryId()
        """The last entry that both logs may have; both do, once ``_agreed``."""
        self._agreed = False
        self._asked_at = 0.0
        self._patience = timing.ask_again
        self._parts: list[Entry] = []
        self._replacing = False
        self._known_committed = self._told_committed = 0
        """How far the source's log is committed: by its own word, and as handed on by ``Take``."""

    @property
    def caught_up(self) -> bool:
        return self._agreed and self.end.seq - self._held.seq <= self._limits.near_entries

    def progress(self, now: float) -> str:
        if self.source is None:
            return ""
        staged = self._log.staged
        if self._replacing and staged is not None and not staged.complete:
            checkpoint = staged.offered.checkpoint.seq
            return f"copies the checkpoint as of entry {checkpoint} from {self.source}"
        seconds = max(now - self.began, 0.001)
        here = staged.end if self._replacing and staged is not None else self._log.last
        missing = max(self.end.seq - here.seq, 0)
        rate = self.copied_entries / seconds
        left = f", {missing / rate:.0f} s left" if rate and missing else ""
        return (
            f"copied {self.copied_entries} entries ({self.copied_octets / 1e6:.1f} MB, "
            f"{self.copied_octets / 1e6 / seconds:.1f} MB/s) from {self.source}, "
            f"{missing} to go{left}"
        )

    def begin(
        self, source: str, epoch: int, now: float, *, committed: bool = True, identity: int = 0
    ) -> Iterator[Send]:
        """Begin to copy; before a resume, ``committed`` is False: nobody knows what is."""
        if (self.source, self._epoch, self._identity) == (source, epoch, identity):
            return
        self.source, self._epoch, self._identity = source, epoch, identity
        self._committed = committed
        self.frozen = self._agreed = self._replacing = False
        self._candidate = self._log.last
        self._parts = []
        self._known_committed = self._told_committed = 0
        self.end = EntryId()
        self.copied_entries = self.copied_octets = 0
        self.began = now
        self._patience = self._timing.ask_again
        yield self._ask(now)

    def stop(self) -> None:
        self.source = None
        self.frozen = self._agreed = self._replacing = False

    def tick(self, now: float) -> Iterator[Output]:
        if self.source is not None and now - self._asked_at > self._patience:
            if self._agreed and self.end.is_beyond(self._held):
                longest = self._timing.longest_patience
                self._patience = min(2 * self._patience, longest)
            self.frozen = False
            yield from self._take()
            yield self._ask(now)

    def _take(self) -> Iterator[Take]:
        entries, self._parts = tuple(self._parts), []
        if entries or self._known_committed > self._told_committed:
            self._told_committed = self._known_committed
            yield Take(entries, self._known_committed)
            self.copied_entries += len(entries)
            self.copied_octets += sum(map(size, entries))

    @property
    def _held(self) -> EntryId:
        if self._replacing and self._log.staged is not None:
            return self._log.staged.end
        return self._parts[-1].id if self._parts else self._log.last

    def _ask(self, now: float) -> Send:
        assert self.source is not None
        self._asked_at = now
        staged = self._log.staged
        if self._replacing and staged is not None:
            return Send(self.source, self._rest_of(staged))
        last = self._held if self._agreed else self._candidate
        return Send(self.source, self._fetch(last))

    def _fetch(self, last: EntryId, *, staged: bool = False) -> Fetch:
        return Fetch(self._epoch, self._me, last, self._identity, staged, takes_offers=True)

    def _rest_of(self, staged: Staged) -> Fetch | FetchRows:
        if staged.complete:
            return self._fetch(staged.end, staged=True)
        checkpoint = staged.offered.checkpoint
        return FetchRows(self._epoch, self._me, checkpoint, staged.place, self._identity)

    def _is_answer(self, sender: str, message: Differs | Copied | Offer | Rows) -> bool:
        here = self.source, self._epoch, self._identity
        return here == (sender, message.epoch, message.identity)

    def differs(self, sender: str, message: Differs, now: float) -> Iterator[Output]:
        if not self._is_answer(sender, message) or self._agreed or self._replacing:
            return
        common, apart = newest_common(self._log, (message.newest, *message.older))
        if not self._committed:
            self.stop()  # before a resume nothing is cut: the source holds less
            if apart is not None:
                yield Apart(sender, apart)
            return
        if apart is None:
            self._candidate = common
        else:
            below = newest_not_after(self._log, EntryId(apart.epoch, apart.seq - 1))
            if below is None and not common.seq:
                raise DivergenceError(
                    f"this log begins after {self._log.beginning} and has no entry in common with "
                    f"that of {sender}, which has {apart}: the chain lacks what was committed here"
                )
            self._candidate = below if below is not None and below.seq > common.seq else common
        yield self._ask(now)

    # --- a checkpoint

    def offered(self, sender: str, message: Offer, now: float) -> Iterator[Output]:
        """Copy a checkpoint, if this log has not come so far.

        One that has agreed with the source's, and then stood still, may lack much again.
        """
        if not self._is_answer(sender, message) or self.frozen:
            return
        if self._agreed and not self._replacing and message.checkpoint.seq <= self._held.seq:
            return  # an answer to an earlier question
        offered = Offered(message.checkpoint, message.beginning, message.header)
        staged = self._log.staged
        same = staged is not None and staged.offered == offered
        if self._replacing and same:
            return  # an answer to an earlier question
        if self._replacing:  # what was copied ends before the source's log begins now
            self._replacing = False
            self._candidate = self._log.last
            yield self._ask(now)
            return
        self._parts = []
        if not self._agreed and message.common and self._candidate != self._log.last:
            yield Cut(self._candidate.seq, message.checkpoint)
        if not same:
            yield Replace(sender, offered, self._agreed or message.common)
        self._replacing = True
        yield self._ask(now)

    def rows(self, sender: str, message: Rows, now: float) -> Iterator[Output]:
        staged = self._log.staged
        if not self._is_answer(sender, message) or not self._replacing or staged is None:
            return
        asked = staged.offered.checkpoint, staged.place
        if staged.complete or (message.checkpoint, message.after) != asked:
            return  # an answer to an earlier question
        if message.gone:
            self._replacing = False  # ask what there is now
        else:
            yield StageRows(message.rows, message.complete)
        self._asked_at = now
        if not message.more:
            yield self._ask(now)

    def _stage(self, sender: str, message: Copied, now: float) -> Iterator[Output]:
        staged = self._log.staged
        if staged is None or not staged.complete or message.previous != staged.end:
            return  # an answer to an earlier question
        self.end, self._asked_at = message.end, now
        checkpoint = staged.offered.checkpoint
        for entry in message.entries:
            self._require_same(entry, sender)
            if entry.first <= checkpoint.seq <= entry.seq and entry.id != checkpoint:
                self._replacing = False
                text = f"{entry.id} in its log is not the one that its checkpoint is of"
                yield Unstage(sender, f"ALARM: {text}: {checkpoint}")
                return
        if message.entries:
            yield StageEntries(message.entries)
            self.copied_entries += len(message.entries)
            self.copied_octets += sum(map(size, message.entries))
        if self._held.seq >= checkpoint.seq:
            self._replacing = False
            yield Install(sender)
        elif not message.more:
            yield self._ask(now)

    def _require_same(self, entry: Entry, sender: str) -> None:
        """*kept*: require that the other log has what is committed here."""
        log = self._log
        if log.beginning.seq < entry.seq <= log.committed and log.id_of(entry.seq) != entry.id:
            raise DivergenceError(
                f"{log.id_of(entry.seq)} was committed here, and {sender} has {entry.id} in its "
                "place. Nothing was changed"
            )

    def copied(self, sender: str, message: Copied, now: float) -> Iterator[Output]:
        """Take in the next entries, perhaps none.

        Raises:
            BadMessageError: the parts of one answer are too many.
        """
        if not self._is_answer(sender, message) or self.frozen:
            return
        if self._replacing:
            yield from self._stage(sender, message, now)
            return
        if not self._agreed and message.previous == self._candidate:
            if self._candidate != self._log.last:
                yield Cut(self._candidate.seq, message.end)
            self._agreed = True
        if not self._agreed or message.previous != self._held:
            return  # an answer to an earlier question
        if sum(map(size, self._parts)) > self._limits.answer_octets:
            raise BadMessageError("an answer without an end")
        self.end = message.end
        self._parts += message.entries
        if self._committed:
            end = self._held.seq if message.committed is None else message.committed
            self._known_committed = max(self._known_committed, end)
        self._asked_at = now
        if message.more:
            return
        self._patience = max(self._patience / 2, self._timing.ask_again)
        self.frozen = message.sealed and self._held == message.end
        if not self.frozen:
            yield self._ask(now)  # the next answer comes while this one is written
        yield from self._take()
        if self.frozen:
            yield Send(sender, Synced(self._epoch, self._me, self._log.last, self._identity))
