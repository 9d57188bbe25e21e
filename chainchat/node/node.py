"""One node: joins replica, membership and chat, and carries out what they decide.

It knows no sockets: what it needs of the world is in the interfaces below, so the simulator runs
this very class.

Inputs (a message, a request, the tick) only note what came and ask for a turn. A turn runs once for
everything that arrived in one iteration of the reactor: one log transaction, one Forward, one Ack,
one write to each client. The chain's own work is done as a whole; what grows with what clients do
is done in slices (see ``budget``), and what is left over goes on in the next turn.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from msgspec import msgpack
from msgspec.structs import replace
from twisted.logger import Logger

from chainchat.chain import copying, reads, replica
from chainchat.chain.configuration import Address, Configuration, Member, Role
from chainchat.chain.copying import Apart, Cut, Learner, Sponsor, Take
from chainchat.chain.early import ChainMessage, EarlyMessages
from chainchat.chain.membership import membership
from chainchat.chain.membership.departures import LONGEST_PAUSE
from chainchat.chain.membership.evidence import PINGS_PER_SUSPICION
from chainchat.chain.membership.membership import (
    Copy,
    Excluded,
    Membership,
    Report,
    Save,
    Seal,
    TwoHistories,
)
from chainchat.chain.membership.record import Record, Status
from chainchat.chain.messages import (
    UNDECODABLE,
    Ack,
    Answer,
    BadMessageError,
    Copied,
    Decided,
    Differs,
    Entry,
    Fetch,
    Forward,
    Held,
    Holding,
    Message,
    Pong,
    Read,
    StateDigest,
    Submit,
    Synced,
)
from chainchat.chain.reads import Answered, Barrier, GivenUp, Reads
from chainchat.chain.replica import Apply, DivergenceError, Persist, Refuse, Replica, Send
from chainchat.chat import commands, queries
from chainchat.chat.commands import AnyCommand
from chainchat.chat.modes.mode import ChainView
from chainchat.chat.queries import Page, Query
from chainchat.chat.state import ChatState, Result
from chainchat.node.budget import (
    APPLY_SECONDS,
    CHECKPOINT_SECONDS,
    LEND_SECONDS,
    PAGE_SECONDS,
    READ_SECONDS,
    READ_SHARE,
    Slice,
    TurnClock,
    WorkClock,
)
from chainchat.node.history import History
from chainchat.node.interfaces import Audience, Clock, Network, Timer
from chainchat.node.readiness import OwnLog, Readiness, Replay, progress, readiness
from chainchat.node.share import Share
from chainchat.node.space import PLENTY, Space
from chainchat.node.state_machine import StateMachine, StateMismatchError
from chainchat.node.write_pause import WritePause
from chainchat.storage.interface import Storage, StorageError

MAX_PENDING = 1_024
"""Messages and other requests of this node's clients that may be on their way.

That is enough to keep the chain busy; more would only make everybody's wait longer. And no more
than are remembered of a program (``programs.REMEMBERED_SENDS``), so each can be told its result.

With so many, sessions that have their share of them stop reading from their sockets.
"""

MAX_PENDING_OCTETS = 160 * 1024
"""The same in octets: a thousand long messages keep the chain busy for a tenth of a second."""

ROOM_AGAIN = 7 / 8
"""When there were too many, more are taken when so much is left: soon, or the chain runs dry."""

PENDING_SHARE = 16
"""So many of one session are taken even then, so that the greedy do not keep out the others."""

MOST_PENDING = 4 * MAX_PENDING
"""With so many, nobody's are taken."""

MOST_AHEAD = 2**24
"""An epoch so far above this node's is none that a node says: it would take many forced ones."""

AnyEffect = (
    replica.Effect
    | membership.Effect
    | copying.Effect
    | reads.Answered
    | reads.GivenUp
    | reads.Barrier
)

Replied = Callable[[Sequence[Result]], None]
"""Is called with the results of what was submitted."""

TOGETHER = 0.001
"""Seconds within which two clocks are read, to be compared."""

PROGRESS_SECONDS = 1.0
"""How often a learner logs how far it has come."""

log = Logger()


def begin_life(storage: Storage, new_id: Callable[[], str], step: int = 1) -> Record:
    """Count a new incarnation, durably, before anything is heard or said under it.

    Args:
        storage: the node's data.
        new_id: makes the id of an empty disk.
        step: how far to count, 1 or more. If it is random, the lives that begin from a backup
            are never taken for those that began from its original.

    Raises:
        StorageError: the stored record is corrupt.
    """
    stored = storage.read_record()
    if stored is None:
        record = Record(new_id(), 1)
    else:
        try:
            old = msgpack.decode(stored, type=Record)
        except UNDECODABLE as error:
            raise StorageError(f"{storage}: the record of membership is corrupt: {error}") from None
        record = replace(old, incarnation=old.incarnation + step)
    storage.write_record(msgpack.encode(record))
    return record


class Node:
    """A running node.

    Attributes:
        me: this life of it.
        readiness: whether it serves.
        congested: whether too many requests are on their way; until half of them are answered.
        in_turn: whether it has a turn right now.
        turn_clock: how long its turns take.
    """

    def __init__(
        self,
        me: Member,
        record: Record,
        storage: Storage,
        network: Network,
        clock: Clock,
        *,
        founding: tuple[str, ...],
        suspect_after: float,
        wall: Callable[[], int],
        fail: Callable[[Exception], None],
        excluded: Callable[[], None],
        new_identity: Callable[[], int],
        known: Iterable[str] = (),
        places: Mapping[str, Address] | None = None,
        longest_pause: float = LONGEST_PAUSE,
        work: WorkClock | None = None,
        space: Space = PLENTY,
        first_nonce: int = 0,
        refusal_is_death: bool = True,
    ) -> None:
        """A node that has not started.

        Args:
            me: this life, as ``record`` has it.
            record: from ``begin_life``.
            storage: the node's data.
            network: to the other nodes.
            clock: monotonic time.
            founding: positions in founding order.
            suspect_after: seconds of silence before a node is suspected.
            wall: the wall clock, UTC milliseconds.
            fail: stops the node, loudly.
            excluded: ends this life, after the chain went on without it, and begins another.
            new_identity: chooses a configuration's, at random.
            known: all positions that ``chain.ini`` names, spares too.
            places: where ``chain.ini`` has them.
            longest_pause: seconds that a position waits at most after it fell out repeatedly.
            work: seconds of work, for the slices of a turn; the clock's, if none is given.
            space: on the disk of the data.
            first_nonce: see ``Evidence``.
            refusal_is_death: see ``Evidence``.
        """
        self.me = me
        self._applied = StateMachine(storage)
        self.audience: Audience | None = None
        self.congested = False
        self.in_turn = self._hearing = False
        self._has_written = False
        """Whether the storage may have something to care for."""
        self._storage = storage
        self._network = network
        self._clock = clock
        self._work: WorkClock = work or clock.seconds
        self._wall = wall
        self._wall_now = wall()
        """When ``_read_clocks`` was called last."""
        self._refusal_is_death = refusal_is_death
        self._fail = fail
        self._excluded = excluded
        self._suspect_after = suspect_after
        self._space = space
        self._replica = Replica(
            me.position, me.origin, storage, opening=_opening, applied=self.state.applied
        )
        self._reads = Reads(
            me.position,
            lambda query: self._applied.evaluate(query, Slice(self._work, PAGE_SECONDS)),
            self._holds_lease,
            committed=lambda: self._replica.committed,
            applied=lambda: self.state.applied,
        )
        self._read_share = Share(clock, self.wake, READ_SHARE)
        self._learner = Learner(me, storage, suspect_after)
        self._sponsor = Sponsor(storage)
        self._membership = Membership(
            me,
            record,
            founding,
            OwnLog(
                storage,
                self._learner,
                self._sponsor,
                clock,
                space,
                committed=lambda: self._known_committed,
            ),
            suspect_after=suspect_after,
            known=known,
            places=places,
            longest_pause=longest_pause,
            wall=lambda: self._wall_now,
            first_nonce=first_nonce,
            refusal_is_death=refusal_is_death,
            new_identity=new_identity,
        )
        if record.configuration.members:
            self._replica.adopt(record.configuration)
            self._reads.adopt(record.configuration)
        self._repliers: dict[int, Replied] = {}
        self._submitted = 0
        """Number of the newest request."""
        self._waiting: deque[tuple[int, float]] = deque()
        """Of each turn's requests that are not all answered: the newest's number, and when."""
        self._askers: dict[int, Callable[[Page], None]] = {}
        self._early = EarlyMessages()
        self._speaking: str | None = None
        """Whose message is just being taken in."""
        self._turn_call: Timer | None = None
        self._tick_call: Timer | None = None
        self._stopped = False
        self._copy_paused: set[str] = set()
        self.turn_clock = TurnClock(self._work, lambda text: self._log(text, alarm=True))
        self._write_pause = WritePause(me, clock, self._log)
        self._progress_told = 0.0
        self._replay = Replay()
        self.readiness = Readiness(serving=False, waiting_for=(), reason="starting")

    # --- for the sessions

    @property
    def state(self) -> ChatState:
        """The chat, as of the newest entry applied here."""
        return self._applied.state

    @property
    def history(self) -> History:
        """The messages."""
        return self._applied.history

    @property
    def configuration(self) -> Configuration:
        """The newest configuration known here."""
        return self._membership.configuration

    def member(self, position: str) -> Member | None:
        """The member at ``position``, if there is one."""
        return self.configuration.member(position)

    @property
    def taking_part(self) -> bool:
        """Whether this life numbers, forwards and acknowledges now."""
        return self._membership.active

    @property
    def pending(self) -> int:
        """How many sequence numbers this node has asked for that were not applied yet."""
        return self._replica.pending

    def room_for(self, on_their_way: int) -> int:
        """How many more requests a session may submit that has so many on their way."""
        pending = self._replica.pending
        share = max(0, PENDING_SHARE - on_their_way) if pending < MOST_PENDING else 0
        return share if self.congested else max(share, MAX_PENDING - pending)

    @property
    def _fullness(self) -> float:
        """How much is on its way, of what may be."""
        replica = self._replica
        return max(replica.pending / MAX_PENDING, replica.pending_octets / MAX_PENDING_OCTETS)

    def submit(self, command: AnyCommand, replied: Replied | None = None) -> None:
        """Send a command through the chain.

        ``replied`` gets its results once it was applied here.
        """
        number = self._submitted = self._replica.submit(
            commands.encode(command), commands.span(command)
        )
        if self._fullness > 1:
            self.congested = True
        if replied is not None:
            self._repliers[number] = replied
        if not self._hearing:  # else it is done in this turn
            self.wake()

    def ask(self, query: Query, answered: Callable[[Page], None]) -> None:
        """Ask the tail."""
        again = not queries.asker_chooses_price(query)
        self._askers[self._reads.ask(queries.encode(query), again=again)] = answered
        if not self._hearing:  # else it is done in this turn
            self.wake()

    def view(self) -> ChainView:
        """The chain as it looks from here."""
        role = self.configuration.role(self.me.position) if self._membership.active else None
        notes = []
        committed = self._known_committed
        lag = self._replica.last.seq - committed
        if lag > 0:
            notes.append(f"in flight here: {lag} entries")
        clock_lag = self._replica.time - self._wall()
        if clock_lag > 1_000:
            notes.append(f"this machine's clock is {clock_lag / 1000:.1f} s behind the messages")
        odd = self._membership.odd_clock(self._read_clocks())
        if odd:
            notes.append(odd)
        if self.readiness.reason:
            notes.append(self.readiness.reason)
        if self._space.note:
            notes.append(self._space.note)
        now = self._clock.seconds()
        if self._learner.source is not None:
            notes.append(progress(self._learner, self._storage.last.seq, now))
        notes += (f"{who}: {how}" for who, how in self._membership.learners(now).items())
        return ChainView(
            epoch=self.configuration.epoch,
            members=self.configuration.positions,
            node=self.me.position,
            role=role.value if role else self._membership.status.value,
            committed=committed,
            away=self._membership.silent(now),
            notes=tuple(notes),
        )

    @property
    def _known_committed(self) -> int:
        """A life that just began may know more by what the last one has noted."""
        return max(self._replica.committed, self._storage.committed)

    # --- for the network

    @property
    def running(self) -> bool:
        """Whether it was neither stopped nor failed."""
        return not self._stopped

    def start(self) -> None:
        """Begin to tick."""
        self._tick()

    def stop(self) -> None:
        """No more turns and ticks."""
        for call in (self._turn_call, self._tick_call):
            if call is not None and call.active():
                call.cancel()
        self._read_share.stop()
        self._stopped = True

    @property
    def held(self) -> Held:
        """What this node says on a new connection of what it holds."""
        return self._membership.held

    def linked(self, position: str, member: Member, its: Held | None = None) -> None:
        """A new connection, whose other end says that it is ``member``, and what it holds."""
        self._replica.linked(position)
        self._reads.linked(position)
        self._decide(lambda now: self._membership.linked(position, member, now, its))
        self.wake()

    def unlinked(self, position: str) -> None:
        """The connection with ``position`` ended."""
        self._replica.unlinked(position)
        self._early.forget(position)
        self._sponsor.forget(position)
        self._membership.unlinked(position)
        if position in self.configuration.positions:
            self._write_pause.begins()

    def reached(self, position: str, host: str, port: int, member: Member) -> None:
        """This node dialled host and port, and ``member``, at ``position``, answered."""
        self._decide(lambda now: self._membership.reached(position, (host, port), member, now))

    def refused(self, position: str, host: str, port: int) -> None:
        """After that, a port at which the node at ``position`` may be refused a new connection."""
        self._decide(lambda now: self._membership.refused(position, host, port, now))

    def paused(self, position: str, *, paused: bool) -> None:
        """Whether too much stands unsent on the connection with ``position``."""
        self._replica.paused(position, paused=paused)
        self._reads.paused(position, paused=paused)
        self.wake()

    def copy_paused(self, position: str, *, paused: bool) -> None:
        """The same of the connection on which ``position`` copies, or lends."""
        (self._copy_paused.add if paused else self._copy_paused.discard)(position)
        self.wake()

    def receive(self, sender: str, message: Message) -> None:
        """A message came from the node at ``sender``.

        One that no node sends is told to the network, which ends the connection; this node goes on
        as if it had not come.
        """
        self._speaking = sender
        self._receive(sender, message)
        self._speaking = None

    def _receive(self, sender: str, message: Message) -> None:
        match message:
            case Submit() | Forward() | Ack() | Holding() | Read() | Answer() | StateDigest():
                self._guarded(self._receive_in_epoch, sender, message)
            case Fetch():
                self._guarded(self._lend, sender, message)
            case Differs():
                self._decide(lambda now: self._learner.differs(sender, message, now))
            case Copied():
                self._decide(lambda now: self._learner.copied(sender, message, now))
            case Synced():
                learner, last = message.learner, message.last
                if not self._is_of_another_chain(sender, message):
                    self._decide(lambda now: self._membership.synced(learner, last, now))
            case _:
                self._decide(lambda now: self._take_in(sender, message, now))

    def _take_in(
        self, sender: str, message: membership.Received, now: float
    ) -> Iterable[membership.Effect]:
        """A message about configurations."""
        if isinstance(message, Decided | Pong):
            self._require_near(message.configuration.epoch)
        return self._membership.receive(sender, message, now)

    def _require_near(self, epoch: int) -> None:
        """Raises BadMessageError for an epoch that the chain cannot have come to."""
        if epoch > self.configuration.epoch + MOST_AHEAD:
            raise BadMessageError(f"an epoch far ahead, {epoch}")

    def _read_clocks(self) -> float:
        """Both clocks, as of one moment: the wall clock is kept, the monotonic one given.

        If something comes between, they are read again; but not for ever.
        """
        for _ in range(3):
            now = self._clock.seconds()
            self._wall_now = self._wall()
            if self._clock.seconds() - now < TOGETHER:
                break
        return now

    def _lend(self, sender: str, fetch: Fetch) -> None:
        """Let a learner copy, or before a resume another member."""
        if self._membership.is_other_chain(sender) or self._is_of_another_chain(sender, fetch):
            return
        if fetch.epoch == self.configuration.epoch:
            self._sponsor.asked(sender, fetch)
            self.wake()

    def _may_lend(self, learner: Member) -> bool:
        """Whether ``learner`` may copy this log: the tail knows that what it holds is committed.

        Or the chain is to be resumed, and some members lack the end of the log. Nobody else may
        copy then: this disk may have lost the end of it, and a learner would cut its own by it.
        """
        if self._membership.resuming:
            member = self.configuration.has_node(learner.id)
            return member and self._membership.lends_for_resume
        if self._membership.record.vote is not None:
            return False
        tail = self.configuration.role(self.me.position) in (Role.TAIL, Role.ONLY)
        if self._refusal_is_death:
            return tail and self._holds_lease()
        # No clock can say that it still is the tail. But who is no member of its epoch has nothing
        # of that epoch, and the epoch's first entry came after all that its head had from before.
        # So a tail that has applied it lacks nothing of the learner's that anybody can confirm.
        return tail and self._replica.opened

    def _holds_lease(self) -> bool:
        """Whether this tail has all that was ever confirmed, and nobody goes on without it."""
        return self._replica.opened and self._membership.holds_lease(self._read_clocks())

    def _receive_in_epoch(self, sender: str, message: ChainMessage) -> None:
        """Act on a message of this epoch; keep one from an epoch that is still to be adopted.

        Its sender would not send it again: it does not know that this node is late. A message
        of an earlier epoch is from a chain that is no more, and refused.
        """
        epoch = self._replica.configuration.epoch
        if message.epoch > epoch or (message.epoch == epoch and not self._replica.active):
            self._require_near(message.epoch)
            self._early.keep(sender, message)
            return
        if message.epoch < epoch or self._is_of_another_chain(sender, message):
            return
        match message:
            case Read() | Answer():
                _require_query(message)
                self._reads.receive(sender, message)
            case StateDigest():
                try:
                    self._applied.compare(message.seq, message.digest, sender)
                except StateMismatchError as error:
                    raise BadMessageError(f"ALARM: {error}") from error
            case _:
                try:
                    self._replica.receive(sender, message)
                except DivergenceError as error:  # whose log is wrong, nobody can tell from here
                    raise BadMessageError(f"ALARM: {error}") from error
        self.wake()

    def _is_of_another_chain(self, sender: str, message: ChainMessage | Fetch | Synced) -> bool:
        """Whether it is of this epoch and another configuration: neither serves the other."""
        if not self.configuration.is_another(message.epoch, message.identity):
            return False
        text = f"ALARM: epoch {message.epoch} has two configurations: {sender} has another"
        for effect in self._membership.complain(text):
            self._perform(effect)
        return True

    # --- turns

    def wake(self) -> None:
        """Have a turn as soon as the reactor has looked at its sockets and timers."""
        if self._turn_call is None and not self._stopped:
            self._turn_call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_call = None
        self.in_turn = True
        self._guarded(self._carry_out_turn)
        self.in_turn = False

    def slice(self, seconds: float) -> Slice:
        """A slice of this turn."""
        return Slice(self._work, seconds)

    def _carry_out_turn(self) -> None:
        """The phases of a turn: what is heard; the log; what is applied; what is told."""
        clock = self.turn_clock
        clock.begin()
        if self.audience is not None:
            self._hearing = True
            if self.audience.hear():
                clock.part("hearing")
            self._hearing = False
        noted = self._waiting[-1][0] if self._waiting else 0
        if self._replica.pending and noted < self._submitted:
            self._waiting.append((self._submitted, self._clock.seconds()))
        needs_time = self._replica.needs_time
        now = self._membership.time(self._read_clocks()) if needs_time else 0
        for effect in self._replica.turn(now):
            self._perform(effect)
        clock.part("chain")
        self._apply_and_answer()
        self._tell_clients()
        if self._applied.checkpointing:
            self._write_checkpoint()
            self._has_written = True
            clock.part("checkpoint")
        if self._has_written:
            self._care_for_storage()
        if self._busy:
            self.wake()
        if self._reads.busy:
            self._read_share.wake_when_due()
        clock.end(follows=self._turn_call is not None)

    def _apply_and_answer(self) -> None:
        """What comes of committed entries: applied, read, lent, each in its slice."""
        if self._replica.applied < self._replica.committed:
            for apply in self._replica.apply(self.slice(APPLY_SECONDS).left):
                self._perform(apply)
            self.turn_clock.part("applying")
        if self._reads.busy and self._read_share.is_due:
            reading = self.slice(READ_SECONDS)
            for effect in self._reads.turn(reading.left):
                self._perform(effect)
            self._read_share.took(reading)
            self.turn_clock.part("reads")
        if self._sponsor.has_learners:
            lending = self.slice(LEND_SECONDS)
            for answer in self._sponsor.turn(self._copy_paused, self._may_lend, lending.left):
                self._perform(answer)
            self.turn_clock.part("lending")

    @property
    def _busy(self) -> bool:
        """Whether something of this turn was left over that goes on at once."""
        behind = self._replica.applied < self._replica.committed
        return behind or self._sponsor.busy or self._applied.checkpointing

    def _tell_clients(self) -> None:
        room_again = self.congested and self._fullness < ROOM_AGAIN
        self.congested = self.congested and not room_again
        if self.audience is not None:
            if room_again:
                self.audience.room_again()
            if self.audience.flush():
                self.turn_clock.part("telling")

    def _tick(self) -> None:
        self._tick_call = self._clock.callLater(
            self._suspect_after / PINGS_PER_SUSPICION, self._tick
        )
        committed, last = self._replica.committed, self._replica.last.seq
        self._write_pause.tick(committed, idle=committed == last and not self._waiting)
        self._guarded(self._note_committed)
        self._guarded(self._look_at_disk)
        self._has_written = True  # a record, or a thread is done
        self._decide(lambda now: chain(self._membership.tick(now), self._learner.tick(now)))
        self._tell_progress()
        self.wake()

    def _note_committed(self) -> None:
        """For the next life: what it must never cut off, though clients were told of it."""
        if self._replica.committed > self._storage.committed:
            self._storage.write_committed(self._replica.committed)

    def _look_at_disk(self) -> None:
        change = self._space.look()
        if change:
            self._log(change, alarm=self._space.note != "")

    def _care_for_storage(self) -> None:
        self._has_written = False
        trouble = self._storage.care()
        self.turn_clock.part("write-ahead log")
        if trouble:
            self._log(trouble, alarm=True)

    def _guarded(self, action: Callable[..., None], *arguments: object) -> None:
        """Whatever goes wrong in it, this node must not go on afterwards."""
        if self._stopped:
            return
        try:
            action(*arguments)
        except BadMessageError as error:
            assert self._speaking is not None
            self._network.distrust(self._speaking, str(error))
        except Exception as error:
            self.stop()
            self._fail(error)

    def _decide(self, decision: Callable[[float], Iterable[AnyEffect]]) -> None:
        """Carry out what follows from one input about configurations, then follow them."""
        self._guarded(self._carry_out_decision, decision)

    def _carry_out_decision(self, decision: Callable[[float], Iterable[AnyEffect]]) -> None:
        for effect in decision(self._read_clocks()):
            self._perform(effect)
            if isinstance(effect, Excluded):
                self._write_pause.changed(self._replica.configuration, self.configuration)
                self.stop()
                self._excluded()
                return
        self._follow()
        self._update_readiness()

    def _follow(self) -> None:
        """Let chain, reads and copying go on as membership says.

        While a vote is held, the chain stands still.
        """
        configuration, active = self.configuration, self._membership.active
        if not active:
            self._write_pause.begins()
        if configuration != self._replica.configuration:
            self._write_pause.changed(self._replica.configuration, configuration)
            self._replica.adopt(configuration)
            self._reads.adopt(configuration)
            self._sponsor.adopt()
        self._sponsor.sealed = self._membership.sealed
        self._follow_as_learner()
        if active == self._replica.active:
            return
        self._replica.active = self._reads.active = active
        speaking = self._speaking
        for sender, message in self._early.all():
            self._speaking = sender
            self._guarded(self._receive_in_epoch, sender, message)
        self._speaking = speaking
        self.wake()

    def _follow_as_learner(self) -> None:
        """A node that is no member copies from the tail; one that is, only before a resume."""
        match self._membership.status:
            case Status.LEARNER:
                self._early.all()
                tail, epoch = self.configuration.tail, self.configuration.epoch
                now, identity = self._clock.seconds(), self.configuration.identity
                for effect in self._learner.begin(tail, epoch, now, identity=identity):
                    self._perform(effect)
            case Status.ACTIVE if not self._membership.resuming:
                self._learner.stop()
            case _:
                pass

    def _perform(self, effect: AnyEffect) -> None:
        """Carry out one effect, completely."""
        match effect:
            case Persist():
                self.turn_clock.part("chain")
                self._storage.append(effect.entries, effect.committed)
                self.turn_clock.synced()
                self._has_written = True
            case Send():
                self._network.send(effect.to, effect.message)
            case Apply():
                self._apply(effect.entries)
            case Refuse() | TwoHistories():
                self._network.distrust(effect.sender, f"ALARM: {effect.text}")
            case Answered():
                self._askers.pop(effect.number)(self._page(effect.answer))
            case GivenUp():
                self._askers.pop(effect.number)(queries.GIVEN_UP)
            case Barrier():
                self._wait_for(effect.number)
            case Save():
                self._storage.write_record(msgpack.encode(effect.record))
            case Report():
                self._log(effect.text, alarm=effect.alarm)
            case Seal():
                self._sponsor.sealed = effect.learner
                self.wake()
            case Copy():
                epoch, identity = self.configuration.epoch, self.configuration.identity
                for first in self._learner.begin(
                    effect.source, epoch, self._clock.seconds(), committed=False, identity=identity
                ):
                    self._perform(first)
            case Take():
                for step in self._replica.copy(effect.entries, committed=effect.committed):
                    self._perform(step)
                self.wake()
            case Cut():
                self._cut(effect)
            case Apart():
                for alarm in self._membership.apart(effect.source, effect.theirs):
                    self._perform(alarm)
            case Excluded():
                self._log("the chain goes on without this node; it begins anew, as a learner")

    def _page(self, answer: bytes) -> Page:
        """What the tail has answered."""
        try:
            return queries.decode_page(answer)
        except UNDECODABLE as error:
            self._network.distrust(self.configuration.tail, f"an answer that does not fit: {error}")
            return queries.GIVEN_UP

    def _wait_for(self, barrier: int) -> None:
        """Pass a barrier of the reads when an entry that is submitted now was applied."""

        def applied(_: Sequence[Result]) -> None:
            self._reads.passed(barrier)
            self.wake()

        self.submit(commands.Nothing(), applied)

    def _cut(self, cut: Cut) -> None:
        """Take what the chain does not have out of the log, never silently."""
        after, last, committed = cut.after, self._storage.last, self._known_committed
        if after < committed:
            raise DivergenceError(
                f"entries up to {committed} were committed here, but the chain's log differs "
                f"after {after}: was a node wrongly forced to go on alone, or an old copy of a "
                f"folder started? Here, {after + 1} to {last.seq} follow, the last being {last}; "
                f"at {self._learner.source}, {after + 1} to {cut.end.seq}, the last being "
                f"{cut.end}. Nothing was changed"
            )
        path = self._storage.cut(after)
        self._replica.cut()
        text = (
            f"{last.seq - after} entries after {after} are not in the chain's log; "
            f"they are now in {path}"
        )
        self._log(text, alarm=True)

    def _log(self, text: str, *, alarm: bool = False) -> None:
        (log.warn if alarm else log.info)("{node}: {text}", node=self.me.position, text=text)

    def _tell_progress(self) -> None:
        """Once in a while, how far a learner has come."""
        now = self._clock.seconds()
        learner = self._learner
        copying = learner.source is not None and learner.end.seq and not learner.caught_up
        if copying and now - self._progress_told > PROGRESS_SECONDS:
            self._progress_told = now
            self._log(progress(self._learner, self._storage.last.seq, now))

    # --- applying

    def _apply(self, entries: Sequence[Entry]) -> None:
        if entries[-1].epoch == self.configuration.epoch:
            self._write_pause.ends()
        own, audience = self.me.origin, self.audience
        for entry in entries:
            outcome = self._applied.apply(entry)
            if audience is not None:
                audience.happened(outcome)
            if entry.origin == own and outcome.results:
                self._reply(entry.number, outcome.results)
            if self._applied.checkpoint_is_due:
                self._applied.begin_checkpoint()

    def _write_checkpoint(self) -> None:
        """Write a slice of the checkpoint that was begun; tell the successor when it is done."""
        try:
            finished = self._applied.write_checkpoint(self.slice(CHECKPOINT_SECONDS).left)
        except StateMismatchError as error:
            self._log(f"ALARM: {error}", alarm=True)
            return
        successor = self.configuration.successor(self.me.position)
        if finished is not None and successor is not None:
            epoch, identity = self.configuration.epoch, self.configuration.identity
            message = StateDigest(epoch, finished.seq, finished.digest, identity)
            self._network.send(successor, message)

    def _reply(self, number: int, results: Sequence[Result]) -> None:
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()
        replied = self._repliers.pop(number, None)
        if replied is not None:
            replied(results)

    # --- readiness

    def _update_readiness(self) -> None:
        now = self._clock.seconds()
        overdue = bool(self._waiting) and now - self._waiting[0][1] > self._suspect_after
        replay = self._replay.look(self._replica.applied, self._replica.durable, now)
        new = readiness(self._membership, now, overdue=overdue, replay=replay)
        if new != self.readiness:
            self.readiness = new
            self._log(new.reason or f"serving in {self.configuration}")
            if self.audience is not None:
                self.audience.readiness_changed()


def _opening(configuration: Configuration) -> bytes:
    return commands.encode(commands.Origins(tuple(m.origin for m in configuration.members)))


def _require_query(message: Read | Answer) -> None:
    """Raises BadMessageError for a question that is none."""
    if isinstance(message, Read):
        try:
            queries.decode_query(message.query)
        except UNDECODABLE as error:
            raise BadMessageError(f"a question that does not fit: {error}") from error
