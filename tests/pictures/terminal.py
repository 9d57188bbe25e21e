"""A recording of the bundled client in a terminal, while the server that it is connected to dies.

Servers, client and terminal are real, so no two recordings are the same, octet for octet.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.pictures.svg import MONO, SANS, number

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "end_to_end")]

from cluster import Cluster
from talking import until
from terminals import Terminal

ROWS, COLUMNS = 18, 90
CHAIN_KEY = "\x1bOQ"  # F2
LETTER, LINE, SIDE, TOP = 8.4, 19, 18, 58
SECONDS = 3.5
"""How long each picture of the screen is shown."""

COLOURS = {
    "default": "#d7dae0", "red": "#f07178", "green": "#9bcf7f", "yellow": "#e6c07b",
    "brown": "#e6c07b", "blue": "#79b8ff", "magenta": "#d2a8ff", "cyan": "#76d4d6",
    "white": "#ffffff", "black": "#7d8590", "brightblack": "#8b949e",
}  # fmt: skip

SAID = (
    ("bob", "Hello, is this thing on?"),
    ("alice", "It is. I am connected to the head."),
    ("alice", "Did that get through?"),
    ("bob", "It did. I noticed nothing."),
)

Screen = Sequence[Sequence[tuple[str, str, bool]]]
"""Rows of runs: text, colour, and whether it is bold."""


@dataclass(frozen=True)
class Frame:
    """One picture of the screen."""

    caption: str
    screen: Screen

    @property
    def text(self) -> str:
        return "\n".join("".join(text for text, _, _ in row).rstrip() for row in self.screen)


def record() -> list[Frame]:
    """Start three servers and two clients, let them talk, and kill the server of one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        cluster = stack.enter_context(Cluster(folder)).start()
        cluster.wait_until_it_serves()
        alice = stack.enter_context(Terminal(cluster, "alice", cluster["head"], ROWS, COLUMNS))
        alice.see(r"\+OK you are alice")
        alice.see(r"on head, first of 3")
        alice.press(CHAIN_KEY)
        bob = stack.enter_context(Terminal(cluster, "bob", cluster["tail"], ROWS, COLUMNS))
        alice.see("bob has joined")
        return list(_talk(cluster, alice, bob))


def _talk(cluster: Cluster, alice: Terminal, bob: Terminal) -> Iterator[Frame]:
    first, second, third, fourth = SAID
    bob.type(first[1])
    alice.see(re.escape(first[1]))
    yield Frame("alice is connected to the head, bob to the tail", alice.picture())
    alice.type(second[1])
    alice.see(re.escape(second[1]) + " ✓")
    bob.see(re.escape(second[1]))
    yield Frame("they talk", alice.picture())
    # The server stands still before it is killed, so that it cannot answer before it dies.
    cluster["head"].pause()
    alice.type(third[1])
    alice.see(re.escape(third[1]))
    yield Frame("the head dies with what alice has just said: kill -9", alice.picture())
    cluster.kill("head")
    alice.see("1 unconfirmed line sent there")
    bob.see(re.escape(third[1]))
    alice.see(re.escape(third[1]) + " ✓")
    alice.see(r"epoch 2")
    yield Frame("her client has gone on to another server, and said it there", alice.picture())
    bob.type(fourth[1])
    alice.see(re.escape(fourth[1]))
    alice.type("/last 4")
    until(lambda: _times_shown(alice) == 2, lambda: "no list of messages")
    alice.see(r"^\. 4 messages")
    yield Frame("nothing is lost, and nothing is there twice", alice.picture())


def _times_shown(terminal: Terminal) -> int:
    return sum(SAID[3][1] in line for line in terminal.lines())


def draw(frames: Sequence[Frame]) -> str:
    """The recording as SVG: one frame after another, in a circle."""
    width, height = 2 * SIDE + LETTER * COLUMNS, TOP + LINE * ROWS + 46
    total = SECONDS * len(frames)
    share = 100 / len(frames)
    written = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" role="img">',
        "<title>The bundled client while a server dies</title>",
        "<style>",
        f".t{{font:14px {MONO};white-space:pre}} .c{{font:bold 13px {SANS};fill:#e6edf3}}",
        f".f{{opacity:0;animation:f {number(total)}s step-end infinite}}",
        f"@keyframes f{{0%{{opacity:1}}{number(share)}%{{opacity:0}}100%{{opacity:0}}}}",
        # Who wants no motion, or has a viewer that knows none, sees the end.
        f".f{len(frames) - 1}{{opacity:1}}",
        "@media (prefers-reduced-motion:reduce){.f{animation:none}}",
        *(
            f".f{n}{{animation-delay:{number(SECONDS * n)}s}}"
            if n + 1 < len(frames)
            else f".f{n}{{animation:l {number(total)}s step-end infinite}}"
            for n in range(len(frames))
        ),
        f"@keyframes l{{0%{{opacity:0}}{number(100 - share)}%{{opacity:1}}100%{{opacity:1}}}}",
        "</style>",
        f'<rect width="{number(width)}" height="{number(height)}" rx="10" fill="#161b22"/>',
        *(
            f'<circle cx="{SIDE + 8 + 20 * n}" cy="24" r="6" fill="{fill}"/>'
            for n, fill in enumerate(("#ff5f57", "#febc2e", "#28c840"))
        ),
    ]
    for n, frame in enumerate(frames):
        written.append(f'<g class="f f{n}">')
        written.append(
            f'<text class="c" x="{number(width / 2)}" y="29" text-anchor="middle">'
            f"{escape(frame.caption)}</text>"
        )
        written += [_row(TOP + LINE * y, row) for y, row in enumerate(frame.screen)]
        written.append(
            f'<rect x="{SIDE}" y="{number(height - 24)}" rx="2" height="4" fill="#58a6ff" '
            f'width="{number((n + 1) / len(frames) * (width - 2 * SIDE))}"/></g>'
        )
    return "\n".join((*written, "</svg>")) + "\n"


def _row(y: float, row: Sequence[tuple[str, str, bool]]) -> str:
    x, spans = float(SIDE), list[str]()
    for text, colour, bold in row:
        if text.strip():
            fill = COLOURS.get(colour, f"#{colour}" if len(colour) == 6 else COLOURS["default"])
            weight = ' font-weight="bold"' if bold else ""
            said = text.rstrip()
            spans.append(
                f'<tspan x="{number(x)}" fill="{fill}"{weight} textLength='
                f'"{number(LETTER * len(said))}">{escape(said)}</tspan>'
            )
        x += LETTER * len(text)
    return f'<text class="t" xml:space="preserve" y="{number(y + 14)}">{"".join(spans)}</text>'


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
