"""A session's interfaces, and what it needs."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from chainchat.chat.accounts import Account
from chainchat.chat.modes.mode import Mode
from chainchat.chat.refusals import Code
from chainchat.logs.audit import Audit
from chainchat.node.budget import Slice
from chainchat.sessions.guard import Guard


class ServerInfo(Struct, frozen=True):
    """What all sessions of a node share.

    Attributes:
        max_line: octets in a client's line.
        addresses: ``host:port`` for clients, by position.
        said_at_once: messages of one client in one command, at most.
    """

    chain: str
    max_line: int
    addresses: dict[str, str]
    new_token: Callable[[], str]
    guard: Guard
    audit: Audit
    said_at_once: int = 512
    drained: Callable[[], bool] = lambda: False


class Attendee(Protocol):
    """The session for its node's other parts; ``id`` is empty before the login.

    An error in one of its methods is its own (``isolation``); ``news`` and ``announcements`` keep
    those of ``push`` and ``tell``.
    """

    id: str
    account: int
    name: str
    mode: Mode

    @property
    def encrypted(self) -> bool:
        """True if nobody on the way can read."""

    # --- its turns (``rounds``)

    def hear(self, share: Slice) -> bool:
        """Hear some lines; True if it could hear more."""

    def go_on(self, share: Slice) -> bool:
        """Do a piece of what can wait; True if more is left."""

    def rested(self) -> None:
        """Hear the client again, as its rest is over."""

    def has_room(self) -> None:
        """Queue before the others."""

    def flush(self) -> None:
        """Write what was gathered, queue lines that had to wait, close if due."""

    # --- messages and notices (``delivery``, ``news``, ``announcements``)

    def push(self, data: bytes, newest: int) -> None:
        """Write messages up to id ``newest``."""

    def lacks_nothing(self) -> None:
        """Note that no pushed message concerned this session."""

    def fell_behind(self) -> None:
        """Note that the delivery has to read the log."""

    @property
    def takes_notices(self) -> bool:
        """True if the client wants to see others come and go."""

    def tell(self, code: str, text: str, **values: str) -> None: ...

    # --- what happens to it

    def look(self) -> bool:
        """Note how much the person has seen; True if more may be."""

    def contested(self) -> None:
        """Find out whether the client is alive, as somebody wants its name."""

    def ended(self, reason: str, by: str) -> None:
        """Close, as an entry of the log ended the session."""

    def broke(self, error: Exception) -> None:
        """End the session, by an error in what was done for it; raise one of the node's own."""

    def readiness_changed(self) -> None: ...

    # --- the end of the node

    @property
    def busy(self) -> bool:
        """True if something read has no answer yet."""

    def take_no_more(self) -> None:
        """Answer only what was read, as the node stops."""

    def sent_elsewhere(self, why: str) -> None:
        """List unanswered requests, say why and where to go on, and close."""


class Client(Attendee, Protocol):
    """The session for its ``Hearing`` and its ``Handler``.

    Attributes:
        notices: the client wants to see others come and go.
        is_open: False when nothing can be written any more.
        is_full: True while too much is unsent.
    """

    notices: bool
    is_open: bool
    is_full: bool

    @property
    def address(self) -> str: ...

    @property
    def seen(self) -> int:
        """A person's read mark; 0 for a program."""

    def say(self, lines: Sequence[str]) -> None:
        """Write lines at the end of the turn."""

    def ask(self, question: str) -> None:
        """Ask for a secret line; no pushes until ``asked_all``."""

    def answered(self) -> None:
        """Note that the secret line has come."""

    def asked_all(self) -> None:
        """Let the client show what is typed, and push again."""

    def turned_away(self) -> None:
        """Drop what a refused person typed ahead, maybe a password."""

    def attach(self, account: Account, after: int, *, quiet: bool) -> None:
        """Hold an account; deliver what follows the id ``after``, unless ``quiet``."""

    def close(self) -> None:
        """Write everything, then close the connection."""

    def close_with(self, code: Code, text: str) -> None: ...

    def when_writable(self, go_on: Callable[[], None]) -> None:
        """Call ``go_on`` in a turn when most is sent."""


class Connection(Protocol):
    """One client's connection, for its session."""

    address: str
    encrypted: bool

    def logged_in(self) -> None:
        """Keep the place even when others want one."""

    def write(self, data: bytes) -> int:
        """Send as fast as the client takes it; return its end, as ``acknowledged`` counts."""

    def close(self) -> None:
        """Close when everything is sent."""

    def wait_for_reader(self) -> None:
        """Let what is unsent at ``close`` wait a minute or so for the reader."""

    def hold(self, *, held: bool) -> None:
        """Stop reading the socket, or go on."""

    def expect(self, octets: int) -> None:
        """Read at most so much at once; report full output when more is unsent."""

    def unread(self) -> int:
        """Octets that wait in the socket; 0 if unknown."""

    def silent(self) -> float | None:
        """Seconds since the machine acknowledged or sent anything, if known."""

    def probe(self, *, probing: bool) -> None:
        """Notice a dead machine within seconds, or within minutes again."""

    def abort(self) -> None: ...

    def conceal(self) -> bytes:
        """Octets that ask the client to hide what is typed, until ``reveal``."""

    def reveal(self) -> bytes:
        """Octets that end ``conceal``; none if the client hid nothing."""

    @property
    def conceals(self) -> bool:
        """True while what is typed is not shown."""

    def acknowledged(self) -> int | None:
        """Octets that the machine has acknowledged in all, TLS included, if known."""
