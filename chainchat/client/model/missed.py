"""What somebody who comes back has missed, without I/O.

The newest messages are asked for at once, to be read while the rest comes in order. Whatever is
pushed up to the newest of them was missed.
"""

from collections.abc import Sequence

from chainchat.client.engine.events import LoggedIn, MessageArrived
from chainchat.client.model.strides import Stride

CONTEXT = 20
"""Messages from before, shown to a person who comes, new or back."""

AT_ONCE = 60
"""The newest messages, shown before the rest."""

IDS_AT_FIRST = 4 * AT_ONCE
"""Ids looked through for ``AT_ONCE`` messages; see ``IDS_PER_MESSAGE``."""


class Missed:
    """Counts what was missed, after one login.

    Attributes:
        after: id of the newest message not missed.
        count: how many were missed, once known.
    """

    def __init__(self, login: LoggedIn, name: str) -> None:
        self.after = login.after
        self.count: int | None = None
        self._high = login.high
        self._name = name.lower()
        self._stride = Stride(IDS_AT_FIRST, AT_ONCE)
        self._newest: int | None = None  # id of the newest that was missed
        self._pushed = 0
        self._reached = 0

    @property
    def search_from(self) -> int:
        """The id after which the newest messages are asked for."""
        return max(0, self._high - self._stride.ids)

    def listed(self, messages: Sequence[MessageArrived]) -> list[MessageArrived] | None:
        """Take MOST_LISTED messages or fewer; return those to show, or None: ask again."""
        if not self._stride.suits(len(messages), all_there_are=not self.search_from):
            return None
        missed = [m for m in messages if self._is_missed(m)]
        self._newest = missed[-1].id if missed else 0
        if self.search_from <= self.after:
            self.count = len(missed)
        else:
            self._count_pushed()
        before = [m for m in messages if m.id <= self.after][-CONTEXT:]
        later = [m for m in messages if m.id > self.after]
        return before + (later if self.count is not None else later[-AT_ONCE:])

    def _is_missed(self, message: MessageArrived) -> bool:
        return self.after < message.id <= self._high and message.sender.lower() != self._name

    def pushed(self, identifier: int) -> None:
        if identifier <= self._high:
            self._pushed += 1
        self._reached = identifier
        self._count_pushed()

    def _count_pushed(self) -> None:
        if self.count is None and self._newest is not None and self._reached >= self._newest:
            self.count = self._pushed
