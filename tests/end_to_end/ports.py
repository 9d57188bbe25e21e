"""The ports of nodes, which no two processes of tests have at the same time."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path
from typing import BinaryIO

from talking import HOST, family_of

PORTS = range(10_000, 32_000)
"""Below those that the kernel gives to outgoing connections, which might take a node's port."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, and that no process of tests is given again while this one runs.

    A node has its ports neither before it starts nor while it is down: others' tests run meanwhile.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(PORTS)
        if _is_free(port) and _claim(port):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(family_of(HOST)) as attempt:
        attempt.bind((HOST, port))
        return True
    return False


_claimed: set[int] = set()


@cache
def _claims() -> BinaryIO:
    """A file that nobody writes: whoever was given a port has the lock of that octet."""
    return Path(tempfile.gettempdir(), f"chainchat-ports-{os.getuid()}").open("ab")


def _claim(port: int) -> bool:
    """Claim a port until this process ends; False if it was claimed before."""
    if port in _claimed:
        return False
    with contextlib.suppress(OSError):
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        _claimed.add(port)
        return True
    return False
