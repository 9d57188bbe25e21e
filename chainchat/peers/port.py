"""The chain port, where strangers may come, too."""

from typing import Any

from chainchat.network.ports import PacedPort
from chainchat.node.budget import LINK_SHARE

BACKLOG = 50
"""Connections that wait in the port."""


class ChainPort(PacedPort):
    """Accepts other nodes, and whoever takes itself for one."""

    share = LINK_SHARE


def listen(port: int, factory: Any, host: str, reactor: Any) -> ChainPort:
    """Listen at an address.

    Raises:
        CannotListenError: the system does not allow it.
    """
    listening = ChainPort(port, factory, BACKLOG, host, reactor)
    listening.startListening()
    return listening
