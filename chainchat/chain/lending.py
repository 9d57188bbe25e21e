"""How the tail lends its log to learners: the other side of ``copying`` (rule 10).

While a learner copies a checkpoint, the tail keeps the checkpoint and the log. But nobody may fill
its disk by copying no further: such a loan ends, and the learner begins again.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chainchat.chain.checkpoints import START, Place
from chainchat.chain.configuration import MOST, Member
from chainchat.chain.effects import Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.limits import USUAL_PROTOCOL, ProtocolLimits
from chainchat.chain.log import FRAME_ENTRIES, Log, newest_not_after, older_than, size
from chainchat.chain.messages import Copied, Differs, Fetch, FetchRows, Offer, Rows


class Answering(Struct):
    """An answer on its way; ``room``: how many more octets it may carry."""

    fetch: Fetch
    sent: EntryId
    room: int


class AnsweringRows(Struct):
    """An answer with rows of a checkpoint."""

    fetch: FetchRows
    sent: Place
    room: int


class Loan(Struct):
    """What a learner needs of this log, and how far it has come.

    Attributes:
        after: it needs the entries after this one.
        offered: the newest checkpoint that it was offered, and the log's beginning then.
        copies_rows: it copies rows of a checkpoint now.
        entry, row: the furthest sent.
        moved: when it last came further, in monotonic seconds.
        told: operators know that it is over.
    """

    moved: float
    after: int = 0
    offered: tuple[EntryId, EntryId] | None = None
    copies_rows: bool = False
    entry: int = 0
    row: Place = START
    told: bool = False

    def move(self, now: float) -> None:
        self.moved = now
        self.told = False

    def offer(self, checkpoint: EntryId, beginning: EntryId, now: float) -> None:
        """Lend a checkpoint; to be offered the same again is no progress."""
        self.after, self.copies_rows = beginning.seq, True
        if self.offered != (checkpoint, beginning):
            self.offered, self.row = (checkpoint, beginning), START
            self.move(now)

    def sent_entry(self, seq: int, now: float) -> None:
        if seq > self.entry:
            self.entry = seq
            self.move(now)

    def sent_row(self, place: Place, now: float) -> None:
        if place > self.row:
            self.row = place
            self.move(now)


class Sponsor:
    """The member that lends its log.

    Attributes:
        sealed: the learner for which this tail takes no entries.
        busy: another turn can send more now.
    """

    def __init__(
        self,
        log: Log,
        limits: ProtocolLimits = USUAL_PROTOCOL,
        committed: Callable[[], int] = lambda: 0,
    ) -> None:
        self.sealed: Member | None = None
        self.busy = False
        self._log = log
        self._limits = limits
        self._committed = committed
        self._waiting: dict[str, Fetch] = {}
        self._answering: dict[str, Answering | AnsweringRows] = {}
        self._newest: dict[Member, int] = {}
        self._told_committed: dict[Member, int] = {}
        self._loans: dict[str, Loan] = {}

    def adopt(self) -> None:
        """Forget all questions: learners ask again."""
        self.sealed = None
        self._waiting = {}
        self._answering = {}
        self._newest = {}
        self._told_committed = {}
        self._loans = {}

    def nearby(self) -> frozenset[Member]:
        end, near = self._log.last.seq, self._limits.near_entries
        return frozenset(m for m, seq in self._newest.items() if end - seq <= near)

    def lends_checkpoint(self, now: float) -> bool:
        patience = self._limits.checkpoint_patience
        return any(
            loan.copies_rows and now - loan.moved < patience for loan in self._loans.values()
        )

    def needed_after(self, now: float) -> int:
        """Return after which entry learners need the log; ``MOST``: none does."""
        loans = self._loans.items()
        needed = (loan.after for position, loan in loans if not self._is_over(position, loan, now))
        return min(needed, default=MOST)

    def _is_over(self, position: str, loan: Loan, now: float) -> bool:
        """Return whether a learner has come no further for too long.

        One whose question waits has all that there is.
        """
        return position not in self._waiting and now - loan.moved > self._limits.loan_patience

    def tick(self, now: float) -> Iterator[Tell]:
        """Tell operators, once, for whom the log is kept no longer."""
        for position, loan in self._loans.items():
            if not loan.told and self._is_over(position, loan, now):
                loan.told = True
                yield Tell(
                    f"{position} has copied nothing for {self._limits.loan_patience:.0f} s: no log "
                    "is kept for it any longer"
                )

    def asked(self, sender: str, fetch: Fetch | FetchRows, now: float = 0.0) -> None:
        self._answering.pop(sender, None)
        loan = self._loans.setdefault(sender, Loan(now))
        loan.copies_rows = isinstance(fetch, FetchRows)
        if isinstance(fetch, FetchRows):
            loan.after = self._log.beginning.seq
            room = self._limits.answer_octets
            self._answering[sender] = AnsweringRows(fetch, fetch.after, room)
        else:
            loan.after = fetch.last.seq
            self._waiting[sender] = fetch

    def forget(self, position: str) -> None:
        for asked in (self._waiting, self._answering, self._loans):
            asked.pop(position, None)
        for told in (self._newest, self._told_committed):
            for learner in [member for member in told if member.position == position]:
                del told[learner]

    @property
    def has_learners(self) -> bool:
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
        """Send frames, at least one; learners take turns.

        Args:
            full: positions with too many unsent octets.
            may_lend: where False, the question waits, and the rest of an answer is dropped.
            offers: False before a resume: offer no checkpoint.
            now: monotonic seconds.
        """
        self.busy = False
        if not self._waiting and not self._answering:  # nearly always
            return
        self._answering = {p: a for p, a in self._answering.items() if may_lend(a.fetch.learner)}
        for asker, fetch in list(self._waiting.items()):
            if may_lend(fetch.learner):
                yield from self._begin_answer(asker, fetch, offers=offers, now=now)
        while (position := self._next_in_round(full)) is not None:
            yield Send(position, self._next_part(position, now))
            if position in self._answering:
                self._answering[position] = self._answering.pop(position)  # to the end of the line
            if not go_on():
                break
        self.busy = self._next_in_round(full) is not None

    def _begin_answer(
        self, asker: str, fetch: Fetch, *, offers: bool, now: float
    ) -> Iterator[Send]:
        offer = self._offer_for(fetch) if offers and fetch.takes_offers else None
        if offer is not None:
            del self._waiting[asker]
            self._loans[asker].offer(offer.checkpoint, offer.beginning, now)
            yield Send(asker, offer)
        elif not self._holds(fetch.last):
            del self._waiting[asker]
            yield Send(asker, self._difference(fetch))
        elif self._has_news_for(fetch):
            del self._waiting[asker]
            if fetch.last.seq >= self._loans[asker].entry:
                self._loans[asker].move(now)  # it has all that it was sent
            self._answering[asker] = Answering(fetch, fetch.last, self._limits.answer_octets)

    def _holds(self, entry: EntryId) -> bool:
        return entry.seq >= self._log.beginning.seq and self._log.id_of(entry.seq) == entry

    def _offer_for(self, fetch: Fetch) -> Offer | None:
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
        return Offer(fetch.epoch, checkpoint, beginning, offered.header, common, fetch.identity)

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

    def _next_part(self, position: str, now: float) -> Copied | Rows:
        answering, end = self._answering[position], self._log.last
        if isinstance(answering, AnsweringRows):
            return self._next_rows(position, answering, now)
        fetch, previous = answering.fetch, answering.sent
        entries = tuple(self._log.read(previous.seq, end.seq, FRAME_ENTRIES))
        if entries:
            answering.sent = entries[-1].id
            self._loans[position].sent_entry(answering.sent.seq, now)
            answering.room -= sum(map(size, entries))
        more = answering.sent != end and answering.room > 0
        if not more:
            del self._answering[position]
        sealed = fetch.learner == self.sealed
        committed = self._told_committed[fetch.learner] = self._committed()
        return Copied(fetch.epoch, previous, entries, end, sealed, more, fetch.identity, committed)

    def _next_rows(self, position: str, answering: AnsweringRows, now: float) -> Rows:
        fetch, after, offered = answering.fetch, answering.sent, self._log.offered()
        asked = fetch.epoch, fetch.checkpoint, after
        if offered is None or offered.checkpoint != fetch.checkpoint:
            del self._answering[position]
            return Rows(*asked, (), complete=False, gone=True, identity=fetch.identity)
        rows, complete = self._log.rows(after, FRAME_ENTRIES)
        answering.sent = rows[-1].place if rows else after
        self._loans[position].sent_row(answering.sent, now)
        answering.room -= sum(len(row.data) for row in rows)
        more = not complete and answering.room > 0
        if not more:
            del self._answering[position]
        return Rows(*asked, tuple(rows), complete, more, identity=fetch.identity)
