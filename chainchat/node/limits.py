"""All limits of a node, in one place to pass them on."""

from msgspec import Struct

from chainchat.chain.limits import USUAL_PROTOCOL, ProtocolLimits
from chainchat.chat.bounds import USUAL_BOUNDS, Bounds
from chainchat.node.budget import USUAL_PACE, CheckpointPace
from chainchat.node.pending import USUAL_PENDING, PendingLimits
from chainchat.node.retention import EVERYTHING, Keep


class NodeLimits(Struct, frozen=True):
    """The limits of a node; ``bounds`` are the same on all nodes of a chain."""

    protocol: ProtocolLimits = USUAL_PROTOCOL
    pace: CheckpointPace = USUAL_PACE
    bounds: Bounds = USUAL_BOUNDS
    pending: PendingLimits = USUAL_PENDING
    keep: Keep = EVERYTHING


USUAL_LIMITS = NodeLimits()
