"""What operators see of a house of sessions, without sockets and disk."""

from sessions_house import STOP, TIME

from chainchat.node.report import Sources, report
from chainchat.sessions.admission import Admission
from chainchat.web import metrics

STARTED = 1_795_345_380_000  # 2026-11-22T11:03:00Z


def sources(house, data):
    """Where the report of a house comes from."""
    return Sources(
        chain="lab",
        started=STARTED,
        founding=("solo",),
        positions=("solo",),
        data=data,
        stop=STOP,
        node=lambda: house.node,
        clients=lambda: house.sessions.count,
        connections=lambda: len(house.sessions.connections),
        links=list,
        expires=dict,
        wall=lambda: TIME + int(house.clock.seconds() * 1000),
    )


def metrics_sources(house, data, **changes):
    """Where the metrics of a house come from."""
    about = sources(house, data)
    given = {
        "report": lambda: report(about),
        "node": lambda: house.node,
        "sessions": lambda: house.sessions,
        "admission": Admission("solo", house.limits, house.clock.seconds, lambda: 1),
        "links": list,
        "most_files": 1_024,
        "drained": lambda: False,
    }
    return metrics.Shown(**{**given, **changes})
