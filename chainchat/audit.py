"""The audit: who came in, who was refused, and who changed what others may do, a log line each.

The lines name people, addresses and sessions, never what is said, and never a secret. All begin
with ``audit:`` behind the position, so ``grep`` finds them. A node logs what its own clients and
its own operator did.
"""

from collections import OrderedDict
from collections.abc import Callable

from twisted.logger import Logger

REFUSALS_PAUSE = 60.0
"""Seconds between two lines about refused logins from one address."""

MOST_ADDRESSES = 1_024
"""Addresses whose refused logins are counted; beyond, the one refused longest ago is forgotten."""

log = Logger()


class Audit:
    """Writes the lines of one node."""

    def __init__(self, position: str, clock: Callable[[], float]) -> None:
        """Begin.

        Args:
            position: the node's.
            clock: monotonic seconds.
        """
        self._position = position
        self._clock = clock
        self._refused: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """By address: when a line was last logged, and how many were refused since."""

    # --- clients; ``by`` is the name of who did it

    def logged_in(self, name: str, address: str, session: str) -> None:
        """Somebody logged in, or resumed a session."""
        self._log(f"login of {name} from {address}, session {session}")

    def login_refused(self, name: str, address: str, reason: str) -> None:
        """A login was refused; ``reason``: for people, without a secret."""
        now = self._clock()
        last, unlogged = self._refused.pop(address, (None, 0))
        due = last is None or now - last >= REFUSALS_PAUSE
        self._refused[address] = (now, 0) if last is None or due else (last, unlogged + 1)
        if len(self._refused) > MOST_ADDRESSES:
            self._refused.popitem(last=False)
        if due:
            more = f" ({unlogged} more since the last line)" if unlogged else ""
            self._log(f"login of {name} from {address} refused: {reason}{more}")

    def deleted(self, name: str, by: str, address: str, session: str) -> None:
        """An account was deleted."""
        self._did(f"account {name} deleted", by, address, session)

    def password_set(self, name: str, by: str, address: str, session: str) -> None:
        """A password was set, changed or removed."""
        self._did(f"password of {name} changed", by, address, session)

    def invited(self, name: str, by: str, address: str, session: str) -> None:
        """An account was made for somebody, or its password was reset."""
        self._did(f"{name} invited", by, address, session)

    def granted(self, name: str, role: str, by: str, address: str, session: str) -> None:
        """An account got another role."""
        self._did(f"{name} is now {role}", by, address, session)

    def kicked(self, name: str, by: str, address: str, session: str) -> None:
        """A session was ended by an operator."""
        self._did(f"session of {name} ended", by, address, session)

    def _did(self, what: str, by: str, address: str, session: str) -> None:
        self._log(f"{what} by {by} from {address}, session {session}")

    # --- the control socket

    def controlled(self, line: str, user: str, outcome: str) -> None:
        """A command came over the control socket, from a process of ``user``."""
        self._log(f"control, by {user}: {line}: {outcome}")

    def _log(self, text: str) -> None:
        log.info("{position}: audit: {text}", position=self._position, text=text)
