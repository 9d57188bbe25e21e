"""What ordinary users notice while somebody abuses a server: three phases, and a verdict.

Abuses and users are those of the end-to-end tests, in processes of their own.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from abuse import Abuse, Abuser, scene  # from tests/end_to_end
from abuses import ABUSES  # from tests/end_to_end
from cluster import Cluster  # from tests/end_to_end
from helpers import Helper  # from tests/end_to_end
from users import CHAINCHAT, Speech, Users, Waits  # from tests/end_to_end

from lab.processes import (
    ServerError,
    Ticks,
    cpu_seconds,
    peak_bytes,
    processor_ticks,
    reset_peak,
    resident_bytes,
)
from lab.report import Result, median, medians

__all__ = ["ABUSES", "Abuse", "Chainchat", "Stage", "judged", "measure"]

PHASES = {"calm": 1, "abuse": 2, "after": 1}
"""The phases, and how long each is in units of ``--seconds``."""

ONE_TIMES, MANY_TIMES = 3, 5
"""How many times the calm p99 the one under abuse may be: by one client, by a hundred."""

ONE_AT_MOST = 0.1
"""Seconds that it may be at most, by one client."""

STOOD_AT_MOST = 2.5
"""Seconds that the longest wait may be where a node goes and comes by design."""

LOGINS = 0.5
"""Seconds that pass unmeasured: the first lines are about the logins."""

LOOK = 0.1
"""Seconds between two looks at the memory of the servers."""


class Stage(Protocol):
    """Servers that are abused, from ``with`` on.

    Attributes:
        speech: an ordinary user's words there.
    """

    name: str
    speech: Speech

    @property
    def addresses(self) -> Sequence[tuple[str, int]]:
        """Where users connect, in turn."""

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes."""

    def __enter__(self) -> "Stage":
        """Start, and prepare."""

    def __exit__(self, *_: object) -> None:
        """Stop."""

    def abuser(self) -> Helper:
        """What does the row's abuse; it has a ``tally``."""

    def state(self) -> Result:
        """What else is known in the end."""


class Chainchat:
    """Three nodes, prepared for one row."""

    name = "chainchat"
    speech = CHAINCHAT

    def __init__(self, row: Abuse, size: int, folder: Path) -> None:
        self._row = row
        self._size = size
        self._cluster = row.cluster(lambda **options: Cluster(folder, **options))

    def __enter__(self) -> "Chainchat":
        try:
            self._cluster.start()
            self._row.be_prepared(self._cluster, self._size)
            time.sleep(self._row.rest)
        except BaseException:
            self._cluster.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.close()

    @property
    def addresses(self) -> Sequence[tuple[str, int]]:
        """Of all three."""
        return [node.address for node in self._cluster.nodes.values()]

    @property
    def pids(self) -> Mapping[str, int]:
        """Of those that run."""
        return {node.position: node.pid for node in self._cluster.running}

    def abuser(self) -> Helper:
        """Of the row."""
        return Abuser(self._row.act, scene(self._cluster, self._size))

    def state(self) -> Result:
        """Epochs, as logged; who is left; complaints in the logs."""
        logs = [node.log_text() for node in self._cluster.nodes.values()]
        epochs = [
            int(each) for text in logs for each in re.findall(r"followed by epoch (\d+)", text)
        ]
        chains = [node.chain() for node in self._cluster.running]
        members = max((each["members"] for each in chains if each), key=len, default="")
        return {
            "epoch": max(epochs, default=1),
            "members": members,
            "log_octets": sum(map(len, logs)),
            "long_turns": sum(map(_long_turns, logs)),
            "complaints": len(self._cluster.complaints()),
        }


def _long_turns(log: str) -> int:
    lines = re.findall(r"a turn took .*?(?:; not told before: (\d+))?$", log, re.MULTILINE)
    return sum(1 + int(untold or 0) for untold in lines)


def measure(stage: Stage, row: Abuse, seconds: float) -> Result:
    """Calm, abuse, calm; what the users noticed and what the servers used."""
    times: list[float] = []
    looks: list[Ticks] = []

    def mark() -> None:
        times.append(time.monotonic())
        looks.append(processor_ticks())

    with stage as servers:
        nodes: dict[str, Result] = {}
        with Users(servers.addresses, speech=servers.speech) as users:
            time.sleep(LOGINS)
            mark()
            _pass_until(times[0] + seconds * PHASES["calm"], servers, {})
            mark()
            with _metered(servers, nodes) as peaks, servers.abuser() as abuser:
                _pass_until(times[1] + seconds * PHASES["abuse"], servers, peaks)
                mark()
                if not abuser.running:
                    raise ServerError("the abuser has ended before its time")
            dropped, refused = users.dropped, users.refused
            _pass_until(times[2] + seconds * PHASES["after"], servers, {})
            mark()
            users.finish()
        spans = zip(PHASES, times, times[1:], strict=False)
        waits = {phase: users.between(begin, end) for phase, begin, end in spans}
        found: Result = {
            "row": row.name,
            "system": servers.name,
            "phases": {phase: _summary(each) for phase, each in waits.items()},
            "newcomers": _summary(users.newcomers(times[1], times[2])),
            "stolen": dict(zip(PHASES, map(_stolen, looks, looks[1:]), strict=True)),
            "dropped": dropped,
            "refused": refused,
            "nodes": nodes,
            "abuser": dict(zip(("sent", "heard", "opened", "closed"), abuser.tally, strict=True)),
            **servers.state(),
        }
    return found


def _pass_until(end: float, servers: Any, peaks: dict[str, float]) -> None:
    while (left := end - time.monotonic()) > 0:
        for name, pid in servers.pids.items():
            with contextlib.suppress(OSError):
                peaks[name] = max(peaks.get(name, 0), resident_bytes(pid))
        time.sleep(min(LOOK, left))


@contextlib.contextmanager
def _metered(servers: Any, nodes: dict[str, Result]) -> Iterator[dict[str, float]]:
    """Processor time and memory meanwhile, of those that live to the end."""
    pids = dict(servers.pids)
    for pid in pids.values():
        reset_peak(pid)
    before = {name: (cpu_seconds(pid), resident_bytes(pid)) for name, pid in pids.items()}
    peaks: dict[str, float] = {}
    yield peaks
    for name, pid in pids.items():
        cpu, memory = before[name]
        nodes[name] = {"cpu": None, "memory": memory, "peak": peaks.get(name, memory)}
        with contextlib.suppress(OSError, ProcessLookupError):
            nodes[name]["cpu"] = cpu_seconds(pid) - cpu
            nodes[name]["peak"] = max(nodes[name]["peak"], peak_bytes(pid))


def _summary(waits: Waits) -> Result:
    if not waits.seconds:
        return {"lines": 0, "p50": None, "p99": None, "max": None, "unanswered": 0}
    return {
        "lines": len(waits.seconds),
        "p50": waits.percentile(50),
        "p99": waits.percentile(99),
        "max": waits.longest,
        "unanswered": waits.unanswered,
    }


def _stolen(before: Ticks, after: Ticks) -> float:
    """The part of the processors' time that other machines took meanwhile."""
    return (after.stolen - before.stolen) / max(after.all - before.all, 1)


def judged(row: Abuse, rounds: Sequence[Result]) -> Result:
    """The rounds of a row as one, with its ``faults``: what misses the targets, in words.

    Waits and their ratios are medians, but for the longest; all else must hold in every round.
    """
    found = medians(rounds)
    if "epoch" in found:
        found["epoch"] = max(each["epoch"] for each in rounds)
    for phase, each in found["phases"].items():
        longest = [one["phases"][phase]["max"] for one in rounds]
        each["max"] = max(filter(None, longest), default=None)
    broken = [fault for each in rounds for fault in _broken(row, each)]
    phases = [each["phases"] for each in rounds]
    found["times"] = median(each["abuse"]["p99"] / each["calm"]["p99"] for each in phases)
    found["faults"] = [*_slow(row, found), *dict.fromkeys(broken)]
    return found


def _slow(row: Abuse, found: Result) -> Iterator[str]:
    if not row.departs:
        if found["times"] > (MANY_TIMES if row.many else ONE_TIMES):
            yield f"p99 x {found['times']:.1f}"
        if not row.many and found["phases"]["abuse"]["p99"] > ONE_AT_MOST:
            yield f"p99 above {ONE_AT_MOST * 1000:.0f} ms"


def _broken(row: Abuse, found: Result) -> Iterator[str]:
    if unanswered := sum(found["phases"][phase]["unanswered"] for phase in PHASES):
        yield f"{unanswered} unanswered"
    if row.departs:
        if max(found["phases"][phase]["max"] for phase in ("abuse", "after")) > STOOD_AT_MOST:
            yield f"stood still for more than {STOOD_AT_MOST:g} s"
    else:
        if found.get("epoch", 1) > 1:
            yield f"epoch {found['epoch']}"
        if found["dropped"]:
            yield f"{found['dropped']} hung up on"
    turned_away = found["newcomers"]["unanswered"]
    if turned_away and not row.departs:
        yield f"{turned_away} of {found['newcomers']['lines']} newcomers not let in"
    grown = max((each["peak"] - each["memory"] for each in found["nodes"].values()), default=0)
    if grown > row.memory * 1e6:
        yield f"+{grown / 1e6:.0f} MB"
    if found.get("complaints"):
        yield f"{found['complaints']} complaints in the logs"
