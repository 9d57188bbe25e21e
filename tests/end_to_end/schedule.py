"""Seeded schedules of what goes wrong with the nodes of a chain, and for how long.

A ``Schedule`` draws one ``Blow`` after another: faults that begin within moments of each other, and
overlap. The same seed, with the same kinds of faults, gives the same blows. ``stage`` does them.
All of it is within what the chain promises to survive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

PROCESSES = ("kill", "stop", "pause")
NETWORK = ("silence", "mute", "deafen", "part", "part one way", "shatter")
POWER = ("lose power", "slow disk", "failing disk")
CLOCKS = ("stop the clock", "set the clock")
DISKS = ("another disk", "older disk", "copied disk")
LEFT_BEHIND = "left behind"
"""One is cut off, and perhaps stands still; the others go on without it, and end; it is back."""

LEFT_BEHIND_EACH = 4
"""One in so many blows is that one."""

ALONE = ("older disk at a restart", LEFT_BEHIND)
"""All end and are back, or all but one: what else goes wrong would only hide it."""

SPARE = "spare"
"""Once in a round: from then on it is a node as the others are."""

KINDS = (*PROCESSES, *NETWORK, *POWER, *CLOCKS, *DISKS, *ALONE, SPARE)
"""What can go wrong; ``stage`` says what each one is."""

BESIDE_DISKS = ("pause", *NETWORK, "slow disk", "set the clock")
"""What may go wrong while a disk is changed: nobody else ends."""

FOR_ALL = ("kill", "stop", "lose power")
"""May happen to more than one at once."""

STANDING = {"pause", "stop the clock"}
"""One process cannot do both."""

HEARS_NOTHING, IS_PAUSED, LOSES_TIME, LOSES_ALL_TIME = range(4)
"""What who is left behind does in the meantime: see ``Fault.amount``."""

HOUR, DAY = 3_600.0, 86_400.0


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: one of ``KINDS``.
        who: the positions that it happens to.
        at: seconds after the beginning of the blow.
        lasts: seconds.
        amount: of a slow disk: milliseconds; of a clock that is set: seconds; of what comes and
            goes: seconds between two changes. A disk that fails, or a clock that stands still: more
            than 0 if it loses what was not synced, or takes the wall clock with it. Of who is left
            behind: whether it runs, is paused, and which of its clocks stand still.
    """

    kind: str
    who: tuple[str, ...]
    at: float
    lasts: float
    amount: float = 0.0

    def __str__(self) -> str:
        amount = f" ({self.amount:g})" if self.amount else ""
        who = f" {' '.join(self.who)}" if self.who else ""
        return f"{self.kind}{who}{amount} {self.at:.1f}-{self.at + self.lasts:.1f} s"


Blow = tuple[Fault, ...]


class Schedule:
    """What goes wrong in one round.

    Attributes:
        suspect_after: the setting of the chain, in seconds.
    """

    def __init__(self, seed: int, positions: Sequence[str], kinds: Sequence[str]) -> None:
        self._random = Random(seed)
        self._positions = tuple(positions)
        self._kinds = list(kinds)
        self._blows = 0
        self._spare_at = self._random.randint(2, 8)
        self._behind_at = self._random.randrange(LEFT_BEHIND_EACH)
        self.suspect_after = self._random.choice((0.5, 1.0, 2.0))
        self.refusal_is_death = self._random.random() < 0.7

    def __str__(self) -> str:
        refusal = "is" if self.refusal_is_death else "is not"
        return f"suspected after {self.suspect_after:g} s, a refusal {refusal} a death"

    def next(self) -> Blow:
        self._blows += 1
        families = (*(PROCESSES, NETWORK, NETWORK, POWER, CLOCKS, DISKS) * 2, ALONE[:1])
        possible = [found for family in families if (found := self._of(family))]
        first = self._random.choice(self._random.choice(possible))
        if self._blows % LEFT_BEHIND_EACH == self._behind_at:
            first = LEFT_BEHIND
        if self._blows == self._spare_at:
            first = SPARE
        if first in ALONE:
            return (self._fault(first, 0.0),)
        others = (*PROCESSES, *NETWORK, *POWER, *CLOCKS)
        beside = self._of(BESIDE_DISKS if first in DISKS else others)
        kinds = [first]
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 3))):
            kind = self._random.choice(beside)
            if kind not in kinds and not {kind, *kinds} >= STANDING:
                kinds.append(kind)
        begins = [0.0, *(self._random.uniform(0.0, 2.0) for _ in kinds[1:])]
        return tuple(map(self._fault, kinds, begins))

    def _of(self, kinds: Sequence[str]) -> list[str]:
        return [kind for kind in kinds if kind in self._kinds]

    def _fault(self, kind: str, at: float) -> Fault:
        amounts: dict[str, Callable[[], float]] = {
            "slow disk": lambda: self._random.choice((5, 20, 60, 150)),
            "failing disk": lambda: self._random.choice((0, 1)),
            "stop the clock": lambda: self._random.choice((0, 1)) * (not self.refusal_is_death),
            "set the clock": lambda: self._random.choice((-40 * DAY, -HOUR, HOUR, 40 * DAY)),
            LEFT_BEHIND: lambda: self._random.choice(self._ways_to_be_left_behind),
        }
        if kind in NETWORK:
            amounts[kind] = lambda: self._random.choice((0, 0, 0, 0, 0.1, 0.4, 1.2))
        lasts = self._random.choice((0.3, 1.0, 2.0, 3.0)) * self._random.uniform(0.7, 1.3)
        if kind in (*NETWORK, *STANDING):  # what matters is whether it is suspected meanwhile
            lasts *= 0.5 + self.suspect_after
        amount = float(amounts[kind]()) if kind in amounts else 0.0
        return Fault(kind, self._who(kind), at, lasts, amount)

    @property
    def _ways_to_be_left_behind(self) -> Sequence[int]:
        if "stop the clock" not in self._kinds:
            return (HEARS_NOTHING, IS_PAUSED)
        ways = (HEARS_NOTHING, IS_PAUSED, *(LOSES_TIME,) * 3)
        return ways if self.refusal_is_death else (*ways, LOSES_ALL_TIME)

    def _who(self, kind: str) -> tuple[str, ...]:
        many = 1
        if kind in FOR_ALL:
            many = self._random.choice((1, 1, 1, 2, 2, len(self._positions)))
        if kind in ("part", "part one way"):
            many = 2
        if kind in ("shatter", SPARE):
            many = 0
        return tuple(self._random.sample(self._positions, many))
