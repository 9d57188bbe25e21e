"""What a node needs of the world."""

from collections.abc import Callable
from typing import Protocol

from chainchat.chain.messages import Message
from chainchat.chat.outcomes import Outcome


class Timer(Protocol):
    """A call to come: Twisted's ``IDelayedCall``."""

    def active(self) -> bool:
        """True until it came or was cancelled."""

    def cancel(self) -> None:
        """Cancel the call."""

    def reset(self, delay: float) -> None:
        """Let it come ``delay`` seconds from now."""


class Clock(Protocol):
    """The reactor's monotonic time: Twisted's ``IReactorTime``."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def callLater(  # noqa: N802 - Twisted's name
        self, delay: float, function: Callable[..., object], *args: object
    ) -> Timer:
        """Call after ``delay`` seconds."""


class Network(Protocol):
    """The connections to other nodes."""

    def send(self, to: str, message: Message) -> None:
        """Messages may get lost; those that arrive keep their order."""

    def distrust(self, position: str, reason: str) -> None:
        """End this connection: no node sends this."""


class Audience(Protocol):
    """The sessions at this node."""

    def hear(self) -> bool:
        """Begin a turn: carry out some of clients' lines; True if any."""

    def happened(self, outcome: Outcome) -> None:
        """Take the outcome of the log's next entry."""

    def flush(self) -> bool:
        """End a turn: write as far as there is time; True if anything."""

    def readiness_changed(self) -> None:
        """``Node.readiness`` has changed."""

    def room_again(self) -> None:
        """See ``Node.room_for``."""
