"""One node: joins replica, membership and chat, and carries out what they decide.

It knows no sockets: what it needs of the world is in the interfaces below, so the simulator runs
this very class.

Inputs (a message, a request, the tick) only note what came and ask for a turn. A turn runs once for
everything that arrived in one iteration of the reactor: one log transaction, one Forward, one Ack,
one write to each client. The chain's own work is done as a whole; what grows with what clients do
is done in slices (see ``budget``), and what is left over goes on in the next turn.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import msgpack
from twisted.logger import Logger

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.early import ChainMessage
from chainchat.chain.effects import (
    Answered,
    Apply,
    Compare,
    Cut,
    Distrust,
    Effect,
    Excluded,
    GivenUp,
    Mark,
    Persist,
    Report,
    Save,
    Send,
)
from chainchat.chain.engine import Engine
from chainchat.chain.limits import USUAL, Limits
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import (
    UNDECODABLE,
    Ack,
    Answer,
    BadMessageError,
    Entry,
    Forward,
    Held,
    Holding,
    Message,
    Read,
    StateDigest,
    Submit,
)
from chainchat.chain.record import Record
from chainchat.chain.timing import Timing
from chainchat.chat import commands, queries
from chainchat.chat.commands import AnyCommand
from chainchat.chat.modes.mode import ChainView
from chainchat.chat.queries import Page, Query
from chainchat.chat.state import ChatState
from chainchat.node.budget import (
    APPLY_SECONDS,
    LEND_SECONDS,
    PAGE_SECONDS,
    READ_SECONDS,
    READ_SHARE,
    USUAL_PACE,
    Pace,
    Slice,
    TurnClock,
    WorkClock,
)
from chainchat.node.history import History
from chainchat.node.interfaces import Audience, Clock, Network, Timer
from chainchat.node.pending import USUAL_PENDING, Pending, PendingLimits, Replied
from chainchat.node.share import Share
from chainchat.node.space import PLENTY, Space
from chainchat.node.state_machine import StateMachine, StateMismatchError
from chainchat.node.status import NodeStatus, Readiness
from chainchat.node.watch import Watch
from chainchat.storage.interface import Storage

log = Logger()


class Node:
    """A running node.

    Attributes:
        me: this life of it.
        readiness: whether it serves.
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
        settings: ChainSettings,
        wall: Callable[[], int],
        fail: Callable[[Exception], None],
        excluded: Callable[[], None],
        new_identity: Callable[[], int],
        limits: Limits = USUAL,
        pace: Pace = USUAL_PACE,
        pending_limits: PendingLimits = USUAL_PENDING,
        work: WorkClock | None = None,
        space: Space = PLENTY,
        first_nonce: int = 0,
    ) -> None:
        """A node that has not started.

        Args:
            me: this life, as ``record`` has it.
            record: from ``begin_life``.
            storage: the node's data.
            network: to the other nodes.
            clock: monotonic time.
            settings: of the chain.
            wall: the wall clock, UTC milliseconds.
            fail: stops the node, loudly.
            excluded: ends this life, after the chain went on without it, and begins another.
            new_identity: chooses the identity of a configuration, at random.
            limits: of what the protocol does at once.
            pace: of checkpoints.
            pending_limits: of the requests on their way.
            work: seconds of work, for the slices of a turn; the clock's by default.
            space: on the disk of the data.
            first_nonce: see ``Evidence``.
        """
        self.me = me
        self.audience: Audience | None = None
        self.in_turn = self._hearing = self._carrying_out = False
        self._has_written = False
        """Whether the storage may have something to care for."""
        self._state_machine = StateMachine(storage, pace)
        self._storage = storage
        self._network = network
        self._clock = clock
        self._work: WorkClock = work or clock.seconds
        self._wall = wall
        self._fail = fail
        self._excluded = excluded
        self._timing = Timing(settings.suspect_after)
        self._pace = pace
        self._engine = Engine(
            me,
            record,
            storage,
            settings,
            clock=clock.seconds,
            opening=_opening,
            applied=self.state.applied,
            nothing=commands.encode(commands.Nothing()),
            evaluate=self._evaluate,
            wall=wall,
            low=lambda: space.low,
            limits=limits,
            first_nonce=first_nonce,
            new_identity=new_identity,
        )
        self._read_share = Share(clock, self.wake, READ_SHARE)
        self._pending = Pending(self._engine.replica, pending_limits)
        self._askers: dict[int, Callable[[Page], None]] = {}
        self._turn_call: Timer | None = None
        self._tick_call: Timer | None = None
        self._stopped = False
        self.turn_clock = TurnClock(self._work, lambda text: self._log(text, alarm=True))
        self._watch = Watch(self._engine, clock, space, self._log)
        self.readiness = Readiness(serving=False, waiting_for=(), reason="starting")

    # --- for the sessions

    @property
    def state(self) -> ChatState:
        """The chat, as of the newest entry applied here."""
        return self._state_machine.state

    @property
    def history(self) -> History:
        """The messages."""
        return self._state_machine.history

    @property
    def configuration(self) -> Configuration:
        """The newest configuration known here."""
        return self._engine.configuration

    def member(self, position: str) -> Member | None:
        """The member at ``position``, if there is one."""
        return self.configuration.member(position)

    @property
    def taking_part(self) -> bool:
        """Whether this life numbers, forwards and acknowledges now."""
        return self._engine.active

    @property
    def pending(self) -> int:
        """How many sequence numbers this node has asked for that were not applied yet."""
        return self._engine.replica.pending

    @property
    def congested(self) -> bool:
        """True from when too many requests are on their way until enough of them are answered."""
        return self._pending.congested

    def room_for(self, on_their_way: int) -> int:
        """How many more requests a session may submit that has so many on their way."""
        return self._pending.room_for(on_their_way)

    def submit(self, command: AnyCommand, replied: Replied | None = None) -> None:
        """Send a command through the chain.

        ``replied`` gets its results once it was applied here.
        """
        number = self._engine.submit(commands.encode(command), commands.span(command))
        self._pending.submitted(number, replied)
        if not self._hearing:  # else it is done in this turn
            self.wake()

    def ask(self, query: Query, answered: Callable[[Page], None]) -> None:
        """Ask the tail."""
        again = not queries.asker_chooses_price(query)
        self._askers[self._engine.ask(queries.encode(query), again=again)] = answered
        if not self._hearing:  # else it is done in this turn
            self.wake()

    @property
    def status(self) -> NodeStatus:
        """The chain as it looks from here, now."""
        return self._watch.status(self.readiness, self._wall())

    def view(self) -> ChainView:
        """What ``/chain`` shows."""
        return self.status.view

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
        return self._engine.held

    def linked(self, position: str, member: Member, its: Held | None = None) -> None:
        """A new connection, whose other end says that it is ``member``, and what it holds."""
        self._decide(lambda: self._engine.linked(position, member, its))

    def unlinked(self, position: str) -> None:
        """The connection with ``position`` ended."""
        self._engine.unlinked(position)
        self._watch.unlinked(position)

    def reached(self, position: str, host: str, port: int, member: Member) -> None:
        """This node dialled host and port, and ``member``, at ``position``, answered."""
        self._decide(lambda: self._engine.reached(position, (host, port), member))

    def refused(self, position: str, host: str, port: int) -> None:
        """After that, a port at which the node at ``position`` may be refused a new connection."""
        self._decide(lambda: self._engine.refused(position, host, port))

    def full(self, position: str, *, full: bool) -> None:
        """Whether too much stands unsent on the connection with ``position``."""
        self._engine.full(position, full=full)
        self.wake()

    def copy_full(self, position: str, *, full: bool) -> None:
        """The same of the connection on which ``position`` copies, or lends."""
        self._engine.copy_full(position, full=full)
        self.wake()

    def receive(self, sender: str, message: Message) -> None:
        """A message came from the node at ``sender``.

        One that no node sends is told to the network, which ends the connection; this node goes on
        as if it had not come.
        """
        match message:
            case Submit() | Forward() | Ack() | Holding() | Read() | Answer() | StateDigest():
                self._guarded(self._note, sender, message)
            case _:
                self._decide(lambda: self._engine.receive(sender, message), sender)

    def _note(self, sender: str, message: ChainMessage) -> None:
        try:
            self._engine.note(sender, message)
        except BadMessageError as error:
            self._network.distrust(sender, str(error))
        if self._engine.due:
            self.wake()

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
        clock, engine = self.turn_clock, self._engine
        clock.begin()
        if self.audience is not None:
            self._hearing = True
            if self.audience.hear():
                clock.part("hearing")
            self._hearing = False
        if self._pending.untimed:
            self._pending.note_time(self._clock.seconds())
        for effect in engine.turn():
            self._perform(effect)
        clock.part("chain")
        self._apply_and_answer()
        self._tell_clients()
        if self._state_machine.checkpointing:
            self._write_checkpoint()
            self._has_written = True
            clock.part("checkpoint")
            if self._state_machine.checkpointing:
                self.wake()
        if self._has_written:
            self._care_for_storage()
        if engine.due or engine.busy:
            self.wake()
        if engine.reads.busy:
            self._read_share.wake_when_due()
        clock.end(follows=self._turn_call is not None)

    def _apply_and_answer(self) -> None:
        """What comes of committed entries: applied, read, lent, each in its slice."""
        engine = self._engine
        if engine.replica.applied < engine.replica.committed:
            for apply in engine.apply(self.slice(APPLY_SECONDS).left):
                self._perform(apply)
            self.turn_clock.part("applying")
        if engine.reads.busy and self._read_share.is_due:
            reading = self.slice(READ_SECONDS)
            for effect in engine.answer(reading.left):
                self._perform(effect)
            self._read_share.took(reading)
            self.turn_clock.part("reads")
        if engine.sponsor.has_learners:
            for part in engine.lend(self.slice(LEND_SECONDS).left):
                self._perform(part)
            self.turn_clock.part("lending")

    def _tell_clients(self) -> None:
        room_again = self._pending.congested and self._pending.has_room_again()
        if self.audience is not None:
            if room_again:
                self.audience.room_again()
            if self.audience.flush():
                self.turn_clock.part("telling")

    def _tick(self) -> None:
        self._tick_call = self._clock.callLater(self._timing.tick, self._tick)
        self._watch.tick(idle=self._pending.idle)
        self._guarded(self._watch.look_at_disk)
        self._has_written = True  # a record, or a thread is done
        self._decide(self._engine.tick)
        self._watch.tell_progress()
        self.wake()

    def _care_for_storage(self) -> None:
        self._has_written = False
        trouble = self._storage.care()
        self.turn_clock.part("write-ahead log")
        if trouble:
            self._log(trouble, alarm=True)

    # --- effects

    def _guarded(self, action: Callable[..., None], *arguments: object) -> None:
        """Carry out one input. Whatever goes wrong in it, this node must not go on afterwards.

        No input comes from within another: what follows from an input is noted, for the next turn.
        """
        if self._stopped:
            return
        assert not self._carrying_out, "an input from within another"
        self._carrying_out = True
        try:
            action(*arguments)
        except Exception as error:
            self.stop()
            self._fail(error)
        finally:
            self._carrying_out = False

    def _decide(self, decision: Callable[[], Iterable[Effect]], sender: str = "") -> None:
        """Carry out what follows from one input; ``sender``: of the message that it was."""
        self._guarded(self._carry_out, decision, sender)

    def _carry_out(self, decision: Callable[[], Iterable[Effect]], sender: str) -> None:
        try:
            for effect in decision():
                self._perform(effect)
        except BadMessageError as error:
            self._network.distrust(sender, str(error))
        if not self._stopped:
            self._watch.look_at_configuration()
            self._update_readiness()
        if self._engine.due:
            self.wake()

    def _perform(self, effect: Effect) -> None:
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
            case Answered():
                self._askers.pop(effect.number)(self._page(effect.answer))
            case GivenUp():
                self._askers.pop(effect.number)(queries.GIVEN_UP)
            case Save():
                self._storage.write_record(msgpack.encode(effect.record))
            case Report():
                self._log(effect.text, alarm=effect.alarm)
            case Distrust():
                self._network.distrust(effect.sender, effect.reason)
            case Compare():
                self._compare(effect)
            case Cut():
                self._cut(effect.after)
            case Mark():
                self._storage.write_committed(effect.seq)
            case Excluded():
                self._log("the chain goes on without this node; it begins anew, as a learner")
                self._watch.look_at_configuration()
                self.stop()
                self._excluded()

    def _evaluate(self, query: bytes) -> bytes:
        return self._state_machine.evaluate(query, Slice(self._work, PAGE_SECONDS))

    def _page(self, answer: bytes) -> Page:
        """What the tail has answered."""
        try:
            return queries.decode_page(answer)
        except UNDECODABLE as error:
            self._network.distrust(self.configuration.tail, f"an answer that does not fit: {error}")
            return queries.GIVEN_UP

    def _compare(self, other: Compare) -> None:
        try:
            self._state_machine.compare(other.seq, other.digest, other.sender)
        except StateMismatchError as error:
            self._network.distrust(other.sender, f"ALARM: {error}")

    def _cut(self, after: int) -> None:
        """Take what the chain does not have out of the log, never silently."""
        last = self._storage.last.seq
        path = self._storage.cut(after)
        text = (
            f"{last - after} entries after {after} are not in the chain's log; "
            f"they are now in {path}"
        )
        self._log(text, alarm=True)

    def _log(self, text: str, *, alarm: bool = False) -> None:
        (log.warn if alarm else log.info)("{node}: {text}", node=self.me.position, text=text)

    # --- applying

    def _apply(self, entries: Sequence[Entry]) -> None:
        self._watch.applied(entries[-1].epoch)
        own, audience = self.me.origin, self.audience
        for entry in entries:
            outcome = self._state_machine.apply(entry)
            if audience is not None:
                audience.happened(outcome)
            if entry.origin == own and outcome.results:
                self._pending.answered(entry.number, outcome.results)
            if self._state_machine.checkpoint_is_due:
                self._state_machine.begin_checkpoint()

    def _write_checkpoint(self) -> None:
        """Write a slice of the checkpoint that was begun; tell the successor when it is done."""
        try:
            time = self.slice(self._pace.checkpoint_seconds)
            finished = self._state_machine.write_checkpoint(time.left)
        except StateMismatchError as error:
            self._log(f"ALARM: {error}", alarm=True)
            return
        successor = self.configuration.successor(self.me.position)
        if finished is not None and successor is not None:
            epoch, identity = self.configuration.epoch, self.configuration.identity
            message = StateDigest(epoch, finished.seq, finished.digest, identity)
            self._network.send(successor, message)

    # --- readiness

    def _update_readiness(self) -> None:
        overdue = self._pending.waits_since(self._clock.seconds() - self._timing.suspect_after)
        new = self._watch.readiness(overdue=overdue)
        if new != self.readiness:
            self.readiness = new
            self._log(self.status.line)
            if self.audience is not None:
                self.audience.readiness_changed()


def _opening(configuration: Configuration) -> bytes:
    return commands.encode(commands.Origins(tuple(m.origin for m in configuration.members)))
