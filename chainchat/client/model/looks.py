"""How lines look: pieces of text, each with its style's name."""

import re
import zlib
from collections.abc import Callable
from functools import lru_cache

from chainchat.chat.blanks import without_padding
from chainchat.chat.requests import EVERYBODY
from chainchat.client.engine.wire import harmless
from chainchat.client.model.transcript import Entry

Pieces = list[tuple[str, str]]

NAME_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a000")
"""Okabe and Ito's, which colour-blind people can tell apart (the yellow is darker)."""

NAME_COLOURS_OF_16 = ("ansicyan", "ansiyellow", "ansibrightblue", "ansimagenta", "ansibrightcyan")
"""Without red and green, which mean something else."""

STYLES = {
    "faint": "ansibrightblack",
    "private": "ansimagenta",
    "good": "ansigreen",
    "bad": "ansired",
    "mention": "bold",
    "found": "reverse",
    "unread": "ansiyellow",
    "status": "ansibrightblack",
    "status.warning": "ansiyellow",
    "panel": "",
    "bottom-toolbar": "noreverse",
}


class Glyphs:
    """Symbols, in Unicode or in ASCII."""

    def __init__(self, *, unicode: bool) -> None:
        self.unicode = unicode
        self.pending, self.done, self.dot = ("…", "✓", "·") if unicode else ("...", "ok", "|")
        self.line, self.arrow = ("─", "→") if unicode else ("-", "->")

    def fit(self, text: str) -> str:
        """Return ``text`` as far as the terminal shows it."""
        return text if self.unicode else text.encode("ascii", "replace").decode()


@lru_cache(maxsize=1024)
def name_style(name: str) -> str:
    """The style of a name, the same on every day and every machine."""
    return f"class:name{zlib.crc32(name.lower().encode()) % len(NAME_COLOURS)}"


def name_styles(*, few: bool) -> dict[str, str]:
    """The styles of names; ``few``: of the 16 colours that every terminal has."""
    count = len(NAME_COLOURS)
    colours = NAME_COLOURS_OF_16 if few else NAME_COLOURS
    return {f"name{n}": colours[n % len(colours)] for n in range(count)}


class Looks:
    """Makes the pieces of entries, for one person; ``clock`` shows milliseconds since 1970."""

    def __init__(self, name: str, glyphs: Glyphs, clock: Callable[[int], str]) -> None:
        self._me = name.lower()
        self._glyphs = glyphs
        self._clock = clock
        self._mention = re.compile(rf"(?<![\w.-])@?{re.escape(name)}(?![\w-])", re.IGNORECASE)

    def mentions(self, entry: Entry) -> bool:
        if not entry.is_message or entry.sender.lower() == self._me:
            return False
        return entry.to != EVERYBODY or self._mention.search(entry.text) is not None

    def pieces(self, entry: Entry) -> Pieces:
        """Pieces of ``#1042 14:03 alice: text``, or the line of a notice."""
        if not entry.is_message:
            return self.notice(entry.text)
        fit = self._glyphs.fit
        text = fit(harmless(without_padding(entry.text))).rstrip()
        if entry.to == EVERYBODY:
            who = [(name_style(entry.sender), fit(entry.sender)), ("", ":")]
        else:
            sender, to = self._you(entry.sender), self._you(entry.to)
            who = [("class:private", fit(f"{sender} >> {to}:"))]
        said = [("class:mention" if self.mentions(entry) else "", f" {text}")]
        mark = [("class:good", f" {self._glyphs.done}")] if entry.mine else []
        return [("class:faint", f"#{entry.id} {self._clock(entry.time)} "), *who, *said, *mark]

    def _you(self, name: str) -> str:
        return "you" if name.lower() == self._me else name

    def notice(self, line: str) -> Pieces:
        line = self._glyphs.fit(line)
        styles = {"*": "class:faint", "-ERR": "class:bad", "+OK": "class:good"}
        return [(styles.get(line.partition(" ")[0], ""), line)]

    def rule(self, text: str, columns: int, style: str) -> Pieces:
        """Pieces of ``─── text ───``, from edge to edge."""
        text = self._glyphs.fit(f" {text} ") if text else ""
        left = self._glyphs.line * 3
        right = self._glyphs.line * max(3, columns - len(text) - len(left))
        return [(style, left + text + right)]


def with_found(pieces: Pieces, wanted: str) -> Pieces:
    if not wanted:
        return pieces
    marked: Pieces = []
    for style, text in pieces:
        end = 0
        for match in re.finditer(re.escape(wanted), text, re.IGNORECASE):
            marked += [(style, text[end : match.start()]), (f"{style} class:found", match[0])]
            end = match.end()
        marked.append((style, text[end:]))
    return [piece for piece in marked if piece[1]]
