"""What sessions need of the world, and what the parts of a session need of it: as interfaces."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from chainchat.chat.accounts import Account
from chainchat.chat.modes.mode import Mode


class ServerInfo(Struct, frozen=True):
    """What every session of a node has in common.

    Attributes:
        chain: the chain's name.
        max_line: octets of a client's line.
        addresses: ``host:port`` of every node for clients, by position.
        new_token: makes a session's token.
    """

    chain: str
    max_line: int
    addresses: dict[str, str]
    new_token: Callable[[], str]


class Client(Protocol):
    """What the handler needs of the session whose requests it carries out.

    Attributes:
        id: the session's id, empty before the login.
        account: number of the account that it holds.
        name: of the account.
        mode: the mode.
        notices: whether it is told who comes and goes.
    """

    id: str
    account: int
    name: str
    mode: Mode
    notices: bool

    @property
    def seen(self) -> int:
        """A person's read mark; 0 for a program, which moves its own."""

    def say(self, lines: Sequence[str]) -> None:
        """Write lines at the end of the turn."""

    def attach(self, account: Account, after: int, *, quiet: bool) -> None:
        """The login was done: the session holds this account, delivery begins after a message."""

    def close(self) -> None:
        """Close the connection at the end of the turn, when everything is written."""

    def when_writable(self, go_on: Callable[[], None]) -> None:
        """Call it when it is the client's turn, and it has taken most of what was written."""


class Connection(Protocol):
    """The bytes of one client."""

    def write(self, data: bytes) -> None:
        """Send it, when the client's machine takes it."""

    def close(self) -> None:
        """Close when everything written was sent."""

    def hold(self, *, held: bool) -> None:
        """Whether to leave what the client sends in its socket."""

    def expect(self, octets: int) -> None:
        """Read at most so many octets at once, and let no more stand unsent."""

    def silent(self) -> float | None:
        """Seconds since the client's machine has acknowledged or sent anything.

        None where the system cannot tell.
        """

    def probe(self, *, probing: bool) -> None:
        """Whether to find out within seconds, rather than minutes, that the machine is gone."""

    def abort(self) -> None:
        """Give the connection up."""

    def acknowledged(self) -> int | None:
        """How many of the octets written the client's machine has acknowledged.

        None where the system cannot tell.
        """
