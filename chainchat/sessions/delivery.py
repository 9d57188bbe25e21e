"""Delivery: which messages one session was shown, and which of them were seen.

A delivery is a cursor over the log. One that has everything is *live*: ``news`` pushes each turn's
messages to it. A new delivery, or one on a slow connection, reads the log page by page until it is
live. So a slow reader costs nothing and loses nothing.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from chainchat.chat.modes.mode import ChatMessage, Mode
from chainchat.chat.state import Said
from chainchat.node.history import History

CATCH_UP_MESSAGES = 100
"""Messages in a page of the log."""

SETTLED_SECONDS = 3.0
"""What a machine acknowledged this long before its last sign of life has been shown there."""

DAY = 86_400_000
"""Milliseconds."""

REMEMBERED_PUSHES = 64
"""Ends of pushes remembered until they are seen; beyond this, every other one is forgotten.

Each takes over 100 octets, and nobody sees them while the person is away.
"""


class Recipient(Protocol):
    """The session that messages are pushed to.

    Attributes:
        account: number of its account.
        name: the account's name.
        mode: the mode.
    """

    account: int
    name: str
    mode: Mode

    def push(self, data: bytes, newest: int) -> None:
        """Write messages to the connection; ``newest``: id of the newest among them."""

    def lacks_nothing(self) -> None:
        """Note that no pushed message concerned this recipient."""

    def fell_behind(self) -> None:
        """Note that its delivery is no longer live, and has to read the log."""


class Delivery:
    """Pushes messages to one session.

    Attributes:
        recipient: the session.
        live: True if everything up to the newest applied entry was pushed.
        previous: id of the newest message pushed, or pushable before the first.
        day: UTC day of the last message shown.
    """

    __slots__ = (  # there can be thousands
        "_cursor",
        "_history",
        "day",
        "live",
        "previous",
        "recipient",
    )

    def __init__(self, recipient: Recipient, history: History, after: int) -> None:
        """Deliver the messages of ``history`` after the id ``after``."""
        self.recipient = recipient
        self.live = False
        self.previous = history.previous(recipient.account, after + 1)
        self.day = 0
        self._history = history
        self._cursor = after

    def push(self, data: bytes, newest: int) -> None:
        """Write rendered messages; ``newest``: id of the newest among them."""
        self.recipient.push(data, newest)
        self._cursor = self.previous = newest

    def catch_up(self) -> bool:
        """Push a page from the log. True if nothing is missing any more."""
        account = self.recipient.account
        missed = self._history.missed(account, self._cursor, CATCH_UP_MESSAGES)
        if missed:
            data, self.day = render(self, missed)
            self.push(data, missed[-1].id)
        return not missed


_NEVER = (0, float("-inf"))


class Reading:
    """How much a person has seen of what was pushed.

    Attributes:
        seen: the read mark: id of the newest message known to be seen.
    """

    __slots__ = ("_looked", "_pushes", "_written_before", "seen")  # one for each person

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self._pushes: tuple[tuple[int, int], ...] = ()
        """For each push not seen yet: octets written at its end, id of its newest message."""
        self._written_before = 0
        self._looked = _NEVER
        """Octets acknowledged at the last look, and when that was."""

    @property
    def may_have_seen_more(self) -> bool:
        """True if a push is not known to be seen."""
        return bool(self._pushes)

    def pushed(self, newest: int, written: int) -> None:
        """Note a push of messages up to ``newest``; ``written``: octets written so far."""
        if len(self._pushes) >= REMEMBERED_PUSHES:
            self._pushes = self._pushes[1::2]
        self._pushes = (*self._pushes, (written, newest))

    def did_something(self, acknowledged: int | None, written: int) -> bool:
        """Note that the person acted, so has seen what their machine has.

        Args:
            acknowledged: octets that the machine has acknowledged. None if unknown: then the octets
                written before the previous action count.
            written: octets written so far.

        Returns:
            True if the read mark moved.
        """
        octets = self._written_before if acknowledged is None else acknowledged
        self._written_before = written
        return self._has_seen(octets)

    def shows_signs_of_life(self, acknowledged: int | None, alive: float, now: float) -> bool:
        """Note what the machine had some seconds ago as seen, even if the person does nothing.

        The machine must have been alive since: one that has just died may have shown nothing.

        Args:
            acknowledged: octets that the machine has acknowledged; None if unknown.
            alive: when the machine last acknowledged or sent anything, in seconds.
            now: the same clock.

        Returns:
            True if the read mark moved.
        """
        if acknowledged is None:
            return False
        octets, since = self._looked
        moved = False
        if alive - since >= SETTLED_SECONDS:
            moved = since > _NEVER[1] and self._has_seen(octets)
            self._looked = acknowledged, now
        return moved

    def _has_seen(self, octets: int) -> bool:
        """Note as seen what was pushed up to this octet."""
        before = self.seen
        seen = bisect_right(self._pushes, octets, key=lambda push: push[0])
        if seen:
            self.seen = max(self.seen, self._pushes[seen - 1][1])
            self._pushes = self._pushes[seen:]
        return self.seen > before


def render(delivery: Delivery, messages: Iterable[ChatMessage | Said]) -> tuple[bytes, int]:
    """Messages as octets in the mode of a delivery, and the day of the last one."""
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
    """A message as it is pushed after the message ``previous``."""
    return ChatMessage(said.id, previous, said.time, said.sender, said.to, said.text)
