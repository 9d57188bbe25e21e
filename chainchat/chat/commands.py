"""The changes of the chat, as they travel through the log.

A command is a MessagePack array of all that its effect depends on. Fields that many share:

- session: ``origin.counter``, unique for ever; empty if a node's owner gives an operator's command.
- account: id of the log entry that created it, unlike its name never given again.
- checked: id of the entry that set the verifier against which the origin has checked a password or
  a proof; 0 for none. If another verifier counts by now, the command is refused.

The default of a field that an older version did not write means what that version did.
"""

from msgspec import Struct, msgpack

from chainchat.chat.accounts import AccountRole, Verifier

UNKNOWN = -1
"""For an account number: look the name up when the command is applied."""

TO_EVERYBODY = 0
"""For a recipient's account number: a broadcast."""


class Command(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Any command."""


class Origins(Command, frozen=True, array_like=True, tag="origins", gc=False):
    """An epoch's first entry: only these origins have sessions now."""

    origins: tuple[str, ...]


class Login(Command, frozen=True, array_like=True, tag="login", gc=False):
    """Open ``session`` for the account ``name``; make the account if there is none.

    Attributes:
        client, token: a program's id, and SHA-256 of what lets it resume; empty for a person.
        refuse_new: the ``Code`` that refuses a new account; 0: make it.
        refuse_alike: make no account whose name looks like another's.
    """

    session: str
    name: str
    client: str
    token: bytes
    checked: int = 0
    refuse_new: int = 0
    refuse_alike: bool = False


class Resume(Command, frozen=True, array_like=True, tag="resume", gc=False):
    """Open ``session`` in place of the account's last one.

    ``token``, ``next_token``: SHA-256; no ``next_token`` leaves the token.
    """

    session: str
    name: str
    client: str
    token: bytes
    next_token: bytes = b""


class Saying(Struct, frozen=True, array_like=True, gc=False):
    """One message on its way.

    Attributes:
        recipient: account number, TO_EVERYBODY or UNKNOWN.
        to: the recipient's name, ``*`` for a broadcast.
        number: the program's own of the request; 0: a person's.
        checksum: CRC-32 of (to, text) as sent; tells a repetition from a mistake.
    """

    text: str
    recipient: int
    to: str
    number: int = 0
    checksum: int = 0


class Say(Command, frozen=True, array_like=True, tag="say", gc=False):
    """Say what came together from one ``client``; each message's id is a sequence number."""

    session: str
    account: int
    sender: str
    client: str
    sayings: tuple[Saying, ...]


class Delete(Command, frozen=True, array_like=True, tag="delete", gc=False):
    """Delete ``account``, or ``name`` if that is UNKNOWN.

    ``others``: anybody may delete another's account.
    """

    session: str
    account: int
    name: str
    others: bool = True


class SetSecret(Command, frozen=True, array_like=True, tag="secret", gc=False):
    """Set the password of ``account``.

    Attributes:
        session: the account's own; empty before the login, when ``checked`` proves the right.
        verifier: without ``set_by``, which is set when applied; None: remove the password.
    """

    session: str
    account: int
    name: str
    checked: int
    verifier: Verifier | None


class Invite(Command, frozen=True, array_like=True, tag="invite", gc=False):
    """Make the account ``name`` with a password that an operator hands out.

    ``reset``: give an existing account another, and end its session and token.
    """

    session: str
    name: str
    verifier: Verifier
    reset: bool = False
    refuse_alike: bool = False


class Grant(Command, frozen=True, array_like=True, tag="grant", gc=False):
    """Make ``name`` an operator or a user."""

    session: str
    name: str
    role: AccountRole


class Kick(Command, frozen=True, array_like=True, tag="kick", gc=False):
    """End the session and the token of ``name``."""

    session: str
    name: str


class Salting(Command, frozen=True, array_like=True, tag="salting", gc=False):
    """Set the secret for the salts of unknown names; only the first one counts."""

    secret: bytes


class End(Command, frozen=True, array_like=True, tag="end", gc=False):
    """End ``session``, whose connection is gone; its token stays.

    ``seen``: the read mark, 0 to leave it.
    """

    session: str
    seen: int


class Logout(Command, frozen=True, array_like=True, tag="logout", gc=False):
    """End ``session`` and its token; ``finished``: also forget that program.

    ``seen``: the read mark, 0 to leave it.
    """

    session: str
    seen: int
    finished: str = ""


class Seen(Command, frozen=True, array_like=True, tag="seen", gc=False):
    """Move read marks: pairs of (account, message id)."""

    marks: tuple[tuple[int, int], ...]


class Held(Command, frozen=True, array_like=True, tag="held", gc=False):
    """Tell whoever was refused its name for how long ``session`` is silent.

    ``silent``: seconds since its client's machine was heard; -1 if unknown.
    """

    session: str
    silent: int


class Forget(Command, frozen=True, array_like=True, tag="forget", gc=False):
    """Remove the messages below the id ``before``.

    Attributes:
        unread: even what some account has not seen.
        days: the age at which messages go; 0: they took too much room.
    """

    before: int
    unread: bool = False
    days: int = 0


class Nothing(Command, frozen=True, array_like=True, tag="nothing", gc=False):
    """Change nothing: shows that the chain still commits."""


AnyCommand = (
    Origins
    | Login
    | Resume
    | Say
    | Delete
    | End
    | Logout
    | Seen
    | Held
    | SetSecret
    | Invite
    | Grant
    | Kick
    | Salting
    | Forget
    | Nothing
)

_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(AnyCommand)


def encode(command: AnyCommand) -> bytes:
    return _encoder.encode(command)


def decode(data: bytes) -> AnyCommand:
    """Reverse ``encode``.

    Raises:
        msgspec.DecodeError: a bug, or a corrupt disk.
    """
    command: AnyCommand = _decoder.decode(data)
    return command


def span(command: AnyCommand) -> int:
    return len(command.sayings) if isinstance(command, Say) else 1


def origin_of(session: str) -> str:
    return session.rpartition(".")[0]


UNANNOUNCED = "u"
"""The end of the id of a session that nobody is told of."""


def is_announced(session: str) -> bool:
    return not session.endswith(UNANNOUNCED)
