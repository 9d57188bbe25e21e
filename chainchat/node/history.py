"""Chat messages out of the log, found through the index."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from operator import neg

from chainchat.chain.entries import Entry
from chainchat.chat import commands
from chainchat.chat.modes.mode import ChatMessage
from chainchat.storage.interface import NO_MORE, Storage

NOBODY = -1

MAX_READ = 1_000

KNOWN_GAPS = 256

COUNTED_AT_ONCE = 100

SEARCHED_AT_ONCE = 50_000
"""Ids searched for others' messages at once: 1 to 2 ms if all are the reader's own."""


class History:
    """Chat messages for questions (``chat.queries.Messages``) and for delivery."""

    def __init__(
        self,
        storage: Storage,
        beginning: Callable[[], int] = int,
        applied: Callable[[], int] = int,
        searched: int = SEARCHED_AT_ONCE,
    ) -> None:
        """Begin without any knowledge.

        Args:
            beginning: the oldest id that was not removed.
            applied: the newest id in the index.
            searched: how many ids are searched at once.
        """
        self._storage = storage
        self._searched = searched
        self._beginning = beginning
        self._applied = applied
        self._gaps: dict[int, tuple[int, int, int]] = {}
        """By account, two ids between which nothing is pushed to it, and what is before them."""

    def missed(self, account: int, after: int, count: int) -> Iterator[ChatMessage]:
        """Yield the oldest above ``after`` pushed to the account: not its own; read as taken.

        There may be more above ``search_end``.
        """
        return self._messages(
            account, after, self._ids_missed(account, after, min(count, MAX_READ))
        )

    def search_end(self, after: int) -> int:
        """Return up to which id ``missed`` looks; NO_MORE: at all there are."""
        end = max(after, self._gone) + self._searched
        return end if end < self._applied() else NO_MORE

    def _ids_missed(self, account: int, after: int, count: int) -> list[int]:
        after, up_to = max(after, self._gone), self.search_end(after)
        return self._storage.ids_after(account, after, count, unless_sender=account, up_to=up_to)

    def count_missed(
        self, account: int, after: int, most: int, left: Callable[[], bool]
    ) -> tuple[int, bool]:
        """Count what was missed, up to ``most`` and while there is time; True: of more, perhaps."""
        counted = 0
        while counted < most:
            some = min(COUNTED_AT_ONCE, most - counted)
            ids = self._ids_missed(account, after, some)
            counted += len(ids)
            after = ids[-1] if len(ids) == some else self.search_end(after)
            if after == NO_MORE:
                return counted, False
            if not left():
                break
        more = self._ids_missed(account, after, 1) or self.search_end(after) < NO_MORE
        return counted, bool(more)

    def oldest(self, account: int, after: int, count: int) -> Iterator[ChatMessage]:
        gone, limit = self._gone, min(count, MAX_READ)
        ids = self._storage.ids_after(account, max(after, gone), limit, unless_sender=NOBODY)
        return self._messages(account, after, ids)

    @property
    def _gone(self) -> int:
        """The newest id that is not shown any more, even if this node's log has it."""
        return max(self._beginning() - 1, self._storage.beginning.seq)

    def before_newest(self, account: int, count: int) -> tuple[int, int]:
        limit, gone = min(count, MAX_READ), self._gone
        ids = self._storage.ids_before(account, NO_MORE, limit, unless_sender=NOBODY)
        kept = ids[: bisect_left(ids, -gone, key=neg)]
        return (kept[-1] - 1 if kept else gone), len(kept)

    def previous(self, account: int, before: int) -> int:
        """Return the newest id below ``before`` pushed to the account.

        0 if there is none, it was removed, or too many ids are between.
        """
        return self._gap_before(account, before)[1]

    def _gap_before(self, account: int, before: int) -> tuple[int, int]:
        """Return an id above which nothing is pushed below ``before``; then as ``previous``."""
        begin, end, previous = self._gaps.get(account, (0, 0, 0))
        if not begin < before <= end:
            begin = max(0, before - 1 - self._searched)
            ids = self._storage.ids_before(account, before, 1, unless_sender=account, above=begin)
            previous = ids[0] if ids else 0
            begin = max(begin, previous)
        return begin, previous if previous > self._gone else 0

    def _note_gap(self, account: int, begin: int, end: int, previous: int) -> None:
        self._gaps.pop(account, None)
        if len(self._gaps) >= KNOWN_GAPS:
            del self._gaps[next(iter(self._gaps))]
        self._gaps[account] = begin, end, previous

    def _messages(self, account: int, after: int, ids: Sequence[int]) -> Iterator[ChatMessage]:
        if not ids:
            return
        begin, previous = self._gap_before(account, max(after, self._gone) + 1)
        for id_, entry, say in self._said(ids):
            if say.account == account:
                self._note_gap(account, begin, id_ + 1, previous)
            yield _message(id_, previous, entry, say)
            if say.account != account:
                begin = previous = id_

    def _said(self, ids: Sequence[int]) -> Iterator[tuple[int, Entry, commands.Say]]:
        known: Entry | None = None
        for id_, entry in zip(ids, self._storage.entries(ids), strict=True):
            if entry is not known:  # many messages can be of one entry
                known, say = entry, _say(entry)
            yield id_, entry, say


def _message(id_: int, previous: int, entry: Entry, say: commands.Say) -> ChatMessage:
    saying = say.sayings[id_ - entry.first]
    return ChatMessage(id_, previous, entry.time, say.sender, saying.to, saying.text)


def _say(entry: Entry) -> commands.Say:
    say = commands.decode(entry.command)
    assert isinstance(say, commands.Say)  # the index holds nothing else
    return say
