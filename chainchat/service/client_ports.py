"""The ports for clients, and how much may come through them."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import ILoggingContext
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from chainchat.config import ConfigError, NodeSettings, Settings
from chainchat.network.addresses import host_port
from chainchat.network.crowd import crowded
from chainchat.sessions.admission import reserve
from chainchat.sessions.limits import ClientLimits
from chainchat.sessions.listener import ClientFactory, ClientPort
from chainchat.sessions.pace import Rate
from chainchat.tls.contexts import Creator
from chainchat.tls.layers import encrypted
from chainchat.web.limits import FILES

NEW_ACCOUNTS_SECONDS = 600.0

REFUSED_LOGINS = Rate(per_second=0.5, at_once=60)
"""Refused logins of an address; an office whose names are in use for a moment is far below."""

QUEUE = 1_024

log = Logger()


@implementer(ILoggingContext)
class NotYet(Factory):
    """A factory that accepts nothing yet; ``name`` is the port's, for the log."""

    noisy = False

    def __init__(self, name: str) -> None:
        self._name = name

    def logPrefix(self) -> str:
        return self._name


class ClientPorts:
    """The port without TLS, the one with it, or both.

    Connections wait in the ports until ``open``.

    Raises:
        CannotListenError: another process has a port.
    """

    def __init__(self, reactor: Any, own: NodeSettings, host: str) -> None:
        self._reactor = reactor
        self._own = own
        crowd = crowded(reactor)
        self._ports = {
            number: ClientPort(number, NotYet(name), QUEUE, host, crowd)
            for name, number in (("client port", own.client_port), ("tls port", own.tls_port))
            if number
        }
        for port in self._ports.values():
            port.startListening()

    def open(
        self,
        factory: Callable[[dict[str, str]], ClientFactory],
        resolved: Mapping[str, NodeSettings],
        named: Mapping[str, NodeSettings],
        tls: Creator | None,
    ) -> None:
        """Accept connections.

        Args:
            factory: makes a port's factory, of where clients find each node, by position.
            resolved: the nodes, with addresses for hosts.
            named: the nodes as chain.ini has them: clients look for these names in certificates.
        """
        if self._own.client_port:
            plain = {
                p: host_port(n.client_host, n.client_port)
                for p, n in resolved.items()
                if n.client_port
            }
            made = factory(plain)
            self._open(self._own.client_port, made, made)
        if tls is not None:
            secure = {
                p: host_port(n.client_host, n.tls_port) for p, n in named.items() if n.tls_port
            }
            made = factory(secure)
            layered = encrypted(made, tls, self._reactor, dials=False)
            self._open(self._own.tls_port, made, layered)

    def _open(self, number: int, factory: ClientFactory, layered: Any) -> None:
        """``layered``: the factory, or what makes TLS below its protocols."""
        port = self._ports[number]
        port.factory, port.sheds = layered, factory.admission.sheds

    def stop(self) -> Deferred[Any]:
        return DeferredList([maybeDeferred(port.stopListening) for port in self._ports.values()])


def client_limits(settings: Settings, files: int, position: str) -> ClientLimits:
    """The limits of the node at ``position``, which may open ``files`` files.

    Raises:
        ConfigError: so few files are not enough for any client.
    """
    kept = reserve(len(settings.nodes)) + (FILES if settings.nodes[position].web_port else 0)
    limits = ClientLimits(
        settings.max_connections,
        settings.per_address,
        settings.exempt,
        files - kept,
        connecting=_rate(settings.connects_per_minute, 60.0),
        new_accounts=_rate(settings.new_accounts, NEW_ACCOUNTS_SECONDS),
        refused_logins=REFUSED_LOGINS,
        most_accounts=settings.most_accounts,
        saying=Rate(settings.send_rate, settings.send_burst) if settings.send_rate else None,
    )
    if limits.files < 1:
        raise ConfigError(
            f"the limit of open files is {files}: a node needs {kept}, and one for each "
            "client; raise it (ulimit -n, or LimitNOFILE= of systemd)"
        )
    if limits.files < limits.connections:
        log.info(
            "{position}: the limit of open files, {files}, leaves room for {clients} clients",
            position=position,
            files=files,
            clients=limits.files,
        )
    return limits


def _rate(times: int, seconds: float) -> Rate | None:
    return Rate(times / seconds, times) if times else None


def ports_shown(own: NodeSettings) -> str:
    plain = [host_port(own.client_host, own.client_port)] if own.client_port else []
    secure = [f"{host_port(own.client_host, own.tls_port)} with TLS"] if own.tls_port else []
    return ", ".join(plain + secure)
