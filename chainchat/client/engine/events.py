"""The events that the engine tells its program.

``chainchat-client --json`` prints all but the first two, one object a line, the tag as ``event``.
"""

from msgspec import Struct, field


class Event(Struct, frozen=True, tag_field="event"):
    """Something that happened, or that the program has to do."""


# --- what the program has to do ------------------------------------------------------


class ConnectTo(Event, frozen=True, tag="connect-to"):
    """Open a connection, then call ``connected``, or ``lost`` if that fails."""

    host: str
    port: int
    tls: bool = False


class Disconnect(Event, frozen=True, tag="disconnect"):
    """Close the connection or the attempt; ignore whatever it still says."""


class PasswordNeeded(Event, frozen=True, tag="password-needed"):
    """Call ``password``, or ``logout`` to leave.

    ``new``: for a new password; the present one admits only to choosing it.
    """

    text: str
    new: bool = False


# --- the connection ------------------------------------------------------------------


class Connected(Event, frozen=True, tag="connected"):
    """``node`` is the position of the connected node."""

    host: str
    port: int
    node: str


class ConnectionLost(Event, frozen=True, tag="connection-lost"):
    """The next try is in ``retry`` seconds."""

    host: str
    port: int
    reason: str
    retry: float


class LoginDelayed(Event, frozen=True, tag="login-delayed"):
    """The login is refused for now; the next try is in ``retry`` seconds."""

    code: int
    text: str
    retry: float


class StillOffline(Event, frozen=True, tag="still-offline"):
    """The client has been offline for a second; told once."""


class LoggedIn(Event, frozen=True, tag="logged-in"):
    """Messages after id ``after``, up to ``high``, are from the past."""

    name: str
    high: int
    resumed: bool
    after: int = 0


class PasswordChanged(Event, frozen=True, tag="password-changed"):
    """The password is set, or ``removed``."""

    removed: bool


class PasswordRefused(Event, frozen=True, tag="password-refused"):
    """The password is unchanged, or (code 0) the answer was lost."""

    code: int
    text: str


class Ended(Event, frozen=True, tag="ended"):
    """Nothing follows.

    Attributes:
        reason: ``logout``, ``moved`` (the session was resumed elsewhere), ``deleted`` (the
            account), ``kicked`` (by an operator) or ``refused`` (no node will accept the login).
        code: the protocol's error code, or 0.
    """

    reason: str
    code: int
    text: str


class Notice(Event, frozen=True, tag="notice"):
    """A ``NOTE`` of the server: ``waiting``, ``serving``, ``joined``, …."""

    code: str
    words: dict[str, str]
    text: str


# --- messages ------------------------------------------------------------------------


class MessageArrived(Event, frozen=True, tag="message"):
    """A message; each id arrives once, in order.

    Attributes:
        time: UTC, like ``2026-11-22T11:03:07.120Z``.
        sender: ``from`` in JSON.
        to: an account, or ``*`` for a broadcast.
    """

    id: int
    time: str
    sender: str = field(name="from")
    to: str
    text: str


class GapNoticed(Event, frozen=True, tag="gap"):
    """Messages after ``after``, up to ``previous``, are missing, and asked for."""

    after: int
    previous: int


class SendPending(Event, frozen=True, tag="pending"):
    """A new SEND, repeated until it is answered."""

    number: int
    to: str
    text: str


class SendAcknowledged(Event, frozen=True, tag="acknowledged"):
    """A SEND is on the disk of every member of the chain, as message ``id``.

    ``again``: through an earlier attempt, whose answer was lost.
    """

    number: int
    id: int
    to: str
    text: str
    again: bool


class SendDelayed(Event, frozen=True, tag="send-delayed"):
    """A SEND is refused for now: the engine repeats it and all later ones; told once."""

    number: int
    code: int
    text: str


class SendRefused(Event, frozen=True, tag="send-refused"):
    """A SEND was refused for good."""

    number: int
    to: str
    text: str
    code: int
    reason: str


# --- requests ------------------------------------------------------------------------


class Answered(Event, frozen=True, tag="answered"):
    """A request is answered with these ``key=value`` words."""

    request: int
    verb: str
    words: dict[str, str]


class Listed(Event, frozen=True, tag="listed"):
    """The complete answer to a LIST or WHO."""

    request: int
    verb: str
    items: tuple[str, ...]


class HistoryListed(Event, frozen=True, tag="history"):
    """The complete answer to a SINCE, own messages included."""

    request: int
    messages: tuple[MessageArrived, ...]


class RequestRefused(Event, frozen=True, tag="request-refused"):
    """A request was refused, or (code 0) its answer was lost."""

    request: int
    verb: str
    code: int
    text: str
