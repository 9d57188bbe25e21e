"""Writing to a socket at once.

A Twisted transport sends what it is given in the reactor's next round, after two system calls that
ask to be told when the socket takes something. Nearly always it would have taken it at once.
"""

from typing import Any

from twisted.internet.tcp import Connection


def write_at_once(transport: Any, data: bytes) -> None:
    """Send what the socket takes now, and leave the rest, or all, to the transport.

    In order: nothing is sent past what the transport still holds.
    """
    if _holds_nothing(transport):
        try:
            sent = transport.socket.send(data)
        except OSError:  # full, or broken: the transport will find out, and knows what to do
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


def _holds_nothing(transport: Any) -> bool:
    """Whether it is a plain TCP connection on which all that was written is sent."""
    return (
        isinstance(transport, Connection)
        and bool(transport.connected)
        and not transport.disconnecting
        and not transport.TLS
        and not transport.dataBuffer
        and not transport._tempDataBuffer  # no public name tells it
    )
