"""Views of a chain of three, as its head has them: one that is well, and what changes in it."""

from msgspec.structs import replace

from chainchat.node.report import Certificate, Disk, Peer, Report, ReportedChange
from chainchat.web.pulse import Pulse
from chainchat.web.view import View

FOUNDED = ReportedChange(
    time="2026-11-22T11:03:01Z",
    kind="found",
    epoch=1,
    members=("head", "middle", "tail"),
    why="founded",
    outcome="writes stood still for 0.087 s",
    paused=0.087,
)


def peer(position, **changes):
    usual = Peer(position, position, linked=True, away=False, silent=0.1, low=False, progress="")
    return replace(usual, **changes)


WELL = Report(
    version="0.1.0",
    chain="lab",
    position="head",
    id="4f",
    incarnation=7,
    now="2026-11-22T11:08:00Z",
    started="2026-11-22T11:03:00Z",
    epoch=1,
    members=("head", "middle", "tail"),
    founding=("head", "middle", "tail"),
    role="head",
    serving=True,
    drained=False,
    confirms=True,
    reason="",
    since="2026-11-22T11:03:01Z",
    waiting_for=(),
    away=(),
    low=(),
    last=1_042,
    synced=1_042,
    committed=1_042,
    applied=1_042,
    checkpoint=1_000,
    first=1,
    removed=0,
    kept_unread=None,
    in_flight=0,
    clock_behind=0.0,
    writes_paused=0.0,
    learners={},
    progress="",
    missing=0,
    clients=12,
    connections=14,
    peers=(peer("middle"), peer("tail")),
    disk=Disk(77_600_000_000, 100_000_000, None, {"database": 1_640_000}, ""),
    certificates=(Certificate("this node's certificate", "2027-11-22T11:03:00Z", 31_535_700),),
    changes=(FOUNDED,),
    warnings=(),
    shown=(),
)

AWAY = replace(
    WELL,
    confirms=False,
    reason="the chain cannot confirm: waiting for tail",
    waiting_for=("tail",),
    away=("tail",),
    in_flight=3,
    writes_paused=4.2,
    peers=(peer("middle"), peer("tail", away=True, silent=4.2)),
)

WITHOUT = replace(
    WELL,
    epoch=2,
    members=("head", "middle"),
    peers=(peer("middle", role="tail"), peer("tail", role="left out", linked=False, silent=9.0)),
    changes=(
        ReportedChange(
            time="2026-11-22T11:08:02Z",
            kind="shrink",
            epoch=2,
            members=("head", "middle"),
            why="without tail: its process is dead; seen by head",
            outcome="writes stood still for 0.412 s",
            paused=0.412,
        ),
        FOUNDED,
    ),
)

LEARNS = replace(
    WITHOUT,
    learners={"tail": "copied 900 entries from middle, 142 to go"},
    peers=(
        peer("middle", role="tail"),
        peer("tail", role="learner", progress="copied 900 entries from middle, 142 to go"),
    ),
)

LEARNER = replace(
    WITHOUT,
    position="tail",
    role="learner",
    serving=False,
    drained=False,
    confirms=False,
    reason="this node is catching up with the chain (head, middle)",
    progress="copied 900 entries from middle, 142 to go",
    last=900,
    missing=142,
    peers=(peer("head"), peer("middle", role="tail")),
)

FULL = replace(
    WELL,
    reason="the disk of middle is nearly full: nothing new is taken until there is room",
    waiting_for=("middle",),
    low=("middle",),
    peers=(peer("middle", low=True), peer("tail")),
)

PAGES = {
    "head": "http://127.0.0.1:7301/",
    "middle": "http://127.0.0.1:7302/",
    "tail": "https://chat.example.org/tail/",
}


def view(report, **pulse):
    return View(report, Pulse(**pulse), PAGES)
