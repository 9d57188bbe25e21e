"""Lines over the last five minutes."""

import math
from collections.abc import Sequence

from chainchat.web.markup import Element, tag
from chainchat.web.pulse import POINTS

WIDTH, HEIGHT, FLOOR = 480, 120, 108
TOP = 10

STEPS = (1, 2, 5, 10)


def line(values: Sequence[float | None], *, title: str, top: float) -> Element:
    """Draw a line.

    Args:
        values: the oldest first; None where there is none.
        title: says what the line shows, for people who cannot see it.
        top: the highest value of the scale.
    """
    return tag(
        "svg",
        tag("title", title),
        tag("path", d=f"M0 {FLOOR}H{WIDTH}", class_="floor"),
        tag("path", d=f"M0 {TOP}H{WIDTH}", class_="top"),
        *[part for run in _runs(values, top) for part in _drawn(run)],
        class_="line",
        role="img",
        preserveAspectRatio="none",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
    )


def ceiling(values: Sequence[float | None], least: float) -> float:
    """A round number that is not below any of the values and ``least``."""
    most = max((value for value in values if value is not None), default=0.0)
    most = max(most, least)
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in STEPS if step * power >= most * (1 - 1e-9))


Run = list[tuple[float, float]]


def _runs(values: Sequence[float | None], top: float) -> list[Run]:
    runs: list[Run] = [[]]
    for place, value in enumerate(values, POINTS - len(values)):
        if value is None:
            runs.append([])
        else:
            x = WIDTH * place / (POINTS - 1)
            runs[-1].append((x, FLOOR - (FLOOR - TOP) * min(value / top, 1.0)))
    return [run for run in runs if run]


def _drawn(run: Run) -> list[Element]:
    if len(run) == 1:
        (x, y), *_ = run
        run = [(max(x - 4, 0), y), (max(x, 4), y)]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
    first, last = run[0][0], run[-1][0]
    return [
        tag("polygon", points=f"{first:.1f},{FLOOR} {way} {last:.1f},{FLOOR}", class_="below"),
        tag("polyline", points=way, class_="stroke"),
    ]
