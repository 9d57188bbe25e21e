"""The chain, drawn for wide and for narrow screens: nodes, links, and what moves between them."""

from collections.abc import Iterator
from typing import NamedTuple

from chainchat.web.markup import Element, tag
from chainchat.web.view import AWAY, Place, State, View, places

WIDE, HIGH = 260, 136

GAP = 128
"""Space between nodes; the style sheet moves the entries as far."""

BELOW = 40

IN_A_ROW = 3
"""The most members of a chain, so that all are in the first row."""

MARGIN = 2
MOST_ENTRIES = 6


class Spot(NamedTuple):
    """The upper left corner of a node."""

    x: float
    y: float


def chain(view: View, *, tall: bool) -> Element:
    """Draw the chain; ``tall``: from top to bottom, for a narrow screen."""
    members = [place for place in places(view.report) if place.position in view.report.members]
    others = [place for place in places(view.report) if place not in members]
    spots = list((_tall_spots if tall else _wide_spots)(len(members), len(others)))
    shown = list(zip((*members, *others), spots, strict=True))
    columns = 1 if tall else IN_A_ROW
    width = columns * (WIDE + GAP) - GAP + 2 * MARGIN
    height = max(spot.y for spot in spots) + HIGH + MARGIN
    return tag(
        "svg",
        tag("title", _title(view, members, others)),
        *[_gap(view, *pair, tall=tall) for pair in _pairs(members, spots)],
        *[_node(view, place, spot) for place, spot in shown],
        class_="chain tall" if tall else "chain wide",
        role="img",
        width=width,
        height=height,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
    )


def _title(view: View, members: list[Place], others: list[Place]) -> str:
    said = [f"{place.position}, {place.role}: {place.said}" for place in (*members, *others)]
    return f"The chain as {view.report.position} sees it: {'; '.join(said)}"


def _wide_spots(members: int, others: int) -> Iterator[Spot]:
    for place in range(members + others):
        row, column = divmod(place, IN_A_ROW)
        yield Spot(MARGIN + column * (WIDE + GAP), MARGIN + row * (HIGH + BELOW))


def _tall_spots(members: int, others: int) -> Iterator[Spot]:
    y = MARGIN
    for place in range(1, members + others + 1):
        yield Spot(MARGIN, y)
        y += HIGH + (GAP if place < members else BELOW)


# --- a node


def _node(view: View, place: Place, spot: Spot) -> Element:
    outside = place.position not in view.report.members
    style = ["node", place.state.value, "outside" if outside else "", "here" if place.here else ""]
    return tag(
        "g",
        tag("rect", x=0, y=0, width=WIDE, height=HIGH, rx=14, class_="card"),
        tag("text", place.role, x=20, y=32, class_="role"),
        tag("text", "this node", x=WIDE - 20, y=32, class_="role here") if place.here else None,
        tag("text", place.position, x=20, y=70, class_="name" if _short(place) else "name long"),
        mark(place.state, 27, 100),
        tag("text", place.said, x=44, y=105, class_="said"),
        _bar(view) if place.here and view.report.missing else None,
        class_=" ".join(filter(None, style)),
        transform=f"translate({spot.x:.0f} {spot.y:.0f})",
    )


def _short(place: Place) -> bool:
    return len(place.position) <= 13


def mark(state: State, x: float, y: float) -> Element:
    match state:
        case State.WELL:
            return tag("circle", cx=x, cy=y, r=6.5, class_="mark")
        case State.QUIET:
            return tag("circle", cx=x, cy=y, r=5.5, class_="mark hollow")
        case State.WEAK:
            corners = f"{x},{y - 7} {x + 8},{y + 6} {x - 8},{y + 6}"
            return tag("polygon", points=corners, class_="mark")
        case State.DOWN:
            arms = f"M{x - 6} {y - 6}l12 12m0-12l-12 12"
            return tag("path", d=arms, class_="mark cross")


def _bar(view: View) -> Element:
    report = view.report
    part = report.last / max(report.last + report.missing, 1)
    width = WIDE - 40
    return tag(
        "g",
        tag("rect", x=20, y=117, width=width, height=5, rx=2.5, class_="bar"),
        tag("rect", x=20, y=117, width=max(width * part, 5), height=5, rx=2.5, class_="done"),
    )


# --- a gap


Pair = tuple[Place, Place, Spot]


def _pairs(members: list[Place], spots: list[Spot]) -> list[Pair]:
    return list(zip(members, members[1:], spots, strict=False))


def _gap(view: View, before: Place, after: Place, spot: Spot, *, tall: bool) -> Element:
    if tall:
        x, y, turn = spot.x + WIDE / 2, spot.y + HIGH, " rotate(90)"
    else:
        x, y, turn = spot.x + WIDE, spot.y + HIGH / 2, ""
    style, drawn = _between(view, before, after)
    return tag("g", *drawn, class_=style, transform=f"translate({x:.0f} {y:.0f}){turn}")


def _between(view: View, before: Place, after: Place) -> tuple[str, list[Element]]:
    """Draw the link between two nodes; this node knows nothing of links between others."""
    well = all(place.linked and place.said != AWAY for place in (before, after))
    if well:
        return "gap", _whole_gap(view)
    if before.here or after.here:
        return "gap broken", _broken_gap()
    return "gap unknown", [tag("path", d=f"M10 0H{GAP - 10}", class_="way")]


def _whole_gap(view: View) -> list[Element]:
    entries = min(view.pulse.moved.bit_length(), MOST_ENTRIES)
    return [
        tag("path", d=f"M8 -7H{GAP - 16}", class_="way"),
        tag("path", d=f"M{GAP - 18} -12l10 5l-10 5z", class_="tip"),
        tag("path", d=f"M{GAP - 8} 9H16", class_="way back"),
        tag("path", d="M18 4.5l-9 4.5l9 4.5z", class_="tip back"),
        *[tag("circle", cx=8, cy=-7, r=4.5, class_=f"entry e{i}") for i in range(entries)],
    ]


def _broken_gap() -> list[Element]:
    middle = GAP / 2
    return [
        tag("path", d=f"M8 0H{middle - 16:.0f}M{middle + 16:.0f} 0H{GAP - 8}", class_="way"),
        tag("path", d=f"M{middle - 7:.0f} -7l14 14m0-14l-14 14", class_="mark cross"),
    ]
