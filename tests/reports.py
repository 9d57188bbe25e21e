"""The report of a house of sessions, without sockets and disk."""

from sessions_house import STOP, TIME

from chainchat.report import Sources

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
