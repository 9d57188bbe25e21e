"""The chain, and the way of a message through it: the steps of a story, in their order."""

from tests.pictures.svg import FAINT, HUES, INK, PROTOCOL, TINTS, Drawing
from tests.pictures.trace import Noted, Said, Told, events

STORY, SAID = "message", "say alice at middle: is anybody here?"
WIDTH, HEIGHT = 840, 382
BOXES = {"head": 50, "middle": 340, "tail": 630}
WIDE, TOP, BOTTOM = 160, 146, 274
ROWS = {"Submit": 26, "Forward": 54, "word": 82, "Ack": 110}
"""How far below the top of the boxes the arrows of each kind are; a word is an empty Forward."""


def draw() -> str:
    """The picture."""
    drawing = Drawing(WIDTH, HEIGHT, "The chain, and the way of a message")
    drawing.text(24, 32, "The way of a message", size=15, bold=True)
    drawing.text(24, 51, f"drawn from tests/stories/{STORY}.txt", size=11, fill=FAINT)
    for name, x in BOXES.items():
        hue = HUES[name]
        drawing.box(x, TOP, WIDE, BOTTOM - TOP, fill=TINTS[name], stroke=hue, radius=9, thick=1.5)
        drawing.text(x + WIDE / 2, TOP + 72, name, size=18, fill=hue, anchor="middle", bold=True)
        drawing.line(x + WIDE / 2, BOTTOM, x + WIDE / 2, 297, stroke=hue, thick=1.5)
        drawing.disk(x + WIDE / 2, 310, stroke=hue)
    centre = BOXES["middle"] + WIDE / 2
    drawing.text(centre, 98, "alice", size=14, anchor="middle", bold=True)
    drawing.arrow(centre - 22, 106, centre - 22, TOP - 3)
    _step(drawing, centre - 40, 126, 1)
    drawing.text(centre - 56, 130, SAID.partition(": ")[2], size=12, anchor="end", italic=True)
    for number, event in enumerate(_steps(), 2):
        _draw(drawing, number, event, centre)
    drawing.text(
        WIDTH / 2, HEIGHT - 17,
        "All disks sync at the same time. A word follows the message when a disk, and all "
        "before it, have.",
        size=12, fill=FAINT, anchor="middle",
    )  # fmt: skip
    return drawing.written()


def _steps() -> list[Said | Noted]:
    """What comes of it; of what happens at the same time, first what a client is told."""
    found = events(STORY)
    begin = next(i for i, e in enumerate(found) if isinstance(e, Told) and e.text == SAID) + 2
    steps: list[Said | Noted] = []
    for event in found[begin:]:
        if isinstance(event, Told):
            break
        if isinstance(event, Said) or event.text.startswith(("writes", "tells")):
            steps.append(event)
    return sorted(steps, key=lambda event: (event.at, not _is_told(event)))


def _is_told(event: Said | Noted) -> bool:
    return isinstance(event, Noted) and event.text.startswith("tells")


def _draw(drawing: Drawing, number: int, event: Said | Noted, centre: float) -> None:
    if isinstance(event, Said):
        way = 1 if BOXES[event.to] > BOXES[event.sender] else -1
        start = BOXES[event.sender] + (WIDE if way > 0 else 0)
        end = BOXES[event.to] + (0 if way > 0 else WIDE)
        kind = "word" if event.content.endswith(" synced") else event.kind
        y = TOP + ROWS[kind]
        drawing.arrow(start + 3 * way, y, end - 3 * way, y, stroke=PROTOCOL, thick=1.6)
        middle = (start + end) / 2
        name = f"Ack {event.content}" if kind == "Ack" else kind
        drawing.text(middle + 10, y - 8, name, size=12.5, fill=PROTOCOL, anchor="middle")
        _step(drawing, middle - 42, y - 13, number)
    elif event.text.startswith("tells"):
        drawing.arrow(centre + 22, TOP - 3, centre + 22, 106)
        _step(drawing, centre + 40, 126, number)
        answer = event.text.partition(": ")[2]
        drawing.text(centre + 56, 130, answer, size=13, mono=True, bold=True)
    else:
        x = BOXES[event.node] + WIDE / 2
        _step(drawing, x - 30, 310, number)
        drawing.text(x + 20, 314, event.text.split()[0], size=12, fill=HUES[event.node])


def _step(drawing: Drawing, x: float, y: float, number: int) -> None:
    drawing.disc(x, y, 10, fill=INK)
    drawing.text(x, y + 4, str(number), size=11, fill="#ffffff", anchor="middle", bold=True)
