"""What was said and told: messages in the order of their ids, notices where they came.

One's own messages come when they are confirmed, the newest before those that were missed.
"""

import datetime
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from sys import intern

from msgspec import Struct

from chainchat.chat.requests import EVERYBODY

MOST_ENTRIES = 150_000

DROPPED_SHARE = 15
"""Of so many entries, the oldest is dropped once there are too many."""

MOST_CHARACTERS = 32 << 20
"""Characters of all texts: Python keeps up to four octets for each."""


class Entry(Struct, gc=False):
    """A message, or (``sender`` empty) a notice.

    Attributes:
        id: of the message; of the newest message before a notice.
        time: milliseconds since 1970; 0 for a notice.
        text: what was said, or the whole line.
        mine: this client said it.
    """

    id: int
    time: int
    sender: str
    to: str
    text: str
    mine: bool = False

    @property
    def is_message(self) -> bool:
        return self.sender != ""


def _id(entry: Entry) -> int:
    return entry.id


class Transcript:
    """All entries, in order.

    Attributes:
        entries: read only.
        unread_after: id of the newest message above the line of what is unread; 0 without one.
    """

    def __init__(self, zone: datetime.tzinfo | None = None) -> None:
        self.entries: list[Entry] = []
        self._characters = 0
        self.unread_after = 0
        self.zone = zone

    def add_message(
        self, identifier: int, time: int, sender: str, to: str, text: str, *, mine: bool = False
    ) -> bool:
        """Put a message where it belongs; False if it is there already."""
        entries = self.entries
        place = len(entries)
        if entries and entries[-1].id >= identifier:
            place = bisect_left(entries, identifier, key=_id)
            there = entries[place] if place < len(entries) else None
            if there is not None and there.id == identifier and there.is_message:
                there.mine = there.mine or mine
                return False
        if mine:
            time = self._between(place, time)
        entries.insert(place, Entry(identifier, time, intern(sender), intern(to), text, mine))
        self._characters += len(text)
        self._forget_oldest()
        return True

    def _between(self, place: int, time: int) -> int:
        """Return this machine's ``time``, between the neighbours' times."""
        before = next((e.time for e in reversed(self.entries[:place][-9:]) if e.is_message), 0)
        after = next((e.time for e in self.entries[place : place + 9] if e.is_message), time)
        return max(before, min(time, after))

    def add_line(self, text: str) -> None:
        newest = self.entries[-1].id if self.entries else 0
        self.entries.append(Entry(newest, 0, "", EVERYBODY, text))
        self._characters += len(text)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        if len(self.entries) <= MOST_ENTRIES and self._characters <= MOST_CHARACTERS:
            return
        dropped = 1 + len(self.entries) // DROPPED_SHARE
        self._characters -= sum(len(entry.text) for entry in self.entries[:dropped])
        del self.entries[:dropped]

    # --- what stands before an entry

    def begins_day(self, place: int) -> bool:
        entry = self.entries[place]
        if not entry.is_message:
            return False
        earlier = self._message_before(place)
        return earlier is None or self.local(earlier.time).date() < self.local(entry.time).date()

    def begins_unread(self, place: int) -> bool:
        entry = self.entries[place]
        if not self.unread_after or not entry.is_message or entry.id <= self.unread_after:
            return False
        earlier = self._message_before(place)
        return earlier is None or earlier.id <= self.unread_after

    def _message_before(self, place: int) -> Entry | None:
        while place > 0:
            place -= 1
            if self.entries[place].is_message:
                return self.entries[place]
        return None

    def local(self, time: int) -> datetime.datetime:
        moment = datetime.datetime.fromtimestamp(time / 1000, datetime.UTC)
        return moment.astimezone(self.zone)

    # --- looking for

    def place_of(self, entry: Entry) -> int | None:
        """The place of an entry; None if it was dropped."""
        place = bisect_left(self.entries, entry.id, key=_id)
        end = bisect_right(self.entries, entry.id, lo=place, key=_id)
        return next((p for p in range(place, end) if self.entries[p] is entry), None)

    def found(self, text: str, place: int, *, newer: bool = False) -> int | None:
        """The next place after ``place``, backwards or ``newer``, whose message holds ``text``."""
        places: Iterable[int] = range(place + 1, len(self.entries))
        if not newer:
            places = range(min(place, len(self.entries)) - 1, -1, -1)
        for candidate in places:
            entry = self.entries[candidate]
            if entry.is_message and matches(text, entry.sender, entry.text):
                return candidate
        return None

    @property
    def newest(self) -> int:
        return self.entries[-1].id if self.entries else 0

    def first_after(self, identifier: int) -> Entry | None:
        place = bisect_right(self.entries, identifier, key=_id)
        return next((entry for entry in self.entries[place:] if entry.is_message), None)


def matches(wanted: str, sender: str, text: str) -> bool:
    """True if ``text`` holds what is wanted, in any case, or ``sender`` is."""
    wanted = wanted.casefold()
    return wanted in text.casefold() or wanted == sender.casefold()
