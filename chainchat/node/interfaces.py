"""What a node needs of the world, and the sessions of a node: its edges, as interfaces."""

from collections.abc import Callable
from typing import Protocol

from chainchat.chain.messages import Message
from chainchat.chat.state import Outcome


class Timer(Protocol):
    """A call that is to come."""

    def active(self) -> bool:
        """Whether it is still to come."""

    def cancel(self) -> None:
        """It shall not come."""

    def reset(self, delay: float) -> None:
        """It shall come ``delay`` seconds from now."""


class Clock(Protocol):
    """A part of the reactor: monotonic time."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def callLater(  # noqa: N802 - Twisted's name
        self, delay: float, function: Callable[..., object], *args: object
    ) -> Timer:
        """Call it after ``delay`` seconds."""


class Network(Protocol):
    """The connections to other nodes."""

    def send(self, to: str, message: Message) -> None:
        """Send, if there is a connection.

        A message may get lost, but those that arrive keep their order.
        """

    def distrust(self, position: str, reason: str) -> None:
        """Whoever is connected as ``position`` has sent what no node sends: end the connection."""


class Audience(Protocol):
    """The sessions at this node, who see what is applied."""

    def hear(self) -> bool:
        """The beginning of a turn: carry out what clients have said and asked, some of it.

        True if there was any.
        """

    def happened(self, outcome: Outcome) -> None:
        """What came of an entry, in the order of the log."""

    def flush(self) -> bool:
        """The end of a turn: write, as much as there is time for. True if there was anything."""

    def readiness_changed(self) -> None:
        """``Node.readiness`` is not what it was."""

    def room_again(self) -> None:
        """``Node.congested`` ended."""
