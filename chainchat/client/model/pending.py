"""The lines that are not confirmed."""

from itertools import islice

from chainchat.client.engine.wire import harmless
from chainchat.client.model.looks import Glyphs, Pieces
from chainchat.client.model.wrapping import wrapped

MOST_SHOWN = 5


class Pending:
    """Pending lines, by the numbers of their SENDs."""

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._lines: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, number: int, line: str) -> None:
        self._lines[number] = line

    def remove(self, number: int) -> None:
        self._lines.pop(number, None)

    def rows(self, columns: int) -> list[Pieces]:
        shown = list(islice(reversed(self._lines.values()), MOST_SHOWN))[::-1]
        more = len(self._lines) - len(shown)
        lines = [f"{self._glyphs.pending} {more} more"] if more else []
        lines += [f"{self._glyphs.pending} {harmless(self._glyphs.fit(text))}" for text in shown]
        return [row for line in lines for row in wrapped([("class:faint", line)], columns)[:3]]

    def last_words(self, *, kept: bool) -> list[str]:
        if not self._lines:
            return []
        count = len(self._lines)
        told = "1 of your lines was" if count == 1 else f"{count} of your lines were"
        later = "; the next start says " + ("it" if count == 1 else "them") if kept else ""
        shown = list(islice(self._lines.values(), MOST_SHOWN))
        more = [f"|   and {count - len(shown)} more"] if count > len(shown) else []
        lines = [f"|   {harmless(self._glyphs.fit(text))}" for text in shown]
        return [f"* {told} not confirmed{later}:", *lines, *more]
