"""What programs say becomes a request, or a refusal."""

import difflib
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

from msgspec import Struct

from chainchat.chat.accounts import Verifier
from chainchat.chat.lines import TOO_LONG, Line, clean, clean_together
from chainchat.chat.modes.mode import NO_TAG
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

LARGEST = 2**63 - 1
"""The largest number or id: a signed 64-bit integer."""

READ_AT_ONCE = 32
"""Lines read as SENDs together; if one is none, each alone."""

TAG = r"[A-Za-z0-9_-]{1,32}"
# No two repeats side by side may take the same octets: each way to share them would be tried.
_TAGGED = re.compile(rf"@({TAG})(?: ++([^ ]+)(?: ++(.*+))?)? *")
_NUMBER = re.compile(r"[0-9]{1,19}")
_SEND = re.compile(r"([0-9]{1,19}) +([^ \n]+) +:(.+)")
_SEND_LINES = re.compile(rf"^@({TAG}) +(?i:SEND) +{_SEND.pattern}$", re.MULTILINE)

# A reader turns what follows a verb into a request, or None if it does not fit. `request_of` adds
# the tag to the RefusedError that a reader raises.


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
    try:
        return b64decode(word, validate=True)
    except ValueError:
        return b""


def _send(rest: str) -> Request | None:
    found = _SEND.fullmatch(rest)
    return None if found is None else _said(*found.groups())


def _said(number: str, to: str, text: str) -> Say | None:
    """Return None if the number does not fit; 0 means "no number" in a Say."""
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
    """Return tag, verb and rest of a clean line; ``example``: a verb, for the refusal.

    Raises:
        RefusedError: 501, tag or verb is missing.
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


def _messages_together(lines: Sequence[Line]) -> list[tuple[str, Say]]:
    together = clean_together(lines)
    parts = _SEND_LINES.findall(together) if together else ()
    if len(parts) != len(lines):
        return []
    tags, words, names, texts = zip(*parts, strict=True)
    numbers = [*map(int, words)]
    if min(numbers) == 0 or max(numbers) > LARGEST:
        return []
    try:
        for name in {*names} - {EVERYBODY}:
            checked_name(name)
    except RefusedError:
        return []
    return [*zip(tags, map(Say, names, texts, numbers), strict=True)]


def unknown_verb(word: str, tag: str) -> RefusedError:
    word = word[:32]
    near = difflib.get_close_matches(word.upper(), _VERBS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the verbs are {', '.join(_VERBS)}"
    return RefusedError(Code.UNKNOWN_VERB, f"there is no verb '{word}': {hint}", tag)


def request_of(line: str) -> tuple[str, Request]:
    """Read a line.

    Raises:
        RefusedError: 500, 501 or 520, with the line's tag.
    """
    tag, word, rest = tagged(line, "PING")
    verb = _VERBS.get(word.upper())
    if verb is None:
        raise unknown_verb(word, tag)
    try:
        request = verb.read(rest)
    except RefusedError as error:
        error.tag = tag
        raise
    if request is None:
        raise RefusedError(Code.BAD_ARGUMENTS, f"the right form is @{tag} {verb.form}", tag)
    return tag, request


def leading_messages(lines: Sequence[Line]) -> list[tuple[str, Say]]:
    sends: list[tuple[str, Say]] = []
    # Look at the first line alone: if it is no SEND, the others' turn has not come.
    for start, end in pairwise([0, *range(1, len(lines), READ_AT_ONCE), len(lines)]):
        some = lines[start:end]
        sends += (_messages_together(some) if start else []) or _messages_one_by_one(some)
        if len(sends) < end:
            break
    return sends


def _messages_one_by_one(lines: Sequence[Line]) -> Iterator[tuple[str, Say]]:
    with suppress(RefusedError):
        for line in lines:
            found = None if line is TOO_LONG else _SEND_LINES.fullmatch(clean(line))
            if found is None:
                return
            tag, *parts = found.groups()
            say = _said(*parts)
            if say is None:
                return
            yield tag, say
