"""The lanes: connections of one pair of nodes, so that what is small never stands behind bulk.

What goes on one lane arrives in order; between two lanes there is none. Nothing relies on one:
what is said about configurations names the configuration that it is about, and a message of the
chain that is of another epoch is kept or dropped.
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
"""The lanes. On the last only the Hellos are said: who is dialled shows who it is."""

LANES = {lane.encode(): lane for lane in (CHAIN, MEMBERSHIP, COPY, LOOK)}
"""Every lane by its name on the wire."""

_ABOUT_CONFIGURATIONS = (Ping, Pong, Propose, Voted, Decided, Abort, Declined)
_COPYING = (Fetch, Differs, Copied, Synced)
_LANES: dict[type[Message], str] = {
    **dict.fromkeys(_ABOUT_CONFIGURATIONS, MEMBERSHIP),
    **dict.fromkeys(_COPYING, COPY),
}
"""Of the messages that are not the chain's own."""


def lane_of(message: Message) -> str:
    """The lane that a message goes on."""
    return _LANES.get(type(message), CHAIN)
