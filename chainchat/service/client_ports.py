"""The ports for clients: what they are named, and how much may come through them."""

from twisted.internet.interfaces import ILoggingContext
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from chainchat.config import ConfigError, NodeSettings, Settings
from chainchat.network.addresses import place
from chainchat.sessions.admission import reserve
from chainchat.sessions.limits import ClientLimits
from chainchat.sessions.pace import Rate
from chainchat.web.limits import FILES

NEW_ACCOUNTS_SECONDS = 600.0
"""Time for which the accounts that an address makes are counted."""

log = Logger()


@implementer(ILoggingContext)
class NotYet(Factory):
    """The factory of a port that accepts nothing yet; ``name``: the port's, for the log."""

    noisy = False

    def __init__(self, name: str) -> None:
        self._name = name

    def logPrefix(self) -> str:
        """See ``ILoggingContext``."""
        return self._name


def client_limits(settings: Settings, files: int, position: str) -> ClientLimits:
    """The limits for clients of the node at ``position``, which may open ``files`` files.

    Raises:
        ConfigError: this process may open too few files for any client.
    """
    kept = reserve(len(settings.nodes)) + (FILES if settings.nodes[position].web_port else 0)
    limits = ClientLimits(
        settings.max_connections,
        settings.per_address,
        settings.exempt,
        files - kept,
        connecting=_rate(settings.connects_per_minute, 60.0),
        new_accounts=_rate(settings.new_accounts, NEW_ACCOUNTS_SECONDS),
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
    """So many times in so many seconds; None for 0."""
    return Rate(times / seconds, times) if times else None


def ports_shown(own: NodeSettings) -> str:
    """Where clients find a node, for the log."""
    plain = [place(own.client_host, own.client_port)] if own.client_port else []
    secure = [f"{place(own.client_host, own.tls_port)} with TLS"] if own.tls_port else []
    return ", ".join(plain + secure)
