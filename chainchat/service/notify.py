"""Tells a service manager the state of a node (``sd_notify(3)``)."""

import os
import socket
from contextlib import suppress


class Manager:
    """The service manager that started this process, if any."""

    def __init__(self) -> None:
        path = os.environ.pop("NOTIFY_SOCKET", "")  # no child of this process speaks for it
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._status = ""

    def __bool__(self) -> bool:
        return bool(self._address)

    def ready(self) -> None:
        """Tell that the ports listen. The node may still wait for others, and has to live."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """Tell people a text, if it is new."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, suppress(OSError):
            out.setblocking(False)
            out.sendto(text.encode(), self._address)
