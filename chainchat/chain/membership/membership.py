"""Membership: how one configuration follows another.

A node proposes the next configuration, the members that stay vote for it, durably, and the
proposer's own durable write of it is the decision. There are four changes:

- *shrink*: the chain goes on without members that are dead or silent (a splice);
- *join*: a learner that holds the whole log becomes the new tail (the chain is extended);
- *resume*: the members' present lives take the place of earlier ones, after a restart;
- *found*: a resume from nothing, by the founding positions.

A plain majority could not let the last of three nodes go on, and a plain timeout could not keep two
halves of a network from going on both. Here the dead are left out of the count, if their death is
proved and fresh (``evidence``); the silent are not.

The inputs are generators of effects. Each effect is carried out completely before the next one is
asked for, so a record is on disk (``Save``) before any message that depends on it is sent.

Invariants, named in comments where they are kept:

- *one vote*: a node holds at most one vote for the next epoch, and keeps it over a restart.
- *locked*: a node that holds a vote takes no part in the chain until it learns what became of it.
- *all vote*: a configuration is decided only with the vote of every member of it that was one.
- *own judgement*: nobody votes to exclude whom it could not exclude by its own evidence.
- *tried*: whoever has tried to exclude a life confirms it no more, whatever became of the try.
- *newest*: a node never goes back to an older configuration.
- *no pause*: nothing counts as proved that was proved before a clock was found to have stood still.
- *one history*: nobody votes for a resume with one whose log is no part of its own, nor the other
  way round; and members that find that different entries were committed here and there part.
- *source*: a life is dead, or another's later life, only by what answered or refused at the
  member's own address when this node dialled it. What is said on a connection that came in, and
  a refusal where the member was never reached, prove nothing.
- *not set back*: a disk that lacks a vote or a configuration that it has written takes no part.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from chainchat.chain.configuration import Address, Configuration, Member
from chainchat.chain.effects import Distrust, Excluded, Report, Save, Send
from chainchat.chain.membership.changes import Change, change
from chainchat.chain.membership.clocks import Clocks
from chainchat.chain.membership.departures import FREE, LONGEST_PAUSE, Departures
from chainchat.chain.membership.evidence import Evidence, Life
from chainchat.chain.membership.presence import Presence
from chainchat.chain.membership.proposals import extended, resumed, shrunk
from chainchat.chain.membership.record import Record, Status, was_set_back
from chainchat.chain.membership.seals import Patience, Sealing
from chainchat.chain.membership.whereabouts import UNREACHED, Whereabouts
from chainchat.chain.messages import (
    Abort,
    ClockReading,
    Decided,
    Declined,
    EntryId,
    Held,
    Ping,
    Pong,
    Propose,
    Vote,
    Voted,
)
from chainchat.chain.timing import Timing

MOST_COMPLAINTS = 64
"""Complaints that are told in one configuration."""


class Seal(Struct, frozen=True):
    """Tail: take no more entries, let this learner have the rest, and say when it has them."""

    learner: Member


class Copy(Struct, frozen=True):
    """Copy the log's missing end from the node at a position, before the chain is resumed."""

    source: str


Decision = Save | Send | Report | Excluded | Distrust | Seal | Copy
"""What membership wants done: effects, and what it says to other parts of the engine."""

Received = Ping | Pong | Propose | Voted | Decided | Abort | Declined
"""What is said about configurations."""


class OwnLog(Protocol):
    """What this node's log has come to."""

    @property
    def last(self) -> EntryId:
        """The last entry."""

    @property
    def committed(self) -> EntryId:
        """The newest that it knows to be committed."""

    def id_of(self, seq: int) -> EntryId | None:
        """See ``Log``."""

    @property
    def caught_up(self) -> bool:
        """Whether this is a learner that holds all but the newest entries."""

    @property
    def progress(self) -> str:
        """How far this learner has come, for people; empty if it copies nothing."""

    @property
    def nearby(self) -> frozenset[Member]:
        """The learners that, as this tail sees it, hold all but the newest."""

    @property
    def low(self) -> bool:
        """Whether its disk is nearly full."""


class Membership:
    """The membership state of one life of one node.

    Attributes:
        me: this life.
        record: as it is on disk.
        founding: positions in founding order, as ``chain.ini`` or the record has them.
        evidence: whether the others live.
        clocks: whether one of them stood still, and what time it is.
        own: this node's log.
    """

    def __init__(
        self,
        me: Member,
        record: Record,
        founding: tuple[str, ...],
        own: OwnLog,
        *,
        suspect_after: float,
        known: Iterable[str] = (),
        places: Mapping[str, Address] | None = None,
        longest_pause: float = LONGEST_PAUSE,
        free_departures: int = FREE,
        wall: Callable[[], int] = lambda: 0,
        first_nonce: int = 0,
        refusal_is_death: bool = True,
        new_identity: Callable[[], int] = lambda: 0,
    ) -> None:
        """The state of a life that begins.

        Args:
            me: this life; its incarnation is in ``record`` and on disk already.
            record: from disk.
            founding: positions in the order of the founding.
            own: this node's log.
            suspect_after: seconds of silence before a node is suspected.
            known: all positions that ``chain.ini`` names, spares too.
            places: where ``chain.ini`` has them: an operator's word that a node has moved.
            longest_pause: seconds that a position waits at most after it fell out repeatedly.
            free_departures: see ``Departures``.
            wall: the wall clock, UTC milliseconds, as it was at ``now`` of an input.
            first_nonce: see ``Evidence``.
            refusal_is_death: see ``Evidence``.
            new_identity: chooses a configuration's, at random.
        """
        assert me.life == (record.id, record.incarnation)
        self.me = me
        self.record = record
        self.founding = record.founding or founding
        self._timing = Timing(suspect_after)
        self.evidence = Evidence(
            self._timing, first_nonce=first_nonce, refusal_is_death=refusal_is_death
        )
        self.clocks = Clocks()
        self._lives: list[Life] = []
        self._lives_of: Configuration | None = None
        self.own = own
        self._known = frozenset(known)
        self._whereabouts = Whereabouts(dict(places or {}))
        self._presence = Presence(self._timing)
        self._departures = Departures(longest_pause, free_departures)
        self._new_identity = new_identity
        self._compared: set[tuple[str, Life]] = set()
        """By position, the lives whose history was compared in this configuration."""
        self._proposal: Vote | None = None
        self._proposed_at = 0.0
        self._whole = EntryId()
        """The last entry that anybody can have heard of, when this node proposes a resume."""
        self._voters: set[str] = set()
        self._ballots = 0
        self._tried: set[Life] = set()
        self._may_join_at = 0.0
        """When a join may be proposed again."""
        self._declines: dict[str, str] = {}
        """Why a learner was not let in, by position; of this configuration."""
        self._patience = Patience(self._timing)
        self._older = False
        """*not set back*: whether this disk was."""
        self._first_ping = self.evidence.newest_nonce + 1
        """Pings from this one on were sent in the present configuration, by this life."""
        self._unreached: tuple[Vote, float] | None = None
        """What waits until a life in it was reached, and since when."""
        self._turned_down: Member | None = None
        """The learner whose join came to nothing last: others go before it."""
        self._sealing: Sealing | None = None
        self._declined: Vote | None = None
        self._complaints: set[str] = set()
        self._began: float | None = None
        self._busy: float | None = None
        """When the newest input came."""
        self._wall = wall
        self._doubts = ""
        """Why evidence was dropped, to be told with the next tick."""
        self._clock_told = False

    # --- what it comes to

    @property
    def configuration(self) -> Configuration:
        """The newest configuration known here."""
        return self.record.configuration

    @property
    def status(self) -> Status:
        """What this life is to it."""
        return self.record.status(self.me.life)

    @property
    def active(self) -> bool:
        """Whether this node takes part in the chain now: a member, neither *locked* nor sealed.

        A head that proposes to resume writes nothing meanwhile: nobody could confirm it, and the
        others have to hold what its log ends with.
        """
        locked = self.record.vote is not None or self.resuming
        return self.status is Status.ACTIVE and not locked and self.sealed is None

    @property
    def sealed(self) -> Member | None:
        """The learner for which this tail takes no entries, if there is one."""
        return None if self._sealing is None else self._sealing.learner

    def silent(self, now: float) -> tuple[str, ...]:
        """Positions of the chain (or of the founding) not heard for ``suspect_after`` seconds."""
        if self.status is Status.ACTIVE:
            others = [m for m in self.configuration.members if m.life != self.me.life]
            return tuple(m.position for m in others if self.evidence.is_silent(m.life, now))
        return tuple(
            position
            for position in self.configuration.positions or self.founding
            if position != self.me.position and not self._presence.is_heard(position, now)
        )

    @property
    def needed(self) -> frozenset[str]:
        """The positions without which nothing that is said here is confirmed."""
        configuration, me = self.configuration, self.me.position
        if not configuration.has(self.me.life):
            return frozenset(configuration.positions)
        neighbours = configuration.predecessor(me), configuration.successor(me)
        return frozenset(p for p in (configuration.head, *neighbours) if p not in (None, me))

    @property
    def set_back(self) -> bool:
        """*not set back*: whether the chain has a vote of this disk that is not on it."""
        return self._older

    def learners(self, now: float) -> dict[str, str]:
        """How far each of those that copy the log has come, for people; by position.

        Or why it is not let in, though it may have everything.
        """
        members = self.configuration.positions
        told = {
            position: self._departures.reason(position, now)
            or self._declines.get(position)
            or pong.progress
            for position, pong in self._presence.pongs(now).items()
            if position not in members or pong.progress
        }
        return {position: text for position, text in told.items() if text}

    def low(self, now: float) -> tuple[str, ...]:
        """Positions of the chain whose disks are nearly full, as this member was told lately."""
        told = {p: pong.member for p, pong in self._presence.pongs(now).items() if pong.low}
        if self.own.low:
            told[self.me.position] = self.me
        members = self.configuration.members if self.status is Status.ACTIVE else ()
        return tuple(m.position for m in members if m == told.get(m.position))

    def is_other_chain(self, position: str) -> bool:
        """Whether the node there has another configuration of the present epoch.

        Epochs are compared everywhere else, and here do not tell the two chains apart.
        """
        pong, mine = self._presence.pong(position), self.configuration
        if pong is None or pong.configuration.epoch != mine.epoch:
            return False
        return pong.configuration != mine

    def holds_lease(self, now: float) -> bool:
        """Whether nobody can have gone on without this member yet (rule 13).

        True if every other member is clean, or has confirmed a ping of this one freshly. If no
        clock is to be relied on, only a sole member can say that.
        """
        self._notice_pause(now)
        if not self.evidence.refusal_is_death and len(self.configuration.members) > 1:
            return False
        voting = self.record.vote is not None
        return (
            self.status is Status.ACTIVE
            and not voting
            and all(
                self.evidence.is_clean(life) or self.evidence.is_fresh(life, now)
                for life in self.configuration.lives
                if life != self.me.life
            )
        )

    # --- inputs

    def tick(self, now: float) -> Iterator[Decision]:
        """Every tenth of ``suspect_after``: ping everybody, repeat what may have got lost."""
        self._notice_pause(now)
        if self._began is None:
            self._began = now
        yield from self._tell_of_clocks(now)
        for position in self._others():
            yield self._ping(position, now)
        sealing = self._sealing
        if sealing is not None and now - sealing.since > sealing.seconds:
            yield from self._unseal(sealing, now)
        vote = self.record.vote
        if vote is not None and vote.proposer.position != self.me.position:
            yield from self._send_vote(vote)
        yield from self._act(now)

    def linked(
        self, position: str, member: Member, now: float, its: Held | None = None
    ) -> Iterator[Decision]:
        """A connection is there, whose other end says that it is ``member``. It proves nothing.

        ``its``: what it says that it holds. A difference is told; what follows from it, is judged
        by the first Pong.
        """
        self._notice_pause(now)
        self._presence.linked(position, member)
        self._compared = {one for one in self._compared if one[0] != position}
        yield from self._compare_held(position, its or Held())
        yield self._ping(position, now)
        yield from self._act(now)

    def reached(
        self, position: str, address: Address, member: Member, now: float
    ) -> Iterator[Decision]:
        """*source*: this node dialled ``address``, and ``member``, at ``position``, answered.

        A later life or another disk at a member's own address proves that the member is dead, if
        this node has reached the member itself there (rule 2).
        """
        self._notice_pause(now)
        before = self._whereabouts.reached(position, address, member.life)
        old = self.configuration.member(position)
        if old is not None and old.address == address and old.life == before:
            later = member.id != old.id or member.incarnation > old.incarnation
            if later:
                self.evidence.died(old.life, now)
        yield from self._release(position, address, member)
        yield from self._act(now)

    def _release(self, position: str, address: Address, member: Member) -> Iterator[Decision]:
        """At the founding: drop a vote for a life whose disk is gone, so that it can be founded.

        If that had decided, nothing can have been confirmed since without this node, which holds
        its vote. And whoever else has heard of the decision tells it.
        """
        vote = self.record.vote
        if vote is None or self.status is not Status.FOUNDING:
            return
        proposer = vote.proposer
        there = (proposer.position, proposer.address) == (position, address)
        if there and proposer.id != member.id:
            yield Report(f"{position} has another disk now than the one this node voted for")
            yield self._save(vote=None)

    def unlinked(self, position: str) -> None:
        """The connection with ``position`` ended. By itself that proves nothing."""
        self._presence.unlinked(position)
        if position not in {*self.founding, *self._known, *self.configuration.positions}:
            self._presence.forget(position)
            self._whereabouts.forget(position)

    def refused(self, position: str, host: str, port: int, now: float) -> Iterator[Decision]:
        """A port at which the node at ``position`` may be refuses connections.

        *source*: the member is dead if that is its own address, this node has reached that very
        life there, and the connection with it ended. Anywhere else it proves nothing: somebody may
        have called who only said that it is ``position``, or the address may be one at which each
        machine finds itself, or a wall in between may refuse what never reached anybody.
        """
        self._notice_pause(now)
        self._presence.refused(position)
        member, address = self.configuration.member(position), (host, port)
        if member is None or position == self.me.position or address != member.address:
            return
        if not self._whereabouts.is_at_home(member):
            return
        linked = self._presence.link(position)
        if linked is not None and linked.address == member.address:
            return
        if not self.evidence.is_dead(member.life):
            yield Report(f"{position} is dead: its port refuses connections")
        self.evidence.died(member.life, now)
        yield from self._act(now)

    def receive(self, sender: str, message: Received, now: float) -> Iterator[Decision]:
        """Take a message in.

        Args:
            sender: position of the node at the other end of the connection.
            message: what it said.
            now: monotonic seconds.
        """
        self._notice_pause(now)
        match message:
            case Ping():
                self._presence.pinged(sender, now)
                if self._is_of_interest(sender, message.member):
                    self._compare_clocks(sender, message, now, asked=None)
                    self.evidence.heard(message.member.life, now)
                yield Send(sender, self._pong(message, now))
            case Pong():
                yield from self._answered(sender, message, now)
            case Propose():
                yield from self._consider(sender, message, now)
            case Voted():
                yield from self._count(sender, message, now)
            case Decided():
                yield from self._learn(message.configuration, now)
            case Abort():
                if self.record.vote == message.vote and self._speaks_for(message.vote.proposer):
                    yield self._save(vote=None)
            case Declined():
                if self._proposal == message.vote:
                    yield from self._was_declined(message, now)

    def synced(self, learner: Member, last: EntryId, now: float) -> Iterator[Decision]:
        """Tail: the learner for which it is sealed has the whole log on its disk."""
        self._notice_pause(now)
        sealing = self._sealing
        if sealing is None or learner != sealing.learner or last != self.own.last:
            return
        self._sealing = None
        if sealing.vote.proposer != self.me:
            yield from self._vote(sealing.vote)
        elif sealing.vote == self._proposal:
            yield from self._decide(now)

    # --- pings

    def _ping(self, position: str, now: float) -> Send:
        nonce, clocks = self.evidence.next_ping(now), ClockReading(now, self._wall())
        epoch, identity = self.configuration.epoch, self.configuration.identity
        return Send(position, Ping(self.me, nonce, epoch, clocks, identity))

    def _greet(self, now: float) -> Iterator[Decision]:
        """Ask the members of a new configuration at once for their first confirmation.

        Until it comes, a proof of their death would not be fresh.
        """
        for member in self.configuration.members:
            if member.life != self.me.life:
                yield self._ping(member.position, now)

    def _notice_pause(self, now: float) -> None:
        """Before anything is judged: whether this node itself was paused since the last input.

        It ticks, so the time between two inputs is short. What waited in its sockets may come
        before the tick. If the machine was paused with the clock of the timeouts, the wall clock
        may tell.
        """
        if not self.clocks.look(now, self._wall()):
            self._doubt("this machine's clocks do not agree: it was paused, or one was set")
        self._excuse_silence(now)

    def _excuse_silence(self, now: float) -> None:
        """What was not heard during a pause of this node's own is nobody's silence."""
        before, self._busy = self._busy, now
        if before is not None:
            missed = now - before - self._timing.pause
            if missed > 0:
                self.evidence.stood_still(missed, now)

    def _compare_clocks(
        self, sender: str, message: Ping | Pong, now: float, *, asked: float | None
    ) -> None:
        """Whether this machine or the sender's stood still since they were compared last."""
        if not self.clocks.heard(message.member.life, message.clocks, now, asked):
            self._doubt(f"this machine or that of {sender} was paused")

    def _doubt(self, why: str) -> None:
        """*no pause*: what was proved before counts for nothing; the next answers are news."""
        self.evidence.doubt()
        self._doubts = why

    def _tell_of_clocks(self, now: float) -> Iterator[Decision]:
        if self._doubts:
            yield Report(f"{self._doubts}; what was known of the others is asked for again")
            self._doubts = ""
        odd = self.odd_clock(now)
        if bool(odd) != self._clock_told:
            self._clock_told = bool(odd)
            text = odd or "this machine's clock agrees with those of the others again"
            yield Report(text, alarm=self._clock_told)

    def odd_clock(self, now: float) -> str:
        """For people: that this machine's clock is not what most members' are; mostly empty."""
        if self.status is not Status.ACTIVE:
            return ""
        ahead = self.clocks.ahead(self._other_lives, now, self._wall()) / 1000
        if not ahead:
            return ""
        how = "ahead of" if ahead > 0 else "behind"
        return f"this machine's clock is {abs(ahead):.1f} s {how} those of the others"

    def time(self, now: float) -> int:
        """The time of an entry that this head numbers now, UTC milliseconds.

        Its own clock's, but not far ahead of what most members' clocks say.
        """
        return self.clocks.time(self._other_lives, now, self._wall())

    @property
    def _other_lives(self) -> list[Life]:
        """Of the other members; kept, since each batch needs them."""
        configuration = self.configuration
        if self._lives_of is not configuration:
            self._lives_of = configuration
            self._lives = [life for life in configuration.lives if life != self.me.life]
        return self._lives

    def _pong(self, ping: Ping, now: float) -> Pong:
        return Pong(
            self.me,
            ping.nonce,
            self.configuration,
            self._confirms(ping),
            self.own.last,
            self.own.caught_up,
            self.own.progress,
            self.own.low,
            ping.member.life,
            ClockReading(now, self._wall()),
            self.own.committed,
            self.record.vote.configuration.epoch if self.record.vote is not None else 0,
        )

    def _is_of_interest(self, sender: str, member: Member) -> bool:
        """Whether to remember what is known of a life: so nobody makes this node remember more."""
        return self.configuration.has(member.life) or self._presence.link(sender) == member

    def _confirms(self, ping: Ping) -> bool:
        """Whether this member neither goes on without the pinger nor has tried to (rule 1)."""
        if self.status is not Status.ACTIVE:
            return False
        epoch = self.configuration.epoch
        if self.configuration.is_another(ping.epoch, ping.identity):
            return False  # of another chain
        if epoch > ping.epoch and not self.configuration.has(ping.member.life):
            return False
        return not (epoch + 1 > ping.epoch and ping.member.life in self._tried)  # *tried*

    def _answered(self, sender: str, pong: Pong, now: float) -> Iterator[Decision]:
        self._presence.answered(sender, pong)
        to_me = pong.answers == self.me.life and self._is_of_interest(sender, pong.member)
        if to_me:
            asked = self.evidence.sent(pong.nonce)
            self._compare_clocks(sender, pong, now, asked=asked)
        if to_me and pong.confirms and self.status is Status.ACTIVE:
            self.evidence.confirmed(pong.member.life, pong.nonce, now)
        yield from self._compare_histories(sender, pong)
        yield from self._notice_older_disk(sender, pong)
        yield from self._learn(pong.configuration, now)
        yield from self._act(now)

    @property
    def held(self) -> Held:
        """What this node says of itself on a new connection."""
        configuration = self.configuration
        return Held(configuration.epoch, configuration.identity, self.own.committed)

    def _compare_held(self, sender: str, its: Held) -> Iterator[Decision]:
        """*one history*: whether a node that has just been linked is of another chain."""
        if self.configuration.is_another(its.epoch, its.identity):
            yield from self.complain(
                f"ALARM: epoch {its.epoch} has two configurations: {sender} has another"
            )
        held = self._held_in_place_of(its.committed)
        if held != its.committed:
            yield from self.complain(
                f"ALARM: {sender} and this node have two histories: there, in epoch {its.epoch}, "
                f"{its.committed} was committed, and here, in {self.configuration}, {held}"
            )

    def _held_in_place_of(self, theirs: EntryId) -> EntryId | None:
        """What is committed here where elsewhere ``theirs`` is; the same if nobody can tell."""
        known = theirs.seq <= self.own.committed.seq
        return self.own.id_of(theirs.seq) if known else theirs

    def _compare_histories(self, sender: str, pong: Pong) -> Iterator[Decision]:
        """*one history*: of two nodes, the one that knows more to be committed can tell.

        Once on each link and in each configuration: what follows is checked as it comes.
        """
        if (sender, pong.member.life) in self._compared:
            return
        self._compared.add((sender, pong.member.life))
        theirs, mine = pong.committed, self.own.committed
        held = self._held_in_place_of(theirs)
        if held == theirs:
            return
        text = (
            f"{sender} and this node have two histories: there, in {pong.configuration}, "
            f"{theirs} was committed, and here, in {self.configuration}, {held}, "
            f"and what follows up to {mine}"
        )
        both = self.configuration.has(self.me.life) and self.configuration.has(pong.member.life)
        if both and pong.configuration == self.configuration:
            # What one says of itself stops nobody else.
            yield Distrust(sender, f"ALARM: {text}")
        else:
            yield from self.complain(f"ALARM: {text}")

    def _others(self) -> Iterable[str]:
        """Everybody to be asked: founding positions, members, and whoever has called."""
        callers = self._presence.callers
        positions = dict.fromkeys((*self.founding, *self.configuration.positions, *callers))
        return [position for position in positions if position != self.me.position]

    def _save(
        self, *, configuration: Configuration | None = None, vote: Vote | None = None
    ) -> Save:
        self.record = replace(
            self.record,
            configuration=configuration or self.record.configuration,
            founding=self.founding if configuration else self.record.founding,
            vote=vote,
        )
        return Save(self.record)

    # --- the proposer

    def _act(self, now: float) -> Iterator[Decision]:
        """Propose what is this node's to propose now, or complete what a dead proposer began."""
        if self._older:
            return
        yield from self._complete(now)
        if self.record.vote is not None or self._sealing is not None:
            return
        self._withdraw(now)
        proposed = self._wanted(now)
        if proposed is None:
            self._proposal = None  # any time: its voters are told when they ask
            return
        held = None if self._proposal is None else self._proposal.configuration
        if held is None or replace(held, identity=0) != replace(proposed, identity=0):
            self._ballots += 1
            self._voters = set()
            ballot = (self.me.incarnation, self._ballots)
            named = replace(proposed, identity=self._new_identity())
            self._proposal = Vote(named, self.me, ballot)
            self._proposed_at = now
            self._whole = self.own.last
        self._tried |= set(self.configuration.lives) - set(proposed.lives)  # *tried*
        assert self._proposal is not None
        yield from self._canvass(self._proposal, now)

    def _withdraw(self, now: float) -> None:
        """Give up a join that comes to nothing: the tail may wait for another learner."""
        if (
            self._proposal is not None
            and change(self.configuration, self._proposal.configuration) is Change.JOIN
            and now - self._proposed_at > self._timing.join_patience
        ):
            self._give_up(self._proposal, now)

    def _was_declined(self, declined: Declined, now: float) -> Iterator[Decision]:
        """The tail does not let a learner in now. Its operator has to hear why."""
        newcomer = declined.vote.configuration.members[-1].position
        self._give_up(declined.vote, now, declined.sealed)
        if declined.reason:
            self._declines[newcomer] = f"not let in yet: {declined.reason}"
        if declined.sealed:
            yield from self.complain(
                f"{self.configuration.tail} does not let {newcomer} in yet: {declined.reason}"
            )

    def _give_up(self, join: Vote, now: float, sealed: float = 0.0) -> None:
        """Propose this join no more for now, and then rather another learner's.

        ``sealed``: seconds for which it has kept writes waiting.
        """
        self._proposal = None
        self._may_join_at = now + self._patience.pause(sealed)
        self._turned_down = join.configuration.members[-1]

    def _wanted(self, now: float) -> Configuration | None:
        """The configuration that this node should propose now."""
        return self._shrunk(now) or self._resumed(now) or self._extended(now)

    def _shrunk(self, now: float) -> Configuration | None:
        if self.status is not Status.ACTIVE:
            return None
        wanted, held = shrunk(self.configuration, self.me, self.evidence, now), self._proposal
        if wanted is not None and held is not None and held.configuration.members == wanted.members:
            return held.configuration  # the reasons are those of its first day
        return wanted

    def _resumed(self, now: float) -> Configuration | None:
        if self.status is Status.LEARNER:
            return None
        base = self.configuration
        wanted = resumed(
            base,
            self.founding,
            self.me,
            self._presence.pongs(now),
            lambda old, new: not self._objection_to_life(old, new, now),
        )
        if wanted is None or len(base.members) != 1:
            return wanted
        if base.members[0].address != self.me.address and len(self.founding) > 1:
            return None  # a copy of the member's disk, as far as anybody can tell
        return wanted if self._has_looked_around(now) else None

    def _has_looked_around(self, now: float) -> bool:
        """Whether the others had their chance to say that they have gone on.

        A sole member needs nobody's vote. If its data are of another day, the others know more, and
        any of them may be the chain by now, a spare too.
        """
        late = self._began is not None and now - self._began >= self._timing.suspect_after
        return late or self._presence.has_met({*self.founding, *self._known} - {self.me.position})

    def _extended(self, now: float) -> Configuration | None:
        base, held = self.configuration, self._proposal
        if self.status is not Status.ACTIVE or base.head != self.me.position:
            return None
        if len(base.members) >= len(self.founding):
            return None
        if now < self._may_join_at:
            return None
        asked = () if held is None else held.configuration.members
        pongs = self._presence.pongs(now)
        free = {p: pong for p, pong in pongs.items() if not self._departures.wait(p, now)}
        return extended(base, free, asked, self._turned_down)

    def _canvass(self, proposal: Vote, now: float) -> Iterator[Decision]:
        """Ask for the votes that are missing; decide at once if there are none to ask for."""
        if self._electors(proposal) <= self._voters:
            if change(self.configuration, proposal.configuration) is Change.JOIN:
                yield from self._seal(proposal, now)  # a chain of one: its only member is the tail
            else:
                yield from self._decide(now)
            return
        for position in proposal.configuration.positions:
            if position in self._electors(proposal) - self._voters:
                yield Send(position, Propose(self.configuration, proposal, self._whole))

    def _electors(self, vote: Vote) -> set[str]:
        """Whose votes a proposal needs besides its proposer's: *all vote*."""
        base = self.configuration.positions or self.founding
        return {
            member.position
            for member in vote.configuration.members
            if member.position in base and member.position != vote.proposer.position
        }

    def _count(self, sender: str, voted: Voted, now: float) -> Iterator[Decision]:
        """A vote came in; with the last one the proposal is decided."""
        if voted.vote != self._proposal:
            # Whoever holds a vote waits for an answer, also from a life that knows nothing of it.
            if self.configuration.epoch >= voted.vote.configuration.epoch:
                yield Send(sender, Decided(self.configuration))
            elif voted.vote.proposer.id == self.me.id and not self._older:
                yield Send(sender, Abort(voted.vote))
            return
        if voted.voter not in voted.vote.configuration.members:
            return
        kind, last = change(self.configuration, voted.vote.configuration), self.own.last
        if kind is Change.RESUME and voted.last.is_beyond(last):
            yield from self.complain(
                f"the log of {sender} ends with {voted.last}, this one with {last}: copying first"
            )
            if voted.last.is_beyond(self._whole):
                self._whole = voted.last
            self._voters = set()  # they have to hold that, too
            yield Copy(sender)
            return
        if kind is Change.RESUME and self._is_apart(voted.last):
            yield from self.complain(self._apart(sender, voted.last))
            return
        if kind is Change.RESUME and self._whole.is_beyond(voted.last):
            return  # it copies, and says so again
        self._voters.add(sender)
        if self._electors(voted.vote) <= self._voters:
            yield from self._decide(now)

    def _decide(self, now: float) -> Iterator[Decision]:
        """The write of the record is the decision; only then does anybody hear of it."""
        assert self._proposal is not None
        configuration = self._proposal.configuration
        others = {*self.configuration.positions, *configuration.positions} - {self.me.position}
        yield from self._adopt(configuration)
        for position in sorted(others):
            yield Send(position, Decided(configuration))
        yield from self._greet(now)

    def _is_apart(self, last: EntryId) -> bool:
        """*one history*: whether a log that ends with ``last`` is no part of this one."""
        return not last.is_beyond(self.own.last) and self.own.id_of(last.seq) != last

    def _apart(self, position: str, last: EntryId) -> str:
        held = self.own.id_of(last.seq)
        has = f" and has {held}" if held is not None else ""
        return (
            f"ALARM: {position} has another history than this node: its log has {last}, "
            f"this one ends with {self.own.last}{has}. They cannot be in one chain"
        )

    def apart(self, position: str, theirs: EntryId) -> Iterator[Report]:
        """The node at ``position`` has an entry in the way of what this log holds."""
        yield from self.complain(self._apart(position, theirs))

    # --- the voter

    def _consider(self, sender: str, proposal: Propose, now: float) -> Iterator[Decision]:
        """Vote, if it is made on the configuration held here and nothing speaks against it."""
        vote, held = proposal.vote, self.record.vote
        if self._older or sender != vote.proposer.position:
            return
        if proposal.base != self.configuration:
            if self.configuration.epoch > proposal.base.epoch:
                yield Send(sender, Decided(self.configuration))
            return
        if held == vote:
            yield from self._send_vote(vote)
            yield from self._copy_for_resume(proposal)
            return
        if held is not None:  # *one vote*
            same_proposer = held.proposer.id == vote.proposer.id
            if not (same_proposer and held.ballot < vote.ballot):
                return
        kind = change(self.configuration, vote.configuration)
        if kind is Change.RESUME and self._is_apart(proposal.last):
            yield from self.complain(self._apart(sender, proposal.last))
            return
        refusal = self._objection(vote, kind, now)
        if refusal and kind is Change.JOIN:
            self._declined = vote
            yield Send(sender, Declined(vote, refusal))
        elif refusal.endswith(UNREACHED) and not self._waits_too_long_for(vote, now):
            return  # in a moment, most likely: the proposal is repeated
        elif refusal:
            yield from self.complain(f"no vote for {vote.configuration}: {refusal}")
        elif kind is Change.JOIN:
            yield from self._seal(vote, now)
        else:
            yield from self._vote(vote)
            yield from self._copy_for_resume(proposal)

    def _copy_for_resume(self, proposal: Propose) -> Iterator[Decision]:
        """A disk may have lost the end of the log; a chain begins again only with whole ones.

        Else those who have the rest could die before they have given it to this node. It comes down
        the chain, as everything does (*prefix*): the resume may be given up, and then a tail that
        held more than its predecessor would commit alone what nobody else may have.
        """
        resume = change(proposal.base, proposal.vote.configuration) is Change.RESUME
        predecessor = self.configuration.predecessor(self.me.position)
        if resume and predecessor is not None and proposal.last.is_beyond(self.own.last):
            yield Copy(predecessor)

    @property
    def resuming(self) -> bool:
        """Whether this node takes part in an attempt to resume the chain."""
        vote = self.record.vote or self._proposal
        return vote is not None and (
            change(self.configuration, vote.configuration) is Change.RESUME
        )

    @property
    def lends_for_resume(self) -> bool:
        """Whether its log may be copied for that: a proposer's not before it is the longest."""
        whole = not self._whole.is_beyond(self.own.last)
        return self.resuming and (self._proposal is None or whole)

    def _vote(self, vote: Vote) -> Iterator[Decision]:
        """From here on this node is *locked*; its own proposal, if any, is never decided."""
        self._proposal = self._sealing = None
        self._tried |= set(self.configuration.lives) - set(vote.configuration.lives)  # *tried*
        yield self._save(vote=vote)
        yield from self._send_vote(vote)

    def _send_vote(self, vote: Vote) -> Iterator[Decision]:
        """*source*: to its proposer, or a later life of that, but to no copy of its disk.

        A copy would say in all innocence that it decided nothing.
        """
        if self._speaks_for(vote.proposer):
            yield Send(vote.proposer.position, Voted(self.me, vote, self.own.last))

    def _speaks_for(self, proposer: Member) -> bool:
        """*source*: whether who is linked at its position is ``proposer``, or a later life."""
        linked = self._presence.link(proposer.position)
        # Without a connection nothing is sent.
        return linked is None or self._whereabouts.is_later_life(proposer, linked)

    def _objection_to_life(self, old: Member, new: Member, now: float) -> str:
        """Why ``new`` cannot take the place of the member ``old`` in a resume."""
        objection = self._whereabouts.objection(old, new)
        if objection or new.life == self.me.life:
            return objection
        unreached = self._whereabouts.unreached(new)
        if unreached:
            return unreached
        if self.status is Status.ACTIVE and not self.evidence.may_exclude(old.life, now):
            return f"{old.position} lives, as seen from here, and needs no other life"
        return ""

    def _waits_too_long_for(self, vote: Vote, now: float) -> bool:
        """Whether a life that was not reached keeps this node from a vote for ``suspect_after``."""
        if self._unreached is None or self._unreached[0] != vote:
            self._unreached = vote, now
        return now - self._unreached[1] > self._timing.suspect_after

    def _objection(self, vote: Vote, kind: Change | None, now: float) -> str:
        """Why this node cannot vote for it; empty if it can."""
        proposed, base = vote.configuration, self.configuration
        if self.me not in proposed.members:
            return "it does not list this life of this node"
        if vote.proposer != proposed.members[0]:
            return "its proposer would not be the head"
        match kind:
            case Change.FOUND:
                if proposed.positions != self.founding:
                    return f"the founding order here is {' '.join(self.founding)}"
            case Change.RESUME:
                for old, new in zip(base.members, proposed.members, strict=True):
                    refusal = "" if new == old else self._objection_to_life(old, new, now)
                    if refusal:
                        return refusal
            case Change.SHRINK:
                if self.status is not Status.ACTIVE:
                    return "this life is no member"
                for member in base.members:  # *own judgement*
                    if member not in proposed.members and not self.evidence.may_exclude(
                        member.life, now
                    ):
                        return f"{member.position} lives, as seen from here"
            case Change.JOIN:
                if self.status is not Status.ACTIVE or base.tail != self.me.position:
                    return "this node is not the tail"
                newcomer = proposed.members[-1]
                if vote == self._declined:
                    return "it was declined already"
                if self.sealed not in (None, newcomer):
                    return "another learner is just being let in"
                if self.sealed is None and newcomer not in self.own.nearby:
                    return f"{newcomer.position} is not near the end of the log"
                # It copies on a connection of its own; as a member it is forwarded to on the link.
                # Whose life the link was greeted by does not matter: that may have ended since.
                if self._presence.link(newcomer.position) is None:
                    return f"{newcomer.position} is not linked: writes would wait for that"
            case None:
                return "it does not follow from the configuration here"
        return ""

    def complain(self, text: str) -> Iterator[Report]:
        """Say it once in a configuration, not with every tick."""
        if text not in self._complaints and len(self._complaints) < MOST_COMPLAINTS:
            self._complaints.add(text)
            yield Report(text, alarm=True)

    # --- the tail that lets a learner in

    def _seal(self, vote: Vote, now: float) -> Iterator[Decision]:
        """Take no more entries until the learner has all; the vote follows (``synced``)."""
        since = now if self._sealing is None else self._sealing.since
        seconds = self._patience.seconds(vote.configuration.tail)
        self._sealing = Sealing(vote, since, seconds)
        yield Seal(self._sealing.learner)

    def _unseal(self, sealing: Sealing, now: float) -> Iterator[Decision]:
        """The learner took too long: the chain goes on without it, and waits longer next time."""
        self._patience.grows(sealing.learner.position)
        self._sealing = None
        self._declined = sealing.vote
        declined = Declined(sealing.vote, sealing.reason, sealing.seconds)
        if sealing.vote.proposer == self.me:
            yield from self._was_declined(declined, now)
        else:
            yield Send(sealing.vote.proposer.position, declined)

    # --- a dead proposer's proposal

    def _complete(self, now: float) -> Iterator[Decision]:
        """Adopt what was voted for, if nobody else can have seen it fail (rule 8).

        The proposer is dead, and died without excluding this node; there is no other voter. So
        either it had decided, and died, or nobody ever will decide otherwise. A resume of three has
        another voter: there, the answer has to be waited for.
        """
        vote = self.record.vote
        if vote is None or self.status is not Status.ACTIVE:
            return
        if not self.evidence.is_clean(vote.proposer.life):
            return
        if self._electors(vote) == {self.me.position}:
            yield Report(f"completing what {vote.proposer.position} proposed before it died")
            yield from self._adopt(vote.configuration)
            yield from self._act(now)

    # --- everybody

    def _learn(self, configuration: Configuration, now: float) -> Iterator[Decision]:
        """*newest*: go on to a configuration that was decided."""
        mine = self.configuration
        if configuration.epoch == mine.epoch and configuration != mine:
            yield from self.complain(
                f"ALARM: epoch {mine.epoch} has two configurations: {mine} and {configuration}"
            )
        if configuration.epoch > mine.epoch:
            if self._was_set_back(configuration):
                self._older = True
                yield from self.complain(
                    f"ALARM: {configuration} has a vote of this node that is not on its disk, "
                    f"which ends with {mine}: was a backup restored? It takes no part"
                )
                return
            yield from self._adopt(configuration)
            yield from self._greet(now)
            yield from self._act(now)

    def _was_set_back(self, configuration: Configuration) -> bool:
        """*not set back*: whether this disk lacks what it must have written."""
        vote = self.record.vote
        voted = vote is not None and vote.configuration == configuration
        return was_set_back(self.me.id, self.configuration, configuration, voted=voted)

    def _notice_older_disk(self, sender: str, pong: Pong) -> Iterator[Decision]:
        """*not set back*: the same of another's disk, for an alarm at both.

        Who is asked after this configuration was decided has voted for it before.
        """
        mine, its = self.configuration, pong.configuration
        voted = pong.voted == mine.epoch
        late = pong.answers == self.me.life and pong.nonce >= self._first_ping
        if late and was_set_back(pong.member.id, its, mine, voted=voted):
            yield from self.complain(
                f"ALARM: {sender} was set back to an older disk: it is a member of {mine}, and has "
                f"neither that nor its vote for it, but {its}"
            )

    def _adopt(self, configuration: Configuration) -> Iterator[Decision]:
        """A configuration was decided.

        Make it durable, and drop what belonged to the one before.
        """
        was_member = self.status in (Status.ACTIVE, Status.WEDGED)
        left_out = set(self.configuration.positions) - set(configuration.positions)
        self._proposal = self._sealing = self._declined = None
        self._voters = set()
        self._tried = set()
        self._complaints = set()
        self._compared = set()
        self._patience, self._declines = Patience(self._timing), {}
        self._unreached = None
        self._older = False
        yield self._save(configuration=configuration)
        self._first_ping = self.evidence.newest_nonce + 1
        self.evidence.forget_all_but({*configuration.lives})
        self.clocks.forget_all_but({*configuration.lives})
        if self.status is not Status.ACTIVE:
            self.evidence.lose_confirmations()
        yield Report(f"{configuration}: {configuration.why}")
        yield from self._note_departures(left_out)
        if was_member and self.status is Status.LEARNER:
            yield Excluded()

    def _note_departures(self, left_out: Iterable[str]) -> Iterator[Decision]:
        """Whoever falls out again and again is not let in again at once."""
        now = self._busy or 0.0
        for position in sorted(left_out):
            self._departures.left(position, now)
            reason = self._departures.reason(position, now)
            if reason and self.status is Status.ACTIVE:
                yield Report(f"{position} {reason}")
