"""State of one process: the product's ``Membership``, with the least that it needs around it.

The log, the forwarding of entries and the copying of logs are stand-ins of a few lines: a Forward
carries the whole log, and a learner has copied all or nothing. What ``Membership`` decides is real.

Time is each process's own. Everybody's goes on by ``suspect_after`` in one action, so only what
that changes can be told apart: what is fresh, what is neither fresh nor silent, what is silent.
"""

from collections import deque
from collections.abc import Iterable
from copy import copy
from functools import lru_cache
from hashlib import blake2b
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from chainchat.chain import engine
from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Excluded, Save, Send
from chainchat.chain.membership.membership import Copy, Seal
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import ClockReading, EntryId, Ping, Pong
from chainchat.chain.record import Record, Status
from chainchat.chain.timing import FRESH

SUSPECT_AFTER = 10.0
STEPS = 5
"""In which ``suspect_after`` passes: between two, a process may be busy."""


class HarmError(AssertionError):
    """An invariant does not hold."""


class Forward(Struct, frozen=True):
    """Predecessor to successor: my whole log."""

    configuration: Configuration
    entries: tuple[EntryId, ...]


class Copied(Struct, frozen=True):
    """A sealed tail to its learner: my whole log."""

    configuration: Configuration
    entries: tuple[EntryId, ...]


class Synced(Struct, frozen=True):
    """The learner's answer: it is on my disk."""

    learner: Member
    last: EntryId


class Disk(Struct, frozen=True):
    """What outlives a process."""

    record: Record
    entries: tuple[EntryId, ...]


# --- what a process says to the world


class Adopted(Struct, frozen=True):
    """A configuration is on this disk."""

    configuration: Configuration


class Told(Struct, frozen=True):
    """A tail acknowledges these: clients may know of them."""

    entries: tuple[EntryId, ...]


class Log:
    """Stands in for the log."""

    def __init__(self, entries: tuple[EntryId, ...]) -> None:
        self.entries = entries
        self.caught_up = False
        self.nearby: frozenset[Member] = frozenset()

    progress = ""
    low = False
    committed = EntryId()

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


def is_prefix(short: tuple[EntryId, ...], long: tuple[EntryId, ...]) -> bool:
    """Whether one log is the beginning of another."""
    return long[: len(short)] == short


class Process:
    """One life. Each public method is an input, and gives what follows from it for the world."""

    def __init__(
        self, me: Member, disk: Disk, founding: tuple[str, ...], *, identity: int, **options: Any
    ) -> None:
        self.now = 1000.0
        self.log = Log(disk.entries)
        self.membership = engine.Membership(  # by that name, so that a planted bug takes its place
            me,
            replace(disk.record, incarnation=me.incarnation),
            ChainSettings(founding, SUSPECT_AFTER, longest_pause=0.0, **options),
            self.log,
            new_identity=lambda: identity,
        )

    @property
    def disk(self) -> Disk:
        """What is on its disk now."""
        return Disk(self.membership.record, self.log.entries)

    @property
    def opened(self) -> bool:
        """Whether the log holds an entry of this epoch."""
        return self.log.last.epoch == self.membership.configuration.epoch

    # --- inputs

    def run(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Carry out an input; gives what it says to the world, in order."""
        said: list[Any] = []
        for effect in getattr(self, name)(*arguments):
            match effect:
                case Save(record) if record.configuration.members:
                    said.append(Adopted(record.configuration))
                    if self.log.nearby or self.log.caught_up:
                        self.log.nearby, self.log.caught_up = frozenset(), False
                case Send(_, Ping()):
                    pass  # the search decides who hears whom, see ``Draft.ask``
                case Send():
                    said.append(effect)
                case Seal(learner):
                    copied = Copied(self.membership.configuration, self.log.entries)
                    said.append(Send(learner.position, copied))  # type: ignore[arg-type]
                case Copy() | Excluded():
                    said.append(effect)
        said += self._follow()
        return tuple(dict.fromkeys(said))

    def _follow(self) -> Iterable[Any]:
        """What head and tail do at once: open the epoch, and acknowledge."""
        configuration, me = self.membership.configuration, self.membership.me.position
        if not self.membership.active:
            return
        if configuration.head == me and not self.opened:
            self.log.entries += (next_entry(self.log.last, configuration, "opening"),)
        if configuration.tail == me and self.opened:
            yield Told(self.log.entries)

    def tick(self) -> Iterable[Any]:
        """A tenth of ``suspect_after`` is over."""
        return self.membership.tick(self.now)

    def passes(self, pings: tuple[Ping, ...], pongs: tuple[Pong, ...]) -> Iterable[Any]:
        """``suspect_after`` passes, in which these are heard again and again."""
        for count in range(STEPS):
            self.now += SUSPECT_AFTER / STEPS
            if count < STEPS - 1:
                yield from self.membership.tick(self.now)
            for ping in pings if count % 2 else ():
                yield from self.asked(ping)
            for pong in pongs if count % 2 else ():
                yield from self.answered(pong, 0.0)

    def linked(self, other: Member) -> Iterable[Any]:
        """A connection is there."""
        return self.membership.linked(other.position, other, self.now)

    def unlinked(self, position: str) -> Iterable[Any]:
        """A connection ended."""
        self.membership.unlinked(position)
        return ()

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
                pong = replace(effect.message, clocks=ClockReading())
                yield Send(effect.to, pong)
            else:
                yield effect

    def answered(self, pong: Pong, age: float) -> Iterable[Any]:
        """The answer to a Ping that was sent ``age`` seconds ago."""
        nonce = self.membership.evidence.next_ping(self.now - age)
        answer = replace(pong, nonce=nonce)
        yield from self.membership.receive(pong.member.position, answer, self.now)

    def receive(self, sender: str, message: Any) -> Iterable[Any]:
        """A message comes."""
        held = self.membership.configuration
        match message:
            case Forward(configuration, entries):
                if self.membership.active and configuration == held:
                    self._take(entries)
            case Copied(configuration, entries):
                me = self.membership.me
                if self.membership.status is Status.LEARNER and configuration == held:
                    self.log.entries = entries
                    yield Send(sender, Synced(me, self.log.last))  # type: ignore[arg-type]
            case Synced(learner, last):
                yield from self.membership.synced(learner, last, self.now)
            case _:
                yield from self.membership.receive(sender, message, self.now)

    def _take(self, entries: tuple[EntryId, ...]) -> None:
        if is_prefix(self.log.entries, entries):
            self.log.entries = entries
        elif not is_prefix(entries, self.log.entries):
            raise HarmError("a successor's log is no prefix of its predecessor's")

    def write(self, what: str) -> Iterable[Any]:
        """Head: a client's request."""
        entry = next_entry(self.log.last, self.membership.configuration, what)
        self.log.entries += (entry,)
        return ()

    def lend(self, learner: Member) -> Iterable[Any]:
        """Tail: a learner has copied all."""
        self.log.nearby |= {learner}
        return ()

    def copy(self, entries: tuple[EntryId, ...]) -> Iterable[Any]:
        """Learner: the log is the tail's now."""
        self.log.entries, self.log.caught_up = entries, True
        return ()

    def copy_for_resume(self, entries: tuple[EntryId, ...]) -> Iterable[Any]:
        """Before a resume: take what another's log has beyond this one."""
        if is_prefix(self.log.entries, entries):
            self.log.entries = entries
        return ()

    # --- what the search asks

    def facts(self) -> "Facts":
        """What the search asks of this state, looked at once."""
        membership = self.membership
        held, me, status = membership.configuration, membership.me, membership.status
        at_tail = held.tail == me.position and self.opened
        lease = at_tail and membership.holds_lease(self.now)
        free = not membership.record.vote and not membership.resuming
        lends = at_tail and free and (lease or not membership.evidence.refusal_is_death)
        answers = lease and status is Status.ACTIVE and membership.sealed is None
        entries = self.log.entries
        return Facts(
            me, held, status, membership.active, entries, frozenset(entries), answers, lends
        )


class Facts(NamedTuple):
    """What the search asks of a process.

    Attributes:
        me: its life.
        held: its configuration.
        status: what the life is to that.
        active: whether it takes part in the chain.
        entries: its log.
        holds: the same, as a set.
        answers: whether it is a tail that answers reads by its lease.
        lends: whether a learner may copy from it (``Engine._may_lend``).
    """

    me: Member
    held: Configuration
    status: Status
    active: bool
    entries: tuple[EntryId, ...]
    holds: frozenset[EntryId]
    answers: bool
    lends: bool


# --- copies and names of states

IGNORED = frozenset(
    (
        "_nonce",
        "_pings",
        "_first_ping",
        "nonce",
        "clocks",
        "_wall",
        "_new_identity",
        "_timing",
        "_complaints",
        "_compared",
        "_departures",
        "_patience",
        "_declines",
        "_doubts",
        "_clock_told",
        "_lives",
        "_lives_of",
        "_known_positions",
        "now",
    )
)
"""Attributes in which two states may differ and count as one."""


def clone(value: Any, known: dict[int, Any]) -> Any:
    """A copy of an object; what cannot change is shared."""
    kind = type(value)
    if kind is dict:
        return {key: clone(one, known) for key, one in value.items()}
    if kind in (set, list, deque):
        return kind(value)
    if isinstance(value, Struct):
        return value if kind.__struct_config__.frozen else copy(value)
    if kind is MethodType:
        return MethodType(value.__func__, clone(value.__self__, known))
    if (
        kind is FunctionType
        or not hasattr(value, "__dict__")
        or kind.__hash__ is not object.__hash__
    ):
        return value
    if id(value) not in known:
        new = known[id(value)] = kind.__new__(kind)
        new.__dict__.update({name: clone(one, known) for name, one in vars(value).items()})
    return known[id(value)]


def _is_plain(value: Any) -> bool:
    """An object with attributes, which is told from others by who it is."""
    return hasattr(value, "__dict__") and type(value).__hash__ is object.__hash__


def age(now: float, when: float) -> str:
    """What a moment is to the rules."""
    passed = (now - when) / SUSPECT_AFTER
    return (
        "to come"
        if passed < 0
        else "fresh"
        if passed < FRESH
        else "old"
        if passed < 1
        else "silent"
    )


def freeze(value: Any, now: float, known: set[int]) -> Any:
    """What tells a state from others: all but the times themselves, and what is ``IGNORED``."""
    kind = type(value)
    if kind is float:
        return age(now, value)
    if kind is dict:
        return frozenset((key, freeze(one, now, known)) for key, one in value.items())
    if kind is tuple:
        return tuple(freeze(one, now, known) for one in value)
    if kind in (set, frozenset):
        return frozenset(value)
    if isinstance(value, Struct):
        if not kind.__struct_config__.frozen or kind.__name__ in ("Sealing", "Pong"):
            return tuple(
                freeze(getattr(value, name), now, known)
                for name in value.__struct_fields__
                if name not in IGNORED
            )
        return value
    if kind in (FunctionType, MethodType):
        return None
    if not _is_plain(value):
        return value
    if id(value) in known:
        return None
    known.add(id(value))
    return tuple(
        (name, freeze(one, now, known)) for name, one in vars(value).items() if name not in IGNORED
    )


class Table:
    """All states of processes that were met, each kept once, and what each input leads to."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.facts: list[Facts] = []
        self._numbers: dict[Any, int] = {}
        self._steps: dict[Any, tuple[int, tuple[Any, ...]] | HarmError] = {}

    def number(self, process: Process) -> int:
        """The number of a process's state."""
        key = freeze(process, process.now, set())
        if key not in self._numbers:
            self._numbers[key] = len(self.processes)
            self.processes.append(process)
            self.facts.append(process.facts())
        return self._numbers[key]

    def step(self, number: int, *what: Any) -> tuple[int, tuple[Any, ...]]:
        """The state after an input, and what it says to the world."""
        key = (number, *what)
        if key not in self._steps:
            process = clone(self.processes[number], {})
            try:
                said = process.run(*what)
                self._steps[key] = self.number(process), said
            except HarmError as harm:
                self._steps[key] = harm
        result = self._steps[key]
        if isinstance(result, HarmError):
            raise result
        return result
