"""Commands: the changes of the chat, as they travel through the log.

A command is a frozen record, encoded as a MessagePack array. It holds everything that its effect
depends on, so applying it gives the same result on every node: the state has no clock, no
randomness and no sockets to ask.

Fields that many commands share:

- session: the session's id, ``origin.counter``; unique for ever, and names its origin.
- account: an account's number, the id of the log entry that created it. A name can be given
  again, a number cannot.
"""

from msgspec import Struct, msgpack

UNKNOWN = -1
"""In place of an account number: the origin knew no account of this name.

The name is looked up when the command is applied.
"""

TO_EVERYBODY = 0
"""In place of a recipient's account number: a broadcast."""


class Command(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Any command."""


class Origins(Command, frozen=True, array_like=True, tag="origins", gc=False):
    """An epoch's first entry: from now on, only these origins have sessions; all others end."""

    origins: tuple[str, ...]


class Login(Command, frozen=True, array_like=True, tag="login", gc=False):
    """Open ``session`` for the account ``name``; make the account if there is none.

    Attributes:
        client: the program's id, empty for a person.
        token: SHA-256 of the token by which a program may resume; empty for a person.
        refuse_new: the ``Code`` with which to refuse to make an account; 0: make it. Its origin
            judges this by its own limits, which other nodes need not share.
        refuse_alike: True to make no account whose name looks like another's (``lookalikes``).
            False in the entries of earlier versions, which had no such rule.
    """

    session: str
    name: str
    client: str
    token: bytes
    refuse_new: int = 0
    refuse_alike: bool = False


class Resume(Command, frozen=True, array_like=True, tag="resume", gc=False):
    """Open ``session`` in place of the account's last one, by the token of its login."""

    session: str
    name: str
    client: str
    token: bytes


class Saying(Struct, frozen=True, array_like=True, gc=False):
    """One message on its way.

    Attributes:
        text: the message.
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
    """Say one or more messages that came together from one client.

    The entry takes a sequence number for each message: the message's id.

    Attributes:
        session: the sender's.
        account: the sender's.
        sender: the sender's name.
        client: the program's id, empty for a person.
        sayings: the messages.
    """

    session: str
    account: int
    sender: str
    client: str
    sayings: tuple[Saying, ...]


class Delete(Command, frozen=True, array_like=True, tag="delete", gc=False):
    """Delete ``account``, or the account ``name`` if that is UNKNOWN."""

    session: str
    account: int
    name: str


class End(Command, frozen=True, array_like=True, tag="end", gc=False):
    """End ``session``, whose connection is gone; its token stays.

    ``seen``: the read mark, 0 to leave it.
    """

    session: str
    seen: int


class Logout(Command, frozen=True, array_like=True, tag="logout", gc=False):
    """End ``session`` and its token.

    Attributes:
        seen: the read mark, 0 to leave it.
        finished: the program to forget, since it repeats nothing any more; empty for none.
    """

    session: str
    seen: int
    finished: str = ""


class Seen(Command, frozen=True, array_like=True, tag="seen", gc=False):
    """Move read marks: pairs of (account, message id)."""

    marks: tuple[tuple[int, int], ...]


class Held(Command, frozen=True, array_like=True, tag="held", gc=False):
    """Tell whoever was refused a name how alive its ``session`` is; changes nothing.

    ``silent``: seconds since its client's machine was heard, -1 if unknown.
    """

    session: str
    silent: int


class Nothing(Command, frozen=True, array_like=True, tag="nothing", gc=False):
    """Change nothing: shows only that the chain still commits."""


AnyCommand = Origins | Login | Resume | Say | Delete | End | Logout | Seen | Held | Nothing

_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(AnyCommand)


def encode(command: AnyCommand) -> bytes:
    """A command as octets."""
    return _encoder.encode(command)


def decode(data: bytes) -> AnyCommand:
    """A command from octets.

    Raises:
        msgspec.DecodeError: they are no command: a bug, or a corrupt disk.
    """
    command: AnyCommand = _decoder.decode(data)
    return command


def span(command: AnyCommand) -> int:
    """How many sequence numbers the command's entry takes."""
    return len(command.sayings) if isinstance(command, Say) else 1


def origin_of(session: str) -> str:
    """The origin of ``session``."""
    return session.rpartition(".")[0]
