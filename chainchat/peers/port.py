"""The chain port, where strangers may come, too."""

from typing import Any

from chainchat.network.ports import PacedPort

BACKLOG = 50
"""Connections that wait in the port."""


class ChainPort(PacedPort):
    """Accepts other nodes, and whoever takes itself for one, without a rest between turns.

    Under TLS, each takes 0.3 ms; on a busy machine, a node that comes back would rest for seconds.
    """

    share = 1.0


def listen(port: int, factory: Any, host: str, reactor: Any) -> ChainPort:
    """Listen at an address.

    Raises:
        CannotListenError: the system does not allow it.
    """
    listening = ChainPort(port, factory, BACKLOG, host, reactor)
    listening.startListening()
    return listening
