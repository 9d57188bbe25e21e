"""The path of a node's control socket."""

import os
import sys
from pathlib import Path

LONGEST = 107 if sys.platform == "linux" else 103
"""Most octets of a socket's path (``sockaddr_un``)."""


def socket_of(data: Path) -> Path:
    return data / "control"


def objection_to(data: Path) -> str:
    octets = len(os.fsencode(socket_of(data)))
    if octets <= LONGEST:
        return ""
    return (
        f"the path of the control socket, {socket_of(data)}, has {octets} octets, and the system "
        f"takes {LONGEST}: choose a shorter path; it may be a symbolic link to this one"
    )
