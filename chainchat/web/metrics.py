"""A node's metrics, in Prometheus' format.

Nothing is counted here. Seconds and octets ("bytes") are the only units; no label's value comes
from clients.
"""

import os
import platform
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import twisted
from chainchat.node.node import Node
from chainchat.node.report import Report
from chainchat.node.tally import Distribution
from chainchat.sessions.admission import Admission
from chainchat.sessions.sessions import Sessions

CONTENT_TYPE = CONTENT_TYPE_LATEST
OPEN_FILES = Path("/proc/self/fd")
ROLES = ("head", "middle", "tail", "only", "learner", "wedged", "founding", "active")
KINDS = ("found", "resume", "shrink", "join", "other")


class Shown(Struct, frozen=True):
    """Where the web port finds what it shows of a node.

    Attributes:
        node, sessions: of the present life.
        links: linked positions, with the lane.
        most_files: how many this process may open.
        drained: no client is let in.
    """

    report: Callable[[], Report]
    node: Callable[[], Node]
    sessions: Callable[[], Sessions]
    admission: Admission
    links: Callable[[], list[tuple[str, str]]]
    most_files: int
    drained: Callable[[], bool]


class NodeCollector(Collector):
    """All metrics of a node, now."""

    def __init__(self, shown: Shown, watchers: Callable[[], int]) -> None:
        self._shown = shown
        self._watchers = watchers

    def collect(self) -> Iterator[Metric]:
        report, node = self._shown.report(), self._shown.node()
        yield from _of_configuration(report, node)
        yield from _of_log(report)
        yield from _of_work(node)
        yield from self._of_links(report)
        yield from self._of_clients(node)
        yield from _of_disk(report)
        yield from self._of_process(report, node)

    def _of_links(self, report: Report) -> Iterator[Metric]:
        linked = set(self._shown.links())
        lanes = _gauge("link", "1 if this node has such a connection with another", "peer", "lane")
        for peer in report.peers:
            for lane in ("chain", "membership", "copy"):
                lanes.add_metric([peer.position, lane], float((peer.position, lane) in linked))
        yield lanes
        silence = _gauge("peer_silence_seconds", "Since a ping of another node was heard", "peer")
        away = _gauge("peer_away", "1 for a node of the chain that this one does not hear", "peer")
        low = _gauge("peer_disk_low", "1 for a member whose disk is nearly full", "peer")
        for peer in report.peers:
            if peer.silent is not None:
                silence.add_metric([peer.position], peer.silent)
            away.add_metric([peer.position], float(peer.away))
            low.add_metric([peer.position], float(peer.low))
        yield from (silence, away, low)

    def _of_clients(self, node: Node) -> Iterator[Metric]:
        shown, sessions = self._shown, self._shown.sessions()
        kinds = sessions.kinds()
        by_kind = _gauge("sessions", "Sessions at this node", "mode", "transport")
        for mode in ("human", "machine"):
            for transport in ("plain", "tls"):
                by_kind.add_metric([mode, transport], kinds[mode, transport])
        yield by_kind
        yield _one(
            "connections", "Connections of clients, logged in or not", shown.admission.admitted
        )
        behind = max(sessions.count - sessions.news.live, 0)
        yield _one("sessions_behind", "Sessions that read on from the log, as slow ones do", behind)
        yield _one(
            "sessions_resting",
            "Sessions that have sent too much, and rest",
            sessions.rounds.resting,
        )
        yield _count(
            "pushes",
            "Pushes of new messages to sessions, those of a turn at once",
            sessions.news.pushes,
        )
        refused = _counter("refused_requests", "Requests of clients that were refused", "code")
        for code, times in sorted(node.tally.refused.items()):
            refused.add_metric([str(int(code))], times)
        yield refused
        turned_away = _counter("refused_connections", "Connections that were refused", "code")
        for reason, times in sorted(shown.admission.refused.items()):
            turned_away.add_metric([str(int(reason))], times)
        yield turned_away
        yield _one("accounts", "Accounts of the chat", len(node.state.accounts))
        yield _one("watchers", "Browsers that watch the page of this node", self._watchers())

    def _of_process(self, report: Report, node: Node) -> Iterator[Metric]:
        build = _gauge("build_info", "The versions of this process", "version", "python", "twisted")
        build.add_metric([report.version, platform.python_version(), twisted.__version__], 1)
        yield build
        yield _one(
            "start_time_seconds", "When this process began, as Unix time", _unix(report.started)
        )
        yield _count("lives", "Lives that this process began", node.tally.lives)
        yield _one("open_files", "Open files of this process", open_files())
        yield _one("open_files_limit", "Files that it may open", self._shown.most_files)
        yield _one(
            "clock_behind_seconds", "This clock behind the newest message", report.clock_behind
        )


def _of_configuration(report: Report, node: Node) -> Iterator[Metric]:
    yield _one("epoch", "Epoch of the newest configuration known here", report.epoch)
    yield _one("members", "Members of the chain", len(report.members))
    yield _one(
        "founding_members", "Members that the chain has when it is whole", len(report.founding)
    )
    place = _gauge(
        "member_place", "Place of each member in the chain, from 1 at the head", "member"
    )
    for number, position in enumerate(report.members, 1):
        place.add_metric([position], number)
    yield place
    role = _gauge("role", "1 for this node's role, or why it has none", "role")
    for name in ROLES:
        role.add_metric([name], float(report.role == name))
    yield role
    yield _one("serving", "1 if this node takes clients", report.serving)
    yield _one("confirms", "1 if the chain confirms what is said here", report.confirms)
    waiting = _gauge("waiting_for", "1 for each node that keeps the chain from answering", "peer")
    for position in report.waiting_for:
        waiting.add_metric([position], 1)
    yield waiting
    changes = _counter("changes", "Changes of configuration that this process saw", "kind")
    for kind in KINDS:
        changes.add_metric([kind], node.tally.kinds[kind])
    yield changes
    yield _one(
        "writes_paused_seconds", "Since writes stand still; 0: they do not", report.writes_paused
    )
    yield _histogram(
        "write_pause_seconds", "How long writes stood still at each change", node.tally.pauses
    )


def _of_log(report: Report) -> Iterator[Metric]:
    yield _one("log_first", "The oldest number in the log here", report.first)
    yield _one("removed_before", "Messages below it were removed; 0: none were", report.removed)
    kept = report.kept_unread
    yield _one(
        "unread_kept_seconds",
        "Age of the first message that is to go, and stays as it is unread; 0: none",
        kept.seconds if kept is not None else 0,
    )
    yield _one("log_last", "The newest number in the log here", report.last)
    yield _one("log_synced", "The newest number on the disk here", report.synced)
    yield _one("log_committed", "The newest number on every member's disk", report.committed)
    yield _one("log_applied", "The newest number in the state here", report.applied)
    yield _one("log_in_flight", "Numbers here that are not known to be committed", report.in_flight)
    yield _one("log_missing", "Numbers that this learner still has to copy", report.missing)
    behind = report.applied - report.checkpoint
    yield _one("checkpoint_age_entries", "Numbers that a start would have to apply again", behind)


def _of_work(node: Node) -> Iterator[Metric]:
    tally = node.tally
    yield _count("entries", "Entries of the log that were applied", tally.applied)
    yield _count("messages", "Chat messages in them", tally.said)
    yield _one("requests_pending", "Numbers that clients here asked for and wait for", node.pending)
    yield _histogram(
        "commit_seconds", "From a request of a client here to its answer", tally.commits
    )
    yield _histogram("sync_seconds", "Each write to the log, with the disk's sync", tally.syncs)
    yield _histogram("batch_entries", "Entries in each write to the log", tally.batches)
    yield _histogram("turn_seconds", "Each turn, without the disk's sync", tally.turns)


def _of_disk(report: Report) -> Iterator[Metric]:
    disk = report.disk
    files = _gauge("storage_bytes", "What the data of this node take", "file")
    for kind, size in disk.files.items():
        files.add_metric([kind.replace("-", "_").replace(" ", "_")], size)
    yield files
    if disk.free is not None:
        yield _one("disk_free_bytes", "Free on the disk of this node", disk.free)
    left = _gauge("disk_left_seconds", "Until the disk is low, at the rate of the last hour")
    if disk.left is not None:
        left.add_metric([], disk.left)
    yield left
    yield _one("disk_stop_bytes", "With less, nothing new is taken; 0: never", disk.stop)
    expires = _gauge(
        "certificate_expiry_seconds", "When a certificate expires, as Unix time", "whose"
    )
    for certificate in report.certificates:
        expires.add_metric([certificate.whose], _unix(certificate.expires))
    yield expires


# --- families


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"chainchat_{name}", f"{about}.", labels=labels)


def _counter(name: str, about: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"chainchat_{name}", f"{about}.", labels=labels)


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"chainchat_{name}", f"{about}.", value=float(value))


def _count(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"chainchat_{name}", f"{about}.", value=value)


def _histogram(name: str, about: str, distribution: Distribution) -> Metric:
    buckets, below = [], 0
    for bound, count in zip((*distribution.bounds, float("inf")), distribution.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), float(below)))
    return HistogramMetricFamily(
        f"chainchat_{name}", f"{about}.", buckets=buckets, sum_value=distribution.total
    )


def _unix(shown: str) -> float:
    return datetime.fromisoformat(shown).timestamp()


def open_files() -> int:
    """0 where the system does not tell."""
    try:
        return os.stat(OPEN_FILES).st_size or len(os.listdir(OPEN_FILES))  # Linux since 6.2 counts
    except OSError:
        return 0


def registry(shown: Shown, watchers: Callable[[], int]) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(NodeCollector(shown, watchers))
    return made


def rendered(metrics: CollectorRegistry) -> bytes:
    return generate_latest(metrics)
