"""What programs were told and what nodes have kept, and whether one chain can have done all of it.

A chain is one log. The ``Chronicle`` is true of one chain if each log is a beginning of the
longest, if what was said stands there once at the id that was answered, if what was read is what
stands there, and if nobody was answered from the past: what had ended before something began comes
before it. ``violations`` says whatever is not so.
"""

import sys
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from chainchat.chain.entries import Entry, digest_after
from chainchat.chat.outcomes import Said

EVERYBODY = "*"

SHOWN = 5
"""Violations of one kind that are told in full."""


@dataclass(frozen=True)
class Send:
    """One SEND, once; a repetition is another, with the same number.

    Attributes:
        text: what is said, to everybody; nobody says the same twice.
        node: the position that answered, or was asked last.
        began: when it was sent: monotonic seconds.
        ended: when the answer was there; None without one.
        id: the answer; None if there was none, or another.
        refused: the answer, if it was a refusal for good.
    """

    program: str
    client: str
    number: int
    text: str
    node: str
    began: float
    ended: float | None = None
    id: int | None = None
    refused: str = ""

    def __str__(self) -> str:
        return f"{self.text!r}, SEND {self.number} of {self.program} at {self.node}"


class Message(NamedTuple):
    """A message to everybody, as somebody was shown it."""

    id: int
    sender: str
    text: str


@dataclass(frozen=True)
class Read:
    """What somebody was shown of what was said to everybody, from an id on to the newest.

    Attributes:
        node: the position that was asked.
        began: when it was asked: monotonic seconds.
        ended: when the answer was there.
        after: everything after this id was to be shown.
    """

    program: str
    node: str
    began: float
    ended: float
    after: int
    messages: tuple[Message, ...]

    @property
    def newest(self) -> int:
        return max((self.after, *(message.id for message in self.messages)))

    def __str__(self) -> str:
        return f"what {self.program} read at {self.node} after {self.after}"


@dataclass(frozen=True)
class Delivered:
    """What was pushed to one program, in the order in which it came."""

    program: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Adopted:
    """A node has said that this is the configuration of this epoch."""

    node: str
    epoch: int
    members: str


@dataclass
class Log:
    """What one node has on its disk, after its end.

    Attributes:
        entries: from the first on.
        said: what became of them when applied.
        committed: up to which entry the node knew the log to be committed.
    """

    entries: list[Entry] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    committed: int = sys.maxsize


@dataclass
class Chronicle:
    """All that is known of one chain.

    Attributes:
        logs: of each node, by position.
    """

    sends: list[Send] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    adopted: list[Adopted] = field(default_factory=list)
    logs: dict[str, Log] = field(default_factory=dict)

    def violations(self) -> list[str]:
        """What cannot have been one chain: a sentence each, the first few of each kind."""
        checks = (
            self._two_heads(),
            self._two_logs(),
            self._two_answers(),
            self._lost(),
            self._said_wrongly(),
            self._shown_wrongly(),
            self._delivered_wrongly(),
            self._from_the_past(),
        )
        found: list[str] = []
        for check in checks:
            sentences = list(check)
            found += sentences[:SHOWN]
            if len(sentences) > SHOWN:
                found.append(f"… and {len(sentences) - SHOWN} more like that")
        return found

    # --- one chain

    def _two_heads(self) -> Iterator[str]:
        """An epoch has one configuration."""
        known: dict[int, Adopted] = {}
        for adopted in self.adopted:
            first = known.setdefault(adopted.epoch, adopted)
            if first.members != adopted.members:
                yield (
                    f"two heads: epoch {adopted.epoch} is that of {first.members} at {first.node}, "
                    f"and that of {adopted.members} at {adopted.node}"
                )

    def _two_logs(self) -> Iterator[str]:
        """Each log is whole, and a beginning of the newest; a shorter one was stopped first.

        What its node did not know to be committed may end otherwise, if it was stopped just then.
        """
        where, newest = self._newest
        for position, log in self.logs.items():
            yield from _not_whole(position, log.entries)
            for mine, its in zip(log.entries, newest.entries, strict=False):
                if mine != its and mine.seq <= log.committed:
                    why = ": that epoch had two heads" if mine.epoch == its.epoch else ""
                    yield (
                        f"two logs: {position} has {mine.id}, where {where} has {its.id}, "
                        f"which goes on to {newest.entries[-1].id}{why}"
                    )
                    break

    @property
    def _newest(self) -> tuple[str, Log]:
        """The log with the newest epoch; of several, the longest."""

        def end(item: tuple[str, Log]) -> tuple[int, int]:
            entries = item[1].entries
            return (entries[-1].epoch, len(entries)) if entries else (0, 0)

        return max(self.logs.items(), key=end, default=("", Log()))

    @property
    def _heard_by_all(self) -> list[Said]:
        return [said for said in self._newest[1].said if said.to == EVERYBODY]

    # --- what was said

    def _two_answers(self) -> Iterator[str]:
        """A number has one answer, and an id is the answer to one number."""
        by_number: dict[tuple[str, str, int], Send] = {}
        by_id: dict[int, Send] = {}
        for send in self._answered:
            first = by_number.setdefault((send.program, send.client, send.number), send)
            if first.id != send.id:
                yield (
                    f"two ids for one number: {send} was answered {send.id}, "
                    f"and {first.id} at {first.node} before"
                )
            assert send.id is not None
            first = by_id.setdefault(send.id, send)
            if first.text != send.text:
                yield f"one id for two: {send.id} was answered to {first}, and to {send}"
        for send in self.sends:
            if send.refused:
                yield f"refused: {send}: {send.refused}"

    @property
    def _answered(self) -> list[Send]:
        return [send for send in self.sends if send.id is not None]

    def _lost(self) -> Iterator[str]:
        """What was acknowledged is in every log, at its id."""
        for position, log in self.logs.items():
            said = {one.id: one for one in log.said}
            for send in self._answered:
                assert send.id is not None
                found = said.get(send.id)
                if found is None:
                    yield f"lost: {send}, was acknowledged as {send.id}, and is not at {position}"
                elif (found.sender, found.text) != (send.program, send.text):
                    yield (
                        f"lost: {send}, was acknowledged as {send.id}; at {position} that is "
                        f"{found.text!r} of {found.sender}"
                    )

    def _said_wrongly(self) -> Iterator[str]:
        """What the programs' accounts have said is what they sent: once, and in their order."""
        orders = self._orders()
        for position, log in self.logs.items():
            own: dict[str, dict[str, list[int]]] = {program: {} for program in orders}
            for said in log.said:
                if said.sender in own:
                    own[said.sender].setdefault(said.text, []).append(said.id)
            for program, texts in own.items():
                yield from _out_of_order(f"of {program}, at {position}", texts, orders[program])

    def _orders(self) -> dict[str, list[str]]:
        """By program, what it has said, in the order of the numbers, without what was refused."""
        orders: dict[str, dict[str, None]] = defaultdict(dict)
        for send in sorted(self.sends, key=lambda send: send.number):
            order = orders[send.program]
            if not send.refused:
                order[send.text] = None
        return {program: list(order) for program, order in orders.items()}

    # --- what was shown

    def _shown_wrongly(self) -> Iterator[str]:
        """What was read is what stands in the log, up to how far the reading came."""
        heard = self._heard_by_all
        ids = [said.id for said in heard]
        for read in self.reads if self.logs else ():
            piece = heard[bisect_right(ids, read.after) : bisect_right(ids, read.newest)]
            yield from _unlike(f"{read} ({read.ended - read.began:.3f} s)", read.messages, piece)

    def _delivered_wrongly(self) -> Iterator[str]:
        """What was pushed is all that others have said, from the first to the last of it."""
        heard = self._heard_by_all
        for each in self.delivered if self.logs else ():
            if each.messages:
                ids = [message.id for message in each.messages]
                first, last = min(ids), max(ids)
                piece = [
                    said
                    for said in heard
                    if first <= said.id <= last and said.sender != each.program
                ]
                yield from _unlike(f"what was pushed to {each.program}", each.messages, piece)

    # --- when

    def _from_the_past(self) -> Iterator[str]:
        """Whatever had ended before something began comes before it."""
        ends = [(send.ended, send.id, send) for send in self._answered if send.ended is not None]
        shown = [read for read in self.reads if read.messages]
        ends += [(read.ended, read.newest, read) for read in shown]
        ends.sort(key=lambda end: end[:2])
        times = [end[0] for end in ends]
        floor = list(accumulate(ends, lambda one, other: max(one, other, key=lambda end: end[1])))

        def before(began: float) -> tuple[float, int, Send | Read] | None:
            at = bisect_left(times, began)
            return floor[at - 1] if at else None

        for read in self.reads:
            known = before(read.began)
            if known is not None and known[1] > read.newest:
                yield (
                    f"a stale read: {read} came to {read.newest}; but {known[1]} was known "
                    f"{read.began - known[0]:.3f} s before it began, from {known[2]}"
                )
        places = {(said.sender, said.text): said.id for said in self._newest[1].said}
        first: dict[tuple[str, str], Send] = {}
        for send in self.sends:
            earliest = first.setdefault((send.program, send.text), send)
            if send.began < earliest.began:
                first[send.program, send.text] = send
        for key, send in first.items():
            known, place = before(send.began), places.get(key, send.id)
            if known is not None and place is not None and place <= known[1]:
                yield (
                    f"into the past: {send} is {place}; but {known[1]} was known "
                    f"{send.began - known[0]:.3f} s before it was sent, from {known[2]}"
                )


def _out_of_order(
    whose: str, texts: Mapping[str, Sequence[int]], order: Sequence[str]
) -> Iterator[str]:
    """How what somebody has said is not a beginning of what they sent.

    Args:
        texts: what was said, and as which ids, in that order.
    """
    for text, ids in texts.items():
        if len(ids) > 1:
            yield f"said {len(ids)} times: {text!r} {whose}, as {ids}"
    known = set(order)
    for text, ids in texts.items():
        if text not in known:
            yield f"never sent, or refused, and said: {text!r} {whose}, as {ids[0]}"
            return
    for (text, ids), expected in zip(texts.items(), order, strict=False):
        if text != expected:
            yield f"out of order: {text!r} {whose}, as {ids[0]}, where {expected!r} comes next"
            return


def _not_whole(position: str, entries: Iterable[Entry]) -> Iterator[str]:
    """Why these are no log: each entry follows the one before, and is named by what it holds."""
    newest, digest = 0, b""
    for entry in entries:
        digest = digest_after(digest, entry.content)
        if entry.first != newest + 1:
            yield f"a hole in the log: {position} has {entry.id} after entry {newest}"
            return
        if entry.digest != digest:
            yield f"another digest: {position} has {entry.id}, whose content has {digest.hex()[:8]}"
            return
        newest = entry.seq


def _unlike(what: str, messages: Sequence[Message], piece: Sequence[Said]) -> Iterator[str]:
    """How what was shown differs from a piece of the log."""
    expected = [Message(said.id, said.sender, said.text) for said in piece]
    if list(messages) == expected:
        return
    if missing := sorted(set(expected) - set(messages)):
        yield f"not shown: {what}, lacks {len(missing)}, the first of them {missing[0]}"
    elif added := sorted(set(messages) - set(expected)):
        yield f"not so: {what}, has {len(added)} that are in no log, the first of them {added[0]}"
    else:
        yield f"out of order, or twice: {what}"
