"""Machine mode: the grammar for programs, as ``docs/protocol.md`` specifies it."""

# ruff: noqa: ARG002 - a mode's methods take what either mode needs

import datetime
import difflib
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise

from msgspec import Struct

from chainchat.chat.accounts import Verifier
from chainchat.chat.lines import TOO_LONG, Line, clean, clean_together
from chainchat.chat.modes.mode import NO_TAG, ChainView, ChatMessage, Mode
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    EVERYBODY,
    Acknowledge,
    Authenticate,
    Chain,
    Delete,
    Grant,
    Invite,
    Kick,
    List,
    Login,
    Logout,
    Ping,
    Prove,
    Request,
    ResetPassword,
    Resume,
    Say,
    SetVerifier,
    Since,
    Who,
    checked_name,
)
from chainchat.chat.scram import ITERATIONS, KEY_OCTETS, MECHANISM, MOST_ITERATIONS

SALTS = range(8, 65)
"""Octets that a salt may have."""

LARGEST = 2**63 - 1
"""The largest number or id in a request: fits a signed 64-bit integer, so any database."""

READ_AT_ONCE = 32
"""Lines read as SENDs together; if one is none, each is looked at alone."""

_TAG = r"[A-Za-z0-9_-]{1,32}"
_TAGGED = re.compile(rf"@({_TAG})(?: +([^ ]+)(?: +(.*))?)? *")
_AT_ONCE = re.compile(rb"@[^ ]+ +(?i:PING|CHAIN)\b")
_SECRET_LINE = re.compile(rf"(@{_TAG} +(?i:AUTH|PROVE|SECRET|RESUME)\b)")
_RAW_TAG = re.compile(rf"@({_TAG})(?![^ ])".encode())
_NUMBER = re.compile(r"[0-9]{1,19}")
_SEND = re.compile(r" *([0-9]{1,19}) +([^ \n]+) +:(.+)")
_SEND_LINES = re.compile(rf"^@({_TAG}) +(?i:SEND) +{_SEND.pattern}$", re.MULTILINE)
_EPOCH = datetime.datetime(1970, 1, 1)  # UTC, like every time here


# --- what a client says --------------------------------------------------------------

# A reader turns what follows a verb into a request, or None if it does not fit. `parse` adds the
# tag to the RefusedError that a reader raises.


def _whole_number(word: str) -> int | None:
    number = int(word) if _NUMBER.fullmatch(word) else LARGEST + 1
    return number if number <= LARGEST else None


def _login(rest: str) -> Request | None:
    match rest.split():
        case [name]:
            return Login(checked_name(name))
        case [name, "quiet"]:
            return Login(checked_name(name), quiet=True)
    return None


def _resume(rest: str) -> Request | None:
    match rest.split():
        case [name, token, position] if position.startswith("after="):
            after = _whole_number(position.removeprefix("after="))
            return None if after is None else Resume(checked_name(name), token, after)
    return None


def _authenticate(rest: str) -> Request | None:
    words, _, first = rest.partition(" :")
    match words.split():
        case [name, mechanism] if mechanism.upper() == MECHANISM and first:
            return Authenticate(checked_name(name), first)
    return None


def _prove(rest: str) -> Request | None:
    return Prove(rest[1:]) if rest.startswith(":") else None


def _secret(rest: str) -> Request | None:
    if rest.strip() == "none":
        return SetVerifier(None)
    words = dict(word.partition("=")[::2] for word in rest.split())
    if words.keys() != {"i", "s", "stored", "server"}:
        return None
    iterations = _whole_number(words["i"]) or 0
    if not ITERATIONS <= iterations <= MOST_ITERATIONS:
        text = f"a password is hashed {ITERATIONS} to {MOST_ITERATIONS} times"
        raise RefusedError(Code.BAD_PASSWORD, text)
    salt, stored, server = (_decoded(words[key]) for key in ("s", "stored", "server"))
    if len(salt) not in SALTS or len(stored) != KEY_OCTETS or len(server) != KEY_OCTETS:
        text = f"a salt has {SALTS[0]} to {SALTS[-1]} octets, a key of {MECHANISM} {KEY_OCTETS}"
        raise RefusedError(Code.BAD_PASSWORD, text)
    return SetVerifier(Verifier(salt, iterations, stored, server))


def _decoded(word: str) -> bytes:
    """The octets that Base64 stands for; none if it is not Base64."""
    try:
        return b64decode(word, validate=True)
    except ValueError:
        return b""


def _send(rest: str) -> Request | None:
    found = _SEND.fullmatch(rest)
    return None if found is None else _said(*found.groups())


def _said(number: str, to: str, text: str) -> Say | None:
    """The request of a SEND with these parts; None if its number is none.

    0 is as wrong as none: in a Say, it stands for "no number".
    """
    value = int(number)
    if not 0 < value <= LARGEST:
        return None
    return Say(to if to == EVERYBODY else checked_name(to), text, value)


def _acknowledge(rest: str) -> Request | None:
    match [_whole_number(word) for word in rest.split()]:
        case [int(number)]:
            return Acknowledge(number)
    return None


def _since(rest: str) -> Request | None:
    match [_whole_number(word) for word in rest.split()]:
        case [int(after)]:
            return Since(after)
        case [int(after), int(count)]:
            return Since(after, count)
    return None


def _list(rest: str) -> Request | None:
    return List(rest.strip())


def _of_one(make: Callable[[str], Request]) -> Callable[[str], Request | None]:
    def read(rest: str) -> Request | None:
        match rest.split():
            case [name]:
                return make(checked_name(name))
        return None

    return read


def _operator(rest: str) -> Request | None:
    match rest.split():
        case [name, ("on" | "off") as setting]:
            return Grant(checked_name(name), operator=setting == "on")
    return None


def _logout(rest: str) -> Request | None:
    match rest.split():
        case []:
            return Logout()
        case ["finished"]:
            return Logout(finished=True)
    return None


def _alone(request: Request) -> Callable[[str], Request | None]:
    return lambda rest: None if rest.strip() else request


class _Verb(Struct, frozen=True):
    form: str
    read: Callable[[str], Request | None]


_VERBS = {
    "LOGIN": _Verb("LOGIN name [quiet]", _login),
    "RESUME": _Verb("RESUME name TOKEN after=ID", _resume),
    "SEND": _Verb(f"SEND number to :text, with a number from 1 to {LARGEST}", _send),
    "ACK": _Verb("ACK id", _acknowledge),
    "SINCE": _Verb("SINCE id [count]", _since),
    "LIST": _Verb("LIST [pattern]", _list),
    "WHO": _Verb("WHO", _alone(Who())),
    # Only people are asked to confirm.
    "DELETE": _Verb("DELETE name", _of_one(lambda name: Delete(name, confirmed=True))),
    "CHAIN": _Verb("CHAIN", _alone(Chain())),
    "PING": _Verb("PING", _alone(Ping())),
    "LOGOUT": _Verb("LOGOUT [finished]", _logout),
    "AUTH": _Verb(f"AUTH name {MECHANISM} :n,,n=name,r=NONCE", _authenticate),
    "PROVE": _Verb("PROVE :c=biws,r=NONCE,p=PROOF", _prove),
    "INVITE": _Verb("INVITE name", _of_one(Invite)),
    "RESET": _Verb("RESET name", _of_one(ResetPassword)),
    "OPERATOR": _Verb("OPERATOR name on|off", _operator),
    "KICK": _Verb("KICK name", _of_one(Kick)),
    "SECRET": _Verb("SECRET i=ITERATIONS s=SALT stored=KEY server=KEY, or SECRET none", _secret),
}


def tagged(line: str, example: str) -> tuple[str, str, str]:
    """Tag, verb and rest of a clean line; ``example``: a verb that fits, for the refusal.

    Raises:
        RefusedError: 501, there is no tag or no verb.
    """
    found = _TAGGED.fullmatch(line)
    if found is None:
        text = f"no tag: the right form is @tag VERB arguments, as in @1 {example}"
        raise RefusedError(Code.BAD_ARGUMENTS, text, NO_TAG)
    tag, word, rest = found.groups("")
    if not word:
        text = f"no verb: the right form is @{tag} VERB arguments, as in @{tag} {example}"
        raise RefusedError(Code.BAD_ARGUMENTS, text, tag)
    return tag, word, rest


def _parts_of_sends(lines: Sequence[Line]) -> Iterator[Sequence[str]]:
    """Yield tag, number, recipient and text of the first lines, while they have the form of a SEND.

    Raises:
        RefusedError: a line is not fit to be shown.
    """
    # Look at the first line alone: if it is no SEND, the others' turn has not come.
    for start, end in pairwise([0, *range(1, len(lines), READ_AT_ONCE), len(lines)]):
        some = lines[start:end]
        together = clean_together(some) if start else None
        parts = _SEND_LINES.findall(together) if together else ()
        if len(parts) == len(some):
            yield from parts
            continue
        for line in some:
            found = None if line is TOO_LONG else _SEND_LINES.fullmatch(clean(line))
            if found is None:
                return
            yield found.groups()


def _unknown(word: str, tag: str) -> RefusedError:
    word = word[:32]
    near = difflib.get_close_matches(word.upper(), _VERBS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the verbs are {', '.join(_VERBS)}"
    return RefusedError(Code.UNKNOWN_VERB, f"there is no verb '{word}': {hint}", tag)


# --- what it is told -----------------------------------------------------------------


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """``2026-11-22T11:03:07``; cached, because a turn's messages have one time."""
    return (_EPOCH + datetime.timedelta(seconds=seconds)).isoformat()


class Machine(Mode):
    """The mode of programs."""

    same_to_all = False  # each push names the one before it
    pipelines = True
    acknowledges = True
    counts_missed = 0

    def greeting(self, node: str, max_line: int, nodes: Sequence[str], sessions: int) -> str:
        """``+OK @- node=head max-line=1024 nodes=10.0.0.1:7001,10.0.0.2:7001 sessions=3``."""
        words = f"node={node} max-line={max_line} nodes={','.join(nodes)} sessions={sessions}"
        return f"+OK @{NO_TAG} {words}"

    def parse(self, line: str, *, logged_in: bool) -> tuple[str, Request]:
        """The tag and the request of one clean line, whether or not it needs a login.

        Raises:
            RefusedError: 500, 501 or 520, with the tag if the line has one.
        """
        tag, word, rest = tagged(line, "PING")
        verb = _VERBS.get(word.upper())
        if verb is None:
            raise _unknown(word, tag)
        try:
            request = verb.read(rest)
        except RefusedError as error:
            error.tag = tag
            raise
        if request is None:
            raise RefusedError(Code.BAD_ARGUMENTS, f"the right form is @{tag} {verb.form}", tag)
        return tag, request

    def leading_messages(self, lines: Sequence[Line]) -> list[tuple[str, Say]]:
        """The requests of the first lines, while they are valid SENDs; each costs less."""
        sends = []
        with suppress(RefusedError):
            for tag, number, to, text in _parts_of_sends(lines):
                say = _said(number, to, text)
                if say is None:
                    break
                sends.append((tag, say))
        return sends

    def tag_of(self, line: Line) -> str:
        """``1`` of ``@1 SEND …``, even if the rest is not UTF-8."""
        found = None if line is TOO_LONG else _RAW_TAG.match(line)
        return found[1].decode() if found else NO_TAG

    def may_be_answered_at_once(self, line: bytes) -> bool:
        """Only PING and CHAIN."""
        return _AT_ONCE.match(line) is not None

    def logged_in(
        self, tag: str, name: str, token: str, *, high: int, mark: int, missed: int, number: int
    ) -> str:
        """``+OK @1 session=TOKEN high=1041 mark=1037 number=1``."""
        return f"+OK @{tag} session={token} high={high} mark={mark} number={number}"

    def resumed(self, tag: str, token: str, high: int, number: int) -> str:
        """``+OK @1 session=TOKEN high=1041 number=8``."""
        return f"+OK @{tag} session={token} high={high} number={number}"

    def question(self, text: str) -> str:
        """Nothing: no program is asked."""
        return ""

    def told(self, tag: str, words: str) -> str:
        """``+OK @1 challenge :r=…``."""
        return f"+OK @{tag} {words}"

    def invited(self, tag: str, name: str, password: str, *, once: bool) -> str:
        """``+OK @1 password=…``: a program knows whose."""
        return f"+OK @{tag} password={password}"

    def without_secrets(self, lines: Sequence[str], *, logged_in: bool) -> list[str]:
        """The lines, but of those that prove something no more than tag and verb."""
        return [found[1] if (found := _SECRET_LINE.match(line)) else line for line in lines]

    def sent(self, tag: str, id: int, *, again: bool) -> str:  # noqa: A002 - the protocol's word
        """``+OK @1 id=1042`` or ``+OK @1 id=1042 again``."""
        return f"+OK @{tag} id={id} again" if again else f"+OK @{tag} id={id}"

    def all_sent(self, tags: Sequence[str], ids: Sequence[int]) -> list[str]:
        """The same of many, which need not be asked for one by one."""
        return [f"+OK @{tag} id={id_}" for tag, id_ in zip(tags, ids, strict=True)]

    def done(self, tag: str, text: str) -> str:
        """``+OK @1``: a program knows what it asked for."""
        return f"+OK @{tag}"

    def refused(self, tag: str, code: Code, text: str, *, again: bool = False) -> str:
        """``-ERR 521 @1 no such account`` or ``-ERR 521 @1 again no such account``."""
        return f"-ERR {code.value} @{tag} {'again ' if again else ''}{text}"

    def item(self, tag: str, text: str) -> str:
        """``| @1 alice``."""
        return f"| @{tag} {text}"

    def end(self, tag: str, text: str) -> str:
        """``. @1``."""
        return f". @{tag}"

    def message_item(self, tag: str, message: ChatMessage, viewer: str) -> str:
        """``| @1 MSG …``."""
        return self.item(tag, self.message(message, viewer))

    def chain(self, tag: str, view: ChainView) -> Sequence[str]:
        """``+OK @1 epoch=3 members=head,tail node=tail role=tail committed=1042``.

        With ``away=`` if a node is away, and ``version=`` last.
        """
        role = view.role.replace(" ", "-")  # the reason for no role can be a sentence
        away = f" away={','.join(view.away)}" if view.away else ""
        version = f" version={view.version}" if view.version else ""
        return [
            f"+OK @{tag} epoch={view.epoch} members={','.join(view.members)} node={view.node}"
            f" role={role} committed={view.committed}{away}{version}"
        ]

    def help(self, tag: str, verb: str) -> Sequence[str]:
        """Machine mode has no help.

        Raises:
            RefusedError: 500, always.
        """
        raise _unknown("HELP", tag)

    def message(self, message: ChatMessage, viewer: str) -> str:
        """``MSG 1040 1037 2026-11-22T11:03:07.120Z bob alice :you there?``."""
        seconds, milliseconds = divmod(message.time, 1000)
        return (
            f"MSG {message.id} {message.previous} {_second(seconds)}.{milliseconds:03}Z"
            f" {message.sender} {message.to} :{message.text}"
        )

    def day(self, time: int) -> None:
        """None: every message has its date."""

    def notice(self, code: str, text: str, **values: str) -> str:
        """``NOTE joined name=bob :bob is here``; no value has a space."""
        words = "".join(f" {key}={value}" for key, value in values.items())
        return f"NOTE {code}{words} :{text}"


MACHINE = Machine()
"""Shared by all programs: a mode has no state."""
