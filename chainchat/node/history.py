"""Chat messages out of the log, found through the index."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from operator import neg

from chainchat.chain.entries import Entry
from chainchat.chat import commands
from chainchat.chat.modes.mode import ChatMessage
from chainchat.storage.interface import Storage

NOBODY = -1

NO_MORE = 1 << 62

MAX_READ = 1_000

KNOWN_GAPS = 256

COUNTED_AT_ONCE = 100


class History:
    """Chat messages for questions (``chat.queries.Messages``) and for delivery."""

    def __init__(self, storage: Storage, beginning: Callable[[], int] = int) -> None:
        """``beginning``: the oldest id that was not removed."""
        self._storage = storage
        self._beginning = beginning
        self._gaps: dict[int, tuple[int, int]] = {}
        """By account, two ids between which nothing is pushed to it."""

    def missed(self, account: int, after: int, count: int) -> Iterator[ChatMessage]:
        """Yield the oldest above ``after`` pushed to the account: not its own; read as taken."""
        after = max(after, self._gone)
        ids = self._storage.ids_after(account, after, min(count, MAX_READ), unless_sender=account)
        return self._messages(account, after, ids)

    def count_missed(
        self, account: int, after: int, most: int, left: Callable[[], bool]
    ) -> tuple[int, bool]:
        """Count what ``missed`` gives, up to ``most`` and while there is time; True: of more."""
        after, counted = max(after, self._gone), 0
        while counted < most:
            some = min(COUNTED_AT_ONCE, most - counted)
            ids = self._storage.ids_after(account, after, some, unless_sender=account)
            counted += len(ids)
            if len(ids) < some:
                return counted, False
            after = ids[-1]
            if not left():
                break
        return counted, bool(self._storage.ids_after(account, after, 1, unless_sender=account))

    def oldest(self, account: int, after: int, count: int) -> Iterator[ChatMessage]:
        after = max(after, self._gone)
        ids = self._storage.ids_after(account, after, min(count, MAX_READ), unless_sender=NOBODY)
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
        """Return the newest id below ``before`` pushed to the account; 0 if none or removed."""
        previous, end = self._gaps.get(account, (0, 0))
        if not previous < before <= end:
            ids = self._storage.ids_before(account, before, 1, unless_sender=account)
            previous = ids[0] if ids else 0
        return previous if previous > self._gone else 0

    def _note_gap(self, account: int, previous: int, end: int) -> None:
        self._gaps.pop(account, None)
        if len(self._gaps) >= KNOWN_GAPS:
            del self._gaps[next(iter(self._gaps))]
        self._gaps[account] = previous, end

    def _messages(self, account: int, after: int, ids: Sequence[int]) -> Iterator[ChatMessage]:
        if not ids:
            return
        previous = self.previous(account, after + 1)
        for id_, entry, say in self._said(ids):
            if say.account == account:
                self._note_gap(account, previous, id_ + 1)
            yield _message(id_, previous, entry, say)
            if say.account != account:
                previous = id_

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
