"""What changes the chat: the commands that travel through the log.

Frozen records, encoded as MessagePack arrays.

A command holds everything that its effect depends on, so that applying it gives the same result on
every node: the state has no clock, no randomness and no sockets to ask.

Fields that many commands share: session: the session's id, ``origin.counter``: unique for ever, and
    its origin can be read off it. account: an account's number: the id of the log entry that
    created it. Names can be given again, numbers cannot.
"""

from msgspec import Struct, msgpack

UNKNOWN = -1
"""In place of an account number.

The origin knew nobody by this name; it is looked up when the command is applied.
"""

TO_EVERYBODY = 0
"""In place of a recipient's account number: a broadcast."""


class Command(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Anything that can be applied."""


class Origins(Command, frozen=True, array_like=True, tag="origins", gc=False):
    """These and no others are the places that sessions live at; the sessions of all others end.

    An epoch's first entry.
    """

    origins: tuple[str, ...]


class Login(Command, frozen=True, array_like=True, tag="login", gc=False):
    """Open ``session`` for the account ``name``, which is made if there is none.

    Attributes:
        client: the program's id, empty for a person.
        token: SHA-256 of the token by which a program may resume; empty for a person.
    """

    session: str
    name: str
    client: str
    token: bytes


class Resume(Command, frozen=True, array_like=True, tag="resume", gc=False):
    """Open ``session`` for the account, in place of the one it had, by its last login's token."""

    session: str
    name: str
    client: str
    token: bytes


class Saying(Struct, frozen=True, array_like=True, gc=False):
    """One message, on its way.

    Attributes:
        text: what is said.
        recipient: account number, TO_EVERYBODY or UNKNOWN.
        to: the recipient's name, ``*`` for a broadcast.
        number: the program's number of the request, 0 for a person.
        checksum: CRC-32 of (to, text) as the client sent them; tells a repetition from a mistake.
    """

    text: str
    recipient: int
    to: str
    number: int = 0
    checksum: int = 0


class Say(Command, frozen=True, array_like=True, tag="say", gc=False):
    """Say something: one message, or all that came in one piece from one client.

    Its entry takes a sequence number for each: the message's id.

    Attributes:
        session: the sender's.
        account: the sender's.
        sender: the sender's name.
        client: the program's id, empty for a person.
        sayings: the messages, one or more.
    """

    session: str
    account: int
    sender: str
    client: str
    sayings: tuple[Saying, ...]


class Delete(Command, frozen=True, array_like=True, tag="delete", gc=False):
    """Delete the account ``account`` (or UNKNOWN: whoever has the name)."""

    session: str
    account: int
    name: str


class End(Command, frozen=True, array_like=True, tag="end", gc=False):
    """The connection of ``session`` is gone; its token stays.

    ``seen``: the read mark, 0 to leave it.
    """

    session: str
    seen: int


class Logout(Command, frozen=True, array_like=True, tag="logout", gc=False):
    """End ``session`` and its token.

    Attributes:
        seen: the read mark, 0 to leave it.
        finished: the program that repeats nothing any more, to be forgotten; empty for none.
    """

    session: str
    seen: int
    finished: str = ""


class Seen(Command, frozen=True, array_like=True, tag="seen", gc=False):
    """Move read marks: pairs of (account, message id)."""

    marks: tuple[tuple[int, int], ...]


class Held(Command, frozen=True, array_like=True, tag="held", gc=False):
    """Changes nothing: tells whoever was refused the name of ``session`` how alive that is.

    ``silent``: seconds for which nothing came from its client's machine, -1 if nobody can tell.
    """

    session: str
    silent: int


class Nothing(Command, frozen=True, array_like=True, tag="nothing", gc=False):
    """Changes nothing: asked for only to learn that the chain still commits."""


AnyCommand = Origins | Login | Resume | Say | Delete | End | Logout | Seen | Held | Nothing

_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(AnyCommand)


def encode(command: AnyCommand) -> bytes:
    """A command as it travels."""
    return _encoder.encode(command)


def decode(data: bytes) -> AnyCommand:
    """The reverse of ``encode``.

    Raises:
        msgspec.DecodeError: the bytes are no command: a bug, or a corrupt disk.
    """
    command: AnyCommand = _decoder.decode(data)
    return command


def span(command: AnyCommand) -> int:
    """How many sequence numbers its entry takes."""
    return len(command.sayings) if isinstance(command, Say) else 1


def origin_of(session: str) -> str:
    """The origin at which ``session`` lives."""
    return session.rpartition(".")[0]
