"""The lanes: up to three connections of two nodes, so nothing small stands behind bulk.

Nothing relies on an order between them: messages name their configuration or epoch.
"""

from chainchat.chain.messages import (
    Abort,
    Copied,
    Decided,
    Declined,
    Differs,
    Fetch,
    Message,
    Ping,
    Pong,
    Propose,
    Synced,
    Voted,
)

CHAIN, MEMBERSHIP, COPY, LOOK = "chain", "membership", "copy", "look"
"""LOOK carries only Hellos: the dialled node shows who it is."""

LANES = {lane.encode(): lane for lane in (CHAIN, MEMBERSHIP, COPY, LOOK)}

_ABOUT_CONFIGURATIONS = (Ping, Pong, Propose, Voted, Decided, Abort, Declined)
_COPYING = (Fetch, Differs, Copied, Synced)
_LANES: dict[type[Message], str] = {
    **dict.fromkeys(_ABOUT_CONFIGURATIONS, MEMBERSHIP),
    **dict.fromkeys(_COPYING, COPY),
}
"""The lanes of messages that are not the chain's own."""


def lane_of(message: Message) -> str:
    return _LANES.get(type(message), CHAIN)


def carries(lane: str, message: Message) -> bool:
    """Return whether a message may come on this lane.

    Claims to lanes other than the chain's are judged less strictly, so nothing of the chain may
    come there. Messages about configurations come on the chain lane until they have their own.
    """
    return lane_of(message) == lane or (lane_of(message) == MEMBERSHIP and lane == CHAIN)
