"""Human mode: what people type and see (``docs/protocol.md``).

Every line shown begins with a mark: nothing that a user writes can pass for the server's word.
"""

# ruff: noqa: ARG002 - a mode's methods take what either mode needs

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile

from chainchat.chat.blanks import without_padding
from chainchat.chat.lines import TOO_LONG, Line
from chainchat.chat.modes.help import PRIVATE, about
from chainchat.chat.modes.mode import NO_TAG, ChainView, ChatMessage, LoggedIn, Mode, date_of, drawn
from chainchat.chat.modes.typed import is_command, login, private_message, verb_of
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    EVERYBODY,
    Request,
    Say,
)

_ASKING = re.compile(r"\s*/password\b", re.IGNORECASE)
_ASKING_OCTETS = re.compile(rb"[^!-~]*/password\b", re.IGNORECASE)
_MINUTE, _DAY = 60_000, 86_400_000  # in milliseconds
_MINUTES_OF_DAY = _DAY // _MINUTE


class Human(Mode):
    """The mode of people, without tags."""

    same_to_all = True
    pipelines = False
    acknowledges = False
    counts_missed = 1_000
    asks = True

    def greeting(self, node: str, max_line: int, nodes: Sequence[str], sessions: int) -> str:
        return f"+OK you are on {node}: type your name to log in"

    def leading_messages(self, lines: Sequence[Line]) -> list[tuple[str, Say]]:
        return []  # people say few lines at once

    def tag_of(self, line: Line) -> str:
        return NO_TAG

    def parse(self, line: str, *, logged_in: bool) -> tuple[str, Request]:
        if not logged_in:
            line = line.strip()
        # Both even behind spaces: a slip must not tell everybody.
        if is_command(line):
            return "", verb_of(line, logged_in=logged_in)
        private = line.lstrip().startswith(PRIVATE)
        if not logged_in:
            if private or line.startswith("//"):
                raise RefusedError(Code.LOG_IN_FIRST, "log in first: type a name, nothing else")
            return "", login(line)
        if private:
            return "", private_message(line)
        text = line[1:] if line.startswith("//") else line
        if text.isspace():
            hint = "that line has only spaces: type what you want to say"
            raise RefusedError(Code.BAD_ARGUMENTS, hint)
        return "", Say(EVERYBODY, text)

    def may_be_answered_at_once(self, line: bytes) -> bool:
        return line.lstrip()[:1] == b"/"

    def logged_in(self, tag: str, login: LoggedIn) -> str:
        if not login.missed:
            return f"+OK you are {login.name}: type to talk to everybody, /help for all else"
        messages = "1 message" if login.missed == 1 else f"{login.missed} messages"
        if login.more:
            messages = f"more than {messages}"
        return f"+OK you are {login.name}: you missed {messages}"

    def resumed(self, tag: str, token: str, high: int, number: int) -> str:
        return "+OK"

    def question(self, text: str) -> str:
        return f"* {text}: "

    def told(self, tag: str, words: str) -> str:
        return f"+OK {words}"

    def invited(self, tag: str, name: str, password: str, *, once: bool) -> str:
        use = "to choose another with" if once else "until it is changed"
        return f"+OK the password of {name}, {use}, shown only this once: {password}"

    def precedes_secret(self, line: Line, *, logged_in: bool) -> bool:
        """Return True for ``/password`` and, before the login, for what may be a name.

        TOO_LONG may be HTTP's (``is_http``), as the next line shows.
        """
        if line is TOO_LONG:
            return False
        if logged_in:
            return _ASKING_OCTETS.match(line) is not None
        return line.lstrip()[:1] != b"/"

    def without_secrets(self, lines: Sequence[str], *, logged_in: bool) -> list[str]:
        """Keep the lines up to the first that asks for a password; before the login none."""
        if not logged_in:
            return []
        shown = list(takewhile(lambda line: not _ASKING.match(line), lines))
        return [*shown, *lines[len(shown) : len(shown) + 1]]

    def sent(self, tag: str, id: int, *, again: bool) -> str:  # noqa: A002 - the protocol's word
        return f"+OK {id} again" if again else f"+OK {id}"

    def done(self, tag: str, text: str) -> str:
        return f"+OK {text}"

    def refused(self, tag: str, code: Code, text: str, *, again: bool = False) -> str:
        return f"-ERR {code.value} {text}"

    def item(self, tag: str, text: str) -> str:
        return f"| {text}"

    def end(self, tag: str, text: str) -> str:
        return f". {text}"

    def message_item(self, tag: str, message: ChatMessage, viewer: str) -> str:
        return f"| {self.message(message, viewer)}"

    def chain(self, tag: str, view: ChainView) -> Sequence[str]:
        *lines, last = drawn(view)
        return [*(self.item(tag, line) for line in lines), self.end(tag, last)]

    def help(self, tag: str, verb: str) -> Sequence[str]:
        return about(verb)

    def message(self, message: ChatMessage, viewer: str) -> str:
        """``#1042 14:03 alice: text`` or, if private, ``#1043 14:03 alice >> you: text``."""
        who = message.sender
        if message.to != EVERYBODY:
            me = viewer.lower()
            sender = "you" if message.sender.lower() == me else message.sender
            recipient = "you" if message.to.lower() == me else message.to
            who = f"{sender} {PRIVATE} {recipient}"
        text = without_padding(message.text)
        return f"#{message.id} {_clock(message.time // _MINUTE)} {who}: {text}"

    def day(self, time: int) -> str:
        return f"* {date_of(time)}"

    def notice(self, code: str, text: str, **values: str) -> str:
        return f"* {text}"


@lru_cache(maxsize=64)  # nearly all messages of a turn are of one minute
def _clock(minute: int) -> str:
    hours, minutes = divmod(minute % _MINUTES_OF_DAY, 60)
    return f"{hours:02}:{minutes:02}"


HUMAN = Human()
"""Shared by all people: a mode has no state."""
