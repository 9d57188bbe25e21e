"""What one session is shown of the messages, and what of it was seen.

A delivery is a cursor over the log. One that has everything is *live*: the room pushes each turn's
messages to it. One that has just begun, or whose connection is slow, reads on from the log until it
is live. So a slow reader costs nothing and loses nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable

from chainchat.chat.voice import Message, Voice
from chainchat.server.history import History

CATCH_UP_MESSAGES = 200
"""Messages read from the log at a time."""

DAY = 86_400_000
"""Milliseconds."""


class Delivery:
    """Pushes to one session.

    Attributes:
        account: number of the account that the messages are for.
        viewer: its name.
        voice: the mode.
        live: whether everything up to the newest entry applied was pushed.
        previous: id of the newest message pushed, or pushable before the first.
        day: UTC day of the last message shown.
    """

    def __init__(
        self,
        account: int,
        viewer: str,
        voice: Voice,
        history: History,
        write: Callable[[bytes], int],
        *,
        after: int,
    ) -> None:
        """Deliver what comes after a message.

        Args:
            account: number of the account.
            viewer: its name.
            voice: the mode.
            history: where the messages are.
            write: writes to the connection; returns the octets written to it so far.
            after: id of the message after which to begin.
        """
        self.account = account
        self.viewer = viewer
        self.voice = voice
        self.live = False
        self.previous = history.previous(account, after + 1)
        self.day = 0
        self._history = history
        self._write = write
        self._cursor = after
        self._shown: deque[tuple[int, int]] = deque()
        """(octets written when a push ended, id of its newest message), until they were seen."""

    def push(self, data: bytes, newest: int) -> None:
        """Write rendered messages, the newest of which has this id."""
        self._shown.append((self._write(data), newest))
        self._cursor = self.previous = newest

    def catch_up(self) -> None:
        """Push a page from the log; afterwards it is live if there was none."""
        missed = self._history.missed(self.account, self._cursor, CATCH_UP_MESSAGES)
        if missed:
            data, self.day = render(self, missed)
            self.push(data, missed[-1].id)
        else:
            self.live = True

    def seen(self, octets: int) -> int:
        """Id of the newest message within the first ``octets`` written; 0 if that is not news."""
        newest = 0
        while self._shown and self._shown[0][0] <= octets:
            newest = self._shown.popleft()[1]
        return newest


def render(delivery: Delivery, messages: Iterable[Message]) -> tuple[bytes, int]:
    """Messages as octets, the way this delivery's voice has them, and the day of the last."""
    voice, viewer = delivery.voice, delivery.viewer
    day, previous = delivery.day, delivery.previous
    lines = []
    for message in messages:
        if message.time // DAY != day:
            day = message.time // DAY
            line = voice.day(message.time)
            if line is not None:
                lines.append(line)
        lines.append(voice.message(replace_previous(message, previous), viewer))
        previous = message.id
    lines.append("")
    return "\r\n".join(lines).encode(), day


def replace_previous(message: Message, previous: int) -> Message:
    """The message as it is to be pushed after ``previous``."""
    return Message(message.id, previous, message.time, message.sender, message.to, message.text)
