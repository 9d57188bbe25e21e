"""The membership state of one life of a node, and what follows from it."""

from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Life, Member
from chainchat.chain.effects import Distrust, Excluded, Save, Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.changes import Change, change
from chainchat.chain.membership.clocks import Clocks
from chainchat.chain.membership.departures import Departures
from chainchat.chain.membership.evidence import Evidence
from chainchat.chain.membership.presence import Presence
from chainchat.chain.membership.seals import Patience, Sealing
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.membership.whereabouts import Whereabouts
from chainchat.chain.messages import Vote
from chainchat.chain.record import Record, Status
from chainchat.chain.timing import Timing

MOST_COMPLAINTS = 64


class Seal(Struct, frozen=True):
    """At the tail: take no entries, and send this learner the rest."""

    learner: Member


class Copy(Struct, frozen=True):
    """Copy the log's missing end, before the chain is resumed."""

    source: str


Output = Save | Send | Tell | Excluded | Distrust | Seal | Copy


class LogView(Protocol):
    """This node's log as membership sees it; ``last``, ``beginning``, ``id_of`` as in ``Log``."""

    @property
    def last(self) -> EntryId: ...

    @property
    def committed(self) -> EntryId: ...

    @property
    def beginning(self) -> EntryId: ...

    def id_of(self, seq: int) -> EntryId | None: ...

    @property
    def caught_up(self) -> bool:
        """Whether a learner lacks only the newest entries."""

    @property
    def progress(self) -> str:
        """How far a learner has come, for operators; empty if it copies nothing."""

    @property
    def nearby(self) -> frozenset[Member]:
        """At the tail: the learners that lack only the newest entries."""

    @property
    def low(self) -> bool: ...


class State:
    """The state; ``founding`` has the positions in founding order."""

    def __init__(
        self,
        me: Member,
        record: Record,
        settings: ChainSettings,
        own_log: LogView,
        *,
        wall: Callable[[], int] = lambda: 0,
        first_nonce: int = 0,
        new_identity: Callable[[], int] = lambda: 0,
    ) -> None:
        """Begin a life that is on disk already; for the last three see ``Surroundings``."""
        assert me.life == (record.id, record.incarnation)
        self.me = me
        self.record = record
        self.founding = record.founding or settings.founding
        self.own_log = own_log
        self._timing = Timing(settings.suspect_after)
        self.evidence = Evidence(
            self._timing,
            first_nonce=first_nonce,
            refusal_is_death=settings.refusal_is_death,
        )
        self.clocks = Clocks()
        self._known = settings.known
        self._wall = wall
        self._new_identity = new_identity
        self._presence = Presence(self._timing)
        self._whereabouts = Whereabouts(settings.places)
        self._departures = Departures(settings.longest_pause, settings.free_departures)
        self._complaints: set[str] = set()
        self._begin_roles()

    def _begin_roles(self) -> None:
        """Begin with what each module remembers, in the order of ``membership``."""
        # histories
        self._compared: set[tuple[str, Life]] = set()
        self._set_back = False  # *not set back*
        self._first_ping = self.evidence.newest_nonce + 1

        # pinging
        self._began: float | None = None  # when the first tick came
        self._busy: float | None = None  # when the newest input came
        self._doubts = ""
        self._clock_told = False  # the operator knows that this machine's clock is odd
        self._lives: list[Life] = []
        self._lives_of: Configuration | None = None
        self._tried: set[Life] = set()  # *tried*

        # joining
        self._sealing: Sealing | None = None
        self._declined: Vote | None = None
        self._patience = Patience(self._timing)
        self._may_join_at = 0.0  # when a join may be proposed again
        self._turned_down: Member | None = None
        """Its join failed last: others go first."""
        self._declines: dict[str, str] = {}
        """By position, why a learner was not let in."""

        # voting
        self._not_yet: tuple[Vote, float] | None = None
        """A vote to which what is objected may soon be over, and since when."""

        # proposing
        self._proposal: Vote | None = None
        self._proposed_at = 0.0
        self._ballots = 0
        self._voters: set[str] = set()
        self._whole = EntryId()
        """As proposer of a resume: the last entry that anybody can have heard of."""

    # --- what follows from it

    @property
    def configuration(self) -> Configuration:
        return self.record.configuration

    @property
    def status(self) -> Status:
        return self.record.status(self.me.life)

    @property
    def active(self) -> bool:
        """Whether this is a member that is neither *locked* nor sealed.

        A head that proposes a resume writes nothing: the others must hold its log's last entry.
        """
        locked = self.record.vote is not None or self.resuming
        return self.status is Status.ACTIVE and not locked and self.sealed is None

    @property
    def sealed(self) -> Member | None:
        return None if self._sealing is None else self._sealing.learner

    @property
    def resuming(self) -> bool:
        vote = self.record.vote or self._proposal
        return vote is not None and (
            change(self.configuration, vote.configuration) is Change.RESUME
        )

    @property
    def lends_for_resume(self) -> bool:
        """Whether others may copy this log: a resume's proposer needs the longest first."""
        whole = not self._whole.is_beyond(self.own_log.last)
        return self.resuming and (self._proposal is None or whole)

    def silent(self, now: float) -> tuple[str, ...]:
        """Return positions of the chain (or founding) not heard for ``suspect_after`` seconds."""
        if self.status is Status.ACTIVE:
            others = [m for m in self.configuration.members if m.life != self.me.life]
            return tuple(m.position for m in others if self.evidence.is_silent(m.life, now))
        return tuple(
            position
            for position in self.configuration.positions or self.founding
            if position != self.me.position and not self._presence.is_heard(position, now)
        )

    def silences(self, now: float) -> dict[str, float]:
        return self._presence.silences(now)

    @property
    def needed(self) -> frozenset[str]:
        """The positions without which nothing said here is confirmed."""
        configuration, me = self.configuration, self.me.position
        if not configuration.has(self.me.life):
            return frozenset(configuration.positions)
        neighbours = configuration.predecessor(me), configuration.successor(me)
        return frozenset(p for p in (configuration.head, *neighbours) if p not in (None, me))

    @property
    def set_back(self) -> bool:
        """*not set back*: whether the chain has a vote that this disk lacks."""
        return self._set_back

    def learners(self, now: float) -> dict[str, str]:
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
        told = {p: pong.member for p, pong in self._presence.pongs(now).items() if pong.low}
        if self.own_log.low:
            told[self.me.position] = self.me
        members = self.configuration.members if self.status is Status.ACTIVE else ()
        return tuple(m.position for m in members if m == told.get(m.position))

    def is_other_chain(self, position: str) -> bool:
        pong, mine = self._presence.pong(position), self.configuration
        if pong is None or pong.configuration.epoch != mine.epoch:
            return False
        return pong.configuration != mine

    # --- what every role does

    def _save(
        self, *, configuration: Configuration | None = None, vote: Vote | None = None
    ) -> Save:
        if configuration is not None:
            followed = self.record.followed_by(configuration)
            self.record = replace(followed, founding=self.founding, vote=vote)
        else:
            self.record = replace(self.record, vote=vote)
        return Save(self.record)

    def complain(self, text: str) -> Iterator[Tell]:
        """Tell the operator, once in a configuration."""
        if text not in self._complaints and len(self._complaints) < MOST_COMPLAINTS:
            self._complaints.add(text)
            yield Tell(text, alarm=True)
