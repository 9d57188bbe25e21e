"""Wrapping lines longer than the terminal is wide.

A terminal would go on at the beginning of its next row, where only the client's own marks may
stand: somebody's text could pass for a line of the server.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from wcwidth import iter_graphemes, wcwidth

INDENT = "    "

NARROWEST = 16
"""Columns; narrower terminals are not cared for."""


def breaks(line: str, columns: int) -> list[tuple[int, int]]:
    """Where each row of ``line`` begins and ends, at spaces if there are.

    Each row but the first is still to be indented.
    """
    if columns < NARROWEST or (len(line) <= columns and line.isascii()):
        return [(0, len(line))]
    rows, begin, room = [], 0, columns
    while (end := begin + _fitting(line, begin, room)) < len(line):
        space = line.rfind(" ", begin + 1, end + 1)
        if space > begin:
            end = space
        rows.append((begin, end))
        begin = end + 1 if line[end] == " " else end
        room = columns - len(INDENT)
    return [*rows, (begin, len(line))]


def _fitting(line: str, begin: int, room: int) -> int:
    """Characters from ``begin`` on that fit into ``room`` columns.

    What a person sees as one character is not broken, if it fits.
    """
    rest = line[begin:]
    return _taken(iter_graphemes(rest), room) or _taken(rest, room)


def _taken(parts: Iterable[str], room: int) -> int:
    length = width = 0
    for part in parts:
        width += sum(map(columns_of, part))
        if width > room:
            break
        length += len(part)
    return length


@lru_cache(maxsize=4096)
def columns_of(character: str) -> int:
    """As many columns as any terminal gives the character."""
    return 1 if is_spacing_mark(character) else max(0, wcwidth(character))


@lru_cache(maxsize=4096)
def is_spacing_mark(character: str) -> bool:
    """True for a mark that takes a column in some terminals only."""
    return unicodedata.category(character) == "Mc"


def wrapped(pieces: list[tuple[str, str]], columns: int) -> list[list[tuple[str, str]]]:
    spans = breaks("".join(text for _, text in pieces), columns)
    if len(spans) == 1:
        return [pieces]
    return [
        [*([("", INDENT)] if row else []), *_cut(pieces, *span)] for row, span in enumerate(spans)
    ]


def _cut(pieces: list[tuple[str, str]], begin: int, end: int) -> list[tuple[str, str]]:
    cut, at = [], 0
    for style, text in pieces:
        if part := text[max(0, begin - at) : max(0, end - at)]:
            cut.append((style, part))
        at += len(text)
    return cut
