"""Wrapping: lines that are longer than the terminal is wide.

A terminal would go on at the beginning of its next row, where only the client's own marks may
stand: somebody's text could pass for a line of the server.
"""

from prompt_toolkit.utils import get_cwidth

INDENT = "    "
"""Stands before each row but the first of a line."""

NARROWEST = 16
"""Columns of a terminal that is too narrow to be cared for."""


def wrapped(line: str, columns: int) -> str:
    """``line`` in rows of a terminal, the later ones indented; broken at spaces where there are."""
    if columns < NARROWEST or (len(line) <= columns and line.isascii()):
        return line
    rows, room = [], columns
    while (end := _fitting(line, room)) < len(line):
        space = line.rfind(" ", 1, end + 1)
        if space > 0:
            end = space
        rows.append(line[:end])
        line = line[end:].removeprefix(" ")
        room = columns - len(INDENT)
    return f"\n{INDENT}".join([*rows, line])


def _fitting(line: str, room: int) -> int:
    """How many characters of ``line`` take no more than ``room`` columns."""
    width = 0
    for place, character in enumerate(line):
        width += get_cwidth(character)
        if width > room:
            return place
    return len(line)
