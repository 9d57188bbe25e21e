"""Message sequence diagrams: time runs down, a line for each node, an arrow for each message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.pictures.svg import (
    COPYING,
    FAINT,
    FRAME,
    HUES,
    INK,
    MEMBERSHIP,
    PAPER,
    PROTOCOL,
    TINTS,
    Drawing,
)
from tests.pictures.trace import Noted, Said, Told, events

TIMES, GAP, ROW, TOP = 96, 300, 21, 96
LETTER = 5.9
"""Mean width of a letter of eleven pixels."""

QUIET = ("wait", "expect", "show", "either", "or", "end", "any", "pause", "await")
"""What the commands begin with at which nothing happens, or which stand in the title."""

COLOURS = {
    "Propose": MEMBERSHIP, "Voted": MEMBERSHIP, "Decided": MEMBERSHIP, "Abort": MEMBERSHIP,
    "Declined": MEMBERSHIP, "Fetch": COPYING, "Copied": COPYING, "Synced": COPYING,
    "Differs": COPYING, "HELLO": FAINT,
}  # fmt: skip

SHORTER = (
    (re.compile(r" \(by \w+\)"), ""),
    (re.compile(r"^for (epoch \d+): [\w, ]+; holds"), r"for \1; holds"),
    (re.compile(r", epoch \d+$"), ""),
    (re.compile(r" \((\w+(?: -> \w+)*)\)"), r" (\1)"),
    (re.compile(r"; seen by \w+"), ""),
    (re.compile(r" -> "), " → "),
    (re.compile(r": its port refuses connections"), ": its port refuses"),
    (re.compile(r"; writes stood still"), ""),
)

UNTOLD = re.compile(
    r"serving in|this node is catching up|restarted; waiting|writes stood still|"
    r"the chain goes on without|lets \w+ in|the chain cannot confirm|lists and old"
)
"""What nodes note and the picture does without."""


@dataclass(frozen=True)
class Scene:
    """What of a story is drawn.

    Attributes:
        begins: the command with which it begins.
        without: the kinds of messages left out.
    """

    story: str
    title: str
    begins: str
    without: tuple[str, ...] = ()


@dataclass
class Life:
    """The line of one node.

    Attributes:
        x: where it stands.
        since: from where down it runs; None while its process does not.
        parts: what was drawn of it: from, to, alive.
    """

    x: float
    since: float
    alive: bool = True
    parts: list[tuple[float, float, bool]] = field(default_factory=list)

    def turn(self, y: float, *, alive: bool) -> None:
        self.parts.append((self.since, y, self.alive))
        self.since, self.alive = y, alive


def draw(scene: Scene) -> str:
    return _Sequence(scene).written()


class _Sequence:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._rows = shown = _shown(scene)
        self._height = TOP + ROW * (len(shown) + 1.2)
        self._lives = {
            name: Life(TIMES + 60 + GAP * number, TOP - 14)
            for number, name in enumerate(("head", "middle", "tail"))
        }
        self._drawing = Drawing(TIMES + 120 + 2 * GAP, self._height, scene.title)

    def written(self) -> str:
        """The whole of it: first the lines, then what lies on them."""
        drawing = self._drawing
        drawing.text(24, 30, self._scene.title, size=15, bold=True)
        drawing.text(
            24, 49, f"drawn from tests/stories/{self._scene.story}.txt", size=11, fill=FAINT
        )
        self._draw_lives()
        before = -1.0
        for number, event in enumerate(self._rows):
            y = TOP + ROW * (number + 0.6)
            if isinstance(event, Told):
                self._command(y, event)
                continue
            if event.at != before:
                drawing.text(70, y + 4, f"{event.at:.3f} s", size=10, fill=FAINT, anchor="end")
                before = event.at
            if isinstance(event, Said):
                self._message(y, event)
            else:
                self._note(y, event)
        return drawing.written()

    def _draw_lives(self) -> None:
        for number, event in enumerate(self._rows):
            if isinstance(event, Noted) and event.text == "dies":
                self._lives[event.node].turn(TOP + ROW * (number + 0.6), alive=False)
            elif isinstance(event, Noted) and event.text.startswith("starts as"):
                self._lives[event.node].turn(TOP + ROW * (number + 0.6), alive=True)
        for name, life in self._lives.items():
            life.turn(self._height - 16, alive=life.alive)
            for top, bottom, alive in life.parts:
                dash, stroke = ("", HUES[name]) if alive else ("2 5", FAINT)
                self._drawing.line(life.x, top, life.x, bottom, stroke=stroke, dash=dash, thick=1.6)
            self._drawing.box(
                life.x - 42, TOP - 38, 84, 25, fill=TINTS[name], stroke=HUES[name], radius=6
            )
            self._drawing.text(
                life.x, TOP - 21, name, size=13, fill=HUES[name], anchor="middle", bold=True
            )

    def _command(self, y: float, told: Told) -> None:
        right = TIMES + 96 + 2 * GAP
        self._drawing.line(24, y, right, y, stroke=FRAME, dash="4 4")
        width = LETTER * 1.15 * len(told.text) + 18
        self._drawing.box(24, y - 9.5, width, 19, fill=INK, radius=4)
        self._drawing.text(33, y + 4, told.text, size=11, fill=PAPER, mono=True)

    def _message(self, y: float, said: Said) -> None:
        start, end = self._lives[said.sender].x, self._lives[said.to].x
        way = 1 if end > start else -1
        colour = COLOURS.get(said.kind, PROTOCOL)
        self._drawing.arrow(
            start + 2 * way, y + 5, end - 3 * way, y + 5,
            stroke=colour, dash="5 3" if said.held or said.kind == "HELLO" else "",
        )  # fmt: skip
        label = f"{said.kind} {shorter(said.content)}".strip()
        label = label if len(label) * LETTER < GAP - 20 else label[: int(GAP / LETTER) - 6] + "…"
        self._drawing.text(
            start + way * GAP / 2, y + 1, label, size=11, fill=colour, anchor="middle", halo=True
        )

    def _note(self, y: float, noted: Noted) -> None:
        life = self._lives[noted.node]
        hue = HUES[noted.node]
        if noted.text == "dies":
            for sign in (-1, 1):
                self._drawing.line(
                    life.x - 6, y - 6 * sign, life.x + 6, y + 6 * sign, stroke="#c02626", thick=2.6
                )
            return
        text = shorter(noted.text)
        width = LETTER * len(text) + 16
        x = life.x + 7 if noted.node != "tail" else life.x - 7 - width
        fill = TINTS[noted.node] if text.startswith(("epoch", "ALARM")) else PAPER
        self._drawing.box(x, y - 8.5, width, 17, fill=fill, stroke=hue, radius=8)
        self._drawing.text(x + width / 2, y + 3.7, text, size=11, fill=hue, anchor="middle")
        self._drawing.disc(life.x, y, 3, fill=hue)


def _shown(scene: Scene) -> Sequence[Said | Noted | Told]:
    found = events(scene.story)
    begin = next(i for i, e in enumerate(found) if isinstance(e, Told) and e.text == scene.begins)
    return _told_once([event for event in found[begin:] if _is_drawn(event, scene)])


def _told_once(shown: Sequence[Said | Noted | Told]) -> Sequence[Said | Noted | Told]:
    """The reason of a configuration is told by the first that adopts it."""
    seen: set[str] = set()
    once: list[Said | Noted | Told] = []
    for event in shown:
        known = isinstance(event, Noted) and event.text.startswith("epoch") and event.text in seen
        if isinstance(event, Noted):
            seen.add(event.text)
        if isinstance(event, Noted) and known:
            once.append(Noted(event.at, event.node, event.text.partition("):")[0] + ")"))
        else:
            once.append(event)
    return once


def _is_drawn(event: Said | Noted | Told, scene: Scene) -> bool:
    if isinstance(event, Told):
        return not event.text.startswith(QUIET)
    if isinstance(event, Said):
        return event.kind not in scene.without
    return UNTOLD.search(event.text) is None and not _is_shown(event)


def _is_shown(noted: Noted) -> bool:
    return "; synced " in noted.text


def shorter(text: str) -> str:
    for pattern, place in SHORTER:
        text = pattern.sub(place, text)
    return text
