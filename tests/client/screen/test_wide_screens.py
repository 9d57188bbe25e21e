"""Characters about whose width terminals disagree: the client's screen stays right in each.

What it shows after any edits is what a fresh drawing shows, and the cursor is where it belongs.
"""

from random import Random
from unicodedata import category, normalize

import pytest
from fake_room import Server
from screens import COLUMNS, Screen, at
from two_screens import JoiningScreen, OldScreen, TwoScreens
from wcwidth import wcwidth

TERMINALS = [TwoScreens, OldScreen, JoiningScreen]

FAMILY, FLAG, TONE, HEART = "👨‍👩‍👧", "🇩🇪", "👍🏽", "❤️"
CLUSTERS = (
    *("a", "b", " ", "ä", "e\u0301", "a\u0323\u0302\u0301", "漢", "字", "한", "か\u3099"),
    *(FAMILY, FLAG, TONE, HEART, "⚡", "1\ufe0f\u20e3", "🏴‍☠️", "👩🏽‍🚀", "🫨"),
    *("ש", "ל", "م", "ر", "नि", "กำ", "x", "y", "z", " "),
)
PROMPT = "alice> "


def width(text: str) -> int:
    """Columns that the client reserves."""
    return sum(wcwidth(character) or category(character) == "Mc" for character in text)


class Line:
    """A line that is edited, as the model has it: a cluster is one."""

    def __init__(self) -> None:
        self.clusters: list[str] = []
        self.place = 0

    def press(self, key: str) -> None:
        """Do what the key does."""
        clusters, place = self.clusters, self.place
        match key:
            case "\x7f":
                del clusters[max(0, place - 1) : place]
                self.place = max(0, place - 1)
            case "\x1b[3~":
                del clusters[place : place + 1]
            case "\x1b[D":
                self.place = max(0, place - 1)
            case "\x1b[C":
                self.place = min(len(clusters), place + 1)
            case "\x01":
                self.place = 0
            case "\x05":
                self.place = len(clusters)
            case _:
                clusters.insert(place, key)
                self.place += 1

    @property
    def text(self) -> str:
        """The whole line."""
        return "".join(self.clusters)

    @property
    def column(self) -> int:
        """Where the cursor is, while the line takes one row."""
        return len(PROMPT) + width("".join(self.clusters[: self.place]))


EDITS = ["\x7f", "\x7f", "\x1b[D", "\x1b[D", "\x1b[C", "\x1b[3~", "\x01", "\x05"]


def stands(screen: Screen, server: Server) -> None:
    """All of it but the status line is drawn, and nothing changes when it is drawn afresh."""
    newest = f"#{server.room.high} "

    def is_drawn(rows: list[str]) -> bool:
        return any(row.startswith(newest) for row in rows) and "§" in "".join(rows[-4:])

    screen.type("\x05§")
    screen.shows(is_drawn)
    shown = screen.cells[:-1]
    screen.draws_anew()
    screen.shows(lambda _: screen.cells[:-1] == shown)


@pytest.mark.parametrize("terminal", TERMINALS)
def test_after_any_edits_the_screen_is_as_if_drawn_afresh(
    server: Server, terminal: type[TwoScreens], seed: int
) -> None:
    random = Random(seed)
    with Screen("--name", "alice", *at(server.listen()), terminal=terminal) as screen:
        screen.is_online()
        for _ in range(3):
            line = Line()
            for _ in range(60):
                full = width(line.text) > COLUMNS - len(PROMPT) - 10
                key = random.choice(EDITS if full or random.random() < 0.3 else CLUSTERS)
                screen.type(key)
                line.press(key)
                screen.read(0.01)
                if random.random() < 0.1:
                    server.do(server.room.say, "bob", "".join(random.choices(CLUSTERS, k=40)))
            screen.shows(lambda _, line=line: screen.cursor[1] == line.column)
            stands(screen, server)
            screen.type("\r")
            said = (line.text + "§").strip()
            server.wait(lambda said=said: server.room.messages[-1].text.strip() == said)


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_long_line_of_them_wraps_within_the_window(
    server: Server, terminal: type[TwoScreens]
) -> None:
    with Screen("--name", "alice", *at(server.listen()), terminal=terminal) as screen:
        screen.is_online()
        for cluster in (FAMILY, FLAG, TONE, "漢", "שלום ", "e\u0301", "नि"):
            server.do(server.room.say, "bob", cluster * 40)
            screen.type(f"\x1b[200~{cluster * 40}\x1b[201~")
            stands(screen, server)
            drawn = normalize("NFD", "".join(cell for row in screen.cells for cell in row))
            assert drawn.count(cluster[0]) >= 2 * 40
            screen.type("\x15")
            screen.shows(lambda rows: PROMPT.strip() in rows)
