"""What a page shows, and in which words."""

from enum import Enum

from msgspec import Struct

from chainchat.node.report import Peer, Report
from chainchat.web.pulse import Pulse


class View(Struct, frozen=True):
    """Everything on a node's page, at one moment; ``pages`` are addresses by position."""

    report: Report
    pulse: Pulse = Pulse()
    pages: dict[str, str] = {}


class State(Enum):
    """The state of something: a word and a shape, not a colour alone."""

    WELL = "well"
    WEAK = "weak"
    DOWN = "down"
    QUIET = "quiet"
    """Something that takes no part, and need not."""

    @property
    def shape(self) -> str:
        return SHAPES[self]


SHAPES = {State.WELL: "●", State.WEAK: "▲", State.DOWN: "✕", State.QUIET: "○"}


class Headline(Struct, frozen=True):
    """The state of the chain in a few words."""

    state: State
    words: str
    detail: str


def listed(positions: tuple[str, ...]) -> str:
    """Positions as in ``head, middle and tail``."""
    *others, last = positions
    return f"{', '.join(others)} and {last}" if others else last


def headline(report: Report) -> Headline:
    if report.drained:
        return Headline(State.WEAK, "Drained", _sentence(report.reason))
    if not report.serving:
        return _outside(report)
    if not report.confirms:
        return Headline(State.DOWN, "The chain stands still", _sentence(report.reason))
    if report.low:
        return Headline(State.DOWN, "Nothing new is taken", _sentence(report.reason))
    missing = tuple(p for p in report.founding if p not in report.members)
    chain = _arrows(report.members)
    if report.away:
        words = f"{listed(report.away)} {'is' if len(report.away) == 1 else 'are'} away"
        return Headline(State.WEAK, words, _sentence(report.reason or f"{chain} go on"))
    if len(report.members) < len(report.founding):
        verb = "confirms" if len(report.members) == 1 else "confirm"
        words = f"Running without {listed(missing)}" if missing else "The chain is short"
        return Headline(State.WEAK, words, f"{chain} {verb} what is said.")
    if report.warnings or report.disk.note:
        return Headline(
            State.WEAK, "Look at this", _sentence((*report.warnings, report.disk.note)[0])
        )
    verb = "confirms" if len(report.members) == 1 else "confirm"
    return Headline(State.WELL, "All is well", f"{chain} {verb} what is said.")


def _outside(report: Report) -> Headline:
    if report.role == LEARNER and _is_whole(report):
        chain = _arrows(report.members)
        return Headline(
            State.QUIET, "In reserve", f"{chain} confirm what is said, and lack nobody."
        )
    words = {
        "learner": "Catching up",
        "wedged": "Waiting to be taken back",
        "founding": "Waiting for the others",
    }.get(report.role, "Not in the chain")
    detail = report.progress or report.reason
    return Headline(State.DOWN, words, _sentence(detail))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _arrows(positions: tuple[str, ...]) -> str:
    return " → ".join(positions)


LEARNER = "learner"
AWAY, IN_RESERVE = "away", "in reserve"
SILENT_SECONDS = 10.0
"""A node outside the chain, for which nobody waits, is called silent after this time."""


class Place(Struct, frozen=True):
    """A node on the page.

    Attributes:
        role: in the chain, or why it has none.
        said: the state in words.
        linked: with this node.
    """

    position: str
    role: str
    state: State
    said: str
    linked: bool
    here: bool


def places(report: Report) -> tuple[Place, ...]:
    """The chain's nodes from head to tail, then the others."""
    own = Place(report.position, report.role, *_own_state(report), linked=True, here=True)
    others = {peer.position: _place(peer, report) for peer in report.peers}
    found = {**others, own.position: own}
    order = dict.fromkeys((*report.members, own.position, *others))
    return tuple(found[position] for position in order if position in found)


def _is_whole(report: Report) -> bool:
    """True if a learner waits to take a lost member's place."""
    return len(report.members) >= len(report.founding) and not report.away


def _own_state(report: Report) -> tuple[State, str]:
    if report.position in report.low:
        return State.DOWN, "disk nearly full"
    if report.drained:
        return State.WEAK, "drained"
    if report.role == LEARNER and _is_whole(report):
        return State.QUIET, IN_RESERVE
    if not report.serving:
        return State.WEAK, "takes no clients"
    if not report.confirms:
        return State.WEAK, "cannot confirm"
    return State.WELL, "serving"


def _outside_since(peer: Peer) -> str:
    if peer.silent is None or peer.silent < SILENT_SECONDS:
        return "waits outside"
    return f"silent for {peer.silent:.0f} s"


def _place(peer: Peer, report: Report) -> Place:
    member = peer.position in report.members
    if peer.away:
        state, said = State.DOWN, AWAY
    elif peer.low:
        state, said = State.DOWN, "disk nearly full"
    elif peer.role == LEARNER:
        whole = _is_whole(report)
        state, said = (State.QUIET, IN_RESERVE) if whole else (State.WEAK, "catching up")
    elif member:
        state, said = (State.WELL, "up") if peer.linked else (State.WEAK, "no link")
    elif peer.linked:
        state, said = State.QUIET, _outside_since(peer)
    else:
        state, said = State.QUIET, "not running"
    if state is State.QUIET and peer.position in report.founding:
        state, said = (State.WEAK, said) if peer.linked else (State.DOWN, AWAY)
    return Place(peer.position, peer.role, state, said, linked=peer.linked, here=False)
