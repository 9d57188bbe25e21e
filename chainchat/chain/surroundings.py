"""What the protocol asks of whoever runs it, besides a log and a network."""

from collections.abc import Callable

from msgspec import Struct

from chainchat.chain.configuration import Configuration


class Application(Struct, frozen=True):
    """The state machine that the chain replicates.

    Attributes:
        opening: gives the command of an epoch's first entry.
        nothing: a command that changes nothing.
        evaluate: see ``Reads``.
        applied: sequence number of its checkpoint.
        time: of that entry, which the log may have lost; UTC milliseconds.
    """

    opening: Callable[[Configuration], bytes]
    nothing: bytes = b""
    evaluate: Callable[[bytes], bytes] = lambda query: query
    applied: int = 0
    time: int = 0


class Surroundings(Struct, frozen=True):
    """The machine that a life runs on.

    Attributes:
        clock: monotonic seconds.
        wall: UTC milliseconds.
        low: the disk is nearly full.
        first_nonce: see ``Evidence``.
        new_identity: random, for a configuration.
    """

    clock: Callable[[], float]
    wall: Callable[[], int] = lambda: 0
    low: Callable[[], bool] = lambda: False
    first_nonce: int = 0
    new_identity: Callable[[], int] = lambda: 0
