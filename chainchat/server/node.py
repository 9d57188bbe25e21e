"""One node: joins replica, membership and chat, and carries out what they decide.

It knows no sockets: what it needs of the world is in the interfaces below, so the simulator runs
this very class.

Inputs (a message, a request, the tick) only note what came and ask for a turn. A turn runs once for
everything that arrived in one iteration of the reactor: one log transaction, one Forward, one Ack,
one write to each client.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Protocol

from msgspec import Struct, msgpack
from msgspec.structs import replace
from twisted.logger import Logger

from chainchat.chain import membership, reads, replica
from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.membership import PINGS_PER_SUSPICION, Membership, Record, Save, Status
from chainchat.chain.messages import (
    Ack,
    Answer,
    Entry,
    Forward,
    Holding,
    Message,
    Read,
    StateDigest,
    Submit,
)
from chainchat.chain.reads import Answered, Reads
from chainchat.chain.replica import Apply, Persist, Replica, Send
from chainchat.chat import commands, queries
from chainchat.chat.commands import AnyCommand
from chainchat.chat.queries import Page, Query
from chainchat.chat.state import ChatState, Event, Result, Said
from chainchat.chat.voice import ChainView
from chainchat.server.history import History
from chainchat.storage import EVERY_READER, Checkpoint, IndexRow, Storage

CHECKPOINT_ENTRIES = 10_000
"""A checkpoint is made when a multiple of this sequence number is applied.

At the same entries on every node.
"""

MAX_PENDING = 4_096
"""Requests of this node's clients that may be on their way.

With more, sessions stop reading from their sockets.
"""

ChainMessage = Submit | Forward | Ack | Holding | Read | Answer | StateDigest
"""What is said in an epoch, in distinction from what is said about epochs."""

log = Logger()


class Timer(Protocol):
    """A call that is to come."""

    def active(self) -> bool:
        """Whether it is still to come."""

    def cancel(self) -> None:
        """It shall not come."""

    def reset(self, delay: float) -> None:
        """It shall come ``delay`` seconds from now."""


class Clock(Protocol):
    """A part of the reactor: monotonic time."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def callLater(  # noqa: N802 - Twisted's name
        self, delay: float, function: Callable[..., object], *args: object
    ) -> Timer:
        """Call it after ``delay`` seconds."""


class Network(Protocol):
    """The connections to other nodes."""

    def send(self, to: str, message: Message) -> None:
        """Send, if there is a connection.

        A message may get lost, but those that arrive keep their order.
        """


class Audience(Protocol):
    """The sessions at this node, who see what is applied."""

    def happened(self, event: Event) -> None:
        """An event, in the order of the log."""

    def flush(self) -> None:
        """The end of a turn: write."""

    def standing_changed(self) -> None:
        """``Node.standing`` is not what it was."""

    def room_again(self) -> None:
        """``Node.congested`` ended."""


class StateMismatchError(Exception):
    """Two nodes applied the same entries and came to different states: a bug."""


class Standing(Struct, frozen=True):
    """Whether this node can serve its clients now, and if not, why.

    Attributes:
        serving: whether it is a member. Otherwise it has no sessions.
        waiting_for: positions that keep the chain from confirming what was said.
        reason: for people, empty if nothing is wrong.
    """

    serving: bool
    waiting_for: tuple[str, ...]
    reason: str


def begin_life(storage: Storage, new_id: Callable[[], str]) -> Record:
    """Count a new incarnation, durably, before anything is heard or said under it.

    Args:
        storage: the node's data.
        new_id: makes the id of an empty disk.
    """
    stored = storage.read_record()
    if stored is None:
        record = Record(new_id(), 1)
    else:
        old = msgpack.decode(stored, type=Record)
        record = replace(old, incarnation=old.incarnation + 1)
    storage.write_record(msgpack.encode(record))
    return record


class Node:
    """A running node.

    Attributes:
        me: this life of it.
        state: the chat, as of the newest entry applied here.
        history: the messages.
        standing: whether it serves.
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
        """
        self.me = me
        self.history = History(storage)
        self.audience: Audience | None = None
        self._storage = storage
        self._network = network
        self._clock = clock
        self._wall = wall
        self._fail = fail
        self._suspect_after = suspect_after
        self.state = self._restored()
        self._membership = Membership(me, record, founding, suspect_after=suspect_after)
        self._replica = Replica(
            me.position, me.origin, storage, opening=_opening, applied=self.state.applied
        )
        self._reads = Reads(me.position, self._evaluate)
        self._repliers: dict[int, Callable[[Result], None]] = {}
        self._submitted: deque[tuple[int, float]] = deque()
        self._askers: dict[int, Callable[[Page], None]] = {}
        self._digests: dict[int, bytes] = {}
        self._early: list[tuple[str, ChainMessage]] = []
        self._turn_call: Timer | None = None
        self._tick_call: Timer | None = None
        self._stopped = False
        self._was_congested = False
        self.standing = Standing(serving=False, waiting_for=(), reason="starting")

    def _restored(self) -> ChatState:
        checkpoint = self._storage.newest_checkpoint()
        return ChatState.from_image(checkpoint.image) if checkpoint else ChatState()

    # --- for the sessions

    @property
    def configuration(self) -> Configuration:
        """The newest configuration known here."""
        return self._membership.configuration

    @property
    def taking_part(self) -> bool:
        """Whether this life numbers, forwards and acknowledges now."""
        return self._membership.active

    @property
    def congested(self) -> bool:
        """Whether more requests are on their way than should be."""
        return self._replica.pending >= MAX_PENDING

    @property
    def pending(self) -> int:
        """How many requests of this node were not applied yet."""
        return self._replica.pending

    def submit(self, command: AnyCommand, replied: Callable[[Result], None] | None = None) -> None:
        """Send a command through the chain.

        ``replied`` gets the result once it was applied here.
        """
        number = self._replica.submit(commands.encode(command))
        self._submitted.append((number, self._clock.seconds()))
        if replied is not None:
            self._repliers[number] = replied
        self._soon()

    def ask(self, query: Query, answered: Callable[[Page], None]) -> None:
        """Ask the tail."""
        self._askers[self._reads.ask(queries.encode(query))] = answered
        self._soon()

    def view(self) -> ChainView:
        """The chain as it looks from here."""
        role = self.configuration.role(self.me.position) if self._membership.active else None
        notes = []
        lag = self._replica.last.seq - self._replica.committed
        if lag:
            notes.append(f"in flight here: {lag} entries")
        clock_lag = self._replica.time - self._wall()
        if clock_lag > 1_000:
            notes.append(f"this machine's clock is {clock_lag / 1000:.1f} s behind the messages")
        if self.standing.reason:
            notes.append(self.standing.reason)
        return ChainView(
            epoch=self.configuration.epoch,
            members=self.configuration.positions,
            node=self.me.position,
            role=role.value if role else self._membership.status.value,
            committed=self._replica.committed,
            away=self._membership.silent(self._clock.seconds()),
            notes=tuple(notes),
        )

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
        self._stopped = True

    def linked(self, position: str) -> None:
        """A new connection with the node at ``position``."""
        self._replica.linked(position)
        self._reads.linked(position)
        self._decide(self._membership.linked(position))
        self._soon()

    def unlinked(self, position: str) -> None:
        """The connection with ``position`` ended."""
        self._replica.unlinked(position)

    def paused(self, position: str, *, paused: bool) -> None:
        """Whether too much stands unsent on the connection with ``position``."""
        self._replica.paused(position, paused=paused)
        self._soon()

    def receive(self, sender: str, message: Message) -> None:
        """A message came from the node at ``sender``."""
        try:
            match message:
                case Submit() | Forward() | Ack() | Holding() | Read() | Answer() | StateDigest():
                    self._receive_in_epoch(sender, message)
                case _:
                    now = self._clock.seconds()
                    self._decide(self._membership.receive(sender, message, now))
        except Exception as error:
            self._stop_loudly(error)

    def _receive_in_epoch(self, sender: str, message: ChainMessage) -> None:
        """Act on a message of this epoch; keep one from an epoch that is still to be adopted.

        Its sender would not send it again: it does not know that this node is late. A message
        of an earlier epoch is from a chain that is no more, and refused.
        """
        epoch = self._replica.configuration.epoch
        if message.epoch > epoch or (message.epoch == epoch and not self._replica.active):
            self._early.append((sender, message))
            return
        if message.epoch < epoch:
            return
        match message:
            case Read() | Answer():
                self._reads.receive(sender, message)
            case StateDigest():
                self._compare(message.seq, message.digest, sender)
            case _:
                self._replica.receive(sender, message)
        self._soon()

    # --- turns

    def _soon(self) -> None:
        if self._turn_call is None and not self._stopped:
            self._turn_call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_call = None
        try:
            for effect in chain(self._replica.turn(self._wall()), self._reads.turn()):
                self._perform(effect)
        except Exception as error:
            self._stop_loudly(error)
            return
        if self.audience is not None:
            self.audience.flush()
            if self._was_congested and self._replica.pending < MAX_PENDING // 2:
                self._was_congested = False
                self.audience.room_again()
            self._was_congested = self._was_congested or self.congested

    def _tick(self) -> None:
        self._tick_call = self._clock.callLater(
            self._suspect_after / PINGS_PER_SUSPICION, self._tick
        )
        try:
            self._decide(self._membership.tick(self._clock.seconds()))
        except Exception as error:
            self._stop_loudly(error)

    def _decide(self, effects: Iterable[membership.Effect]) -> None:
        """Carry out what membership decided, and follow it."""
        self._membership.last = self._storage.last
        self._membership.committed = self._replica.committed
        for effect in effects:
            self._perform(effect)
        self._follow(self._membership.configuration, self._membership.active)
        self._update_standing()

    def _follow(self, configuration: Configuration, active: bool) -> None:
        """Let the chain go on as membership says; while a vote is held it stands still."""
        if configuration != self._replica.configuration:
            self._replica.adopt(configuration)
            self._reads.adopt(configuration)
        if active == self._replica.active:
            return
        self._replica.active = self._reads.active = active
        early, self._early = self._early, []
        for sender, message in early:
            self._receive_in_epoch(sender, message)
        self._soon()

    def _perform(self, effect: replica.Effect | membership.Effect | reads.Answered) -> None:
        """Carry out one effect, completely."""
        match effect:
            case Persist():
                self._storage.append(effect.entries)
            case Send():
                self._network.send(effect.to, effect.message)
            case Apply():
                self._apply(effect.entries)
            case Answered():
                self._askers.pop(effect.number)(queries.decode_page(effect.answer))
            case Save():
                self._storage.write_record(msgpack.encode(effect.record))
            case membership.Report():
                log.info("{node}: {text}", node=self.me.position, text=effect.text)

    def _stop_loudly(self, error: Exception) -> None:
        self.stop()
        self._fail(error)

    # --- applying

    def _apply(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            command = commands.decode(entry.command)
            outcome = self.state.apply(entry.seq, entry.origin, entry.number, entry.time, command)
            for event in outcome.events:
                if isinstance(event, Said):
                    self._storage.index(_index_rows(event))
                if self.audience is not None:
                    self.audience.happened(event)
            if entry.origin == self.me.origin and outcome.result is not None:
                self._reply(entry.number, outcome.result)
            if entry.seq % CHECKPOINT_ENTRIES == 0:
                self._checkpoint(entry.seq)

    def _reply(self, number: int, result: Result) -> None:
        while self._submitted and self._submitted[0][0] <= number:
            self._submitted.popleft()
        replied = self._repliers.pop(number, None)
        if replied is not None:
            replied(result)

    def _checkpoint(self, seq: int) -> None:
        image = self.state.image()
        self._storage.write_checkpoint(Checkpoint(seq, image))
        digest = ChatState.digest(image)
        self._digests = {seq: digest}
        successor = self.configuration.successor(self.me.position)
        if successor is not None:
            self._network.send(successor, StateDigest(self.configuration.epoch, seq, digest))

    def _compare(self, seq: int, digest: bytes, sender: str) -> None:
        """The tail applies first, so it has its own digest when its predecessor's comes."""
        if self._digests.get(seq, digest) != digest:
            raise StateMismatchError(
                f"the state as of entry {seq} differs from that of {sender}: this is a bug"
            )

    def _evaluate(self, query: bytes) -> bytes:
        return queries.encode(queries.answer(queries.decode_query(query), self.state, self.history))

    # --- standing

    def _update_standing(self) -> None:
        standing = self._standing()
        if standing != self.standing:
            self.standing = standing
            log.info(
                "{node}: {what}",
                node=self.me.position,
                what=standing.reason or f"serving in {self.configuration}",
            )
            if self.audience is not None:
                self.audience.standing_changed()

    def _standing(self) -> Standing:
        now = self._clock.seconds()
        silent = self._membership.silent(now)
        names = ", ".join(silent)
        match self._membership.status:
            case Status.FOUNDING:
                reason = f"the chain is not founded yet: waiting for {names or 'the votes'}"
            case Status.WEDGED:
                whom = names or "the votes"
                reason = f"restarted; the chain resumes when all are back: waiting for {whom}"
            case Status.LEARNER:
                reason = "this node is not a member of the chain"
            case Status.ACTIVE:
                overdue = self._submitted and now - self._submitted[0][1] > self._suspect_after
                reason = ""
                if silent or overdue:
                    reason = f"the chain cannot confirm: waiting for {names or 'acknowledgements'}"
                return Standing(serving=True, waiting_for=silent, reason=reason)
        return Standing(serving=False, waiting_for=silent, reason=reason)


def _opening(configuration: Configuration) -> bytes:
    return commands.encode(commands.Origins(tuple(m.origin for m in configuration.members)))


def _index_rows(said: Said) -> list[IndexRow]:
    """One row for everybody, or one for each of the two whom it concerns."""
    if not said.recipient:
        return [IndexRow(EVERY_READER, said.id, said.sender_account)]
    readers = {said.recipient, said.sender_account}
    return [IndexRow(reader, said.id, said.sender_account) for reader in readers]
