"""What was said to us: every message once and in order, whatever is pushed twice or missing.

Each push names the one before it, so a hole shows at once. It is filled with what SINCE lists;
pushes that come meanwhile are held back, for the order.
"""

from collections.abc import Iterable

from chainchat.client.events import MessageArrived
from chainchat.client.wire import Push

ACKNOWLEDGE_EVERY = 1.0
"""Seconds between two ACKs: one moves the read mark past everything before it."""


class Inbox:
    """Deduplicates, orders, and knows how far the read mark may move.

    Attributes:
        last: id of the newest message let through; None before the first.
        missing: a hole was found that reaches up to this id; None once what fills it has come.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.missing: int | None = None
        self._held: list[Push] = []
        self._asked_until = 0  # what SINCE did not list up to here is gone, and no hole
        self._handed_over = 0
        self._acknowledged = 0
        self._acknowledged_at = 0.0

    def pushed(self, push: Push) -> MessageArrived | None:
        """A push came; the message if it is the next one.

        Otherwise it is a repetition, or it is held because of a hole (``missing`` tells).
        """
        if self.missing is not None:
            self._held.append(push)
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

    def filled(self, listed: Iterable[MessageArrived], own_name: str) -> list[MessageArrived]:
        """What SINCE listed after ``last``; all that can now be let through, in order.

        A held push may show another hole: ``missing`` tells.
        """
        passed = []
        for message in listed:
            own = message.sender.lower() == own_name.lower()
            if not own and self.last is not None and message.id > self.last:
                passed.append(message)
                self.last = message.id
        self.missing = None
        held, self._held = self._held, []
        return passed + [let_through for push in held if (let_through := self.pushed(push))]

    def handed_over(self) -> None:
        """Everything let through so far is in the program's hands: it may be acknowledged."""
        self._handed_over = self.last or 0

    def to_acknowledge(self, now: float, *, at_once: bool = False) -> int | None:
        """The id to send an ACK for now, if any; it counts as sent. ``now``: monotonic seconds."""
        due = at_once or now >= self._acknowledged_at + ACKNOWLEDGE_EVERY
        if not due or self._handed_over <= self._acknowledged:
            return None
        self._acknowledged = self._handed_over
        self._acknowledged_at = now
        return self._acknowledged

    def reconnected(self) -> None:
        """A new connection: what was held comes again, and an ACK under way may be lost."""
        self.missing = None
        self._held.clear()
        self._asked_until = 0
        self._acknowledged = 0
