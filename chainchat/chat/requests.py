"""Requests of a client: a mode makes them, ``chainchat.sessions.handler`` carries them out."""

import re

from msgspec import Struct

from chainchat.chat.accounts import Verifier
from chainchat.chat.refusals import Code, RefusedError

EVERYBODY = "*"
"""A broadcast's recipient, as in machine mode."""

MAX_LAST = 500

NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


def checked_name(name: str) -> str:
    """Return ``name``, if an account can have it.

    Raises:
        RefusedError: 520.
    """
    if not NAME.fullmatch(name):
        raise RefusedError(
            Code.BAD_NAME, "a name has 1 to 32 letters (a-z), digits, '-', '_' or '.'"
        )
    return name


class Hello(Struct, frozen=True):
    """Switch to the mode of ``protocol``, as the program ``client``."""

    client: str
    notices: bool = False
    protocol: str = "chainchat/1"


class Login(Struct, frozen=True):
    """Log in; make the account if there is none. ``quiet``: no pushes, now or later."""

    name: str
    quiet: bool = False


class Resume(Struct, frozen=True):
    """Go on with an earlier session; push messages after the id ``after``."""

    name: str
    token: str
    after: int


class Authenticate(Struct, frozen=True):
    """Begin to prove a password; ``first``: SCRAM's first message."""

    name: str
    first: str


class Prove(Struct, frozen=True):
    """End the proof; ``final``: SCRAM's last message."""

    final: str


class SetVerifier(Struct, frozen=True):
    """Set a password that the server never sees; None: remove it."""

    verifier: Verifier | None


class ChangePassword(Struct, frozen=True):
    """Ask for a new password, or ``remove`` it."""

    remove: bool = False


class ResetPassword(Struct, frozen=True):
    """Give an account a password that admits only to choose another."""

    name: str


class Invite(Struct, frozen=True):
    """Make an account, with a password to hand out."""

    name: str


class Grant(Struct, frozen=True):
    """Make ``name`` an operator, or a user again."""

    name: str
    operator: bool


class Kick(Struct, frozen=True):
    """End the session of ``name``."""

    name: str


class Say(Struct, frozen=True, gc=False):
    """Say ``text`` to an account or EVERYBODY; ``number``: the program's own, 0 for a person."""

    to: str
    text: str
    number: int = 0


class Acknowledge(Struct, frozen=True):
    """Move the read mark to ``id``."""

    id: int


class Since(Struct, frozen=True):
    """The first ``count`` messages (None: all) from or to this account after ``id``."""

    id: int
    count: int | None = None


class List(Struct, frozen=True):
    """Names that begin with a match of ``pattern`` (RE2), or all."""

    pattern: str = ""


class Who(Struct, frozen=True):
    """Names of the accounts that are on."""


class Last(Struct, frozen=True):
    """The last ``count`` messages to everybody, from or to this account."""

    count: int = 20


class Delete(Struct, frozen=True):
    """Delete an account, one's own without ``name``; ``confirmed``: the person said yes."""

    name: str = ""
    confirmed: bool = False


class Chain(Struct, frozen=True):
    """Show the chain."""


class Help(Struct, frozen=True):
    """Show help, on one verb if given."""

    verb: str = ""


class Notices(Struct, frozen=True):
    """Show who comes and goes, or not."""

    on: bool


class Ping(Struct, frozen=True):
    """Ask whether the connection is alive."""


class Logout(Struct, frozen=True):
    """End session and connection; ``finished``: the program repeats nothing any more."""

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
