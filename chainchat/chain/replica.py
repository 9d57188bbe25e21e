"""One member's part in the chain: number, persist, forward, acknowledge, apply.

A replica acts on its inputs in its next ``turn``, a generator of effects: all that arrives between
two turns is one batch. ``apply`` works in slices: during a long replay, the node must answer pings.

**Write, forward, sync, then tell.** What stands after ``yield Write(...)`` in this file happens
when the entries are written, and what stands after ``yield Sync()``, when they are on the disk. So
all disks sync an entry at the same time.

Invariants; a comment with the name marks where each is kept:

- *contiguous*: the log holds 1, 2, 3 …; a replica takes exactly the next entry. One of several
  sequence numbers is taken, skipped, forwarded and applied as a whole.
- *prefix*: in a configuration, a successor's log is a prefix of its predecessor's (paper, "Update
  Propagation Invariant").
- *written*: a node forwards only what this life has written, even if the disk has not synced it.
- *synced*: a node applies an entry, or tells anybody of it, only when every member's disk has
  synced it. Each Forward gives the sender's word, up to where its disk and all before it have: the
  least of its own disk and its predecessor's word. The tail commits up to its own word. A word
  counts in one epoch, on one connection. A tail commits nothing before it holds an entry of this
  epoch.
"""

from collections.abc import Callable, Iterator, Sequence

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Apply, Distrust, Effect, Send, Sync, Write
from chainchat.chain.entries import Entry, EntryId, Submission, digest_after
from chainchat.chain.limits import USUAL_PROTOCOL, ProtocolLimits
from chainchat.chain.log import (
    ENTRY_OVERHEAD,
    FRAME_ENTRIES,
    DivergenceError,
    Log,
    fitting,
    place_of,
    size,
)
from chainchat.chain.messages import Ack, Forward, Holding, Submit
from chainchat.chain.own_requests import OwnRequests


class Replica:
    """The replication state of one life of one node; the marks are those of ``log``.

    Attributes:
        active: True while this node takes part; otherwise it has no turns.
        opened: an entry of this epoch is applied; then so is all that was committed before.
        time: UTC milliseconds of the newest entry taken.
    """

    def __init__(
        self,
        position: str,
        origin: str,
        log: Log,
        *,
        opening: Callable[[Configuration], bytes],
        applied: int,
        time: int = 0,
        limits: ProtocolLimits = USUAL_PROTOCOL,
    ) -> None:
        """Begin on an existing log; for ``opening`` to ``time`` see ``Application``."""
        self.configuration = Configuration()
        self.active = False
        self.last = log.last
        self.written = self.synced = log.last.seq
        self.committed = applied
        self.applied = applied
        self.opened = False
        self.time = max(time, _time_of_last(log))
        self._position = position
        self._is_head = self._is_tail = False
        self._predecessor: str | None = None
        self._successor: str | None = None
        self.own_requests = OwnRequests(origin)
        self._log = log
        self._limits = limits
        self._opening = opening
        self._recent: list[Entry] = []
        """The newest entries, still to be forwarded or applied."""
        self._copied = 0
        self._requests: list[tuple[str, Submission]] = []
        """At the head: requests to be numbered, with their origins."""
        self._taken: list[Entry] = []
        """The newest of ``_recent``, not written yet."""
        self._ahead: EntryId | None = None
        """The successor's last entry, if this node lacks it; the head has it too."""
        self._forwarded: EntryId | None = None
        """The last entry sent to the successor; None until it says what it holds."""
        self._synced_before = 0
        """The predecessor's word."""
        self._told_synced = 0
        """This node's word to its successor."""
        self._acknowledged = -1
        """What the predecessor was told to be committed; -1 on a new connection."""
        self._tell_holding = False
        self._full: set[str] = set()
        self._unreachable: set[str] = set()
        self._older: set[str] = set()
        self._check_marks()

    # --- inputs

    def submit(self, command: bytes, span: int = 1) -> int:
        return self.own_requests.submit(command, span)

    def adopt(self, configuration: Configuration) -> None:
        """Go on in another configuration, once ``active``.

        Entries taken but not written are dropped: their origins submit them again.
        """
        self.configuration = configuration
        self._is_head = configuration.head == self._position
        self._is_tail = configuration.tail == self._position
        self._predecessor = configuration.predecessor(self._position)
        self._successor = configuration.successor(self._position)
        self.active = False
        self._drop_taken()
        applied = self._id_of(self.applied)
        self.opened = applied is not None and applied.epoch == configuration.epoch
        self._requests = []
        self.own_requests.offer_again()
        self._forwarded = self._ahead = None
        self._synced_before = self._told_synced = 0
        self._acknowledged = -1
        self._tell_holding = True
        if self._is_head and self.last.epoch < configuration.epoch:
            self._requests.append(("", Submission(0, self._opening(configuration))))

    def _drop_taken(self) -> None:
        if self._taken:
            del self._recent[-len(self._taken) :]
            self._taken = []
            self._tell_holding = True
        self.last = self._log.last
        self._check_marks()

    def linked(self, position: str, *, older: bool = False) -> None:
        """Begin again on a new connection: frames on the last one may be lost.

        ``older``: the node there speaks protocol 6, and takes whatever it is sent for synced.
        """
        (self._older.add if older else self._older.discard)(position)
        self._unreachable.discard(position)
        self._full.discard(position)
        if not self.configuration.members:
            return
        if position == self._successor:
            self._forwarded = self._ahead = None
            self._told_synced = 0
        if position == self._predecessor:
            self._tell_holding = True
            if not older:  # else it may never say it again: it gives no word without entries
                self._synced_before = 0
            self._acknowledged = -1
        if position == self.configuration.head:
            self.own_requests.offer_again()

    def unlinked(self, position: str) -> None:
        self._unreachable.add(position)

    def full(self, position: str, *, full: bool) -> None:
        """Note whether too much waits for ``position``: then entries and requests wait."""
        (self._full.add if full else self._full.discard)(position)

    def receive(self, sender: str, message: Submit | Forward | Ack | Holding) -> None:
        assert self.active
        assert message.epoch == self.configuration.epoch
        match message:
            case Submit() if self._is_head:
                self._requests.extend((message.origin, request) for request in message.requests)
            case Forward() if sender == self._predecessor:
                self._take(message)
            case Ack() if sender == self._successor:
                self._commit(message.seq)
            case Holding() if sender == self._successor:
                self._go_on_after(message.last, sender)
            case _:
                pass  # late, from an earlier shape of the chain

    def _take(self, forward: Forward) -> None:
        """*contiguous*: take the next entries, skip those held, refuse everything else."""
        held, entries = self.last.seq, forward.entries
        if forward.previous.seq > held or self._id_of(forward.previous.seq) != forward.previous:
            self._tell_holding = True
            return
        known = 0 if forward.previous.seq == held else place_of(held + 1, entries)
        for entry in entries[:known]:
            if self._id_of(entry.seq) != entry.id:
                raise DivergenceError(
                    f"{entry.id} from the predecessor is not what this log holds: "
                    f"that has {self._id_of(entry.seq)}"
                )
        if known < len(entries):
            if entries[known].first != held + 1:
                raise DivergenceError(f"{entries[known].id} begins within what this log holds")
            self._extend(entries[known:])
        end = entries[-1].seq if entries else forward.previous.seq
        synced = end if forward.synced is None else forward.synced
        self._synced_before = max(self._synced_before, synced)
        self._commit(forward.committed)

    def _go_on_after(self, last: EntryId, successor: str) -> None:
        """*prefix*: go on after the successor's last entry, which must be one of this log's.

        In the middle of a resumed chain, that entry may still be on its way from the head.
        """
        self._ahead = None
        if last.seq > self.last.seq and not self._is_head:
            self._ahead = last
            return
        held = self._id_of(last.seq)
        if held != last or last.seq < self._log.beginning.seq:
            has = f" and has {held}" if held is not None else ""
            begins = f", begins after {self._log.beginning}" if self._log.beginning.seq else ""
            raise DivergenceError(
                f"the log of {successor} ends with {last}, which this log does not hold: "
                f"it ends with {self.last}{begins}{has}"
            )
        self._forwarded = last

    @property
    def held_by_all(self) -> int:
        """Up to where no member lacks anything of this log."""
        if self._successor is None:
            return self.applied
        return min(self.applied, self._forwarded.seq) if self._forwarded is not None else 0

    # --- outside the chain

    def copy(self, entries: tuple[Entry, ...], *, committed: int) -> Iterator[Effect]:
        """Append entries of another log; those up to ``committed`` may be applied.

        Entries that a locked member took and did not write are dropped: the copied ones, which
        follow what is on disk, may include them.
        """
        assert not self.active
        self._drop_taken()
        if entries:
            self._extend(entries)
            yield from self._write()
            yield from self._sync()
        self._commit(committed)
        self._copied += sum(map(size, entries))
        if self._copied > self._limits.copied_octets:  # copied faster than applied
            self._recent, self._copied = [], 0
        self._forget()

    def cut(self) -> None:
        """Go on from the log's new end, not before ``applied``."""
        self.last = self._log.last
        self.written = self.synced = self.last.seq
        self._check_marks()
        self._recent = []

    # --- the turn

    @property
    def word(self) -> int:
        """*synced*: up to where this disk and all before it have the log."""
        return self.synced if self._is_head else min(self.synced, self._synced_before)

    @property
    def needs_time(self) -> bool:
        if self._requests:
            return True
        return bool(self.own_requests.unoffered) and self.active and self._is_head

    def turn(self, now: int) -> Iterator[Effect]:
        """Act on the inputs.

        ``now``: UTC milliseconds, used only if ``needs_time``.
        """
        if not self.active:
            return
        if self.own_requests.unoffered:
            yield from self._offer()
        if self._requests:
            self._number(now)
        if self._taken:
            yield from self._write()
            yield from self._forward()
            yield from self._sync()
        if self._successor is not None:
            yield from self._forward()
            yield from self._tell_synced()
        if self._is_tail and self.last.epoch == self.configuration.epoch:
            self._commit(self._what_can_be_applied_soon)
        if self._predecessor is not None and (
            self._tell_holding or self.committed > self._acknowledged
        ):
            yield from self._acknowledge(self._predecessor)

    def _offer(self) -> Iterator[Effect]:
        head = self.configuration.head
        if self._is_head:
            own = self.own_requests
            self._requests.extend((own.origin, request) for request in own.offer())
        elif head not in self._unreachable and head not in self._full:
            for submit in self.own_requests.frames(self.configuration, self._full):
                yield Send(head, submit)

    def _number(self, now: int) -> None:
        requests, self._requests = self._requests, []
        epoch, time = self.configuration.epoch, max(self.time, now)
        seq, digest = self.last.seq, self.last.digest
        entries = []
        for origin, request in requests:
            number, command, span = request.number, request.command, request.span
            seq += span
            content = (seq, epoch, origin, number, time, command, span)
            digest = digest_after(digest, content)
            entries.append(Entry(*content, digest))
        self._extend(entries)

    def _extend(self, entries: Sequence[Entry]) -> None:
        end = self.last.seq
        for entry in entries:
            assert entry.seq - entry.span == end  # *contiguous*
            end = entry.seq
        self.last = entries[-1].id
        self.time = max(self.time, entries[-1].time)
        self._recent += entries
        self._taken += entries

    def _write(self) -> Iterator[Effect]:
        entries, self._taken = tuple(self._taken), []
        yield Write(entries, self.committed)
        self.written = entries[-1].seq  # *written*: ``_forward`` reads this
        self._check_marks()
        if self._ahead is not None and self._successor is not None:
            try:
                self._go_on_after(self._ahead, self._successor)
            except DivergenceError as error:
                yield Distrust(self._successor, f"ALARM: {error}")

    def _sync(self) -> Iterator[Effect]:
        yield Sync()
        self.synced = self.written  # *synced*: all that is told or applied is below this

    def _forward(self) -> Iterator[Effect]:
        """*written*: send the successor all that it lacks; one of protocol 6 what is *synced*."""
        end = self._end_before(self.word) if self._successor in self._older else self.written
        while (sent := self._sent) is not None and sent.seq < end:
            entries = self._entries(sent.seq, end, FRAME_ENTRIES)
            yield self._forward_of(sent, tuple(entries))
            self._forwarded = entries[-1].id
            assert self._forwarded.seq <= self.written

    def _tell_synced(self) -> Iterator[Effect]:
        if self.word > self._told_synced and (sent := self._sent) is not None:
            yield self._forward_of(sent, ())

    def _forward_of(self, previous: EntryId, entries: tuple[Entry, ...]) -> Send:
        assert self._successor is not None
        epoch, identity = self.configuration.epoch, self.configuration.identity
        self._told_synced = synced = self.word
        forward = Forward(epoch, previous, entries, self.committed, identity, synced)
        return Send(self._successor, forward)

    @property
    def _sent(self) -> EntryId | None:
        """The last entry sent to the successor; None if nothing can be sent now."""
        blocked = self._successor in self._full or self._successor in self._unreachable
        return None if blocked else self._forwarded

    def _commit(self, seq: int) -> None:
        """Commit up to ``seq``, as far as this disk is synced: every other disk has that."""
        end = min(seq, self.synced)
        if end > self.committed:
            self.committed = max(self.committed, self._end_before(end))

    def _end_before(self, seq: int) -> int:
        """Return the newest end of an entry up to ``seq``: what a peer names may be none."""
        if seq == self.last.seq:
            return seq
        entry = self._recent[place_of(seq, self._recent)] if self._recent else None
        if entry is None or entry.first > seq:
            return self._log.end_before(seq)
        return seq if entry.seq == seq else entry.first - 1

    @property
    def _what_can_be_applied_soon(self) -> int:
        """How far this tail commits: less if it applies slowly."""
        return min(self.word, self.applied + self._limits.unapplied)

    def _acknowledge(self, predecessor: str) -> Iterator[Effect]:
        if predecessor in self._unreachable:
            return
        epoch, identity = self.configuration.epoch, self.configuration.identity
        if self._tell_holding:
            self._tell_holding = False
            yield Send(predecessor, Holding(epoch, self._known_id(self.written), identity))
        if self.committed > self._acknowledged:
            self._acknowledged = self.committed
            yield Send(predecessor, Ack(epoch, self.committed, identity))

    def apply(self, go_on: Callable[[], bool]) -> Iterator[Apply]:
        """Hand out committed entries, in order, while ``go_on`` allows."""
        while self.applied < self.committed:
            entries = self._entries(self.applied, self.committed, self._limits.apply_octets)
            self.applied = entries[-1].seq
            self._check_marks()
            self.opened = entries[-1].epoch == self.configuration.epoch
            for entry in entries:
                if entry.origin == self.own_requests.origin:
                    self.own_requests.settle(entry.number)
            yield Apply(entries)
            if self.applied == self.committed or not go_on():
                break
        if self.applied == self.committed:
            self._copied = 0
        self._forget()
        if len(self._recent) > self._limits.recent_entries and not self._taken:
            self._recent = []

    def _check_marks(self) -> None:
        """Assert the order drawn in ``log``; ``_forward`` checks *forwarded*."""
        assert self.applied <= self.committed <= self.synced <= self.written <= self.last.seq

    # --- the log, newest part in memory

    def _entries(self, after: int, up_to: int, octets: int) -> Sequence[Entry]:
        recent = self._recent
        before = recent[0].seq - recent[0].span if recent else after + 1
        if before <= after:
            begin = 0 if before == after else place_of(after + 1, recent)
            end = len(recent) if recent[-1].seq == up_to else place_of(up_to + 1, recent)
            most = octets // ENTRY_OVERHEAD + 1  # of tens of thousands, look at what may fit
            return fitting(recent[begin : min(end, begin + most)], octets)
        return self._log.read(after, up_to, octets)

    def _id_of(self, seq: int) -> EntryId | None:
        if seq >= self.last.seq:
            return self.last if seq == self.last.seq else None
        if self._recent and self._recent[0].seq - self._recent[0].span < seq:
            return self._recent[place_of(seq, self._recent)].id
        return self._log.id_of(seq)

    def _known_id(self, seq: int) -> EntryId:
        known = self._id_of(seq)
        assert known is not None
        return known

    def _forget(self) -> None:
        done = self.applied
        if self._successor is not None and self._forwarded is not None:
            done = min(done, self._forwarded.seq)
        if done == self.last.seq:  # nearly always
            self._recent = []
        else:
            del self._recent[: place_of(done + 1, self._recent)]


def _time_of_last(log: Log) -> int:
    if log.last.seq == log.beginning.seq:
        return 0
    [newest] = log.read(log.last.seq - 1, log.last.seq, 1)
    return newest.time
