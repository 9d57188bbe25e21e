"""One member's part in the chain: number, persist, forward, acknowledge, apply.

A replica notes its inputs (``submit``, ``receive``, ``linked``, ``adopt``) and acts on them in its
next ``turn``, a generator of effects: all that arrives between two turns is one batch. ``apply``
then applies what is committed, in slices: during a long replay, the node must answer pings.

**Persist, then send.** What stands after ``yield Persist(...)`` in this file happens when the
entries are on disk.

Invariants; a comment with the name marks where each is kept:

- *contiguous*: the log holds 1, 2, 3 …; a replica takes exactly the next entry. An entry of
  several sequence numbers is taken, skipped, forwarded and applied as a whole.
- *prefix*: in a configuration, a successor's log is a prefix of its predecessor's (paper, "Update
  Propagation Invariant").
- *durable*: a node forwards, acknowledges and applies only what its disk has.
- *committed*: a node applies an entry, or tells anybody of it, only when every member's disk has
  it. A tail knows this once it holds an entry of this epoch, which came through every other member;
  before that, a restarted disk in between may lack the end of its log.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Apply, Distrust, Effect, Persist, Send
from chainchat.chain.limits import USUAL, Limits
from chainchat.chain.log import FRAME_ENTRIES, MAX_COMMAND, Log, fitting, place_of, size
from chainchat.chain.messages import (
    Ack,
    Entry,
    EntryId,
    Forward,
    Holding,
    Submission,
    Submit,
    digest_after,
)


class DivergenceError(Exception):
    """Two members of one configuration hold different logs: a disk or the code is at fault."""


class Replica:
    """The replication state of one life of one node; the marks are those of ``log``.

    Attributes:
        configuration: the one in force here.
        active: True while this node takes part in the configuration; otherwise it has no turns.
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
        limits: Limits = USUAL,
    ) -> None:
        """A replica on an existing log.

        Args:
            origin: this life, as ``Member.origin``.
            opening: gives the command of an epoch's first entry.
            applied: sequence number of the application's checkpoint.
        """
        self.configuration = Configuration()
        self.active = False
        self.last = log.last
        self.durable = log.last.seq
        self.committed = applied
        self.applied = applied
        self.opened = False
        self.time = 0
        self._position = position
        self._is_head = self._is_tail = False
        self._predecessor: str | None = None
        self._successor: str | None = None
        self._origin = origin
        self._log = log
        self._limits = limits
        self._opening = opening
        self._recent: list[Entry] = []
        """The newest entries, still to be forwarded or applied."""
        self._copied = 0
        """Octets that ``copy`` added to ``_recent`` since everything was applied."""
        newest = log.read(log.last.seq - 1, log.last.seq, 1) if log.last.seq else []
        if newest:
            self.time = newest[0].time

        self._pending_octets = 0
        self._pending: deque[Submission] = deque()
        """This origin's requests that are not applied yet, in order."""
        self._unoffered: list[Submission] = []
        """The last of ``_pending``, not sent to this head yet."""
        self._numbered = 0
        self._asked = self._settled = 0
        """Sequence numbers requested here, and applied."""

        self._requests: list[tuple[str, Submission]] = []
        """Head: requests without a sequence number, with their origins."""
        self._taken: list[Entry] = []
        """The last of ``_recent``, not on disk yet."""
        self._ahead: EntryId | None = None
        """The successor's last entry, if this node lacks it; the head has it too."""
        self._forwarded: EntryId | None = None
        """The last entry sent to the successor; None until it says what it holds."""
        self._acknowledged = -1
        """Acknowledged to the predecessor; -1 on a new connection."""
        self._tell_holding = False
        self._full: set[str] = set()
        self._unreachable: set[str] = set()
        self._check_marks()

    # --- inputs

    @property
    def pending(self) -> int:
        """Sequence numbers that this origin requested and that are not applied yet."""
        return self._asked - self._settled

    @property
    def settled(self) -> int:
        """The number of this origin's newest applied request."""
        return self._pending[0].number - 1 if self._pending else self._numbered

    @property
    def pending_octets(self) -> int:
        """Octets of the commands that are not applied yet."""
        return self._pending_octets

    def submit(self, command: bytes, span: int = 1) -> int:
        """Take in a request, and offer it to each new head until it is applied.

        Returns the number that its entry will carry with this origin.
        """
        assert len(command) <= MAX_COMMAND
        self._numbered += 1
        self._asked += span
        self._pending_octets += len(command)
        request = Submission(self._numbered, command, span)
        self._pending.append(request)
        self._unoffered.append(request)
        return self._numbered

    def adopt(self, configuration: Configuration) -> None:
        """Go on in another configuration, once ``active``.

        Entries taken but not persisted are dropped: their origins submit them again.
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
        self._offer_again()
        self._forwarded = self._ahead = None
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

    def linked(self, position: str) -> None:
        """A new connection; frames on the last one may be lost."""
        self._unreachable.discard(position)
        self._full.discard(position)
        if not self.configuration.members:
            return
        if position == self._successor:
            self._forwarded = self._ahead = None
        if position == self._predecessor:
            self._tell_holding = True
            self._acknowledged = -1
        if position == self.configuration.head:
            self._offer_again()

    def unlinked(self, position: str) -> None:
        """Send nothing until ``position`` is linked again."""
        self._unreachable.add(position)

    def full(self, position: str, *, full: bool) -> None:
        """Note if too much waits for ``position``: then entries and requests wait too."""
        (self._full.add if full else self._full.discard)(position)

    def receive(self, sender: str, message: Submit | Forward | Ack | Holding) -> None:
        """Take in a message of this epoch, while active."""
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
        """*contiguous*: take exactly the next entries, skip those held, refuse everything else."""
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
        self._commit(min(forward.committed, self.durable))

    def _go_on_after(self, last: EntryId, successor: str) -> None:
        """*prefix*: go on after the successor's last entry, which must be one of this log's.

        In the middle of a resumed chain, that entry may still be on its way from the head.
        """
        self._ahead = None
        if last.seq > self.last.seq and not self._is_head:
            self._ahead = last
            return
        held = self._id_of(last.seq)
        if held != last:
            has = f" and has {held}" if held is not None else ""
            raise DivergenceError(
                f"the log of {successor} ends with {last}, which this log does not hold: "
                f"it ends with {self.last}{has}"
            )
        self._forwarded = last

    # --- outside the chain

    def copy(self, entries: tuple[Entry, ...], *, committed: bool) -> Iterator[Effect]:
        """Append entries of another node's log; ``apply`` applies them if they are committed.

        They follow what is on disk: entries that a locked member took and did not persist are
        dropped, as the copied ones may include them.
        """
        assert not self.active
        self._drop_taken()
        self._extend(entries)
        self._taken = []
        yield Persist(entries, self.committed)
        self.durable = self.last.seq
        self._check_marks()
        if committed:
            self._commit(self.durable)
        self._copied += sum(map(size, entries))
        if self._copied > self._limits.copied_octets:  # copied faster than applied
            self._recent, self._copied = [], 0
        self._forget()

    def cut(self) -> None:
        """Go on from the log's new end, not before ``applied``."""
        self.last = self._log.last
        self.durable = self.last.seq
        self._check_marks()
        self._recent = []

    # --- the turn

    @property
    def needs_time(self) -> bool:
        """True if the next turn numbers requests."""
        if self._requests:
            return True
        return bool(self._unoffered) and self.active and self._is_head

    def turn(self, now: int) -> Iterator[Effect]:
        """Act on the inputs since the last turn.

        ``now``: UTC milliseconds, used only if ``needs_time``.
        """
        if not self.active:
            return
        if self._unoffered:
            yield from self._offer()
        if self._requests:
            self._number(now)
        if self._taken:
            entries, self._taken = tuple(self._taken), []
            yield Persist(entries, self.committed)
            self.durable = entries[-1].seq  # *durable*: all that follows reads this
            self._check_marks()
            if self._ahead is not None and self._successor is not None:
                try:
                    self._go_on_after(self._ahead, self._successor)
                except DivergenceError as error:
                    yield Distrust(self._successor, f"ALARM: {error}")
        if self._successor is not None:
            yield from self._forward(self._successor)
        if self._is_tail and self.last.epoch == self.configuration.epoch:
            self._commit(self._end_that_can_be_applied_soon)  # *committed*
        if self._predecessor is not None and (
            self._tell_holding or self.committed > self._acknowledged
        ):
            yield from self._acknowledge(self._predecessor)

    def _offer(self) -> Iterator[Effect]:
        head, configuration = self.configuration.head, self.configuration
        if head in self._unreachable or head in self._full:
            return
        first = self._pending[0].number if self._pending else self._numbered + 1
        requests = [request for request in self._unoffered if request.number >= first]
        self._unoffered = []
        if self._is_head:
            self._requests.extend((self._origin, request) for request in requests)
            return
        while requests and head not in self._full:
            batch = tuple(fitting(requests, FRAME_ENTRIES))
            requests = requests[len(batch) :]
            submit = Submit(configuration.epoch, self._origin, batch, configuration.identity)
            yield Send(head, submit)
        self._unoffered = requests + self._unoffered

    def _offer_again(self) -> None:
        self._unoffered = list(self._pending)

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

    def _forward(self, successor: str) -> Iterator[Effect]:
        epoch, identity = self.configuration.epoch, self.configuration.identity
        while (
            self._forwarded is not None
            and self._forwarded.seq < self.durable
            and successor not in self._full
            and successor not in self._unreachable
        ):
            previous = self._forwarded
            entries = self._entries(previous.seq, self.durable, FRAME_ENTRIES)
            self._forwarded = entries[-1].id
            assert self._forwarded.seq <= self.durable
            yield Send(
                successor,
                Forward(epoch, previous, tuple(entries), self.committed, identity),
            )

    def _commit(self, seq: int) -> None:
        """*committed*: the tail's disk, so every member's, has the log up to ``seq``."""
        self.committed = max(self.committed, min(seq, self.durable))

    @property
    def _end_that_can_be_applied_soon(self) -> int:
        """The end of this disk's log, or earlier at a tail that applies slowly."""
        most = self.applied + self._limits.unapplied
        return self.durable if self.durable <= most else self._log.end_before(most)

    def _acknowledge(self, predecessor: str) -> Iterator[Effect]:
        """Tell the predecessor where this log ends, if in doubt, and what is committed."""
        if predecessor in self._unreachable:
            return
        epoch, identity = self.configuration.epoch, self.configuration.identity
        if self._tell_holding:
            self._tell_holding = False
            yield Send(predecessor, Holding(epoch, self._known_id(self.durable), identity))
        if self.committed > self._acknowledged:
            self._acknowledged = self.committed
            yield Send(predecessor, Ack(epoch, self.committed, identity))

    def apply(self, go_on: Callable[[], bool]) -> Iterator[Apply]:
        """Hand out committed entries, in order, while ``go_on()``."""
        while self.applied < self.committed:
            entries = self._entries(self.applied, self.committed, self._limits.apply_octets)
            self.applied = entries[-1].seq
            self._check_marks()
            self.opened = entries[-1].epoch == self.configuration.epoch
            for entry in entries:
                if entry.origin == self._origin:
                    self._settle(entry.number)
            yield Apply(entries)
            if self.applied == self.committed or not go_on():
                break
        if self.applied == self.committed:
            self._copied = 0
        self._forget()
        if len(self._recent) > self._limits.recent_entries and not self._taken:
            self._recent = []

    def _settle(self, number: int) -> None:
        """An entry of this origin is applied.

        One out of order has no effect (see ``chat.state``): its request stays pending.
        """
        if not self._pending:
            return
        first = self._pending[0].number
        if number == first:
            settled = self._pending.popleft()
            self._settled += settled.span
            self._pending_octets -= len(settled.command)
        elif number > first:
            self._offer_again()

    def _check_marks(self) -> None:
        """As drawn in ``log``; ``_forward`` checks *forwarded*."""
        assert self.applied <= self.committed <= self.durable <= self.last.seq

    # --- the log, newest part in memory

    def _entries(self, after: int, up_to: int, octets: int) -> Sequence[Entry]:
        """Those from ``after + 1`` to ``up_to`` that fit, at least one."""
        recent = self._recent
        before = recent[0].seq - recent[0].span if recent else after + 1
        if before <= after:
            begin = 0 if before == after else place_of(after + 1, recent)
            end = len(recent) if recent[-1].seq == up_to else place_of(up_to + 1, recent)
            return fitting(recent[begin:end], octets)
        return self._log.read(after, up_to, octets)

    def _id_of(self, seq: int) -> EntryId | None:
        """The name of the entry that occupies ``seq``, if held."""
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
