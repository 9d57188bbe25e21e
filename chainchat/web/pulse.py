"""The last five minutes of a chain: rates and latencies."""

from collections import deque

from msgspec import Struct

from chainchat.node.report import Report
from chainchat.node.tally import Tally

POINTS = 60
POINT_SECONDS = 5
"""Beats per point, one each second."""


class Beat(Struct, frozen=True):
    """What happened in one or more seconds.

    Attributes:
        committed: sequence numbers.
        answered: turns with requests of this node's clients whose answers came.
        took: seconds from these turns to the answers, added up.
    """

    committed: int
    answered: int
    took: float


class Pulse(Struct, frozen=True):
    """The pulse of a chain, as one node feels it.

    Attributes:
        rates: sequence numbers committed a second, by point, the oldest first.
        latencies: mean seconds until clients were answered; None where nobody asked.
        rate, latency: of the last seconds.
        moved: sequence numbers committed in the last second.
    """

    rates: tuple[float, ...] = ()
    latencies: tuple[float | None, ...] = ()
    rate: float = 0.0
    latency: float | None = None
    moved: int = 0


class Heart:
    """Feels the pulse, once a second."""

    def __init__(self) -> None:
        self._points: deque[Beat] = deque(maxlen=POINTS)
        self._beats: deque[Beat] = deque(maxlen=POINT_SECONDS)
        self._count = 0
        self._before: tuple[int, int, float] | None = None
        """The totals of committed, answered and took; None while this node is no member."""

    def beat(self, report: Report, tally: Tally) -> None:
        """Note that a second has passed."""
        now = report.committed, tally.commits.count, tally.commits.total
        before = now if self._before is None else self._before
        moved = max(now[0] - before[0], 0)
        self._beats.append(Beat(moved, now[1] - before[1], now[2] - before[2]))
        member = report.serving or report.drained
        self._before = now if member else None  # what a learner copies is no news
        self._count += 1
        if self._count % POINT_SECONDS == 0:
            self._points.append(_together(self._beats))

    @property
    def pulse(self) -> Pulse:
        last = _together(self._beats)
        return Pulse(
            rates=tuple(point.committed / POINT_SECONDS for point in self._points),
            latencies=tuple(_latency(point) for point in self._points),
            rate=last.committed / max(len(self._beats), 1),
            latency=_latency(last),
            moved=self._beats[-1].committed if self._beats else 0,
        )


def _together(beats: deque[Beat]) -> Beat:
    return Beat(
        sum(beat.committed for beat in beats),
        sum(beat.answered for beat in beats),
        sum(beat.took for beat in beats),
    )


def _latency(beat: Beat) -> float | None:
    return beat.took / beat.answered if beat.answered else None
