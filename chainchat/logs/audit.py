"""The audit: who came in, who was refused, and who changed what others may do, a log line each.

It names people, addresses and sessions, never what is said or a secret. A node logs what its own
clients and operator did.
"""

from collections.abc import Callable

from twisted.logger import Logger

from chainchat.chat import commands
from chainchat.chat.commands import AnyCommand
from chainchat.chat.outcomes import Accepted, Result
from chainchat.chat.refusals import Code
from chainchat.logs.complaints import Complaints
from chainchat.network.addresses import site_of

MOST_ADDRESSES = 1_024

log = Logger()


class Audit:
    """The audit of one node."""

    def __init__(self, position: str, clock: Callable[[], float]) -> None:
        self._position = position
        self._refusals: Complaints[str] = Complaints(clock, MOST_ADDRESSES)

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
        if count := self._refusals.count(site_of(address)):
            why = f"{code.value} {code.name.lower().replace('_', ' ')}"
            more = f" ({count - 1} more from there since the last line)" if count > 1 else ""
            self._log(f"refused: {what} from {address}: {why}{more}")

    def controlled(self, command: str, user: str, outcome: str) -> None:
        self._log(f"control, by {user}: {command}: {outcome}")

    def _log(self, text: str) -> None:
        log.info("{position}: audit: {text}", position=self._position, text=text, event="audit")
