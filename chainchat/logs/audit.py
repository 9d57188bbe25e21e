"""The audit: who came in, who was refused, and who changed what others may do, a log line each.

It names people, addresses and sessions, never what is said or a secret. A node logs what its own
clients and operator did.
"""

from collections import Counter
from collections.abc import Callable

from twisted.logger import Logger

from chainchat.chat import commands
from chainchat.chat.commands import AnyCommand
from chainchat.chat.outcomes import Accepted, Result
from chainchat.chat.refusals import Code
from chainchat.logs.complaints import PERIOD
from chainchat.network.addresses import site_of

MOST_ADDRESSES = 1_024

MOST_KINDS = 8
"""Kinds of refusals of an address told apart in a line: strangers choose names."""

log = Logger()


class Audit:
    """The audit of one node.

    The first refusal of an address is told at once, and what follows once a minute.
    """

    def __init__(self, position: str, later: Callable[..., object]) -> None:
        """``later``: Twisted's ``callLater``."""
        self._position = position
        self._later = later
        self._untold: dict[str, Counter[str]] = {}
        """By site, the refusals since its last line, of what kinds."""
        self._of_others = 0
        """Refusals of addresses beyond the most."""

    def carried_out(self, command: AnyCommand, result: Result, by: str, address: str) -> None:
        """Note what became of a command, if this concerns the audit."""
        match command:
            case commands.Login() | commands.Resume():
                what = f"login of {command.name}"
            case commands.Delete():
                what = f"account {command.name} deleted by {by}"
            case commands.SetSecret():
                how = "removed" if command.verifier is None else "set"
                what = f"password of {command.name} {how} by {by or command.name}"
            case commands.Invite():
                what = f"{command.name} {'given a new password' if command.reset else 'invited'}"
                what += f" by {by}"
            case commands.Grant():
                what = f"{command.name} made {command.role.name.lower()} by {by}"
            case commands.Kick():
                what = f"session of {command.name} ended by {by}"
            case _:
                return
        if isinstance(result, Accepted):
            session = f", session {command.session}" if command.session else ""
            self._log(f"{what} from {address}{session}")
        else:
            self.refused(what, address, result.code)

    def refused(self, what: str, address: str, code: Code) -> None:
        """Note a refusal, at most one line a minute for each address."""
        site, why = site_of(address), f"{code.value} {code.name.lower().replace('_', ' ')}"
        untold = self._untold.get(site)
        if untold is not None:
            kind = f"{what}: {why}"
            untold[kind if kind in untold or len(untold) < MOST_KINDS else "others"] += 1
        elif len(self._untold) >= MOST_ADDRESSES:
            self._of_others += 1
        else:
            self._log(f"refused: {what} from {address}: {why}")
            self._count(site)

    def _count(self, site: str) -> None:
        self._untold[site] = Counter()
        self._later(PERIOD, self._period_ends, site)

    def _period_ends(self, site: str) -> None:
        untold = self._untold.pop(site, Counter())
        self._tell_rest(site, untold)
        if untold:
            self._count(site)

    def _tell_rest(self, site: str, untold: Counter[str]) -> None:
        if self._of_others:
            self._log(f"refused: {self._of_others} times from more addresses than are told apart")
            self._of_others = 0
        if untold:
            kinds = "; ".join(f"{times} x {kind}" for kind, times in untold.most_common())
            self._log(f"refused: {untold.total()} more from {site} within a minute: {kinds}")

    def stop(self) -> None:
        """Tell now what is not told yet."""
        while self._untold:
            self._tell_rest(*self._untold.popitem())

    def controlled(self, command: str, user: str, outcome: str) -> None:
        self._log(f"control, by {user}: {command}: {outcome}")

    def _log(self, text: str) -> None:
        log.info("{position}: audit: {text}", position=self._position, text=text, event="audit")
