"""The part of the transcript that the screen shows: rows, scrolling, searching.

The view hangs on its last row: the newest while nobody has scrolled. Else nothing moves, whatever
arrives above or below.
"""

from collections.abc import Iterator

from chainchat.client.model.looks import Looks, Pieces, with_found
from chainchat.client.model.transcript import Entry, Transcript
from chainchat.client.model.wrapping import wrapped

Place = tuple[int, int]
"""The place of an entry in the transcript, and of its row."""


class View:
    """What is shown of a transcript.

    Attributes:
        looking_for: the text that is marked; mostly empty.
    """

    def __init__(self, transcript: Transcript, looks: Looks) -> None:
        self.looking_for = ""
        self._transcript = transcript
        self._looks = looks
        self._last: tuple[Entry, int] | None = None  # the last row shown; None: the newest
        self._hit: Entry | None = None

    @property
    def follows(self) -> bool:
        return self._last is None

    def rows_of(self, place: int, columns: int) -> list[Pieces]:
        transcript = self._transcript
        entry = transcript.entries[place]
        rows: list[Pieces] = []
        if transcript.begins_day(place):
            day = f"{transcript.local(entry.time):%A %Y-%m-%d %Z}"
            rows.append(self._looks.rule(day, columns, "class:faint"))
        if transcript.begins_unread(place):
            rows.append(self._looks.rule("new", columns, "class:unread"))
        pieces = with_found(self._looks.pieces(entry), self.looking_for)
        return [*rows, *wrapped(pieces, columns)]

    def rows(self, columns: int, height: int) -> list[Pieces]:
        shown: list[Pieces] = []
        for _, rows in self._upwards(columns):
            shown[:0] = rows
            if len(shown) >= height:
                break
        return shown[-height:] if height > 0 else []

    def _upwards(self, columns: int) -> Iterator[tuple[int, list[Pieces]]]:
        place, row = self._end(columns)
        first = True
        while place >= 0:
            rows = self.rows_of(place, columns)
            yield place, rows[: row + 1] if first else rows
            first = False
            place -= 1

    def _end(self, columns: int) -> Place:
        if self._last is not None:
            entry, row = self._last
            place = self._transcript.place_of(entry)
            if place is not None:
                return place, min(row, len(self.rows_of(place, columns)) - 1)
            self._last = None
        last = len(self._transcript.entries) - 1
        return last, len(self.rows_of(last, columns)) - 1 if last >= 0 else 0

    # --- scrolling

    def scroll(self, up: int, columns: int, height: int) -> None:
        """Move ``up`` so many rows, or down if negative."""
        if up < 0:
            self._down(-up, columns)
            return
        above: list[Place] = []
        for place, rows in self._upwards(columns):
            above += [(place, row) for row in range(len(rows) - 1, -1, -1)]
            if len(above) >= up + height:
                break
        if len(above) <= height:
            return  # all of it is shown
        self._show(above[min(up, len(above) - height)])

    def _down(self, rows: int, columns: int) -> None:
        if self.follows:
            return
        place, row = self._end(columns)
        while rows > 0:
            left = len(self.rows_of(place, columns)) - 1 - row
            if rows <= left:
                self._show((place, row + rows))
                break
            rows -= left + 1
            place, row = place + 1, 0
            if place >= len(self._transcript.entries):
                break
        else:
            self._show((place, row))
        end = self._end(columns)
        newest = len(self._transcript.entries) - 1
        if place > newest or end == (newest, len(self.rows_of(newest, columns)) - 1):
            self.to_end()

    def _show(self, last: Place) -> None:
        place, row = last
        self._last = self._transcript.entries[place], row

    def to_end(self) -> None:
        self._last = None

    def below(self) -> int:
        if self._last is None or (place := self._transcript.place_of(self._last[0])) is None:
            return 0
        return len(self._transcript.entries) - 1 - place

    # --- searching

    def search(self, text: str, columns: int, height: int, *, again: int = 0) -> bool:
        """Show the newest entry with ``text``, or the next older one, or (-1) newer one.

        False if there is none.
        """
        self.looking_for = text
        newest = len(self._transcript.entries)
        place: int | None = newest
        if again and self._hit is not None:
            place = self._transcript.place_of(self._hit)
        if not text or place is None:
            return False
        found = self._transcript.found(text, place, newer=again < 0)
        if found is None:
            return False
        self._hit = self._transcript.entries[found]
        self.to_end()
        rows_below, place = 0, newest - 1
        while place > found and rows_below < height:
            rows_below += len(self.rows_of(place, columns))
            place -= 1
        if rows_below + len(self.rows_of(found, columns)) > height:
            self._show((found, len(self.rows_of(found, columns)) - 1))
            self._down(height // 2, columns)
        return True

    def stop_searching(self) -> None:
        self.looking_for, self._hit = "", None
