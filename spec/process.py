"""One process: the product's ``Membership``, with the least that it needs around it.

The log, the forwarding of entries and the copying of logs are stand-ins of a few lines, which take
a whole log at once. Where power may be lost, entries that are written or taken are synced when the
next input comes, and the product's ``Replica.word`` says up to where all disks have them.

Each process has a clock of its own, which moves only when ``suspect_after`` passes, as a whole: a
moment is now, or at least ``suspect_after`` ago.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, cast

from msgspec import Struct
from msgspec.structs import replace

from chainchat.chain import engine
from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Excluded, Save, Send
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.membership import Copy
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import ClockReading, Ping, Pong
from chainchat.chain.record import Record, Status

SUSPECT_AFTER = 10.0
STEPS = 5
"""In which ``suspect_after`` passes, so that nobody takes it for a pause of its own."""

Entries = tuple[EntryId, ...]


class HarmError(AssertionError):
    """An invariant does not hold."""


class Disk(Struct, frozen=True):
    """What outlives a process."""

    record: Record
    entries: Entries


class Adopted(Struct, frozen=True):
    """What a process says to the world: this configuration is on its disk."""

    configuration: Configuration


class Told(Struct, frozen=True):
    """What a tail says to the world: it acknowledges these, so clients may know of them."""

    entries: Entries


class Log:
    """Stands in for the log.

    Attributes:
        synced: how many of the entries are on the disk.
        word: how many the disks before have, as the predecessor says.
    """

    progress = ""
    low = False
    committed = EntryId()
    beginning = EntryId()

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.synced = len(entries)
        self.word = 0
        self.caught_up = False
        self.nearby: frozenset[Member] = frozenset()

    @property
    def last(self) -> EntryId:
        """The last entry."""
        return self.entries[-1] if self.entries else EntryId()

    def id_of(self, seq: int) -> EntryId | None:
        """The entry ``seq``."""
        if not seq:
            return EntryId()
        return self.entries[seq - 1] if seq <= len(self.entries) else None


@lru_cache(None)
def next_entry(last: EntryId, configuration: Configuration, what: str) -> EntryId:
    """The entry that a head writes after ``last``."""
    content = f"{last.digest.hex()} {configuration.epoch} {configuration.identity} {what}"
    digest = blake2b(content.encode(), digest_size=16).digest()
    return EntryId(configuration.epoch, last.seq + 1, digest)


def is_prefix(short: Entries, long: Entries) -> bool:
    """True if one log is the beginning of another."""
    return long[: len(short)] == short


class Marks(Struct, frozen=True):
    """Stands in for the replica, as far as ``Replica.word`` asks."""

    synced: int
    _synced_before: int
    _is_head: bool
    _is_tail: bool


class Facts(NamedTuple):
    """What the search asks of a process.

    Attributes:
        status: what the life is to that.
        active: it takes part in the chain.
        holds: the same, as a set.
        synced: of these, what is on the disk.
        word: how many its disk and all before it have.
        answers: it is a tail that answers reads by its lease.
        lends: a learner may copy from it (``Engine._may_lend``).
        lends_for_resume: the same, for a member before a resume.
        sealed: the learner for which it is sealed.
    """

    me: Member
    held: Configuration
    status: Status
    active: bool
    entries: Entries
    holds: frozenset[EntryId]
    synced: frozenset[EntryId]
    word: int
    answers: bool
    lends: bool
    lends_for_resume: bool
    sealed: Member | None


class Process:
    """One life. Each public method that yields is an input."""

    def __init__(
        self,
        me: Member,
        disk: Disk,
        founding: tuple[str, ...],
        *,
        identity: int,
        refusal_is_death: bool,
        powerless: bool,
    ) -> None:
        """``powerless``: power may be lost."""
        self.now = 1000.0
        self.powerless = powerless
        self.log = Log(disk.entries)
        self.membership = engine.Membership(  # by that name, so that a planted bug takes its place
            me,
            replace(disk.record, incarnation=me.incarnation),
            ChainSettings(
                founding, SUSPECT_AFTER, longest_pause=0.0, refusal_is_death=refusal_is_death
            ),
            self.log,
            new_identity=lambda: identity,
        )

    @property
    def disk(self) -> Disk:
        """What is on its disk now."""
        return Disk(self.membership.record, self.log.entries)

    @property
    def _opened(self) -> bool:
        return self.log.last.epoch == self.membership.configuration.epoch

    def facts(self) -> Facts:
        """What the search asks of this state."""
        membership = self.membership
        held, me, status = membership.configuration, membership.me, membership.status
        at_tail = held.members != () and held.tail == me.position and self._opened
        lease = at_tail and membership.holds_lease(self.now)
        free = not membership.record.vote and not membership.resuming
        return Facts(
            me,
            held,
            status,
            membership.active,
            self.log.entries,
            frozenset(self.log.entries),
            frozenset(self.log.entries[: self.log.synced]),
            self._word,
            lease and status is Status.ACTIVE and membership.sealed is None,
            at_tail and free and (lease or not membership.evidence.refusal_is_death),
            membership.lends_for_resume,
            membership.sealed,
        )

    @property
    def _word(self) -> int:
        """By the product's rule, up to where this disk and all before it have the log."""
        configuration, me = self.membership.configuration, self.membership.me.position
        if not configuration.members or not self.powerless:
            return len(self.log.entries)
        head, tail = configuration.head == me, configuration.tail == me
        marks = Marks(self.log.synced, self.log.word, head, tail)
        word: int = cast(Any, engine.Replica.word).fget(marks)
        return word

    # --- inputs

    def run(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Carry out an input; gives what it says to the world, in order."""
        said: list[Any] = []
        self.log.synced = len(self.log.entries)
        for effect in getattr(self, name)(*arguments):
            match effect:
                case Save(record) if record.configuration.members:
                    said.append(Adopted(record.configuration))
                    self.log.nearby, self.log.caught_up = frozenset(), False
                    self.log.word = 0
                case Send(_, Ping()):
                    pass  # the search decides who hears whom, see ``Draft.ask``
                case Send() | Copy() | Excluded():
                    said.append(effect)
        self._sync_at_once()
        said += self._follow()
        self._forget()
        return tuple(dict.fromkeys(said))

    def _forget(self) -> None:
        """Forget answers that nobody will ask for any more: only the head asks, in its epoch."""
        held, presence = self.membership.configuration, self.membership._presence
        head = not held.members or held.head == self.membership.me.position
        presence._pongs = {
            position: pong
            for position, pong in presence._pongs.items()
            if head and pong.configuration == held
        }

    def _follow(self) -> Iterable[Told]:
        """What head and tail do at once: open the epoch, and acknowledge."""
        configuration, me = self.membership.configuration, self.membership.me.position
        if not self.membership.active or not configuration.members:
            return
        if configuration.head == me and not self._opened:
            self.log.entries += (next_entry(self.log.last, configuration, "opening"),)
            self._sync_at_once()
        if configuration.tail == me and self._opened:
            yield Told(self.log.entries[: min(self.log.synced, self._word)])

    def _sync_at_once(self) -> None:
        if not self.powerless:
            self.log.synced = len(self.log.entries)

    def sync(self) -> Iterable[Any]:
        """The sync is complete that each input begins with."""
        return ()

    def tick(self) -> Iterable[Any]:
        """A tenth of ``suspect_after`` is over."""
        return self.membership.tick(self.now)

    def passes(self, pings: tuple[Ping, ...], pongs: tuple[Pong, ...]) -> Iterable[Any]:
        """``suspect_after`` passes, in which these are heard again and again, also at its end."""
        for count in range(1, STEPS + 1):
            self.now += SUSPECT_AFTER / STEPS
            if count < STEPS:
                yield from self.membership.tick(self.now)
            for ping in pings if count % 2 else ():
                yield from self.asked(ping)
            for pong in pongs if count % 2 else ():
                yield from self.answered(pong, 0.0)

    def linked(self, other: Member) -> Iterable[Any]:
        """A connection is there."""
        self._begin_word_anew(other.position)
        return self.membership.linked(other.position, other, self.now)

    def unlinked(self, position: str) -> Iterable[Any]:
        """A connection ended."""
        self._begin_word_anew(position)
        self.membership.unlinked(position)
        return ()

    def _begin_word_anew(self, position: str) -> None:
        configuration, me = self.membership.configuration, self.membership.me.position
        if configuration.members and position == configuration.predecessor(me):
            self.log.word = 0

    def reached(self, other: Member) -> Iterable[Any]:
        """``other`` answered at its address."""
        return self.membership.reached(other.position, other.address, other, self.now)

    def refused(self, other: Member) -> Iterable[Any]:
        """The address of ``other`` refuses."""
        return self.membership.refused(other.position, *other.address, self.now)

    def asked(self, ping: Ping) -> Iterable[Any]:
        """A Ping comes; the answer has neither nonce nor clocks."""
        for effect in self.membership.receive(ping.member.position, ping, self.now):
            if isinstance(effect, Send) and isinstance(effect.message, Pong):
                yield Send(effect.to, replace(effect.message, clocks=ClockReading()))
            else:
                yield effect

    def answered(self, pong: Pong, age: float) -> Iterable[Any]:
        """The answer to a Ping that was sent ``age`` seconds ago."""
        answer = replace(pong, nonce=self.membership.evidence.next_ping(self.now - age))
        return self.membership.receive(pong.member.position, answer, self.now)

    def receive(self, sender: str, message: Any) -> Iterable[Any]:
        """A message comes."""
        return self.membership.receive(sender, message, self.now)

    def write(self) -> Iterable[Any]:
        """Head: a client's request."""
        entry = next_entry(self.log.last, self.membership.configuration, "said")
        self.log.entries += (entry,)
        return ()

    def take(self, entries: Entries, word: int) -> Iterable[Any]:
        """Member: the predecessor forwards what this log lacks, and gives its word."""
        self.log.word = max(self.log.word, word) if self.powerless else 0
        if is_prefix(self.log.entries, entries):
            self.log.entries = entries
        elif not is_prefix(entries, self.log.entries):
            raise HarmError("a successor's log is no prefix of its predecessor's")
        return ()

    def copy(self, entries: Entries) -> Iterable[Any]:
        """Learner: the log is the tail's now."""
        self.log.entries, self.log.caught_up = entries, True
        self.log.synced = len(entries)
        return ()

    def lend(self, learner: Member) -> Iterable[Any]:
        """Tail: a learner has copied all; if this tail is sealed for it, it may vote."""
        self.log.nearby |= {learner}
        return self.membership.synced(learner, self.log.last, self.now)

    def copy_for_resume(self, entries: Entries) -> Iterable[Any]:
        """Take what another's log has beyond this one, before a resume."""
        if is_prefix(self.log.entries, entries):
            self.log.entries = entries
            self.log.synced = len(entries)
        return ()
