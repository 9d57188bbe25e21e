"""One life of one node, whole: every input of the protocol goes in here, every effect comes out.

The rules of one part are in ``replica``, ``reads``, ``membership``, ``copying`` and ``lending``.
Those of several parts are here:

- *of this epoch*: a message of the log counts in its own configuration. One of a later epoch is
  kept until this node adopts that epoch; one of an earlier epoch is dropped.
- *follow*: replica, reads and copying follow the configuration that membership has adopted, and
  stop while membership holds a vote or lets a learner in.
- *lease*: the tail answers, and lends its log, only while no other chain can have begun, and after
  it has applied an entry of its epoch.
- *who may copy*: a learner copies from the tail; before a resume, a member copies from another.
- *kept*: see ``kept``.
- *needed*: a node removes nothing of its log that a member may lack or a learner is copying.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from chainchat.chain import copying, kept
from chainchat.chain.configuration import Address, Configuration, Member, Role
from chainchat.chain.copying import Apart, Learner, Replace, Take
from chainchat.chain.early import EarlyMessages
from chainchat.chain.effects import (
    Apply,
    Compare,
    Cut,
    Distrust,
    Effect,
    Excluded,
    Install,
    Mark,
    Send,
    Unstage,
)
from chainchat.chain.lending import Sponsor
from chainchat.chain.limits import USUAL_PROTOCOL, ProtocolLimits
from chainchat.chain.log import DivergenceError, Log
from chainchat.chain.membership import membership
from chainchat.chain.membership.membership import Copy, Membership, Seal
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import (
    Answer,
    BadMessageError,
    ChainMessage,
    Copied,
    Decided,
    Differs,
    Fetch,
    FetchRows,
    Newest,
    Offer,
    Pong,
    Read,
    Rows,
    StateDigest,
    Synced,
)
from chainchat.chain.own_log import OwnLog
from chainchat.chain.reads import Barrier, Reads
from chainchat.chain.record import Record, Status
from chainchat.chain.replica import Replica
from chainchat.chain.surroundings import Application, Surroundings
from chainchat.chain.timing import Timing

EPOCHS_AHEAD = 2**24
"""An epoch further ahead of this node's is refused: no chain gets there."""

Immediate = Fetch | FetchRows | Differs | Copied | Offer | Rows | Synced | membership.Received

TOGETHER = 0.001
"""Seconds within which both clocks must be read."""


class Engine:
    """The protocol at one node; ``due``: the next turn has something to do."""

    def __init__(
        self,
        me: Member,
        record: Record,
        log: Log,
        settings: ChainSettings,
        *,
        application: Application,
        surroundings: Surroundings,
        limits: ProtocolLimits = USUAL_PROTOCOL,
    ) -> None:
        self.me = me
        self.due = False
        self._log = log
        self._clock = surroundings.clock
        self._wall = surroundings.wall
        self._wall_now = self._wall()
        self._nothing = application.nothing
        self.replica = Replica(
            me.position,
            me.origin,
            log,
            opening=application.opening,
            applied=application.applied,
            time=application.time,
            limits=limits,
        )
        self.reads = Reads(
            me.position,
            application.evaluate,
            self._holds_lease,
            committed=lambda: self.replica.committed,
            applied=lambda: self.replica.applied,
        )
        self.learner = Learner(me, log, Timing(settings.suspect_after), limits)
        self.sponsor = Sponsor(log, limits, lambda: self.committed)
        self.membership = self._new_membership(record, settings, surroundings)
        self._early = EarlyMessages()
        self._complaints: list[Effect] = []
        self._barriers: deque[tuple[int, int]] = deque()
        """The number of a request, and of the barrier that waits for it."""
        self._copy_full: set[str] = set()
        if record.configuration.members:
            self._go_on_in(record.configuration)

    def _new_membership(
        self, record: Record, settings: ChainSettings, surroundings: Surroundings
    ) -> Membership:
        own_log = OwnLog(
            self._log,
            self.learner,
            self.sponsor,
            committed=lambda: self.committed,
            clock=self._clock,
            low=surroundings.low,
        )
        return Membership(
            self.me,
            record,
            settings,
            own_log,
            wall=lambda: self._wall_now,
            first_nonce=surroundings.first_nonce,
            new_identity=surroundings.new_identity,
        )

    # --- what it has come to

    @property
    def configuration(self) -> Configuration:
        return self.membership.configuration

    @property
    def active(self) -> bool:
        """Whether this life numbers, forwards and acknowledges."""
        return self.membership.active

    @property
    def committed(self) -> int:
        """How far the log is known to be committed, by this life or an earlier one."""
        return max(self.replica.committed, self._log.committed)

    @property
    def last(self) -> int:
        return self._log.last.seq

    @property
    def held(self) -> Newest:
        return self.membership.held

    @property
    def busy(self) -> bool:
        """Whether ``apply`` or ``lend`` can go on without input."""
        return self.replica.applied < self.replica.committed or self.sponsor.busy

    # --- inputs from clients

    def submit(self, command: bytes, span: int = 1) -> int:
        self.due = True
        return self.replica.submit(command, span)

    def ask(self, query: bytes, *, again: bool = True) -> int:
        self.due = True
        return self.reads.ask(query, again=again)

    # --- inputs from connections

    def linked(
        self, position: str, member: Member, its: Newest | None = None, *, older: bool = False
    ) -> Iterator[Effect]:
        self.replica.linked(position, older=older)
        self.reads.linked(position)
        self.due = True
        yield from self._deliver(self.membership.linked(position, member, self._now(), its))

    def unlinked(self, position: str) -> None:
        self.replica.unlinked(position)
        self._early.forget(position)
        self.sponsor.forget(position)
        self.membership.unlinked(position)

    def full(self, position: str, *, full: bool) -> None:
        self.replica.full(position, full=full)
        self.reads.full(position, full=full)
        self.due = True

    def copy_full(self, position: str, *, full: bool) -> None:
        (self._copy_full.add if full else self._copy_full.discard)(position)
        self.due = True

    def reached(self, position: str, address: Address, member: Member) -> Iterator[Effect]:
        yield from self._deliver(self.membership.reached(position, address, member, self._now()))

    def refused(self, position: str, host: str, port: int) -> Iterator[Effect]:
        yield from self._deliver(self.membership.refused(position, host, port, self._now()))

    def tick(self) -> Iterator[Effect]:
        """Call this every ``Timing.tick`` seconds."""
        self.due = True
        yield from self._mark()
        now = self._now()
        yield from self._deliver(chain(self.membership.tick(now), self.learner.tick(now)))
        if self.active:
            yield from self.sponsor.tick(now)

    def _mark(self) -> Iterator[Mark]:
        """*kept*: the next life must know what clients were told of."""
        if self.replica.committed > self._log.committed:
            yield Mark(self.replica.committed)

    # --- messages

    def note(self, sender: str, message: ChainMessage) -> None:
        """*of this epoch*: take in a message of the log, for the next turn.

        Raises:
            BadMessageError: no node of this chain says this.
        """
        replica = self.replica
        epoch, identity = replica.configuration.epoch, replica.configuration.identity
        if message.epoch > epoch or (message.epoch == epoch and not replica.active):
            self._require_near(message.epoch)
            self._early.keep(sender, message)
            return
        if message.epoch < epoch:
            return
        if message.identity != identity and self._is_of_another_chain(sender, message):
            return
        self.due = True
        match message:
            case Read() | Answer():
                self.reads.receive(sender, message)
            case StateDigest():
                self._complaints.append(Compare(sender, message.seq, message.digest))
            case _:
                try:
                    replica.receive(sender, message)
                except DivergenceError as error:  # nobody can tell from here whose log is wrong
                    raise BadMessageError(f"ALARM: {error}") from error

    def receive(self, sender: str, message: Immediate) -> Iterator[Effect]:
        """Act at once on a message about configurations or copying.

        Raises:
            BadMessageError: no node of this chain says this.
        """
        now = self._now()
        match message:
            case Fetch() | FetchRows():
                self._asked_to_lend(sender, message)
                return
            case Differs():
                effects: Iterator[_Output] = self.learner.differs(sender, message, now)
            case Copied():
                effects = self.learner.copied(sender, message, now)
            case Offer():
                effects = self.learner.offered(sender, message, now)
            case Rows():
                effects = self.learner.rows(sender, message, now)
            case Synced():
                if self._is_of_another_chain(sender, message):
                    return
                effects = self.membership.synced(message.learner, message.last, now)
            case _:
                if isinstance(message, Decided | Pong):
                    self._require_near(message.configuration.epoch)
                effects = self.membership.receive(sender, message, now)
        yield from self._deliver(effects)

    def _require_near(self, epoch: int) -> None:
        if epoch > self.configuration.epoch + EPOCHS_AHEAD:
            raise BadMessageError(f"an epoch far ahead, {epoch}")

    def _is_of_another_chain(
        self, sender: str, message: ChainMessage | Fetch | FetchRows | Synced
    ) -> bool:
        """Return whether the sender has another configuration of this epoch.

        Neither chain then serves the other.
        """
        if not self.configuration.is_another(message.epoch, message.identity):
            return False
        text = f"ALARM: epoch {message.epoch} has two configurations: {sender} has another"
        self._complaints += self.membership.complain(text)
        self.due = True
        return True

    # --- the four steps of a turn

    def turn(self) -> Iterator[Effect]:
        self.due = False
        now = self.membership.time(self._now()) if self.replica.needs_time else 0
        effects: Iterator[Effect] = self.replica.turn(now)
        if self._complaints:
            said, self._complaints = self._complaints, []
            effects = chain(said, effects)
        return effects

    def apply(self, go_on: Callable[[], bool]) -> Iterator[Apply]:
        for apply in self.replica.apply(go_on):
            yield apply
            while self._barriers and self._barriers[0][0] <= self.replica.own_requests.settled:
                self.reads.passed(self._barriers.popleft()[1])

    def answer(self, go_on: Callable[[], bool]) -> Iterator[Effect]:
        for effect in self.reads.turn(go_on):
            if isinstance(effect, Barrier):
                self._barriers.append((self.submit(self._nothing), effect.number))
            else:
                yield effect

    def lend(self, go_on: Callable[[], bool]) -> Iterator[Effect]:
        offers = not self.membership.resuming
        return self.sponsor.turn(
            self._copy_full, self._may_lend, go_on, offers=offers, now=self._clock()
        )

    # --- what the node may do with its log

    @property
    def lends_checkpoint(self) -> bool:
        """Whether a learner copies the newest checkpoint; to begin another would end the copy."""
        return self.sponsor.lends_checkpoint(self._clock())

    def removable(self, up_to: int) -> int:
        """*needed*: return how much of the log up to ``up_to`` may go; 0: nothing now."""
        membership = self.membership
        if membership.resuming or membership.record.vote is not None:
            return 0
        if membership.status is Status.ACTIVE and self.active:
            up_to = min(up_to, self.replica.held_by_all, self.sponsor.needed_after(self._clock()))
        elif membership.status is not Status.LEARNER:
            return 0
        return min(up_to, self._log.committed)

    # --- clocks

    def _now(self) -> float:
        """Read both clocks together: up to three times, if time passes in between."""
        for _ in range(3):
            now = self._clock()
            self._wall_now = self._wall()
            if self._clock() - now < TOGETHER:
                break
        return now

    def next_time(self) -> int:
        """Return the time of an entry numbered here now, in UTC milliseconds."""
        return max(self.replica.time, self.membership.time(self._now()))

    def odd_clock(self) -> str:
        return self.membership.odd_clock(self._now())

    # --- following membership

    def _deliver(self, effects: Iterator["_Output"]) -> Iterator[Effect]:
        for effect in effects:
            match effect:
                case Seal():
                    self.sponsor.sealed = effect.learner
                    self.due = True
                case Copy():
                    yield from self._copy_from(effect.source, committed=False)
                case Take():
                    yield from self.replica.copy(effect.entries, committed=effect.committed)
                    self.due = True
                case Apart():
                    yield from self.membership.apart(effect.source, effect.theirs)
                case Replace():
                    alone_in = self.membership.record.alone_in
                    for replacing in kept.replaced(self._log, self.committed, effect, alone_in):
                        yield replacing
                        if isinstance(replacing, Cut):
                            self.replica.cut()
                case Cut():
                    kept.check(self._log, self.committed, effect, self.learner.source)
                    yield effect
                    self.replica.cut()
                case Excluded() | Install():
                    yield effect
                    return
                case _:
                    yield effect
        yield from self._follow()

    def _follow(self) -> Iterator[Effect]:
        """*follow*: go on as membership says."""
        if self.configuration != self.replica.configuration:
            self._go_on_in(self.configuration)
        self.sponsor.sealed = self.membership.sealed
        match self.membership.status:
            case Status.LEARNER:
                self._early.all()
                yield from self._copy_from(self.configuration.tail, committed=True)
            case Status.ACTIVE if not self.membership.resuming:
                self.learner.stop()
                if self._log.staged is not None:
                    yield Unstage()  # it joined without that checkpoint
            case _:
                pass
        if self.active == self.replica.active:
            return
        self.replica.active = self.reads.active = self.active
        self.due = True
        for sender, message in self._early.all():
            try:
                self.note(sender, message)
            except BadMessageError as error:
                yield Distrust(sender, str(error))

    def _go_on_in(self, configuration: Configuration) -> None:
        self.replica.adopt(configuration)
        self.reads.adopt(configuration)
        self.sponsor.adopt()

    def _holds_lease(self) -> bool:
        """*lease*: this tail has all that was ever confirmed, and no chain goes on without it."""
        return self.replica.opened and self.membership.holds_lease(self._now())

    # --- copying

    def _copy_from(self, source: str, *, committed: bool) -> Iterator[Send]:
        epoch, identity = self.configuration.epoch, self.configuration.identity
        return self.learner.begin(
            source, epoch, self._clock(), committed=committed, identity=identity
        )

    def _asked_to_lend(self, sender: str, fetch: Fetch | FetchRows) -> None:
        if self.membership.is_other_chain(sender) or self._is_of_another_chain(sender, fetch):
            return
        if fetch.epoch == self.configuration.epoch:
            self.sponsor.asked(sender, fetch, self._clock())
            self.due = True

    def _may_lend(self, learner: Member) -> bool:
        """*who may copy*: from the tail, which knows that its log is committed.

        Before a resume, members copy the end of the log from one another. Learners wait: this disk
        may lack the end too, and a learner would cut its own log to match.
        """
        if self.membership.resuming:
            member = self.configuration.has_node(learner.id)
            return member and self.membership.lends_for_resume
        if self.membership.record.vote is not None:
            return False
        tail = self.configuration.role(self.me.position) in (Role.TAIL, Role.ONLY)
        if self.membership.evidence.refusal_is_death:
            return tail and self._holds_lease()
        # No clock can prove that this node is still the tail. But a node outside its epoch has
        # nothing of that epoch, and the epoch's first entry follows all that its head had before.
        # So a tail that has applied that entry has all of the learner's log that can be committed.
        return tail and self.replica.opened


_Output = membership.Output | copying.Output
