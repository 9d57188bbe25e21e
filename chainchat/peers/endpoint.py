"""Endpoints: how this node connects to an address of another one, by IPv4 or IPv6."""

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint

from chainchat.peers.interfaces import Reactor


def endpoint_of(
    reactor: Reactor, host: str, port: int, timeout: float
) -> TCP4ClientEndpoint | TCP6ClientEndpoint:
    """What connects to ``host``, an address, within ``timeout`` seconds."""
    kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    return kind(reactor, host, port, timeout)
