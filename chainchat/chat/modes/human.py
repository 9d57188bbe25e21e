"""Human mode: what people type and see, as ``docs/protocol.md`` specifies it.

Every line shown begins with one of the server's marks, so nothing that a user writes can pass for
the server's word.
"""

# ruff: noqa: ARG002 - a mode's methods take what either mode needs

import difflib
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import takewhile

from msgspec import Struct

from chainchat.chat.blanks import without_padding
from chainchat.chat.lines import TOO_LONG, Line
from chainchat.chat.modes.mode import NO_TAG, ChainView, ChatMessage, Mode, date_of, drawn
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    CLIENT_ID,
    EVERYBODY,
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
_VERSION = f"{_FAMILY}1"
_PROTOCOL = re.compile(r"[a-z]+/\d+", re.ASCII)
_PRIVATE = ">>"
_ASKING = re.compile(r"/password\b", re.IGNORECASE)
_ASKING_OCTETS = re.compile(_ASKING.pattern.encode(), re.IGNORECASE)
_MINUTE, _DAY = 60_000, 86_400_000  # in milliseconds
_MINUTES_OF_DAY = _DAY // _MINUTE
# --- what there is, and what /help says about it -----------------------------------------


class _Topic(Struct, frozen=True):
    """A form to type, its summary, and further lines of help."""

    form: str
    summary: str
    more: tuple[str, ...] = ()


_TOPICS = {
    "text": _Topic(
        "text",
        "say it to everybody",
        (
            "Those who are away get it when they log in.",
            "+OK 1042 means: message #1042 is on the disk of every server of the chain.",
        ),
    ),
    "//": _Topic("//text", "say /text", ("A line that begins with a single / is a verb.",)),
    _PRIVATE: _Topic(
        ">> name: text",
        "say it to one account only",
        ("Spaces are optional: >>bob:hi", "Somebody who is away gets it at the next login."),
    ),
    "who": _Topic("/who", "list who is on"),
    "list": _Topic(
        "/list [pattern]",
        "list all accounts, or those that begin with a pattern",
        (
            "The pattern is a regular expression in RE2's syntax. For example:",
            "/list e     begins with e",
            "/list .a    has an a in the second place",
            "/list .*i   has an i somewhere",
            "Case does not matter, as in names.",
        ),
    ),
    "last": _Topic(
        "/last [n]",
        f"show the last n messages, 1 to {MAX_LAST} (20 without n)",
        ("Messages to everybody, and your own private ones.",),
    ),
    "chain": _Topic(
        "/chain",
        "show the chain of servers",
        ("The one in [brackets] is the one you are connected to.", "Works without a login."),
    ),
    "notices": _Topic("/notices on|off", "show others come and go, or not"),
    "delete": _Topic(
        "/delete [name]",
        "delete an account, your own without a name",
        (
            "To confirm, type the name and yes: /delete bob yes",
            "Whoever takes the name later gets none of the old messages.",
        ),
    ),
    "password": _Topic(
        "/password [remove]",
        "set or change your password, or remove it",
        (
            "You are asked for the one you have, and twice for the new one.",
            "An empty line leaves everything as it is.",
            "Operators also type /password reset NAME: NAME gets one to choose a new one with.",
        ),
    ),
    "invite": _Topic(
        "/invite name",
        "make an account (operators)",
        ("You are shown its password, once: tell it to whom the account is for.",),
    ),
    "operator": _Topic("/operator name on|off", "make somebody an operator (operators)"),
    "kick": _Topic("/kick name", "end somebody's session (operators)"),
    "help": _Topic("/help [verb]", "list everything, or explain one verb"),
    "logout": _Topic(
        "/logout",
        "leave; your account stays",
        ("Also /quit and /exit. Messages wait for your next login.",),
    ),
    "hello": _Topic(
        f"/hello {_VERSION} client=ID [notices=on]",
        "for programs",
        (
            "Switches the connection to machine mode; use it in place of a login.",
            "ID is 1 to 32 letters, digits, '-' or '_'. A program always uses the same ID.",
        ),
    ),
}

_ALIASES = {"exit": "logout", "quit": "logout"}

# Habits from elsewhere, and what to type here instead.
_HABITS = {
    **dict.fromkeys(("message", "msg", "pm", "query", "tell", "w", "whisper"), ">> name: text"),
    **dict.fromkeys(("all", "say", "shout"), "text, without any verb"),
    **dict.fromkeys(("names", "users"), "/who"),
    **dict.fromkeys(("bye", "leave", "part", "q"), "/logout"),
    **dict.fromkeys(("h", "?"), "/help"),
    "history": "/last",
}


def _unknown(word: str) -> RefusedError:
    word = word[:32]
    near = difflib.get_close_matches(word, [*_READERS, *_ALIASES], n=1)
    meant = _HABITS.get(word) or (f"/{near[0]}" if near else "")
    hint = f"did you mean {meant}?" if meant else "type /help to see what there is"
    text = f"there is no /{word}: {hint} (to say a line that begins with /, double it: //)"
    return RefusedError(Code.UNKNOWN_VERB, text)


# --- what people type --------------------------------------------------------------------

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
    if protocol.startswith(_FAMILY) and protocol != _VERSION:  # which may have other words
        text = f"this node speaks {_VERSION} only: begin with /hello {_VERSION} client=ID"
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


def _verb(line: str, *, logged_in: bool) -> Request:
    word, _, rest = line[1:].partition(" ")
    word = word.lower()
    verb = _ALIASES.get(word, word)
    if verb not in _READERS:
        raise _unknown(word)
    if verb == "hello" and logged_in:
        text = "you are logged in already: /hello is for programs, in place of a login"
        raise RefusedError(Code.LOGGED_IN_ALREADY, text)
    request = _READERS[verb](rest)
    if request is None:
        topic = _TOPICS[verb]
        text = f"type {topic.form}: {topic.summary} (more: /help {verb})"
        raise RefusedError(Code.BAD_ARGUMENTS, text)
    return request


def _private(line: str) -> Request:
    name, _, text = line.lstrip().removeprefix(_PRIVATE).partition(":")
    name, text = name.strip(), text.lstrip()
    if not name or not text:
        hint = "to say something to one account, type >> name: text (as in >> bob: hello)"
        raise RefusedError(Code.BAD_ARGUMENTS, hint)
    return Say(_possible(name), text)


def _possible(name: str) -> str:
    """``name``, if any account can have it.

    Raises:
        RefusedError: 520.
    """
    if not NAME.fullmatch(name):
        hint = f"no account can be named '{name[:40]}': type /list to see the names"
        raise RefusedError(Code.BAD_NAME, hint)
    return name


def _login(name: str) -> Request:
    """The login as ``name``.

    Raises:
        RefusedError: 520, with the rule and a name that would do.
    """
    try:
        return Login(checked_name(name))
    except RefusedError as error:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        possible = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain)[:32].strip("-") or "bob"
        text = f"log in with a name: {error.text}; type for example {possible}"
        raise RefusedError(error.code, text) from None


# --- what people are shown ---------------------------------------------------------------


def _overview() -> list[str]:
    width = max(len(topic.form) for name, topic in _TOPICS.items() if name != "hello")
    lines = [f"| {topic.form:<{width}}   {topic.summary}" for topic in _TOPICS.values()]
    return [*lines, ". for more about a verb, type /help and the verb: /help list"]


class Human(Mode):
    """The mode of people. It has no tags, and ignores those it is given."""

    same_to_all = True
    pipelines = False
    acknowledges = False
    counts_missed = 1_000
    asks = True

    def greeting(self, node: str, max_line: int, nodes: Sequence[str], sessions: int) -> str:
        """``+OK you are on tail: type your name to log in``, if a ``/hello`` leads here."""
        return f"+OK you are on {node}: type your name to log in"

    def leading_messages(self, lines: Sequence[Line]) -> list[tuple[str, Say]]:
        """None: people say few lines at once."""
        return []

    def tag_of(self, line: Line) -> str:
        """People have no tags."""
        return NO_TAG

    def parse(self, line: str, *, logged_in: bool) -> tuple[str, Request]:
        """An empty tag, and the request of one clean line that is not empty.

        Raises:
            RefusedError: 500, 501, 506, 510, 511 or 520; the text says what to type.
        """
        if not logged_in:
            line = line.strip()
        if line.startswith("/") and not line.startswith("//"):
            return "", _verb(line, logged_in=logged_in)
        # Even behind spaces: a slip must not tell everybody.
        private = line.lstrip().startswith(_PRIVATE)
        if not logged_in:
            if private or line.startswith("//"):
                raise RefusedError(Code.LOG_IN_FIRST, "log in first: type a name, nothing else")
            return "", _login(line)
        if private:
            return "", _private(line)
        text = line[1:] if line.startswith("//") else line
        if text.isspace():
            hint = "that line has only spaces: type what you want to say"
            raise RefusedError(Code.BAD_ARGUMENTS, hint)
        return "", Say(EVERYBODY, text)

    def may_be_answered_at_once(self, line: bytes) -> bool:
        """Only verbs, which begin with a slash."""
        return line.lstrip()[:1] == b"/"

    def logged_in(
        self, tag: str, name: str, token: str, *, high: int, mark: int, missed: int, number: int
    ) -> str:
        """``+OK you are alice: …``, and how much she missed, or where help is."""
        if not missed:
            return f"+OK you are {name}: type to talk to everybody, /help for all else"
        messages = "1 message" if missed == 1 else f"{missed} messages"
        if missed > self.counts_missed:
            messages = f"more than {self.counts_missed} messages"
        return f"+OK you are {name}: you missed {messages}"

    def resumed(self, tag: str, token: str, high: int, number: int) -> str:
        """Only programs resume."""
        return "+OK"

    def question(self, text: str) -> str:
        """``* password of alice: ``."""
        return f"* {text}: "

    def told(self, tag: str, words: str) -> str:
        """``+OK …``."""
        return f"+OK {words}"

    def invited(self, tag: str, name: str, password: str, *, once: bool) -> str:
        """``+OK the password of bob, to choose another with, shown only this once: …``."""
        use = "to choose another with" if once else "until it is changed"
        return f"+OK the password of {name}, {use}, shown only this once: {password}"

    def precedes_secret(self, line: Line, *, logged_in: bool) -> bool:
        """True of ``/password``; before the login, of whatever may stand for a name.

        Not of a line that is too long: it may be HTTP's, which the next line shows (``is_http``).
        """
        if line is TOO_LONG:
            return False
        if logged_in:
            return _ASKING_OCTETS.match(line) is not None
        return line.lstrip()[:1] != b"/"

    def without_secrets(self, lines: Sequence[str], *, logged_in: bool) -> list[str]:
        """The lines up to the first one that asks for a password; before the login none."""
        if not logged_in:
            return []
        shown = list(takewhile(lambda line: not _ASKING.match(line), lines))
        return [*shown, *lines[len(shown) : len(shown) + 1]]

    def sent(self, tag: str, id: int, *, again: bool) -> str:  # noqa: A002 - the protocol's word
        """``+OK 1042``."""
        return f"+OK {id} again" if again else f"+OK {id}"

    def done(self, tag: str, text: str) -> str:
        """``+OK bob is deleted``."""
        return f"+OK {text}"

    def refused(self, tag: str, code: Code, text: str, *, again: bool = False) -> str:
        """``-ERR 521 …``. An earlier refusal is no use to a person."""
        return f"-ERR {code.value} {text}"

    def item(self, tag: str, text: str) -> str:
        """``| alice``."""
        return f"| {text}"

    def end(self, tag: str, text: str) -> str:
        """``. 3 accounts``."""
        return f". {text}"

    def message_item(self, tag: str, message: ChatMessage, viewer: str) -> str:
        """``| #1042 14:03 alice: text``."""
        return f"| {self.message(message, viewer)}"

    def chain(self, tag: str, view: ChainView) -> Sequence[str]:
        """``| epoch 3   head -> [tail]   committed 1042``, the notes, ``. you are on tail, …``."""
        *lines, last = drawn(view)
        return [*(self.item(tag, line) for line in lines), self.end(tag, last)]

    def help(self, tag: str, verb: str) -> Sequence[str]:
        """A line for each topic, or some about ``verb``, given with or without its slash.

        Raises:
            RefusedError: 500, there is no such verb.
        """
        if not verb:
            return _overview()
        word = verb.lower()
        if word not in _TOPICS:  # the topic "//" keeps its slashes
            word = word.removeprefix("/")
        topic = _TOPICS.get(_ALIASES.get(word, word))
        if topic is None:
            raise _unknown(word)
        more = [f"|   {line}" for line in topic.more]
        return [f"| {topic.form}", f"|   {topic.summary}", *more, ". /help lists everything"]

    def message(self, message: ChatMessage, viewer: str) -> str:
        """``#1042 14:03 alice: text``, or ``#1043 14:03 alice >> you: text`` if it was private.

        A text with many blanks in a row is shown with fewer of them.
        """
        who = message.sender
        if message.to != EVERYBODY:
            me = viewer.lower()
            sender = "you" if message.sender.lower() == me else message.sender
            recipient = "you" if message.to.lower() == me else message.to
            who = f"{sender} {_PRIVATE} {recipient}"
        text = without_padding(message.text)
        return f"#{message.id} {_clock(message.time // _MINUTE)} {who}: {text}"

    def day(self, time: int) -> str:
        """``* 2026-11-21``."""
        return f"* {date_of(time)}"

    def notice(self, code: str, text: str, **values: str) -> str:
        """``* bob is here``."""
        return f"* {text}"


@lru_cache(maxsize=64)  # nearly all messages of a turn are of one minute
def _clock(minute: int) -> str:
    """``14:03``, from a minute since 1970."""
    hours, minutes = divmod(minute % _MINUTES_OF_DAY, 60)
    return f"{hours:02}:{minutes:02}"


HUMAN = Human()
"""Shared by all people: a mode has no state."""
