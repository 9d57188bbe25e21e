"""Where the control socket of a node is, for the node and for ``chainchatctl``."""

import os
import sys
from pathlib import Path

LONGEST = 107 if sys.platform == "linux" else 103
"""Octets of a socket's path, at most (``sockaddr_un``)."""


def socket_of(data: Path) -> Path:
    """The control socket of the node with this data folder."""
    return data / "control"


def objection_to(data: Path) -> str:
    """Why a data folder has no room for a control socket, and what to do; empty if it has."""
    octets = len(os.fsencode(socket_of(data)))
    if octets <= LONGEST:
        return ""
    return (
        f"the path of the control socket, {socket_of(data)}, has {octets} octets, and the system "
        f"takes {LONGEST}: choose a shorter path; it may be a symbolic link to this one"
    )
