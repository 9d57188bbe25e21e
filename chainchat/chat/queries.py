"""What can be read of the chat, and how the tail answers, a page at a time.

A page is bounded, in octets and in time. For a pattern, where the asker chooses the price, the
whole answer is too.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Protocol

import re2
from msgspec import Struct, msgpack
from msgspec.structs import replace

from chainchat.chat.accounts import Account
from chainchat.chat.modes.mode import ChatMessage
from chainchat.chat.outcomes import Removed
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.state import ChatState

PAGE_NAMES = 1_000
"""Names of a page; each has at most 32 octets."""

PAGE_MESSAGES = 100

PAGE_OCTETS = 40_000
"""Octets of a page's texts, with 128 for the rest of each message."""

SCANNED_AT_ONCE = 32

PATTERN_SECONDS = 2.0

PATTERN_OCTETS = 256
r"""Octets of a pattern: RE2 reads it in at most 6 ms, for 85 classes like ``\pL``."""

PATTERN_INSTRUCTIONS = 400
r"""Size of a compiled pattern: ``al`` has 6, ``.{1,32}$`` 290, ``\pL`` 1,200.

The worst found need 95 µs for a name of 32 octets, most 2 µs.
"""

PATTERN_MEMORY = 1 << 18
"""Octets that RE2 may use for a pattern; it keeps the newest 128."""


class Accounts(Struct, frozen=True, tag=True):
    """Names after ``after`` that begin with a match of ``pattern``.

    ``spent``: seconds of work on earlier pages.
    """

    pattern: str = ""
    after: str = ""
    spent: float = 0.0


class Present(Struct, frozen=True, tag=True):
    """Names of those who are on, after ``after``."""

    after: str = ""


class Recent(Struct, frozen=True, tag=True):
    """The newest ``count`` messages to everybody, from or to the account."""

    account: int
    count: int


class Later(Struct, frozen=True, tag=True):
    """The oldest ``count`` such messages above the id ``after``."""

    account: int
    after: int
    count: int


Query = Accounts | Present | Recent | Later


class Page(Struct, frozen=True):
    """A part of an answer.

    Attributes:
        refused: why the answer ends here.
        removed: set if messages asked for may be gone.
    """

    names: tuple[str, ...] = ()
    messages: tuple[ChatMessage, ...] = ()
    more: Query | None = None
    refused: Code | None = None
    removed: Removed | None = None


GIVEN_UP = Page(refused=Code.TAIL_LOST)
"""The page if the tail is gone, and no other is asked."""


class Budget(Protocol):
    """The time for a page."""

    def left(self) -> bool: ...

    def spent(self) -> float:
        """Return seconds of work so far."""


class Messages(Protocol):
    """The messages, read one by one."""

    def before_newest(self, account: int, count: int) -> tuple[int, int]:
        """Return the id before the newest ``count``, and how many there are."""

    def oldest(self, account: int, after: int, count: int) -> Iterator[ChatMessage]:
        """Yield the oldest above the id ``after``, in order."""


_encoder = msgpack.Encoder()
_query_decoder = msgpack.Decoder(Query)
_page_decoder = msgpack.Decoder(Page)


def encode(value: Query | Page) -> bytes:
    return _encoder.encode(value)


def decode_query(data: bytes) -> Query:
    query: Query = _query_decoder.decode(data)
    return query


def decode_page(data: bytes) -> Page:
    return _page_decoder.decode(data)


def asker_chooses_price(query: Query) -> bool:
    return isinstance(query, Accounts) and query.pattern != ""


def answer(query: Query, state: ChatState, messages: Messages, budget: Budget) -> Page:
    """Give a page, from the committed state.

    Raises:
        RefusedError: 531, only the asker's RE2 takes the pattern.
    """
    match query:
        case Accounts():
            return _accounts(query, state, budget)
        case Present():
            names = [account.name for account in state.present_after(query.after, PAGE_NAMES)]
            full = len(names) == PAGE_NAMES
            return Page(tuple(names), more=Present(names[-1]) if full else None)
        case Later(after=after):
            page = _later(query, messages, budget)
            gone = state.removed.concerns(after)
            return replace(page, removed=state.removed) if gone else page
        case Recent(account, count):  # oldest first: find where they begin
            after, found = messages.before_newest(account, count)
            page = _later(Later(account, after, count), messages, budget)
            gone = found < count and state.removed.before > 0
            return replace(page, removed=state.removed) if gone else page


def _later(query: Later, messages: Messages, budget: Budget) -> Page:
    found = messages.oldest(query.account, query.after, min(query.count, PAGE_MESSAGES))
    page, ends = _taken(found, query.count, budget)
    more = None if ends else Later(query.account, page[-1].id, query.count - len(page))
    return Page(messages=tuple(page), more=more)


def _taken(
    messages: Iterable[ChatMessage], count: int, budget: Budget
) -> tuple[list[ChatMessage], bool]:
    """Return what fits in a page and its time, at least one; True after the last."""
    page: list[ChatMessage] = []
    room = PAGE_OCTETS
    for message in messages:
        room -= len(message.text.encode()) + 128
        if page and room < 0:
            return page, False
        page.append(message)
        if not budget.left():
            return page, len(page) == count
    return page, len(page) < min(count, PAGE_MESSAGES) or len(page) == count


# --- names


def _accounts(query: Accounts, state: ChatState, budget: Budget) -> Page:
    matches = _compile(query.pattern).match if query.pattern else bool  # no name is empty
    plain = beginning(query.pattern)
    after = query.after or _just_before(plain)
    names: list[str] = []
    while True:
        scanned = state.accounts_after(after, SCANNED_AT_ONCE)
        names += [account.name for account in scanned if matches(account.name)]
        if len(scanned) < SCANNED_AT_ONCE or not _begins(scanned[-1], plain):
            return Page(tuple(names))
        after = scanned[-1].name
        if len(names) > PAGE_NAMES - SCANNED_AT_ONCE or not budget.left():
            break
    if not query.pattern:  # costs no more than it shows
        return Page(tuple(names), more=Accounts(after=after))
    spent = query.spent + budget.spent()
    if spent >= PATTERN_SECONDS:
        return Page(tuple(names), refused=Code.PATTERN_TOO_COSTLY)
    return Page(tuple(names), more=Accounts(query.pattern, after, spent))


def _begins(account: Account, plain: str) -> bool:
    return account.name.lower().startswith(plain)


_PLAIN = re.compile(r"\^?([A-Za-z0-9_-]*)")
"""Without ``.``, which would be any character."""


def beginning(pattern: str) -> str:
    """Return how all matching names begin, in lower case, if easily told: only such are scanned."""
    found = _PLAIN.match(pattern)
    if found is None or "|" in pattern:
        return ""
    repeated = pattern[found.end() : found.end() + 1] in ("*", "?", "{")
    plain = found[1][:-1] if repeated else found[1]
    return plain.lower()


def _just_before(plain: str) -> str:
    return plain[:-1] + chr(ord(plain[-1]) - 1) + "\x7f" if plain else ""


# --- patterns


def checked_pattern(pattern: str) -> str:
    """Return ``pattern``, if RE2 takes it and matches a name within microseconds.

    Raises:
        RefusedError: 531, with RE2's reason, or too large.
    """
    _compile(pattern)
    return pattern


@lru_cache(maxsize=32)
def _compile(pattern: str) -> re.Pattern[str]:
    """Compile for RE2, which matches in linear time.

    Captures are off: out of memory, RE2 would copy all at each step.
    """
    if len(pattern.encode()) > PATTERN_OCTETS:
        raise _too_large()
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.case_sensitive = False  # as with names
    options.never_capture = True
    options.log_errors = False
    try:
        compiled: re.Pattern[str] = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        if "too large" in text:
            raise _too_large() from None
        raise RefusedError(
            Code.BAD_PATTERN, f"not a regular expression: {text}; try a plain beginning like: al"
        ) from None
    if compiled.programsize > PATTERN_INSTRUCTIONS:  # type: ignore[attr-defined]
        raise _too_large()
    return compiled


def _too_large() -> RefusedError:
    return RefusedError(
        Code.BAD_PATTERN,
        "this pattern is too large, with its counts and classes written out; "
        "use a shorter one, or a plain beginning like: al",
    )
