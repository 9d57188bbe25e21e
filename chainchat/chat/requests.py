"""Requests of a client, the same for all modes.

A mode makes them from lines; ``chainchat.sessions.requests`` carries them out.
"""

import re

from msgspec import Struct

from chainchat.chat.accounts import Verifier
from chainchat.chat.refusals import Code, RefusedError

EVERYBODY = "*"
"""The recipient of a broadcast, as written in machine mode."""

MAX_LAST = 500
"""Messages that ``/last`` shows, at most."""

NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


def checked_name(name: str, tag: str = "-") -> str:
    """``name``, if an account can have it.

    Raises:
        RefusedError: 520, with the rule.
    """
    if not NAME.fullmatch(name):
        raise RefusedError(
            Code.BAD_NAME, "a name has 1 to 32 letters (a-z), digits, '-', '_' or '.'", tag
        )
    return name


class Hello(Struct, frozen=True):
    """``/hello``: switch to the mode of ``protocol``, as the program ``client``."""

    client: str
    notices: bool = False
    protocol: str = "chainchat/1"


class Login(Struct, frozen=True):
    """Log in, making the account if there is none. ``quiet``: no pushes, now or later."""

    name: str
    quiet: bool = False


class Resume(Struct, frozen=True):
    """Go on with an earlier session by its token; push messages after id ``after``."""

    name: str
    token: str
    after: int


class Authenticate(Struct, frozen=True):
    """Begin to prove knowledge of the password of ``name``; ``first``: SCRAM's first message."""

    name: str
    first: str


class Prove(Struct, frozen=True):
    """End the proof; ``final``: SCRAM's last message."""

    final: str


class SetVerifier(Struct, frozen=True):
    """Set a password that the server never sees, or remove it: None."""

    verifier: Verifier | None


class ChangePassword(Struct, frozen=True):
    """Ask the person for a new password, or ``remove`` it."""

    remove: bool = False


class ResetPassword(Struct, frozen=True):
    """Give the account ``name`` a password that admits only to choose another."""

    name: str


class Invite(Struct, frozen=True):
    """Make the account ``name``, with a password to hand out."""

    name: str


class Grant(Struct, frozen=True):
    """Make ``name`` an operator, or a user again."""

    name: str
    operator: bool


class Kick(Struct, frozen=True):
    """End the session of ``name``."""

    name: str


class Say(Struct, frozen=True, gc=False):
    """Say ``text`` to the account ``to`` or to EVERYBODY.

    ``number``: the program's own of this request; 0 in human mode.
    """

    to: str
    text: str
    number: int = 0


class Acknowledge(Struct, frozen=True):
    """Move the read mark to ``id``."""

    id: int


class Since(Struct, frozen=True):
    """Messages from or to this account after ``id``; at most ``count`` (None: all)."""

    id: int
    count: int | None = None


class List(Struct, frozen=True):
    """Names of accounts that begin with a match of ``pattern`` (RE2), or all."""

    pattern: str = ""


class Who(Struct, frozen=True):
    """Names of the accounts that are on."""


class Last(Struct, frozen=True):
    """The last ``count`` messages to everybody, from or to this account."""

    count: int = 20


class Delete(Struct, frozen=True):
    """Delete the account ``name``, one's own if empty; ``confirmed``: the person said yes."""

    name: str = ""
    confirmed: bool = False


class Chain(Struct, frozen=True):
    """Show the chain."""


class Help(Struct, frozen=True):
    """Show help, on one verb if given."""

    verb: str = ""


class Notices(Struct, frozen=True):
    """Show others come and go, or do not."""

    on: bool


class Ping(Struct, frozen=True):
    """Ask whether the connection is alive."""


class Logout(Struct, frozen=True):
    """End the session and the connection; the account stays.

    ``finished``: the program repeats nothing any more.
    """

    finished: bool = False


Request = (
    Hello
    | Login
    | Resume
    | Authenticate
    | Prove
    | SetVerifier
    | ChangePassword
    | ResetPassword
    | Invite
    | Grant
    | Kick
    | Say
    | Acknowledge
    | Since
    | List
    | Who
    | Last
    | Delete
    | Chain
    | Help
    | Notices
    | Ping
    | Logout
)
