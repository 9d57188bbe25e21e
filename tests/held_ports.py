"""Ports on 127.0.0.1 that nobody else gets while a test needs them."""

import socket
import sys

HERE = "127.0.0.1"


class HeldPorts:
    """Ports that refuse connections until a server of the test listens there.

    A socket that is bound, but does not listen, keeps a port from all others. Servers reuse
    addresses, and Linux lets them listen beside it; on other systems, a port is only free at first.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def new(self) -> int:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HERE, 0))
        port: int = held.getsockname()[1]
        if sys.platform == "linux":
            self._held.append(held)
        else:
            held.close()
        return port

    def let_go(self) -> None:
        for held in self._held:
            held.close()
        self._held.clear()
