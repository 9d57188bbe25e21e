"""What people type becomes a request, or a refusal."""

import re
import unicodedata
from collections.abc import Callable

from chainchat.chat.modes.help import ALIASES, PRIVATE, TOPICS, VERSION, unknown
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    CLIENT_ID,
    MAX_LAST,
    NAME,
    Chain,
    ChangePassword,
    Delete,
    Grant,
    Hello,
    Help,
    Invite,
    Kick,
    Last,
    List,
    Login,
    Logout,
    Notices,
    Request,
    ResetPassword,
    Say,
    Who,
    checked_name,
)

_FAMILY = "chainchat/"
_PROTOCOL = re.compile(r"[a-z]+/\d+", re.ASCII)

MOST_READ = 64
"""Characters of an impossible name from which a possible one is made."""

# A reader turns what follows a verb into a request, or None if it does not fit.


def _list(rest: str) -> Request | None:
    return List(rest.strip())


def _last(rest: str) -> Request | None:
    match rest.split():
        case []:
            return Last()
        case [word] if re.fullmatch("[0-9]{1,9}", word) and 1 <= int(word) <= MAX_LAST:
            return Last(int(word))
    return None


def _delete(rest: str) -> Request | None:
    # "/delete yes" is about an account named "yes": better than to delete one's own.
    match rest.split():
        case []:
            return Delete()
        case [name]:
            return Delete(_possible(name))
        case [name, word] if word.lower() == "yes":
            return Delete(_possible(name), confirmed=True)
    return None


def _notices(rest: str) -> Request | None:
    setting = rest.strip().lower()
    return Notices(setting == "on") if setting in ("on", "off") else None


def _password(rest: str) -> Request | None:
    match rest.split():
        case []:
            return ChangePassword()
        case ["remove"]:
            return ChangePassword(remove=True)
        case ["reset", name]:
            return ResetPassword(_possible(name))
    return None


def _invite(rest: str) -> Request | None:
    match rest.split():
        case [name]:
            return Invite(checked_name(name))
    return None


def _operator(rest: str) -> Request | None:
    match rest.split():
        case [name, ("on" | "off") as setting]:
            return Grant(_possible(name), operator=setting == "on")
    return None


def _kick(rest: str) -> Request | None:
    match rest.split():
        case [name]:
            return Kick(_possible(name))
    return None


def _help(rest: str) -> Request | None:
    match rest.split():
        case []:
            return Help()
        case [verb]:
            return Help(verb)
    return None


def _hello(rest: str) -> Request | None:
    protocol, *words = rest.split() or [""]
    values = dict(word.partition("=")[::2] for word in words)
    notices, client = values.get("notices", "off"), values.get("client", "")
    if _PROTOCOL.fullmatch(protocol) and notices in ("on", "off") and CLIENT_ID.fullmatch(client):
        return Hello(client, notices == "on", protocol)
    if protocol.startswith(_FAMILY) and protocol != VERSION:  # which may have other words
        text = f"this node speaks {VERSION} only: begin with /hello {VERSION} client=ID"
        raise RefusedError(Code.UNKNOWN_VERSION, text)
    return None


def _alone(request: Request) -> Callable[[str], Request | None]:
    return lambda rest: None if rest.strip() else request


_READERS: dict[str, Callable[[str], Request | None]] = {
    "who": _alone(Who()),
    "list": _list,
    "last": _last,
    "chain": _alone(Chain()),
    "notices": _notices,
    "delete": _delete,
    "password": _password,
    "invite": _invite,
    "operator": _operator,
    "kick": _kick,
    "help": _help,
    "logout": lambda _rest: Logout(),  # whatever follows: "/quit bye all" is a habit from IRC
    "hello": _hello,
}


def is_command(line: str) -> bool:
    """Return True for what begins with one slash, and for a known verb even behind spaces."""
    bare = line.lstrip()
    if not bare.startswith("/") or bare.startswith("//"):
        return False
    return bare == line or _split(bare)[1] in _READERS


def _split(command: str) -> tuple[str, str, str]:
    """Return the word after the slash in lower case, the verb that it means, and the rest."""
    word, _, rest = command[1:].partition(" ")
    word = word.lower()
    return word, ALIASES.get(word, word), rest


def verb_of(line: str, *, logged_in: bool) -> Request:
    """Return the request of a command.

    Raises:
        RefusedError: 500, 501, 506, 511 or 520.
    """
    word, verb, rest = _split(line.lstrip())
    if verb not in _READERS:
        raise unknown(word)
    if verb == "hello" and logged_in:
        text = "you are logged in already: /hello is for programs, in place of a login"
        raise RefusedError(Code.LOGGED_IN_ALREADY, text)
    request = _READERS[verb](rest)
    if request is None:
        topic = TOPICS[verb]
        text = f"type {topic.form}: {topic.summary} (more: /help {verb})"
        raise RefusedError(Code.BAD_ARGUMENTS, text)
    return request


def private_message(line: str) -> Request:
    """Read ``>> bob: hello``.

    Raises:
        RefusedError: 501 or 520.
    """
    name, _, text = line.lstrip().removeprefix(PRIVATE).partition(":")
    name, text = name.strip(), text.lstrip()
    if not name or not text:
        hint = "to say something to one account, type >> name: text (as in >> bob: hello)"
        raise RefusedError(Code.BAD_ARGUMENTS, hint)
    return Say(_possible(name), text)


def _possible(name: str) -> str:
    if not NAME.fullmatch(name):
        hint = f"no account can be named '{name[:40]}': type /list to see the names"
        raise RefusedError(Code.BAD_NAME, hint)
    return name


def login(name: str) -> Request:
    """Log in as ``name``.

    Raises:
        RefusedError: 520, with the rule and a name that would do.
    """
    try:
        return Login(checked_name(name))
    except RefusedError as error:
        # Of n marks, the order takes n * n steps.
        plain = unicodedata.normalize("NFKD", name[:MOST_READ]).encode("ascii", "ignore").decode()
        possible = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain)[:32].strip("-") or "bob"
        text = f"log in with a name: {error.text}; type for example {possible}"
        raise RefusedError(error.code, text) from None
