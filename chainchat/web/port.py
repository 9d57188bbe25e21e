"""The web port of a node: what listens, and the links to the pages of the others."""

from ipaddress import ip_address
from typing import Any

from chainchat.config import NodeSettings, Settings
from chainchat.web.desk import WebDesk
from chainchat.web.hosts import names_of
from chainchat.web.metrics import Sources
from chainchat.web.site import WebFactory

__all__ = ["Sources", "WebPort", "pages"]


class WebPort:
    """Answers at the web port of one node.

    Attributes:
        factory: of the listening port.
    """

    def __init__(
        self, reactor: Any, settings: Settings, own: NodeSettings, sources: Sources
    ) -> None:
        self._desk = WebDesk(sources, pages(settings, own), reactor)
        self.factory = WebFactory(reactor, self._desk, names_of(own))

    def start(self) -> None:
        """Begin to feel the pulse."""
        self._desk.start()

    def stop(self) -> None:
        """End all connections."""
        self._desk.stop()
        self.factory.close()


def pages(settings: Settings, own: NodeSettings) -> dict[str, str]:
    """Where the pages of the nodes are, by position, as far as a browser can get there from here.

    A page that listens on the loopback addresses of another machine is not reached.
    """
    found = {}
    for position, node in settings.nodes.items():
        same_machine = node.host == own.host or _is_local(node.host)
        if node.web_url:
            found[position] = node.web_url
        elif node.web_port and (same_machine or not _is_local(node.web_host)):
            host = f"[{node.web_host}]" if ":" in node.web_host else node.web_host
            if node.web_host in ("0.0.0.0", "::"):  # noqa: S104 - it is only compared
                host = node.host
            found[position] = f"http://{host}:{node.web_port}/"
    return found


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
