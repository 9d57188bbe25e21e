"""One member's part in the chain: number, persist, forward, acknowledge, apply.

A replica takes inputs (``submit``, ``receive``, ``linked``, ``adopt``) whenever they come and does
nothing about them until its next ``turn``, a generator of effects. So everything that arrives
between two turns moves on as one batch, and a lone entry is a batch of one. What a turn commits is
applied by ``apply``, in slices: a long replay, or what many clients say at once, must not keep a
node from answering pings. So ``applied`` may lag behind ``committed``.

**Persist, then send.** The one who runs a turn carries out each effect completely before asking for
the next one. What stands after ``yield Persist(...)`` in this file therefore happens when the
entries are on disk, and not before.

Invariants, each kept where its name stands in a comment:

- *contiguous*: the log holds 1, 2, 3 …; a replica takes exactly the next entry. An entry may take
  several sequence numbers: they are taken, skipped, forwarded and applied as one.
- *prefix*: in a configuration, a successor's log is a prefix of its predecessor's (paper, "Update
  Propagation Invariant").
- *durable*: nothing is forwarded, acknowledged or applied that this node's disk does not have.
- *committed*: nothing is applied, or told to anybody, before every member's disk has it. A tail
  knows that of its log once it holds an entry of this epoch, which has come through all of them:
  after a restart, a disk in between may have lost the end of its log.
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
    """Two members of one configuration hold different logs.

    No rule allows it, so the disk or the code is at fault.
    """


class Replica:
    """The replication state of one life of one node.

    Attributes:
        configuration: the one in force here.
        active: whether this node takes part in it. While it does not, it has no turns.
        last: the newest entry taken, on disk or about to be.
        durable: sequence number up to which this node's disk has the log.
        committed: sequence number up to which every member's disk has it, as far as known here.
        applied: sequence number up to which entries were handed out to be applied.
        opened: whether an entry of this epoch was: then everything committed before it was, too.
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
            position: this node's name.
            origin: this life, as ``Member.origin``.
            log: the durable log.
            opening: gives the command of an epoch's first entry, which the head of the epoch
                writes.
            applied: sequence number of the checkpoint from which the application starts.
            limits: see there.
        """
        self.configuration = Configuration()
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
        self.active = False
        self._recent: list[Entry] = []
        """The newest entries, up to ``last``: those that may still be forwarded or applied."""
        self._copied = 0
        """Octets of them that ``copy`` has added since all was applied."""
        newest = log.read(log.last.seq - 1, log.last.seq, 1) if log.last.seq else []
        if newest:
            self.time = newest[0].time

        self._pending: deque[Submission] = deque()
        self._pending_octets = 0
        """This origin's requests that were not applied yet, in order."""
        self._unoffered: list[Submission] = []
        """The last of them, which the head of this configuration was not given yet."""
        self._numbered = 0
        self._asked = self._settled = 0
        """How many sequence numbers were asked for here, and how many of them were applied."""

        self._requests: list[tuple[str, Submission]] = []
        """Head: what came in and has no sequence number yet, by origin."""
        self._taken: list[Entry] = []
        """Entries of ``_recent`` that are not on disk yet."""
        self._ahead: EntryId | None = None
        """What the successor holds, if it is more than this node does: the head has it, too."""
        self._forwarded: EntryId | None = None
        """The last entry that the successor was sent; None until it said what it holds."""
        self._acknowledged = -1
        """Sequence number up to which the predecessor was told; -1 on a new connection."""
        self._tell_holding = False
        self._full: set[str] = set()
        self._unreachable: set[str] = set()
        self._check_marks()

    # --- inputs

    @property
    def pending(self) -> int:
        """How many sequence numbers this origin has asked for that were not applied yet."""
        return self._asked - self._settled

    @property
    def settled(self) -> int:
        """The number of this origin's newest request that was applied, as all before it were."""
        return self._pending[0].number - 1 if self._pending else self._numbered

    @property
    def pending_octets(self) -> int:
        """Octets of the commands that were not applied yet."""
        return self._pending_octets

    def submit(self, command: bytes, span: int = 1) -> int:
        """Take a request in at this origin.

        It is kept, and given to each new head, until it was applied.

        Args:
            command: what to apply.
            span: how many sequence numbers its entry shall take.

        Returns:
            the request's number: its entry will carry it with this life's origin.
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
        """Go on in another configuration, as soon as ``active`` says so.

        What was taken but not persisted is dropped: its origins submit it again.
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
        """Go back to what is on disk; the predecessor has to hear that it is no more than that."""
        if self._taken:
            del self._recent[-len(self._taken) :]
            self._taken = []
            self._tell_holding = True
        self.last = self._log.last
        self._check_marks()

    def linked(self, position: str) -> None:
        """A new connection with ``position``; frames sent on the one before may be lost."""
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
        """The connection with ``position`` ended.

        Nothing is sent there until it is linked again.
        """
        self._unreachable.add(position)

    def full(self, position: str, *, full: bool) -> None:
        """Whether the connection with ``position`` has more unsent octets than it should.

        Entries and requests wait meanwhile.
        """
        (self._full.add if full else self._full.discard)(position)

    def receive(self, sender: str, message: Submit | Forward | Ack | Holding) -> None:
        """Take in a message of this epoch, while taking part in it."""
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
                pass  # late, from when the chain had another shape

    def _take(self, forward: Forward) -> None:
        """*contiguous*: take exactly the next entries.

        Skip those held already; refuse everything else.
        """
        held, entries = self.last.seq, forward.entries
        if forward.previous.seq > held or self._id_of(forward.previous.seq) != forward.previous:
            self._tell_holding = True
            return
        known = place_of(held + 1, entries)
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
        """*prefix*: the successor's last entry must be one of this log's; go on after it.

        In the middle of a chain that is resumed it may be still to come, from the head.
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
        """Append entries that another node's log has; ``apply`` them later if they are committed.

        They follow what is on disk. A member that was locked just after it had taken some drops
        these: the same may be among those that it copies.
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
        if self._copied > self._limits.copied_octets:  # they come faster than they are applied
            self._recent, self._copied = [], 0
        self._forget()

    def cut(self) -> None:
        """The log was cut, above what was applied: go on from its new end."""
        self.last = self._log.last
        self.durable = self.last.seq
        self._check_marks()
        self._recent = []

    # --- the turn

    @property
    def needs_time(self) -> bool:
        """Whether the next turn numbers requests, and so has to be given the time."""
        if self._requests:
            return True
        return bool(self._unoffered) and self.active and self._is_head

    def turn(self, now: int) -> Iterator[Effect]:
        """Everything that follows from the inputs since the last turn.

        Args:
            now: the wall clock, UTC milliseconds; anything, unless ``needs_time``.

        Yields:
            effects; each must be complete before the next one is asked for.
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
        yield from self._forward()
        if self._is_tail and self.last.epoch == self.configuration.epoch:
            self._commit(self._end_that_can_be_applied_soon)  # *committed*
        if self._tell_holding or self.committed > self._acknowledged:
            yield from self._acknowledge()

    def _offer(self) -> Iterator[Effect]:
        """Give the head this origin's requests that it was not given yet, in order."""
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
        """Head: give every request its sequence number and time."""
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

    def _forward(self) -> Iterator[Effect]:
        """Send the successor what it lacks of this disk's log."""
        successor = self._successor
        if successor is None:
            return
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
        """*committed*: called with what the tail's disk has, so every disk between has it too."""
        seq = min(seq, self.durable)
        if seq > self.committed:
            self.committed = seq
            self._check_marks()

    @property
    def _end_that_can_be_applied_soon(self) -> int:
        """The last entry on this disk, or at a tail that lags, one not too far ahead."""
        most = self.applied + self._limits.unapplied
        return self.durable if self.durable <= most else self._log.end_before(most)

    def _acknowledge(self) -> Iterator[Effect]:
        """Tell the predecessor what this log ends with, if in doubt, and what is committed."""
        predecessor = self._predecessor
        if predecessor is None or predecessor in self._unreachable:
            return
        epoch, identity = self.configuration.epoch, self.configuration.identity
        if self._tell_holding:
            self._tell_holding = False
            yield Send(predecessor, Holding(epoch, self._known_id(self.durable), identity))
        if self.committed > self._acknowledged:
            self._acknowledged = self.committed
            yield Send(predecessor, Ack(epoch, self.committed, identity))

    def apply(self, go_on: Callable[[], bool]) -> Iterator[Apply]:
        """Hand out what is committed to be applied, in order.

        Args:
            go_on: whether there is time for more. What is left over waits for the next turn.
        """
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

        Out of turn it has no effect (see ``chat.state``), so it stays pending.
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
        """The order of the marks, which ``log`` draws; ``_forward`` checks the one left out."""
        assert self.applied <= self.committed <= self.durable <= self.last.seq

    # --- the log, newest part in memory

    def _entries(self, after: int, up_to: int, octets: int) -> list[Entry]:
        """Entries from ``after + 1`` to ``up_to`` that fit in ``octets``; at least one."""
        recent = self._recent
        if recent and recent[0].seq - recent[0].span <= after:
            begin = place_of(after + 1, recent)
            end = len(recent) if recent[-1].seq == up_to else place_of(up_to + 1, recent)
            return fitting(recent[begin:end], octets)
        return self._log.read(after, up_to, octets)

    def _id_of(self, seq: int) -> EntryId | None:
        """The name of the entry that takes ``seq``, None if it is not held."""
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
        """Let go of entries that were both applied and forwarded; the log has them."""
        done = self.applied
        if self._successor is not None and self._forwarded is not None:
            done = min(done, self._forwarded.seq)
        if done == self.last.seq:  # nearly always
            self._recent = []
        else:
            del self._recent[: place_of(done + 1, self._recent)]
