"""Delivery: which messages one session was shown.

``news`` pushes each turn's messages to *live* deliveries; others read the log page by page, so a
slow reader costs nothing and loses nothing.
"""

from collections.abc import Iterable

from chainchat.chat.modes.mode import ChatMessage
from chainchat.chat.outcomes import Said
from chainchat.node.budget import Slice
from chainchat.node.history import History
from chainchat.node.times import DAY
from chainchat.sessions.interfaces import Attendee
from chainchat.storage.interface import NO_MORE

UNKNOWN = -1
"""Not looked for yet: that takes a millisecond, and two dozen can log in at once."""

CATCH_UP_MESSAGES = 100

CATCH_UP_LEAST = 8
"""Messages of a page even if time is over: for one alone, a row would be decoded too often."""

CATCH_UP_OCTETS = 48 * 1024
"""Octets of text in a page, besides the last message: so much may stand unsent."""


class Delivery:
    """Pushes messages to one session, the recipient.

    Attributes:
        live: ``news`` pushes what the session lacks.
        previous: the newest id pushed, or pushable before the first; set with the first page.
        day: the last UTC day shown.
    """

    __slots__ = (  # there can be thousands
        "_cursor",
        "_history",
        "day",
        "live",
        "previous",
        "recipient",
    )

    def __init__(self, recipient: Attendee, history: History, after: int) -> None:
        """Deliver what follows the id ``after``."""
        self.recipient = recipient
        self.live = False
        self.previous = UNKNOWN
        self.day = 0
        self._history = history
        self._cursor = after

    def push(self, data: bytes, newest: int) -> None:
        self.recipient.push(data, newest)
        self._cursor = self.previous = newest

    def catch_up(self, share: Slice, messages: int = CATCH_UP_MESSAGES) -> bool:
        """Push a page from the log, while there is time; True if nothing is missing then.

        Each message can be in another row of the log, of which all has to be decoded.
        """
        if self.previous == UNKNOWN:
            account = self.recipient.account
            self.previous = self._history.previous(account, self._cursor + 1)
        page: list[ChatMessage] = []
        octets, searched = 0, self._history.search_end(self._cursor)
        for message in self._history.missed(self.recipient.account, self._cursor, messages):
            page.append(message)
            octets += len(message.text)
            is_long_enough = len(page) >= CATCH_UP_LEAST and not share.left()
            if octets > CATCH_UP_OCTETS or is_long_enough:
                messages = len(page)  # more may be missing
                break
        if page:
            data, self.day = render(self, page)
            self.push(data, page[-1].id)
        if len(page) == messages or searched == NO_MORE:
            return len(page) < messages
        self._cursor = searched
        return False


def render(delivery: Delivery, messages: Iterable[ChatMessage | Said]) -> tuple[bytes, int]:
    """Return the octets of messages in the delivery's mode, and the last day."""
    mode, viewer = delivery.recipient.mode, delivery.recipient.name
    day, previous = delivery.day, delivery.previous
    lines = []
    for message in messages:
        if message.time // DAY != day:
            day = message.time // DAY
            line = mode.day(message.time)
            if line is not None:
                lines.append(line)
        lines.append(mode.message(as_pushed(message, previous), viewer))
        previous = message.id
    lines.append("")
    return "\r\n".join(lines).encode(), day


def as_pushed(said: ChatMessage | Said, previous: int) -> ChatMessage:
    return ChatMessage(said.id, previous, said.time, said.sender, said.to, said.text)
