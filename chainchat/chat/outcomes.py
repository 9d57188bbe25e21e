"""Outcomes: what applying an entry gives."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from chainchat.chat.refusals import Code


class Accepted(Struct, frozen=True, gc=False):
    """The request is done; ``id``: the message's or entry's; ``again``: it was done before."""

    id: int
    again: bool = False


class Refused(Struct, frozen=True):
    """The request is refused; ``again``: it was before; ``about``: a name for the text."""

    code: Code
    about: str = ""
    again: bool = False


class Said(Struct, frozen=True, gc=False):
    """A message; ``recipient``: account number or TO_EVERYBODY."""

    id: int
    time: int
    sender_account: int
    sender: str
    recipient: int
    to: str
    text: str


class Removed(Struct, frozen=True, array_like=True):
    """The messages below the id ``before`` are gone.

    ``days``: the age at which the last one went; 0: they took too much room.
    """

    before: int = 0
    days: int = 0

    def concerns(self, after: int) -> bool:
        """Return whether some message above the id ``after`` may be gone."""
        return after + 1 < self.before

    def __str__(self) -> str:
        days = "1 day" if self.days == 1 else f"{self.days} days"
        why = f"after {days}" if self.days else "to make room"
        return f"messages before {self.before} were removed {why}"


NOTHING_REMOVED = Removed()


class Joined(Struct, frozen=True):
    """An account got a session."""

    account: int
    name: str
    session: str


class Left(Struct, frozen=True):
    """An account lost its session.

    Attributes:
        reason: ``ended``, ``logout``, ``moved``, ``deleted``, ``kicked``, ``reset`` or ``lost``
            (with its node).
        by: who ordered it; empty for a node's owner.
    """

    account: int
    name: str
    session: str
    reason: str
    by: str = ""


class Held(Struct, frozen=True):
    """Somebody else wants the name that ``session`` holds.

    ``silent``: seconds of its connection's silence; -1 if unknown, None if nobody has looked yet.
    """

    session: str
    silent: int | None = None


class AllAccepted(Sequence[Accepted]):
    """Results of new messages to everybody, made when looked at."""

    __slots__ = ("ids",)

    def __init__(self, ids: range) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: Any) -> Any:  # as Sequence has it, for a slice too
        ids = self.ids[place]
        return AllAccepted(ids) if isinstance(ids, range) else Accepted(ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    def __hash__(self) -> int:
        return hash(self.ids)


Result = Accepted | Refused
Event = Joined | Left | Held


class Outcome(Struct, frozen=True):
    """What applying an entry gave.

    Attributes:
        results: for whoever asked, one for each sequence number; none: no effect.
        events: of sessions, for all to see.
    """

    results: Sequence[Result] = ()
    events: Sequence[Event] = ()
    said: Sequence[Said] = ()


NO_EFFECT = Outcome()
