"""How to connect to an address, by IPv4 or IPv6."""

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint

from chainchat.peers.interfaces import Reactor


def endpoint_of(
    reactor: Reactor, host: str, port: int, timeout: float
) -> TCP4ClientEndpoint | TCP6ClientEndpoint:
    """Return how to connect to an address; ``timeout`` in seconds."""
    kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    return kind(reactor, host, port, timeout)


def is_to_itself(transport: Any) -> bool:
    """Return whether a connection leads to its own end.

    A system that gives the dialled port to the dialling side makes one (RFC 9293, section 3.5:
    simultaneous open). While it is open, the node of that port cannot start.
    """
    return bool(transport.getHost() == transport.getPeer())
