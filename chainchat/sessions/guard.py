"""A node's rules for accounts, and its patience with guesses.

One guard serves all lives of a node. The rules travel in its commands (``chat.commands``).
"""

import secrets
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from chainchat.chat import scram
from chainchat.chat.accounts import Verifier
from chainchat.chat.lookalikes import is_servers_word
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.scram import SALT_OCTETS
from chainchat.config import AccountRules, NewAccounts, Plaintext
from chainchat.network.addresses import is_loopback
from chainchat.sessions.hashing import Hashing
from chainchat.sessions.throttle import Throttle

SECRET_OCTETS = 32
"""Octets of the secret in the salts of unknown names."""

FAILURE_SECONDS = 1.0
"""How long the answer to a wrong password waits."""

MOST_FAILURES = 3
"""Wrong passwords that close a connection."""


class Guard:
    """The guard of one node.

    Attributes:
        rules: replaceable at any time.
        tls: ``HOST:PORT`` for clients with TLS, or empty.
        positions: names that no new account may resemble.
    """

    def __init__(
        self,
        rules: AccountRules,
        hashing: Hashing,
        clock: Callable[[], float],
        *,
        tls: str = "",
        positions: Iterable[str] = (),
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.rules = rules
        self.throttle = Throttle(clock)
        self.hashing = hashing
        self.tls = tls
        self.positions = tuple(positions)
        self.random = random

    @property
    def open_to_all(self) -> bool:
        return self.rules.new is NewAccounts.OPEN

    def reserves(self, name: str) -> bool:
        """True if the name looks like the server's own, which no new account gets."""
        return is_servers_word(name, self.positions)

    def hashing_of(self, password: str, *, once: bool = False) -> Callable[[], Verifier]:
        """The slow work for ``Hashing`` that makes a new verifier."""
        salt, iterations = self.random(SALT_OCTETS), scram.ITERATIONS

        def work() -> Verifier:
            salted = scram.salted(password, salt, iterations)
            return replace(scram.verifier_of(salted, salt, iterations), once=once)

        return work

    def admits_once(self, *, reset: bool) -> bool:
        """True if an operator's password admits only to choose another."""
        return reset or self.rules.new is not NewAccounts.CLOSED

    def check_readable(self, host: str, *, encrypted: bool, otherwise: str = "") -> None:
        """Check that a password, or a verifier, may pass on a connection from ``host``.

        Who has read a verifier and hears a proof can log in from then on (RFC 5802, section 9).

        Raises:
            RefusedError: 507, with the place where it may; ``otherwise``: what else may be done.
        """
        rule = self.rules.plaintext
        if encrypted or rule is Plaintext.ALLOW:
            return
        if rule is Plaintext.AUTO and (is_loopback(host) or not self.tls):
            return
        if self.tls:
            text = f"passwords are taken over TLS only, at {self.tls}"
        else:
            text = "passwords are not taken here, where others can read them"
        raise RefusedError(Code.TLS_ONLY, f"{text}{otherwise}")
