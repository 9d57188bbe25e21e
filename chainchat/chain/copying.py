"""How a node outside the chain copies the log from the tail (rule 10).

The learner asks, the tail answers. First they look for their last common entry, whose name stands
for all before it. The learner cuts off what follows at home, and asks for what follows at the tail.
A question at the end of the tail's log waits until there is more, so a learner keeps up.

A long answer comes in parts, each a frame, so that the tail does its other work in between; the
learner writes the whole answer at once.

A learner that lacks much, or what the tail has removed, is offered a *checkpoint*: it copies that,
and the tail's log from its beginning, beside its own data, which the whole then replaces at once.
What was copied stays over a restart, and is gone on with if the tail still has the same checkpoint.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chainchat.chain.checkpoints import Offered, Place, Staged
from chainchat.chain.configuration import MOST, Member
from chainchat.chain.effects import Cut, Install, Send, StageEntries, StageRows, Unstage
from chainchat.chain.limits import USUAL, Limits
from chainchat.chain.log import (
    FRAME_ENTRIES,
    DivergenceError,
    Log,
    newest_common,
    newest_not_after,
    older_than,
    size,
)
from chainchat.chain.messages import (
    BadMessageError,
    Copied,
    Differs,
    Entry,
    EntryId,
    Fetch,
    FetchRows,
    Offer,
    Rows,
    Synced,
)
from chainchat.chain.timing import Timing


class Apart(Struct, frozen=True):
    """Before a resume, the source of a copy has ``theirs``, an entry that this log lacks."""

    source: str
    theirs: EntryId


class Replace(Struct, frozen=True):
    """Copy a checkpoint, in place of this log; ``common``: the source's goes on from this one."""

    source: str
    offered: Offered
    common: bool


class Take(Struct, frozen=True):
    """Append the next entries, perhaps none; those up to ``committed`` may be applied."""

    entries: tuple[Entry, ...]
    committed: int


Output = Send | Cut | Take | Apart | Replace | StageRows | StageEntries | Install | Unstage


class Learner:
    """A node that copies another's log.

    Attributes:
        source: the position copied; None while nothing is copied.
        frozen: True while the tail votes for the log's last entry: the log must not change.
        end: the last entry of the source, as far as known.
        copied_octets: by ``size``.
        began: monotonic seconds.
    """

    def __init__(self, me: Member, log: Log, timing: Timing, limits: Limits = USUAL) -> None:
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
        self._agreed = False
        self._asked_at = 0.0
        self._patience = timing.ask_again
        self._parts: list[Entry] = []
        """The parts of an answer that have come so far."""
        self._replacing = False
        """True while a checkpoint is copied."""
        self._known_committed = self._told_committed = 0
        """By the source's word, and up to where it was given to ``Take``."""

    @property
    def caught_up(self) -> bool:
        """True if only the newest entries are missing."""
        return self._agreed and self.end.seq - self._held.seq <= self._limits.near_entries

    def progress(self, now: float) -> str:
        """Entries, octets, rate and time left, for people; empty if nothing is copied."""
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
        """Copy from ``source``, in this configuration.

        ``committed``: True if the source's log is committed, as a tail's is.
        """
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
        """Copy no more."""
        self.source = None
        self.frozen = self._agreed = self._replacing = False

    def tick(self, now: float) -> Iterator[Output]:
        """Ask again if no answer came, and keep the parts that did."""
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
        """The last entry that has come."""
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
        """The source does not hold the entry asked about: try the next that may be common."""
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
        """Copy the checkpoint, or go on copying it."""
        if not self._is_answer(sender, message) or (self._agreed and not self._replacing):
            return
        offered = Offered(message.checkpoint, message.beginning, message.head)
        staged = self._log.staged
        same = staged is not None and staged.offered == offered
        if self._replacing and same:
            return  # an answer to an earlier question
        if self._replacing:  # what was copied ends before the source's log begins now
            self._replacing = False
            self._candidate = self._log.last
            yield self._ask(now)
            return
        if message.common and self._candidate != self._log.last:
            yield Cut(self._candidate.seq, message.checkpoint)
        if not same:
            yield Replace(sender, offered, message.common)
        self._replacing = True
        yield self._ask(now)

    def rows(self, sender: str, message: Rows, now: float) -> Iterator[Output]:
        """Take in the next rows of the checkpoint."""
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
        """Take in entries of the log that goes with the checkpoint."""
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
        """*kept*: what is committed here is in the other log, too."""
        log = self._log
        if log.beginning.seq < entry.seq <= log.committed and log.id_of(entry.seq) != entry.id:
            raise DivergenceError(
                f"{log.id_of(entry.seq)} was committed here, and {sender} has {entry.id} in its "
                "place. Nothing was changed"
            )

    def copied(self, sender: str, message: Copied, now: float) -> Iterator[Output]:
        """Take in the next entries; there may be none.

        Raises:
            BadMessageError: too many entries for one answer.
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


class Answering(Struct):
    """Sent up to an entry, with ``room`` for more octets."""

    fetch: Fetch
    sent: EntryId
    room: int


class AnsweringRows(Struct):
    """The same for rows of a checkpoint, sent up to a place."""

    fetch: FetchRows
    sent: Place
    room: int


class Sponsor:
    """A node that lends its log to learners: the tail.

    Attributes:
        sealed: the learner for which this tail takes no entries.
        busy: True if another turn can send more at once.
    """

    def __init__(
        self, log: Log, limits: Limits = USUAL, committed: Callable[[], int] = lambda: 0
    ) -> None:
        """``committed``: how far the log is known to be committed."""
        self.sealed: Member | None = None
        self.busy = False
        self._log = log
        self._limits = limits
        self._committed = committed
        self._waiting: dict[str, Fetch] = {}
        self._answering: dict[str, Answering | AnsweringRows] = {}
        self._newest: dict[Member, int] = {}
        self._told_committed: dict[Member, int] = {}
        self._needs: dict[str, int] = {}
        """By position, the entry after which a learner needs the log."""
        self._lent: dict[str, float] = {}
        """When learners that copy the checkpoint last asked; monotonic seconds."""

    def adopt(self) -> None:
        """Forget all questions: in a new configuration, learners ask again."""
        self.sealed = None
        self._waiting = {}
        self._answering = {}
        self._newest = {}
        self._told_committed = {}
        self._needs = {}
        self._lent = {}

    def nearby(self) -> frozenset[Member]:
        """Learners that lacked no more than a batch when they last asked."""
        end, near = self._log.last.seq, self._limits.near_entries
        return frozenset(m for m, seq in self._newest.items() if end - seq <= near)

    def lends_checkpoint(self, now: float) -> bool:
        """True while a learner copies the newest checkpoint: keep it."""
        patience = self._limits.checkpoint_patience
        return any(now - asked < patience for asked in self._lent.values())

    def needed_after(self) -> int:
        """The entry after which learners need the log; a large number if none copies it."""
        beginning = self._log.beginning.seq
        return beginning if self._lent else min(self._needs.values(), default=MOST)

    def asked(self, sender: str, fetch: Fetch | FetchRows, now: float = 0.0) -> None:
        """Take in a learner's question, for the next turn."""
        self._answering.pop(sender, None)
        if isinstance(fetch, FetchRows):
            self._lent[sender] = now
            room = self._limits.answer_octets
            self._answering[sender] = AnsweringRows(fetch, fetch.after, room)
        else:
            self._lent.pop(sender, None)
            self._needs[sender] = fetch.last.seq
            self._waiting[sender] = fetch

    def forget(self, position: str) -> None:
        """Forget a learner whose connection ended."""
        for asked in (self._waiting, self._answering, self._needs, self._lent):
            asked.pop(position, None)
        self._newest = {m: seq for m, seq in self._newest.items() if m.position != position}

    @property
    def has_learners(self) -> bool:
        """True if a learner waits for an answer, or the rest of one."""
        return bool(self._waiting or self._answering)

    def turn(
        self,
        full: set[str],
        may_lend: Callable[[Member], bool] = lambda _: True,
        go_on: Callable[[], bool] = lambda: False,
        *,
        offers: bool = True,
        now: float = 0.0,
    ) -> Iterator[Send]:
        """Answer what can be answered now, at least one part; learners take turns.

        Args:
            full: positions with too many unsent octets.
            may_lend: where False, the question waits, and the rest of an answer is dropped.
            go_on: True while there is time for another part.
            offers: True if learners may be offered a checkpoint; before a resume, none is.
            now: monotonic seconds.
        """
        self.busy = False
        if not self._waiting and not self._answering:  # nearly always
            return
        self._answering = {p: a for p, a in self._answering.items() if may_lend(a.fetch.learner)}
        for asker, fetch in list(self._waiting.items()):
            if not may_lend(fetch.learner):
                continue
            offer = self._offer_for(fetch) if offers and fetch.takes_offers else None
            if offer is not None:
                del self._waiting[asker]
                self._lent[asker] = now
                yield Send(asker, offer)
            elif not self._holds(fetch.last):
                del self._waiting[asker]
                yield Send(asker, self._difference(fetch))
            elif self._has_news_for(fetch):
                del self._waiting[asker]
                self._answering[asker] = Answering(fetch, fetch.last, self._limits.answer_octets)
        while (position := self._next_in_round(full)) is not None:
            yield Send(position, self._next_part(position))
            if position in self._answering:
                self._answering[position] = self._answering.pop(position)  # to the end of the line
            if not go_on():
                break
        self.busy = self._next_in_round(full) is not None

    def _holds(self, entry: EntryId) -> bool:
        """True if this log goes on after ``entry``."""
        return entry.seq >= self._log.beginning.seq and self._log.id_of(entry.seq) == entry

    def _offer_for(self, fetch: Fetch) -> Offer | None:
        """The checkpoint, for who lacks much of the log, or what this node has of it no more."""
        log, last = self._log, fetch.last
        common = self._holds(last)
        too_old = not common and newest_not_after(log, last) is None
        if not (common or too_old):
            return None  # the learner finds the last common entry first
        lacks_much = log.last.seq - last.seq > self._limits.checkpoint_worth and not fetch.staged
        offered = log.offered() if too_old or lacks_much else None
        if offered is None:
            return None
        checkpoint, beginning = offered.checkpoint, offered.beginning
        lacks = checkpoint.seq - last.seq
        worth = lacks > self._limits.checkpoint_worth and 2 * lacks > checkpoint.seq - beginning.seq
        if not (too_old or worth):
            return None
        common = common or not last.seq
        return Offer(fetch.epoch, checkpoint, beginning, offered.head, common, fetch.identity)

    def _difference(self, fetch: Fetch) -> Differs:
        newest, last = newest_not_after(self._log, fetch.last), fetch.last
        if newest is None:
            return Differs(fetch.epoch, self._log.beginning, fetch.identity)
        same_place = (newest.epoch, newest.seq) == (last.epoch, last.seq)
        older = older_than(self._log, newest) if same_place else ()  # two chains had that epoch
        return Differs(fetch.epoch, newest, fetch.identity, older)

    def _next_in_round(self, full: set[str]) -> str | None:
        return next((position for position in self._answering if position not in full), None)

    def _has_news_for(self, fetch: Fetch) -> bool:
        new = fetch.learner not in self._newest  # tell it that its entry is common
        self._newest[fetch.learner] = fetch.last.seq
        more = self._committed() > self._told_committed.get(fetch.learner, 0)
        return new or more or fetch.last != self._log.last or fetch.learner == self.sealed

    def _next_part(self, position: str) -> Copied | Rows:
        answering, end = self._answering[position], self._log.last
        if isinstance(answering, AnsweringRows):
            return self._next_rows(position, answering)
        fetch, previous = answering.fetch, answering.sent
        entries = tuple(self._log.read(previous.seq, end.seq, FRAME_ENTRIES))
        if entries:
            answering.sent = entries[-1].id
            answering.room -= sum(map(size, entries))
        more = answering.sent != end and answering.room > 0
        if not more:
            del self._answering[position]
        sealed = fetch.learner == self.sealed
        committed = self._told_committed[fetch.learner] = self._committed()
        return Copied(fetch.epoch, previous, entries, end, sealed, more, fetch.identity, committed)

    def _next_rows(self, position: str, answering: AnsweringRows) -> Rows:
        fetch, after, offered = answering.fetch, answering.sent, self._log.offered()
        asked = fetch.epoch, fetch.checkpoint, after
        if offered is None or offered.checkpoint != fetch.checkpoint:
            del self._answering[position]
            return Rows(*asked, (), complete=False, gone=True, identity=fetch.identity)
        rows, complete = self._log.rows(after, FRAME_ENTRIES)
        answering.sent = rows[-1].place if rows else after
        answering.room -= sum(len(row.data) for row in rows)
        more = not complete and answering.room > 0
        if not more:
            del self._answering[position]
        return Rows(*asked, tuple(rows), complete, more, identity=fetch.identity)
