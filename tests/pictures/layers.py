"""The packages of the house in layers, by who imports whom."""

import ast
from pathlib import Path

from tests.pictures.svg import FAINT, INK, TINTS, Drawing

ROOT = Path(__file__).parents[2] / "chainchat"
WIDE, HIGH, DOWN, ACROSS, TOP = 226, 58, 96, 262, 80

ABOUT = {
    "tap": "the options for twistd",
    "service": "puts a node together, starts, stops",
    "peers": "the chain port: AMP over TCP",
    "sessions": "the client port: telnet, nc, programs",
    "logs": "what a node writes into its log",
    "network": "addresses, sockets, last words",
    "node": "a node at work: carries effects out",
    "tls": "TLS, between nodes and for clients",
    "storage": "what a node keeps: SQLite",
    "chain": "replication: pure, no chat",
    "chat": "the chat: pure, no replication",
    "client": "the bundled client",
    "control": "the control socket: the operator",
    "ctl": "chainchatctl, which asks there",
    "config": "chain.ini, typed",
    "web": "the web port: page, metrics, health",
}
COLUMNS = {
    "tap": 0.5,
    "service": 0.5,
    "web": 1,
    "peers": 0,
    "sessions": 1,
    "tls": 0,
    "logs": 1,
    "network": 1,
    "node": 0,
    "storage": 0,
    "chain": 0,
    "config": 1,
}
"""Where they stand; the others stand in the last column."""

PAINTS = {"chain": TINTS["head"], "chat": TINTS["tail"], "client": TINTS["spare"]}


def draw() -> str:
    """The picture."""
    uses = _uses()
    ranks: dict[str, int] = {}
    for name in uses:
        _rank(name, uses, ranks)
    most, width = max(ranks.values()), 48 + 2 * ACROSS + WIDE
    drawing = Drawing(width, TOP + DOWN * (most + 1), "The layers of the house")
    drawing.text(24, 32, "The layers of the house", size=15, bold=True)
    drawing.text(
        24, 51, "drawn from the imports; whatever an arrow leads to, directly or not, may be used",
        size=11, fill=FAINT,
    )  # fmt: skip
    places = {
        name: (24 + ACROSS * COLUMNS.get(name, 2), TOP + DOWN * (most - rank))
        for name, rank in ranks.items()
    }
    for above, below in sorted(_reduced(uses)):
        (x1, y1), (x2, y2) = places[above], places[below]
        drawing.arrow(x1 + WIDE / 2, y1 + HIGH, x2 + WIDE / 2, y2 - 2, stroke=FAINT)
    for name, (x, y) in places.items():
        fill = PAINTS.get(name, "#ffffff")
        drawing.box(x, y, WIDE, HIGH, fill=fill, stroke=INK, radius=8, thick=1.2)
        drawing.text(x + WIDE / 2, y + 25, f"{name}", size=15, anchor="middle", bold=True)
        drawing.text(
            x + WIDE / 2, y + 43, ABOUT.get(name, ""), size=11, fill=FAINT, anchor="middle"
        )
    return drawing.written()


def _uses() -> dict[str, set[str]]:
    """The packages that each one imports, and what composes them all."""
    names = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"tap"}
    uses: dict[str, set[str]] = {name: set() for name in sorted(names)}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if name in names:
            uses[name] |= (_imported(path) & names) - {name}
    return uses


def _imported(path: Path) -> set[str]:
    found = set()
    for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(statement, ast.ImportFrom) and statement.module:
            parts = statement.module.split(".")
            if parts[0] == "chainchat":
                found |= set(parts[1:2]) or {alias.name for alias in statement.names}
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                found |= (
                    set(alias.name.split(".")[1:2]) if alias.name[:10] == "chainchat." else set()
                )
    return found


def _rank(name: str, uses: dict[str, set[str]], ranks: dict[str, int]) -> int:
    """How far up a package stands: above all that it imports."""
    if name not in ranks:
        ranks[name] = max((_rank(used, uses, ranks) + 1 for used in uses[name]), default=0)
    return ranks[name]


def _reduced(uses: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows that no other arrows lead along."""

    def reaches(above: str, below: str) -> bool:
        return below in uses[above] or any(reaches(used, below) for used in uses[above])

    arrows = {(above, below) for above in uses for below in uses[above]}
    return {
        (above, below)
        for above, below in arrows
        if not any(reaches(used, below) for used in uses[above] - {below})
    }
