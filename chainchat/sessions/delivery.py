"""What one session is shown of the messages, and what of it was seen.

A delivery is a cursor over the log. One that has everything is *live*: each turn's messages are
pushed to it (``news``). One that has just begun, or whose connection is slow, reads on from the
log, a page in its turn, until it is live. So a slow reader costs nothing and loses nothing.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from chainchat.chat.modes.mode import ChatMessage, Mode
from chainchat.chat.state import Said
from chainchat.node.history import History

CATCH_UP_MESSAGES = 100
"""Messages read from the log at a time."""

SETTLED_SECONDS = 3.0
"""What a person's machine had acknowledged so long before its last sign of life was shown there."""

DAY = 86_400_000
"""Milliseconds."""

REMEMBERED_PUSHES = 64
"""Ends of pushes remembered until they are seen; with more, every other one is forgotten.

Each takes 100 octets and more, and who is not at the keyboard sees none.
"""


class Recipient(Protocol):
    """Whom messages are pushed to.

    Attributes:
        account: number of the account that they are for.
        name: of the account.
        mode: the mode.
    """

    account: int
    name: str
    mode: Mode

    def push(self, data: bytes, newest: int) -> None:
        """Write messages to the connection; ``newest``: the id of the newest in them."""

    def lacks_nothing(self) -> None:
        """Of what was to be pushed, nothing concerned it."""

    def fell_behind(self) -> None:
        """Its delivery is not live any more, and has to read on from the log."""


class Delivery:
    """Pushes to one session.

    Attributes:
        recipient: the session.
        live: whether everything up to the newest entry applied was pushed.
        previous: id of the newest message pushed, or pushable before the first.
        day: UTC day of the last message shown.
    """

    __slots__ = (  # one of it for each client, of whom there can be thousands
        "_cursor",
        "_history",
        "day",
        "live",
        "previous",
        "recipient",
    )

    def __init__(self, recipient: Recipient, history: History, after: int) -> None:
        """Deliver what comes after the message of this id; ``history``: where messages are."""
        self.recipient = recipient
        self.live = False
        self.previous = history.previous(recipient.account, after + 1)
        self.day = 0
        self._history = history
        self._cursor = after

    def push(self, data: bytes, newest: int) -> None:
        """Write rendered messages, the newest of which has this id."""
        self.recipient.push(data, newest)
        self._cursor = self.previous = newest

    def catch_up(self) -> bool:
        """Push a page from the log. True if there was none to push: it has everything."""
        account = self.recipient.account
        missed = self._history.missed(account, self._cursor, CATCH_UP_MESSAGES)
        if missed:
            data, self.day = render(self, missed)
            self.push(data, missed[-1].id)
        return not missed


_NEVER = (0, float("-inf"))


class Reading:
    """How far a person has seen what was pushed.

    Attributes:
        seen: the read mark: id of the newest message known to be seen.
    """

    __slots__ = ("_looked", "_pushes", "_written_before", "seen")  # one of it for each person

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self._pushes: tuple[tuple[int, int], ...] = ()
        """Of each push not seen yet: octets written at its end, id of its newest message."""
        self._written_before = 0
        self._looked = _NEVER
        """Octets that had been acknowledged at some look, and when that was."""

    @property
    def may_have_seen_more(self) -> bool:
        """Whether anything was pushed that is not known to be seen."""
        return bool(self._pushes)

    def pushed(self, newest: int, written: int) -> None:
        """Messages up to ``newest`` were pushed; ``written``: the octets written so far."""
        if len(self._pushes) >= REMEMBERED_PUSHES:
            self._pushes = self._pushes[1::2]
        self._pushes = (*self._pushes, (written, newest))

    def did_something(self, acknowledged: int | None, written: int) -> bool:
        """The person did something, so what their machine has by now was seen.

        Args:
            acknowledged: octets that the machine has acknowledged; None if nobody can tell, then
                those written before the previous time count.
            written: the octets written so far.

        Returns:
            whether the read mark moved.
        """
        octets = self._written_before if acknowledged is None else acknowledged
        self._written_before = written
        return self._has_seen(octets)

    def shows_signs_of_life(self, acknowledged: int | None, alive: float, now: float) -> bool:
        """The person need not do anything: what their machine had some seconds ago was shown.

        But only if the machine was alive after that: one that has just died may have shown nothing.

        Args:
            acknowledged: octets that the machine has acknowledged; None if nobody can tell.
            alive: when it last acknowledged or sent anything, seconds.
            now: the same clock.

        Returns:
            whether the read mark moved.
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
        """What was pushed up to so many octets was seen."""
        before = self.seen
        seen = bisect_right(self._pushes, octets, key=lambda push: push[0])
        if seen:
            self.seen = max(self.seen, self._pushes[seen - 1][1])
            self._pushes = self._pushes[seen:]
        return self.seen > before


def render(delivery: Delivery, messages: Iterable[ChatMessage | Said]) -> tuple[bytes, int]:
    """Messages as octets, the way this delivery's mode has them, and the day of the last."""
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
    """What was said, as it is pushed after the message ``previous``."""
    return ChatMessage(said.id, previous, said.time, said.sender, said.to, said.text)
