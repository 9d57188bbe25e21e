"""Received messages: each once and in order, whatever is pushed twice or missing.

Each push names the one before, so a hole shows at once. SINCE fills it, page by page. Until then
pushes wait, or are dropped if they are too many: a hole in turn.
"""

from collections.abc import Sequence

from chainchat.client.engine.events import MessageArrived
from chainchat.client.engine.wire import Push

ACKNOWLEDGE_EVERY = 1.0
"""Seconds between two ACKs."""

MOST_HELD = 1000
"""The most pushes that wait while a hole is filled."""

PAGE = 500
"""Messages in a page that fills a hole."""


class Inbox:
    """Deduplicates and orders messages; knows how far the read mark may move.

    Attributes:
        last: id of the newest message let through, if any.
        missing: id up to which a hole reaches, if any.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.missing: int | None = None
        self._held: list[Push] = []
        self._dropped = 0  # id of the newest push that found no place among them
        self._listed = 0  # id of the newest message that SINCE has listed, one's own included
        self._asked_until = 0  # what SINCE did not list up to here is gone, and no hole
        self._handed_over = 0
        self._acknowledged = 0
        self._acknowledged_at = 0.0

    def pushed(self, push: Push) -> MessageArrived | None:
        """Take a push; return its message if it is next."""
        if self.missing is not None:
            if len(self._held) < MOST_HELD:
                self._held.append(push)
            else:
                self._dropped = push.message.id
            return None
        if self.last is not None:
            if push.message.id <= self.last:
                return None
            if push.previous > max(self.last, self._asked_until):
                self.missing = self._asked_until = push.previous
                self._held.append(push)
                return None
        self.last = push.message.id
        return push.message

    @property
    def after(self) -> int:
        """The id after which SINCE is to list."""
        return max(self.last or 0, self._listed)

    def filled(self, listed: Sequence[MessageArrived], own_name: str) -> list[MessageArrived]:
        """Take a page of SINCE; return what may pass now, in order.

        Ask again while ``missing`` is set.
        """
        passed = []
        asked_after = self.after
        for message in listed:
            self._listed = max(self._listed, message.id)
            own = message.sender.lower() == own_name.lower()
            if not own and self.last is not None and message.id > self.last:
                passed.append(message)
                self.last = message.id
        more = len(listed) >= PAGE and self.after > asked_after
        if more and self.missing is not None and self.after < self.missing:
            return passed
        return passed + self._release()

    def _release(self) -> list[MessageArrived]:
        self.missing = None
        held, self._held = self._held, []
        passed = [let_through for push in held if (let_through := self.pushed(push))]
        dropped, self._dropped = self._dropped, 0
        if self.missing is None and dropped > self.after:
            self.missing = self._asked_until = dropped
        elif dropped > self.after:
            self._dropped = dropped
        return passed

    def handed_over(self) -> None:
        """Note that the program has all that has passed."""
        self._handed_over = self.last or 0

    def to_acknowledge(self, now: float, *, at_once: bool = False) -> int | None:
        """The id to acknowledge now, if any, which counts as sent."""
        due = at_once or now >= self._acknowledged_at + ACKNOWLEDGE_EVERY
        if not due or self._handed_over <= self._acknowledged:
            return None
        self._acknowledged = self._handed_over
        self._acknowledged_at = now
        return self._acknowledged

    def reconnected(self) -> None:
        """Start over: held pushes come again, and an ACK may be lost."""
        self.missing = None
        self._held.clear()
        self._dropped = self._listed = 0
        self._asked_until = 0
        self._acknowledged = 0
