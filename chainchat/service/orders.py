"""What a running node's owner orders: new settings, how much is logged."""

from collections.abc import Callable

from twisted.logger import Logger

from chainchat import config
from chainchat.chat.refusals import Code, RefusedError
from chainchat.logs.logs import LEVELS, Logs
from chainchat.peers.links import Links
from chainchat.service.client_ports import client_limits
from chainchat.sessions.guard import Guard
from chainchat.sessions.limits import Limits
from chainchat.tls.credentials import CredentialsError
from chainchat.tls.node import NodeTLS, read

log = Logger()


class Orders:
    """Carries out the owner's orders.

    Attributes:
        settings: those in force since the last reload.

    Args:
        host: this node's address, which its certificate names.
        links: with the other nodes, which new certificates may allow.
    """

    def __init__(
        self,
        settings: config.Settings,
        position: str,
        *,
        logs: Logs,
        files: int,
        limits: Limits,
        guard: Guard,
        tls: NodeTLS,
        host: str,
        links: Callable[[], Links],
    ) -> None:
        self.settings = settings
        self._position = position
        self._logs = logs
        self._files = files
        self._limits = limits
        self._guard = guard
        self._tls = tls
        self._host = host
        self._links = links

    def reload(self) -> list[str]:
        """Read chain.ini and the files of TLS again, and take what a running node can take.

        Returns and logs what is new and what needs a restart.

        Raises:
            RefusedError: 541, a file cannot be used; nothing has changed.
        """
        try:
            return self._reloaded()
        except (config.ConfigError, CredentialsError) as error:
            raise RefusedError(Code.NOT_RELOADED, f"nothing has changed: {error}") from None

    def reload_or_log(self) -> None:
        try:
            self._reloaded()
        except (config.ConfigError, CredentialsError) as error:
            self._logged([f"nothing is reloaded: {error}"])

    def _reloaded(self) -> list[str]:
        old = self.settings
        found = config.load(old.path)
        new = config.reloaded(old, found)
        credentials = read(new, self._position, self._host)
        self._tls.check(credentials, check_dates=new.check_dates)
        limits = client_limits(new, self._files, self._position)
        changes = config.changes(old, found)
        self.settings = new
        self._limits.current = limits
        self._guard.rules = new.accounts
        told = [(each.verdict, f"{each.verdict}: {each}") for each in changes]
        lines = [line for verdict, line in told if verdict == config.RELOADED]
        lines += self._tls.renew(credentials, check_dates=new.check_dates)
        self._links().dial_again()
        lines += [line for verdict, line in told if verdict != config.RELOADED]
        lines += self._tls.expiry.warnings
        return self._logged(lines or ["reloaded: nothing has changed"])

    def _logged(self, lines: list[str]) -> list[str]:
        for line in lines:
            log.info("{position}: {line}", position=self._position, line=line, event="reload")
        return lines

    def log_level(self, level: str) -> str:
        """Set the level, if one is given, and return the one in force.

        Raises:
            RefusedError: 501, there is no such level.
        """
        if level:
            if level not in LEVELS:
                known = ", ".join(LEVELS)
                raise RefusedError(Code.BAD_ARGUMENTS, f"the levels are {known}")
            self._logs.level = level
        return self._logs.level
