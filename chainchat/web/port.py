"""A node's web port, and the links to the others' pages."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from chainchat.config import NodeSettings, Settings
from chainchat.network.addresses import host_port, is_loopback, owners_of
from chainchat.network.crowd import crowded
from chainchat.sessions.buckets import AddressBuckets
from chainchat.sessions.listener import ClientPort
from chainchat.sessions.pace import Rate
from chainchat.web.desk import WebDesk
from chainchat.web.hosts import names_of
from chainchat.web.limits import MOST_CONNECTIONS
from chainchat.web.metrics import Shown
from chainchat.web.site import WebFactory

ARRIVING = Rate(per_second=50, at_once=500)
"""Connections of an address: who opens a thousand a second would keep health checks out."""

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - only compared with


class WebPort:
    """The web port of one node.

    Connections wait in the port until ``open``.

    Raises:
        CannotListenError: the system does not allow it.
    """

    def __init__(self, reactor: Any, settings: Settings, own: NodeSettings, address: str) -> None:
        self._reactor = reactor
        self._pages = pages(settings, own)
        self._factory = WebFactory(reactor, names_of(own))
        self._port = ClientPort(
            own.web_port, self._factory, MOST_CONNECTIONS, address, crowded(reactor)
        )
        self._port.sheds = Arrivals(reactor.seconds).exceed
        self._port.startListening()

    def open(self, **shown: Any) -> None:
        """Answer from now on; ``shown`` are the fields of ``Shown``."""
        self._desk = WebDesk(Shown(**shown), self._pages, self._reactor)
        self._factory.desk = self._desk
        self._desk.start()

    def stop(self) -> Deferred[Any]:
        self._desk.stop()
        self._factory.close()
        return maybeDeferred(self._port.stopListening)


class Arrivals:
    """The connections of each address; this machine's, where a proxy may be, have no limit."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock``: monotonic seconds."""
        self._buckets = AddressBuckets(clock)

    def exceed(self, host: str) -> bool:
        """Count a connection; True if it is one too many."""
        if is_loopback(host):
            return False
        return self._buckets.take_one(owners_of(host), ARRIVING) > 0


def pages(settings: Settings, own: NodeSettings) -> dict[str, str]:
    """The nodes' pages, by position, as far as a browser can get there from here.

    A page on another machine's loopback addresses is out of reach.
    """
    found = {}
    for position, node in settings.nodes.items():
        same_machine = node.host == own.host
        if node.web_url:
            found[position] = node.web_url
        elif node.web_port and (same_machine or not _is_local(node.web_host)):
            name = node.host if node.web_host in EVERYWHERE else node.web_host
            found[position] = f"http://{host_port(name, node.web_port)}/"
    return found


def _is_local(host: str) -> bool:
    return host == "localhost" or is_loopback(host)
