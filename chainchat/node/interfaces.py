"""What a node needs of the world."""

from collections.abc import Callable
from typing import Protocol

from chainchat.chain.messages import Message
from chainchat.chat.outcomes import Outcome


class Timer(Protocol):
    """A call to come: Twisted's ``IDelayedCall``."""

    def active(self) -> bool: ...

    def cancel(self) -> None: ...

    def reset(self, delay: float) -> None: ...


class Clock(Protocol):
    """The reactor's monotonic time: Twisted's ``IReactorTime``."""

    def seconds(self) -> float: ...

    def callLater(  # noqa: N802 - Twisted's name
        self, delay: float, function: Callable[..., object], *args: object
    ) -> Timer: ...


class Network(Protocol):
    """The connections to other nodes."""

    def send(self, to: str, message: Message) -> None:
        """Send a message, which may get lost; those of one lane keep their order."""

    def distrust(self, position: str, reason: str) -> None:
        """End a connection on which came what no node sends."""


class OperatorsLog(Protocol):
    """Takes a line of the log; ``event``: its kind; ``alarm``: something is wrong."""

    def __call__(self, text: str, *, event: str, alarm: bool = False) -> None: ...


class Audience(Protocol):
    """The sessions at this node."""

    def hear(self) -> bool:
        """Begin a turn: carry out some of clients' lines; return whether there were any."""

    def happened(self, outcome: Outcome) -> None: ...

    def flush(self) -> bool:
        """End a turn: write as far as there is time; return whether anything was written."""

    def readiness_changed(self) -> None: ...

    def room_again(self) -> None:
        """Note that ``Node.room_for`` gives room again."""
