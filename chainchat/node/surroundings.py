"""What a node asks of its machine and its process, besides ``interfaces``."""

from collections.abc import Callable

from msgspec import Struct

from chainchat.node.budget import WorkClock
from chainchat.node.space import PLENTY, Space


class NodeSurroundings(Struct, frozen=True):
    """The machine and the process that a node runs in.

    Attributes:
        wall: UTC milliseconds.
        fail: ends the process after this error.
        excluded: begins another life, after the chain went on without this one.
        new_identity, first_nonce: see ``Surroundings``.
        work: seconds of work; None: those of the node's clock.
        warnings: what else operators should know.
    """

    wall: Callable[[], int]
    fail: Callable[[Exception], None]
    excluded: Callable[[], None]
    new_identity: Callable[[], int]
    first_nonce: int = 0
    work: WorkClock | None = None
    space: Space = PLENTY
    warnings: Callable[[], tuple[str, ...]] = lambda: ()
