"""What is known of every node, and the status line that tells it.

The line's parts come by importance; what does not fit is left out.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from chainchat.client.engine import events
from chainchat.client.model.looks import Glyphs, Pieces
from chainchat.client.model.wrapping import wrapped

LONG_AWAY = 60.0
"""Seconds offline after which missed messages are told of."""

MOST_MEMBERS = 32
"""Positions that are listened to: no chain has so many."""

Names = Mapping[tuple[str, int], str]
"""Positions, by the address for clients."""

DIRECTIONS = re.compile("; (try|go on at) .*")
"""The end of a refusal that says where to go: the client goes by itself."""

SAY_LITTLE = frozenset({"connection refused", "no answer", "the server closed the connection"})
"""Troubles told last, as others say whom the chain waits for."""

ORDINALS = ("first", "second", "third")


class Standing:
    """What the client knows of the nodes.

    Attributes:
        node: the position of the connected node, if any.
        next_try: when to connect, in monotonic seconds.
        waits_for: positions that the chain waits for; None: it confirms.
        chain: the words of the newest answer to CHAIN.
        lag: seconds that this answer took.
    """

    def __init__(self, names: Names | None = None) -> None:
        self.node = ""
        self.next_try = 0.0
        self.waits_for: tuple[str, ...] | None = None
        self.chain: dict[str, str] = {}
        self.lag = 0.0
        self._ever: dict[str, None] = {}
        self._names = dict(names or {})
        self._states: dict[tuple[str, int], str] = {}

    def name_of(self, host: str, port: int) -> str:
        return self._names.get((host, port), f"{host}:{port}")

    def heard(self, event: events.Event, now: float) -> None:
        match event:
            case events.Connected(host=host, port=port, node=node):
                self.node = node
                if node:
                    self._names[host, port] = node
                self._states.pop((host, port), None)
            case events.ConnectionLost(host=host, port=port, reason=reason, retry=retry):
                self.node, self.waits_for, self.next_try = "", None, now + retry
                self._states[host, port] = DIRECTIONS.sub("", reason).rpartition("; ")[2]
            case events.LoggedIn():
                self._states.clear()
            case events.Notice(code="waiting", words=words) if "for" in words:
                self.waits_for = tuple(filter(None, words["for"].split(",")))
            case events.Notice(code="serving"):
                self.waits_for = None

    @property
    def members(self) -> list[str]:
        return [name for name in self.chain.get("members", "").split(",") if name][:MOST_MEMBERS]

    def told(self, chain: dict[str, str]) -> None:
        self.chain = chain
        if len(self._ever) < MOST_MEMBERS:
            self._ever.update(dict.fromkeys(self.members))

    @property
    def away(self) -> list[str]:
        """Positions that left the chain, or that the connected node cannot reach."""
        unreached = [name for name in self.chain.get("away", "").split(",") if name]
        members = self.members
        left = [name for name in self._ever if name not in members]
        return list(dict.fromkeys(left + unreached))

    def place(self) -> str:
        """The node's place, as in ``on middle, second of 3 servers``."""
        members = self.members
        if self.node not in members:
            return f"on {self.node}"
        servers = f"{len(members)} servers"
        if len(members) == 1:
            return f"on {self.node}, the only one left" if self.away else f"on {self.node}"
        place = members.index(self.node)
        ordinal = ORDINALS[place] if place < len(ORDINALS) else f"{place + 1}th"
        return f"on {self.node}, {ordinal} of {servers}"

    def trouble_of_chain(self) -> str:
        """``they wait for tail``, ``without head``; mostly empty."""
        if self.waits_for is not None:
            whom = " and ".join(self.waits_for)
            return f"nothing is confirmed: waiting for {whom}" if whom else "nothing is confirmed"
        return f"without {' and '.join(self.away)}" if self.away else ""

    def troubles_of_nodes(self) -> list[str]:
        """What is wrong with which nodes; the most telling first."""
        by_state: dict[str, list[tuple[str, int]]] = {}
        for address, state in self._states.items():
            by_state.setdefault(state, []).append(address)
        states = sorted(by_state, key=lambda state: state in SAY_LITTLE)
        return [f"{self._listed(by_state[state])}: {state}" for state in states]

    def _listed(self, addresses: Sequence[tuple[str, int]]) -> str:
        """``head and 2 more``: nodes without known names are counted."""
        names = [self._names[address] for address in addresses if address in self._names]
        nameless = len(addresses) - len(names)
        if nameless <= 1:
            return ", ".join(self.name_of(*address) for address in addresses)
        return f"{', '.join(names)} and {nameless} more" if names else f"{nameless} servers"

    def offline(self, now: float) -> list[str]:
        wait = self.next_try - now
        return [*self.troubles_of_nodes(), f"next try in {wait:.0f} s" if wait >= 1 else "trying"]


def drawn(stand: Standing, glyphs: Glyphs, columns: int) -> list[Pieces]:
    """The chain as a small picture: who is in it, in which order, where the client is.

    From left to right, or from top to bottom if there is no room.
    """
    members = stand.members
    if not members:
        return [[("class:faint", "the chain: not known yet")]]
    roles = ["alone"] if len(members) == 1 else ["head", *["middle"] * (len(members) - 2), "tail"]
    does = {
        "alone": "numbers, confirms, answers",
        "head": "numbers what is said",
        "middle": "passes it on",
        "tail": "confirms, answers",
    }
    words = [
        (name, does[role], "you are here" if name == stand.node else "")
        for name, role in zip(members, roles, strict=True)
    ]
    widths = [max(map(len, column)) for column in words]
    gap = f" {glyphs.arrow} "
    rows: list[Pieces] = []
    if sum(widths) + len(gap) * (len(words) - 1) > columns:
        longest = max(map(len, members))
        for name, *more in words:
            does_here = ", ".join(filter(None, more))
            rows += wrapped([("", f"{name:<{longest}} "), ("class:faint", does_here)], columns)
    else:
        for row in range(3):
            between = gap if row == 0 else " " * len(gap)
            line = between.join(
                column[row].center(width) for column, width in zip(words, widths, strict=True)
            )
            rows.append([("" if row == 0 else "class:faint", line.rstrip())])
    told = [f"epoch {stand.chain.get('epoch', '?')}"]
    told.append(f"confirmed up to #{stand.chain.get('committed', '?')}")
    told.append(f"answers take {stand.lag * 1000:.0f} ms")
    if trouble := stand.trouble_of_chain():
        told.append(trouble)
    return [*rows, *wrapped([("class:faint", f" {glyphs.dot} ".join(told))], columns)]


class Counts(Struct):
    """What the status line counts."""

    pending: int = 0
    unread: int = 0
    mentions: int = 0
    below: int = 0


def counted(counts: Counts) -> list[str]:
    told = []
    if counts.below:
        told.append(f"{counts.below} below: Esc goes there")
    if counts.pending:
        told.append(f"{counts.pending} pending")
    if counts.mentions:
        told.append(f"{counts.unread} unread, {counts.mentions} for you")
    elif counts.unread:
        told.append(f"{counts.unread} unread")
    return told


def fitted(
    places: Sequence[str], matters: Sequence[str], more: Sequence[str], dot: str, columns: int
) -> str:
    """As many parts as fit into a line, at least one.

    Args:
        places: names of the place, ever shorter; none, if there is no room beside what ``matters``.
        more: the less important the later.
    """
    wanted = [*filter(None, matters)]
    lines = (dot.join(filter(None, [place, *wanted])) for place in (*places, ""))
    line = next((line for line in lines if len(line) <= columns), "")
    for part in filter(None, more if line else wanted):
        longer = f"{line}{dot}{part}" if line else part
        if len(longer) <= columns or not line:
            line = longer
    return line[:columns]
