"""The marks of a log: what each node has written, knows to be committed, and has applied."""

import re

from tests.pictures.svg import FAINT, FRAME, HUES, INK, TINTS, Drawing
from tests.pictures.trace import Noted, events

STORY = "marks"
LEFT, CELL, TOP, STEP = 118, 78, 96, 104
SHOWN = re.compile(r".*; synced (\d+), committed (\d+), applied (\d+)")


def draw() -> str:
    """The picture."""
    logs, contents = _logs(), _contents()
    longest = max(synced for synced, _, _ in logs.values())
    width, height = LEFT + CELL * longest + 92, TOP + STEP * len(logs) + 40
    drawing = Drawing(width, height, "The marks of a log")
    drawing.text(24, 32, "What each node knows of its log", size=15, bold=True)
    drawing.text(24, 51, f"drawn from tests/stories/{STORY}.txt", size=11, fill=FAINT)
    for number, (name, (synced, committed, applied)) in enumerate(logs.items()):
        y = TOP + STEP * number
        drawing.text(LEFT - 20, y + 25, name, size=15, fill=HUES[name], anchor="end", bold=True)
        for seq in range(1, longest + 1):
            _cell(drawing, name, seq, y, contents[seq], synced=synced, committed=committed)
        _mark(drawing, y, synced, "synced", 0)
        _mark(drawing, y, committed, "committed", 1)
        _mark(drawing, y, applied, "applied", 2)
    drawing.text(
        24, height - 20, "On each node applied ≤ committed ≤ synced; down the chain synced "
        "shrinks, and committed grows.", size=12, fill=FAINT,
    )  # fmt: skip
    return drawing.written()


def _cell(
    drawing: Drawing, name: str, seq: int, y: float, said: str, *, synced: int, committed: int
) -> None:
    x = LEFT + CELL * (seq - 1)
    if seq > synced:
        drawing.box(x + 2, y, CELL - 4, 38, stroke=FRAME, dash="4 4")
        return
    known = seq <= committed
    drawing.box(
        x + 2, y, CELL - 4, 38,
        fill=HUES[name] if known else TINTS[name], stroke=HUES[name], thick=1.3,
    )  # fmt: skip
    ink = "#ffffff" if known else HUES[name]
    drawing.text(x + CELL / 2, y + 16, str(seq), size=12, fill=ink, anchor="middle", bold=True)
    drawing.text(x + CELL / 2, y + 31, said, size=10.5, fill=ink, anchor="middle")


def _mark(drawing: Drawing, y: float, seq: int, name: str, line: int) -> None:
    x = LEFT + CELL * seq
    below = y + 53 + 14 * line
    drawing.line(x, y - 5, x, below + 2, stroke=INK, thick=1.6)
    drawing.text(x + 6, below, f"{name} {seq}", size=11.5)


def _logs() -> dict[str, tuple[int, int, int]]:
    found = {}
    for event in events(STORY):
        shown = SHOWN.fullmatch(event.text) if isinstance(event, Noted) else None
        if shown is not None and isinstance(event, Noted):
            synced, committed, applied = map(int, shown.groups())
            found[event.node] = (synced, committed, applied)
    return found


def _contents() -> dict[int, str]:
    """What the head writes, by sequence number; the first is of the founding."""
    contents = {1: "opening"}
    for event in events(STORY):
        if isinstance(event, Noted) and event.node == "head" and event.text.startswith("writes "):
            seq, _, said = event.text.removeprefix("writes ").partition(" ")
            contents[int(seq)] = said
    return contents
