"""Machine mode: the grammar for programs (``docs/protocol.md``)."""

# ruff: noqa: ARG002 - a mode's methods take what either mode needs

import datetime
import re
from collections.abc import Sequence
from functools import lru_cache

from chainchat.chat.lines import TOO_LONG, Line
from chainchat.chat.modes.mode import NO_TAG, ChainView, ChatMessage, LoggedIn, Mode
from chainchat.chat.modes.verbs import TAG, leading_messages, request_of, unknown_verb
from chainchat.chat.refusals import Code
from chainchat.chat.requests import Request, Say

_AT_ONCE = re.compile(rb"@[^ ]+ +(?i:PING|CHAIN)\b")
_SECRET_LINE = re.compile(rf"(@{TAG} +(?i:AUTH|PROVE|SECRET|RESUME)\b)")
_RAW_TAG = re.compile(rf"@({TAG})(?![^ ])".encode())
_EPOCH = datetime.datetime(1970, 1, 1)  # UTC, like every time here


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """Return a time in ISO 8601, cached: a turn's messages have one."""
    return (_EPOCH + datetime.timedelta(seconds=seconds)).isoformat()


class Machine(Mode):
    """The mode of programs."""

    same_to_all = False  # each push names the one before it
    pipelines = True
    acknowledges = True
    counts_missed = 0

    def greeting(self, node: str, max_line: int, nodes: Sequence[str], sessions: int) -> str:
        words = f"node={node} max-line={max_line} nodes={','.join(nodes)} sessions={sessions}"
        return f"+OK @{NO_TAG} {words}"

    def parse(self, line: str, *, logged_in: bool) -> tuple[str, Request]:
        return request_of(line)

    def leading_messages(self, lines: Sequence[Line]) -> list[tuple[str, Say]]:
        return leading_messages(lines)

    def tag_of(self, line: Line) -> str:
        """Return ``1`` for ``@1 SEND …``, even if the rest is not UTF-8."""
        found = None if line is TOO_LONG else _RAW_TAG.match(line)
        return found[1].decode() if found else NO_TAG

    def may_be_answered_at_once(self, line: bytes) -> bool:
        return _AT_ONCE.match(line) is not None

    def logged_in(self, tag: str, login: LoggedIn) -> str:
        marks = f"high={login.high} mark={login.mark} number={login.number}"
        return f"+OK @{tag} session={login.token} {marks}"

    def resumed(self, tag: str, token: str, high: int, number: int) -> str:
        return f"+OK @{tag} session={token} high={high} number={number}"

    def question(self, text: str) -> str:
        return ""

    def told(self, tag: str, words: str) -> str:
        return f"+OK @{tag} {words}"

    def invited(self, tag: str, name: str, password: str, *, once: bool) -> str:
        return f"+OK @{tag} password={password}"

    def without_secrets(self, lines: Sequence[str], *, logged_in: bool) -> list[str]:
        """Keep only tag and verb of a line that proves something."""
        return [found[1] if (found := _SECRET_LINE.match(line)) else line for line in lines]

    def sent(self, tag: str, id: int, *, again: bool) -> str:  # noqa: A002 - the protocol's word
        return f"+OK @{tag} id={id} again" if again else f"+OK @{tag} id={id}"

    def all_sent(self, tags: Sequence[str], ids: Sequence[int]) -> list[str]:
        return [f"+OK @{tag} id={id_}" for tag, id_ in zip(tags, ids, strict=True)]

    def done(self, tag: str, text: str) -> str:
        return f"+OK @{tag}"

    def refused(self, tag: str, code: Code, text: str, *, again: bool = False) -> str:
        return f"-ERR {code.value} @{tag} {'again ' if again else ''}{text}"

    def item(self, tag: str, text: str) -> str:
        return f"| @{tag} {text}"

    def end(self, tag: str, text: str) -> str:
        return f". @{tag}"

    def message_item(self, tag: str, message: ChatMessage, viewer: str) -> str:
        return self.item(tag, self.message(message, viewer))

    def chain(self, tag: str, view: ChainView) -> Sequence[str]:
        """``+OK @1 epoch=3 members=head,tail node=tail role=tail committed=1042 …``."""
        role = view.role.replace(" ", "-")  # the reason for no role can be a sentence
        away = f" away={','.join(view.away)}" if view.away else ""
        version = f" version={view.version}" if view.version else ""
        return [
            f"+OK @{tag} epoch={view.epoch} members={','.join(view.members)} node={view.node}"
            f" role={role} committed={view.committed}{away}{version}"
        ]

    def help(self, tag: str, verb: str) -> Sequence[str]:
        raise unknown_verb("HELP", tag)

    def message(self, message: ChatMessage, viewer: str) -> str:
        seconds, milliseconds = divmod(message.time, 1000)
        return (
            f"MSG {message.id} {message.previous} {_second(seconds)}.{milliseconds:03}Z"
            f" {message.sender} {message.to} :{message.text}"
        )

    def day(self, time: int) -> None:
        """Return None: every message has its date."""

    def notice(self, code: str, text: str, **values: str) -> str:
        words = "".join(f" {key}={value}" for key, value in values.items())
        return f"NOTE {code}{words} :{text}"


MACHINE = Machine()
