"""One node: takes turns, and carries out the effects of the engine.

The node reaches the world through ``interfaces``, so the simulator runs this class. One turn serves
all that arrived in one iteration of the reactor: one log transaction, one Forward, one Ack, one
write to each client.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import partial

from twisted.logger import Logger

from chainchat.chain import effects
from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.engine import Engine
from chainchat.chain.entries import Entry
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import BadMessageError, ChainMessage, Message, Newest
from chainchat.chain.record import Record
from chainchat.chain.surroundings import Application, Surroundings
from chainchat.chain.timing import Timing
from chainchat.chat import commands, queries
from chainchat.chat.commands import AnyCommand
from chainchat.chat.modes.mode import ChainView
from chainchat.chat.queries import Page, Query
from chainchat.node.budget import APPLY_SECONDS, LEND_SECONDS, Slice, TurnClock, WorkClock
from chainchat.node.bugs import Bugs
from chainchat.node.disk_work import DiskWork
from chainchat.node.interfaces import Audience, Clock, Network, Timer
from chainchat.node.limits import USUAL_LIMITS, NodeLimits
from chainchat.node.pending import Pending, Replied
from chainchat.node.questions import Questions
from chainchat.node.retention import Retention, Unseen
from chainchat.node.state_machine import StateMachine
from chainchat.node.status import NodeStatus, Readiness
from chainchat.node.surroundings import NodeSurroundings
from chainchat.node.tally import Tally
from chainchat.node.upkeep import Upkeep
from chainchat.node.watch import Watch
from chainchat.storage.interface import Storage

log = Logger()


class _Phase(Enum):
    """A turn first hears, then acts."""

    REST, HEAR, ACT = range(3)


class Node:
    """One life of a node; ``state``: the chat as of the newest entry applied."""

    def __init__(
        self,
        me: Member,
        record: Record,
        storage: Storage,
        network: Network,
        clock: Clock,
        *,
        settings: ChainSettings,
        surroundings: NodeSurroundings,
        limits: NodeLimits = USUAL_LIMITS,
        tally: Tally | None = None,
    ) -> None:
        """Make a node that has not started.

        ``record``: of ``me``, from ``begin_life``. ``tally``: the counts to go on from.
        """
        self.me = me
        self.tally = tally or Tally()
        self.tally.lives += 1
        self.audience: Audience | None = None
        self._phase = _Phase.REST
        self._carrying_out = self._stopped = False
        self._turn_call: Timer | None = None
        self._tick_call: Timer | None = None
        self._storage = storage
        self._network = network
        self._clock = clock
        self._surroundings = surroundings
        self._work: WorkClock = surroundings.work or clock.seconds
        self._timing = Timing(settings.suspect_after)
        self._state_machine = machine = StateMachine(storage, limits.pace, limits.bounds)
        self.state = machine.state
        self.history = machine.history
        self.bugs = Bugs(me.position)
        self._questions = Questions(
            machine,
            clock,
            new_slice=self.slice,
            wake=self.wake,
            distrust=self._distrust_tail,
            bugs=self.bugs,
        )
        self._engine = engine = self._new_engine(record, settings, limits)
        self._pending = Pending(engine.replica.own_requests, limits.pending)
        self.turn_clock = TurnClock(
            self._work, lambda text, alarm: self._log(text, event="slow", alarm=alarm), self.tally
        )
        self._disk = DiskWork(
            storage, machine, network, clock=self.turn_clock, tally=self.tally, tell=self._log
        )
        self._retention = self._new_retention(limits)
        self._upkeep = self._new_upkeep(limits)
        self._watch = Watch(
            engine, clock, surroundings, self._log, snapshot=lambda: self.status, tally=self.tally
        )
        self.readiness = Readiness(serving=False, waiting_for=(), reason="starting")
        self.readiness_since = surroundings.wall()  # UTC milliseconds

    # --- its parts

    def _new_engine(self, record: Record, settings: ChainSettings, limits: NodeLimits) -> Engine:
        surroundings = self._surroundings
        return Engine(
            self.me,
            record,
            self._storage,
            settings,
            application=self._application(),
            surroundings=Surroundings(
                clock=self._clock.seconds,
                wall=surroundings.wall,
                low=lambda: surroundings.space.low,
                first_nonce=surroundings.first_nonce,
                new_identity=surroundings.new_identity,
            ),
            limits=limits.protocol,
        )

    def _application(self) -> Application:
        return Application(
            opening=_opening,
            nothing=commands.encode(commands.Nothing()),
            evaluate=self._questions.evaluate,
            applied=self.state.applied,
            time=self.state.time,
        )

    def _new_retention(self, limits: NodeLimits) -> Retention:
        return Retention(
            limits.keep,
            self._engine,
            self._state_machine,
            self._storage,
            submit=self.submit,
            tell=partial(self._log, event="unread"),
        )

    def _new_upkeep(self, limits: NodeLimits) -> Upkeep:
        return Upkeep(
            self._engine,
            self._state_machine,
            self._storage,
            self._network,
            self._clock,
            retention=self._retention,
            disk=self._disk,
            turn_clock=self.turn_clock,
            new_slice=partial(self.slice, limits.pace.checkpoint_seconds),
            wake=self.wake,
            tell=self._log,
        )

    # --- for the sessions

    @property
    def configuration(self) -> Configuration:
        return self._engine.configuration

    def member(self, position: str) -> Member | None:
        return self.configuration.member(position)

    @property
    def pending(self) -> int:
        """Requested sequence numbers not applied yet."""
        return self._engine.replica.own_requests.pending

    @property
    def congested(self) -> bool:
        return self._pending.congested

    def room_for(self, on_their_way: int, *, patient: bool = False, at_least: int = 0) -> int:
        return self._pending.room_for(on_their_way, patient=patient, at_least=at_least)

    def submit(self, command: AnyCommand, replied: Replied | None = None) -> None:
        """Send through the chain; ``replied`` takes its results."""
        self._noted(self._submit, commands.encode(command), commands.span(command), replied)

    def _submit(self, command: bytes, span: int, replied: Replied | None) -> None:
        self._pending.submitted(self._engine.submit(command, span), replied)

    def ask(self, query: Query, answered: Callable[[Page], None]) -> None:
        again = not queries.asker_chooses_price(query)
        self._noted(self._questions.ask, self._engine, queries.encode(query), answered, again)

    @property
    def status(self) -> NodeStatus:
        return self._watch.status(self.readiness, self._surroundings.wall())

    @property
    def first(self) -> int:
        return self._storage.beginning.seq + 1

    @property
    def checkpointed(self) -> int:
        """The entry after which a start applies the log."""
        return self._state_machine.checkpointed

    @property
    def unseen(self) -> Unseen | None:
        return self._retention.unseen

    def view(self) -> ChainView:
        return self.status.view

    # --- for the network

    @property
    def running(self) -> bool:
        return not self._stopped

    def start(self) -> None:
        self._tick()

    def stop(self) -> None:
        for call in (self._turn_call, self._tick_call):
            if call is not None and call.active():
                call.cancel()
        self._questions.stop()
        self._upkeep.stop()
        self._stopped = True

    @property
    def held(self) -> Newest:
        return self._engine.held

    @property
    def has_removed(self) -> bool:
        return self.state.removed.before > 0

    def linked(
        self, position: str, member: Member, its: Newest | None = None, *, older: bool = False
    ) -> None:
        self._act_on(lambda: self._engine.linked(position, member, its, older=older))

    def unlinked(self, position: str) -> None:
        self._noted(self._engine.unlinked, position)
        self._noted(self._watch.unlinked, position)

    def reached(self, position: str, host: str, port: int, member: Member) -> None:
        self._act_on(lambda: self._engine.reached(position, (host, port), member))

    def refused(self, position: str, host: str, port: int) -> None:
        self._act_on(lambda: self._engine.refused(position, host, port))

    def full(self, position: str, *, full: bool) -> None:
        self._noted(partial(self._engine.full, full=full), position)

    def copy_full(self, position: str, *, full: bool) -> None:
        self._noted(partial(self._engine.copy_full, full=full), position)

    def receive(self, sender: str, message: Message) -> None:
        """Take in a message; end the connection after one that no node sends."""
        if isinstance(message, ChainMessage):
            self._guarded(self._note, sender, message)
        else:
            self._act_on(lambda: self._engine.receive(sender, message), sender)

    def _note(self, sender: str, message: ChainMessage) -> None:
        try:
            self._engine.note(sender, message)
        except BadMessageError as error:
            self._network.distrust(sender, str(error))
        if self._engine.due:
            self.wake()

    # --- turns

    @property
    def in_turn(self) -> bool:
        return self._phase is not _Phase.REST

    def wake(self) -> None:
        """Have a turn once the reactor has looked at sockets and timers."""
        if self._turn_call is None and not self._stopped:
            self._turn_call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_call = None
        self._phase = _Phase.HEAR
        self._guarded(self._carry_out_turn)
        self._phase = _Phase.REST

    def slice(self, seconds: float) -> Slice:
        return Slice(self._work, seconds)

    def _carry_out_turn(self) -> None:
        clock, engine = self.turn_clock, self._engine
        clock.begin()
        if self.audience is not None and self.audience.hear():
            clock.part("hearing")
        self._phase = _Phase.ACT
        if self._pending.untimed:
            self._pending.note_time(self._clock.seconds())
        for effect in engine.turn():
            self._perform(effect)
        clock.part("chain")
        self._apply_and_answer()
        self._tell_clients()
        self._upkeep.turn()
        if engine.due or engine.busy:
            self.wake()
        clock.end(follows=self._turn_call is not None)

    def _apply_and_answer(self) -> None:
        engine = self._engine
        if engine.replica.applied < engine.replica.committed:
            for apply in engine.apply(self.slice(APPLY_SECONDS).left):
                self._perform(apply)
            self._pending.count_answered(self._clock.seconds, self.tally.commits)
            self.turn_clock.part("applying")
        if engine.reads.busy and self._questions.turn(engine, self._perform):
            self.turn_clock.part("reads")
        if engine.sponsor.has_learners:
            for part in engine.lend(self.slice(LEND_SECONDS).left):
                self._perform(part)
            self.turn_clock.part("lending")

    def _tell_clients(self) -> None:
        pending = self._pending
        room_again = (pending.congested or pending.awaited) and pending.has_room_again()
        if self.audience is not None:
            if room_again:
                self.audience.room_again()
            if self.audience.flush():
                self.turn_clock.part("telling")

    def _tick(self) -> None:
        self._tick_call = self._clock.callLater(self._timing.tick, self._tick)
        self._watch.tick(idle=self._pending.idle)
        self._guarded(self._watch.look_at_disk)
        self._upkeep.tick()
        self._noted(self._retention.look, self._clock.seconds(), self._engine.next_time)
        self._guarded(self._upkeep.begin_checkpoint_if_due)  # or it would wait for the next entry
        self._act_on(self._engine.tick)
        self._watch.tell_progress()
        self.wake()

    # --- one guard for every input

    def _guarded(self, action: Callable[..., None], *arguments: object) -> None:
        """Carry out one input; after any error in it, this node must not go on.

        Sessions and questions keep their own errors to themselves: ``sessions.isolation``.

        Inputs are never nested: what follows waits for the next turn.
        """
        if self._stopped:
            return
        assert not self._carrying_out, "an input from within another"
        self._carrying_out = True
        try:
            action(*arguments)
        except Exception as error:
            self.stop()
            self._surroundings.fail(error)
        finally:
            self._carrying_out = False

    def _noted(self, note: Callable[..., None], *arguments: object) -> None:
        """Take in an input for the next turn; may be nested."""
        if not self._carrying_out:
            self._guarded(note, *arguments)
        else:
            try:
                note(*arguments)
            except Exception:
                self.stop()  # so nobody takes this for an error of a client's
                raise
        if self._engine.due and self._phase is not _Phase.HEAR:  # else it is done in this turn
            self.wake()

    def _act_on(self, reaction: Callable[[], Iterable[effects.Effect]], sender: str = "") -> None:
        self._guarded(self._carry_out, reaction, sender)

    def _carry_out(self, reaction: Callable[[], Iterable[effects.Effect]], sender: str) -> None:
        try:
            for effect in reaction():
                self._perform(effect)
        except BadMessageError as error:
            self._network.distrust(sender, str(error))
        if not self._stopped:
            self._watch.look_at_configuration()
            self._update_readiness()
        if self._engine.due:
            self.wake()

    # --- effects

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Send():
                self._network.send(effect.to, effect.message)
            case effects.Write() | effects.Sync():
                self._disk.perform(effect)
            case effects.Apply():
                self._apply(effect.entries)
            case effects.Answered() | effects.GivenUp():
                self._questions.settle(effect)
            case effects.Tell():
                self._log(effect.text, event="membership", alarm=effect.alarm)
            case effects.Distrust():
                self._network.distrust(effect.sender, effect.reason)
            case effects.Compare():
                self._upkeep.compare(effect)
            case effects.Install():
                if self._disk.install(effect.source):
                    self._begin_anew()
            case effects.Excluded():
                text = "the chain goes on without this node; it begins again, as a learner"
                self._log(text, event="excluded")
                self._begin_anew()
            case _:
                self._disk.perform(effect)

    def _distrust_tail(self, reason: str) -> None:
        self._network.distrust(self.configuration.tail, reason)

    def _begin_anew(self) -> None:
        self._watch.look_at_configuration()
        self.stop()
        self._surroundings.excluded()

    def _log(self, text: str, *, event: str, alarm: bool = False) -> None:
        if text.startswith("ALARM"):
            event = "alarm"
        write = log.warn if alarm else log.info
        write("{node}: {text}", node=self.me.position, text=text, event=event)

    # --- applying

    def _apply(self, entries: Sequence[Entry]) -> None:
        self._watch.applied(entries[-1].epoch)
        own, audience, said = self.me.origin, self.audience, 0
        for entry in entries:
            outcome = self._state_machine.apply(entry)
            said += len(outcome.said)
            if audience is not None:
                audience.happened(outcome)
            if entry.origin == own and outcome.results:
                self._pending.answered(entry.number, outcome.results)
            self._upkeep.begin_checkpoint_if_due()
        self.tally.applied += len(entries)
        self.tally.said += said

    # --- readiness

    def _update_readiness(self) -> None:
        overdue = self._pending.waits_since(self._clock.seconds() - self._timing.suspect_after)
        new = self._watch.readiness(overdue=overdue)
        if new != self.readiness:
            self.readiness, self.readiness_since = new, self._surroundings.wall()
            self._log(self.status.line, event="readiness")
            if self.audience is not None:
                self.audience.readiness_changed()


def _opening(configuration: Configuration) -> bytes:
    return commands.encode(commands.Origins(tuple(m.origin for m in configuration.members)))
