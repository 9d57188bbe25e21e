"""Membership: how one configuration follows another.

A node that starts is not part of the chain, whatever its disk says: another life of it was. The
first configuration is *founded* when every founding position has been seen, and after a restart the
chain is *resumed* when every member is back. Both are one
procedure: the head of the configuration (at the founding: the first founding position) proposes the
members' present lives, every one of them votes, durably, and the proposer's own durable write of
the new configuration is the decision.

The inputs are generators of effects. Each effect is carried out completely before the next one is
asked for, so a record is on disk (``Save``) before any message that depends on it is sent.

Invariants, named in comments where they are kept:

- *one vote*: a node holds at most one vote for the next epoch, and keeps it over a restart.
- *locked*: a node that holds a vote takes no part in the chain until it learns what became of it.
- *all vote*: a configuration is decided only with the vote of every member of it that was a member
  before.
- *newest*: a node never goes back to an older configuration.
"""

from collections.abc import Iterable, Iterator
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.messages import (
    Abort,
    Decided,
    EntryId,
    Ping,
    Pong,
    Propose,
    Vote,
    Voted,
)
from chainchat.chain.replica import Send

PINGS_PER_SUSPICION = 10
"""A node pings every tenth of ``suspect-after``."""


class Status(Enum):
    """What a node's own life is to the newest configuration it knows."""

    FOUNDING = "founding"
    """There is no configuration yet."""
    ACTIVE = "active"
    """This life is a member."""
    WEDGED = "wedged"
    """An earlier life of this node is a member: the chain has to be resumed."""
    LEARNER = "learner"
    """This node is no member."""


class Record(Struct, frozen=True):
    """What a node's disk keeps of membership; replaced as a whole.

    Attributes:
        id: of the data; made once for an empty disk.
        incarnation: of the present life.
        founding: positions in the order of the founding, empty before it.
        configuration: the newest one known.
        vote: the vote held for the next epoch.
    """

    id: str
    incarnation: int
    founding: tuple[str, ...] = ()
    configuration: Configuration = field(default_factory=Configuration)
    vote: Vote | None = None


class Save(Struct, frozen=True):
    """Write the record; on disk before the next effect."""

    record: Record


class Report(Struct, frozen=True):
    """Tell the operator."""

    text: str


Effect = Save | Send | Report


class Peer(Struct):
    """What is known of another node.

    Attributes:
        heard: when anything came from it, monotonic seconds; None if never.
        pong: the newest answer of its present life; None if there is none yet.
    """

    heard: float | None = None
    pong: Pong | None = None


class Membership:
    """The membership state of one life of one node.

    Attributes:
        me: this life.
        record: as it is on disk.
        founding: positions in founding order, as ``chain.ini`` or the record has them.
    """

    def __init__(
        self,
        me: Member,
        record: Record,
        founding: tuple[str, ...],
        *,
        suspect_after: float,
    ) -> None:
        """The state of a life that begins.

        Args:
            me: this life; its incarnation is in ``record`` and on disk already.
            record: from disk.
            founding: positions in the order of the founding.
            suspect_after: seconds of silence before a node is suspected.
        """
        assert me.life == (record.id, record.incarnation)
        self.me = me
        self.record = record
        self.founding = record.founding or founding
        self.last = EntryId()
        self.committed = 0
        self._suspect_after = suspect_after
        self._peers: dict[str, Peer] = {}
        self._proposal: Vote | None = None
        self._voters: dict[str, Voted] = {}
        self._ballots = 0
        self._nonce = 0
        self._complaint = ""

    # --- what it comes to

    @property
    def configuration(self) -> Configuration:
        """The newest configuration known here."""
        return self.record.configuration

    @property
    def status(self) -> Status:
        """What this life is to it."""
        if not self.configuration.members:
            return Status.FOUNDING
        if self.configuration.has(self.me.life):
            return Status.ACTIVE
        if self.configuration.has_node(self.me.id):
            return Status.WEDGED
        return Status.LEARNER

    @property
    def active(self) -> bool:
        """Whether this node takes part in the chain now: a member, and not *locked*."""
        return self.status is Status.ACTIVE and self.record.vote is None

    def silent(self, now: float) -> tuple[str, ...]:
        """Positions of the chain (or of the founding) not heard for ``suspect_after`` seconds."""
        return tuple(
            position
            for position in self.configuration.positions or self.founding
            if position != self.me.position and not self._heard(position, now)
        )

    def _heard(self, position: str, now: float) -> bool:
        peer = self._peers.get(position)
        return (
            peer is not None and peer.heard is not None and now - peer.heard < self._suspect_after
        )

    # --- inputs

    def tick(self, now: float) -> Iterator[Effect]:
        """Every tenth of ``suspect_after``: ping everybody, repeat what may have got lost."""
        for position in self._others():
            self._nonce += 1
            yield Send(position, Ping(self.me, self._nonce, self.configuration.epoch))
        vote = self.record.vote
        if vote is not None and vote.proposer.position != self.me.position:
            yield Send(vote.proposer.position, Voted(self.me, vote, self.last))
        yield from self._propose(now)

    def linked(self, position: str) -> Iterator[Effect]:
        """A connection with ``position`` is there: ask at once, do not wait for the tick."""
        self._peers.setdefault(position, Peer())
        self._nonce += 1
        yield Send(position, Ping(self.me, self._nonce, self.configuration.epoch))

    def receive(
        self, sender: str, message: Ping | Pong | Propose | Voted | Decided | Abort, now: float
    ) -> Iterator[Effect]:
        """Take a message in.

        Args:
            sender: position of the node at the other end of the connection.
            message: what it said.
            now: monotonic seconds.
        """
        peer = self._peers.setdefault(sender, Peer())
        peer.heard = now
        match message:
            case Ping():
                yield Send(sender, self._pong(message.nonce))
            case Pong():
                peer.pong = message
                yield from self._learn(message.configuration)
                yield from self._propose(now)
            case Propose():
                yield from self._consider(sender, message)
            case Voted():
                yield from self._count(sender, message)
            case Decided():
                yield from self._learn(message.configuration)
            case Abort():
                if self.record.vote == message.vote:
                    yield self._save(vote=None)

    def _pong(self, nonce: int) -> Pong:
        return Pong(self.me, nonce, self.configuration, self.record.vote, self.last, self.committed)

    def _others(self) -> Iterable[str]:
        """Everybody to be asked: founding positions, members, and whoever has called."""
        positions = dict.fromkeys((*self.founding, *self.configuration.positions, *self._peers))
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

    def _propose(self, now: float) -> Iterator[Effect]:
        """Found or resume the chain, if that is this node's to do and everybody is there."""
        members = self._present_members(now)
        if members is None:
            self._proposal = None
            return
        if self._proposal is None or self._proposal.configuration.members != members:
            self._ballots += 1
            self._voters = {}
            self._proposal = Vote(
                self.configuration.with_members(members),
                self.me,
                (self.me.incarnation, self._ballots),
            )
        if len(members) == 1:
            yield from self._decide()
            return
        for position in self._proposal.configuration.positions:
            if position != self.me.position and position not in self._voters:
                yield Send(position, Propose(self.configuration, self._proposal))

    def _present_members(self, now: float) -> tuple[Member, ...] | None:
        """The members of the next configuration, if it is to be proposed here and now."""
        configuration = self.configuration
        if self.record.vote is not None or self.status is Status.LEARNER:
            return None
        positions = configuration.positions or self.founding
        if positions[0] != self.me.position:
            return None
        present = [self._present_life(position, now) for position in positions]
        if None in present:
            return None
        members = tuple(member for member in present if member is not None)
        changed = [member.life for member in members] != [m.life for m in configuration.members]
        return members if changed else None

    def _present_life(self, position: str, now: float) -> Member | None:
        """The life now at ``position``, if it can be a member of the next configuration."""
        if position == self.me.position:
            return self.me
        peer = self._peers.get(position)
        if peer is None or peer.pong is None or not self._heard(position, now):
            return None
        pong = peer.pong
        if pong.configuration != self.configuration:
            return None
        old = self.configuration.member(position)
        if old is not None and pong.member.id != old.id:
            return None  # another disk: it has nothing to resume from
        return pong.member

    def _count(self, sender: str, voted: Voted) -> Iterator[Effect]:
        """A vote came in; *all vote*: with the last one the proposal is decided."""
        if voted.vote != self._proposal:
            # Whoever holds a vote waits for an answer, also from a life that knows nothing of it.
            if self.configuration.epoch >= voted.vote.configuration.epoch:
                yield Send(sender, Decided(self.configuration))
            elif voted.vote.proposer.id == self.me.id:
                yield Send(sender, Abort(voted.vote))
            return
        if voted.voter not in voted.vote.configuration.members:
            return
        if voted.last > self.last:
            complaint = (
                f"{sender} holds entry {voted.last.seq} of epoch {voted.last.epoch}, beyond "
                f"this log's end ({self.last.seq} of epoch {self.last.epoch}): not resuming"
            )
            yield from self._complain(complaint)
            return
        self._voters[sender] = voted
        others = {p for p in voted.vote.configuration.positions if p != self.me.position}
        if others <= self._voters.keys():
            yield from self._decide()

    def _decide(self) -> Iterator[Effect]:
        """The write of the record is the decision; only then does anybody hear of it."""
        assert self._proposal is not None
        configuration = self._proposal.configuration
        founded = not self.configuration.members
        self._proposal = None
        yield self._save(configuration=configuration)
        yield Report(f"{'founded' if founded else 'resumed'}: {configuration}")
        for position in configuration.positions:
            if position != self.me.position:
                yield Send(position, Decided(configuration))

    # --- the voter

    def _consider(self, sender: str, proposal: Propose) -> Iterator[Effect]:
        """Vote, if the proposal is made on the configuration held here and lists this very life."""
        vote, held = proposal.vote, self.record.vote
        if proposal.base != self.configuration:
            if self.configuration.epoch > proposal.base.epoch:
                yield Send(sender, Decided(self.configuration))
            return
        refusal = self._objection(vote)
        if refusal:
            yield from self._complain(f"no vote for {vote.configuration}: {refusal}")
            return
        if held is not None and held != vote:  # *one vote*
            same_proposer = held.proposer.id == vote.proposer.id
            if not (same_proposer and held.ballot < vote.ballot):
                return
        if held != vote:
            self._proposal = None
            yield self._save(vote=vote)
        yield Send(sender, Voted(self.me, vote, self.last))

    def _objection(self, vote: Vote) -> str:
        """Why this node cannot vote for it; empty if it can."""
        proposed = vote.configuration
        if self.me not in proposed.members:
            return "it lists another life of this node"
        if proposed.epoch != self.configuration.epoch + 1:
            return "it is not the next epoch"
        positions = self.configuration.positions or self.founding
        if proposed.positions != positions:
            return f"its order is {' '.join(proposed.positions)}, here it is {' '.join(positions)}"
        for old in self.configuration.members:
            new = proposed.member(old.position)
            assert new is not None
            if new.id != old.id:
                return f"{old.position} has another disk"
            if new.incarnation < old.incarnation:
                return f"{old.position} has gone back to an older life; was a backup restored?"
        return ""

    def _complain(self, text: str) -> Iterator[Effect]:
        """Say it once, not with every tick."""
        if text != self._complaint:
            self._complaint = text
            yield Report(text)

    # --- everybody

    def _learn(self, configuration: Configuration) -> Iterator[Effect]:
        """*newest*: go on to a configuration that was decided."""
        if configuration.epoch <= self.configuration.epoch:
            return
        self._proposal = None
        yield self._save(configuration=configuration)
        yield Report(f"learned: {configuration}; this node is {self.status.value}")
