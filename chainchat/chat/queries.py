"""What can be read of the chat, and how the tail answers it, a page at a time.

A page is bounded in octets, because it travels in one frame; its ``more`` is the place to ask on
from.
"""

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import re2
from msgspec import Struct, msgpack
from msgspec.structs import replace

from chainchat.chat.accounts import Account
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.state import ChatState
from chainchat.chat.voice import Message

PAGE_NAMES = 1_000
"""Names in a page: at most 32 octets each."""

SCANNED_ACCOUNTS = 2_000
"""Accounts looked at for one page: whoever asks for a rare name holds up nobody else."""

PAGE_OCTETS = 40_000
"""Octets of the messages in a page, by ``len`` of their text and some room for the rest."""

PATTERN_MEMORY = 1 << 20
"""Octets that RE2 may use for one pattern."""


class Accounts(Struct, frozen=True, tag=True):
    """Names of accounts that begin with a match of ``pattern``, after the name ``after``."""

    pattern: str = ""
    after: str = ""


class Present(Struct, frozen=True, tag=True):
    """Names of the accounts that are on, after the name ``after``."""

    after: str = ""


class Recent(Struct, frozen=True, tag=True):
    """Messages to everybody, from or to the account, below id ``before``: the newest ``count``."""

    account: int
    count: int
    before: int = 1 << 62


class Later(Struct, frozen=True, tag=True):
    """Messages to everybody, from or to the account, above id ``after``: the oldest ``count``."""

    account: int
    after: int
    count: int


Query = Accounts | Present | Recent | Later


class Page(Struct, frozen=True):
    """A part of an answer.

    Attributes:
        names: for questions about names, in order.
        messages: for questions about messages, in order.
        more: the query for the next page, None if this is the last.
    """

    names: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    more: Query | None = None


class Messages(Protocol):
    """Where the messages are."""

    def newest(self, account: int, before: int, count: int) -> list[Message]:
        """The newest below ``before``, in order of their ids."""

    def oldest(self, account: int, after: int, count: int) -> list[Message]:
        """The oldest above ``after``, in order of their ids."""


_encoder = msgpack.Encoder()
_query_decoder = msgpack.Decoder(Query)
_page_decoder = msgpack.Decoder(Page)


def encode(value: Query | Page) -> bytes:
    """A query or page as it travels."""
    return _encoder.encode(value)


def decode_query(data: bytes) -> Query:
    """A query as the tail gets it."""
    query: Query = _query_decoder.decode(data)
    return query


def decode_page(data: bytes) -> Page:
    """A page as the asker gets it."""
    return _page_decoder.decode(data)


def checked_pattern(pattern: str) -> str:
    """``pattern`` if RE2 understands it.

    Raises:
        RefusedError: 531, with RE2's reason.
    """
    _compile(pattern)
    return pattern


def _compile(pattern: str) -> re.Pattern[str]:
    """Compiled by RE2, which matches in time linear to the name, whatever the pattern."""
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    try:
        compiled: re.Pattern[str] = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise RefusedError(
            Code.BAD_PATTERN, f"not a regular expression: {text}; try a plain beginning like: al"
        ) from None
    return compiled


def answer(query: Query, state: ChatState, messages: Messages) -> Page:
    """A page of the answer, from the committed state."""
    match query:
        case Accounts():
            pattern = _compile(query.pattern)
            return _names_page(query, state, lambda account: pattern.match(account.name))
        case Present():
            return _names_page(query, state, lambda account: account.session)
        case Later():
            found = messages.oldest(query.account, query.after, query.count)
            page = found[: _fitting(found)]
            left = query.count - len(page)
            if len(found) == len(page) or not left:
                return Page(messages=tuple(page))
            return Page(messages=tuple(page), more=Later(query.account, page[-1].id, left))
        case Recent():
            found = messages.newest(query.account, query.before, query.count)
            page = found[len(found) - _fitting(found[::-1]) :]
            left = query.count - len(page)
            if len(found) == len(page) or not left:
                return Page(messages=tuple(page))
            return Page(messages=tuple(page), more=Recent(query.account, left, page[0].id))


def _names_page(
    query: Accounts | Present, state: ChatState, wanted: Callable[[Account], object]
) -> Page:
    """The names of those accounts that are ``wanted``, of the next SCANNED_ACCOUNTS."""
    scanned = state.accounts_after(query.after, SCANNED_ACCOUNTS)
    found = [account.name for account in scanned if wanted(account)]
    page = tuple(found[:PAGE_NAMES])
    if len(found) > PAGE_NAMES:
        return Page(page, more=replace(query, after=page[-1]))
    if len(scanned) < SCANNED_ACCOUNTS:
        return Page(page)
    return Page(page, more=replace(query, after=scanned[-1].name))


def _fitting(messages: Sequence[Message]) -> int:
    """How many of them, from the first, fit in a page; at least one if there is one."""
    room = PAGE_OCTETS
    for count, message in enumerate(messages):
        room -= len(message.text.encode()) + 128
        if room < 0 and count:
            return count
    return len(messages)
