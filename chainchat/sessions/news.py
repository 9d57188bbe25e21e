"""The newest messages, on their way to sessions that have the earlier ones.

A turn's messages make an *issue*. Each live delivery is pushed the issues that concern it, in order
and in slices; deliveries that look alike share a rendering.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice

from msgspec import Struct, field

from chainchat.chat.modes.mode import Mode
from chainchat.chat.outcomes import Said
from chainchat.node.budget import Slice
from chainchat.node.times import DAY
from chainchat.sessions.delivery import Delivery, as_pushed, render

KEPT_OCTETS = 256 * 1024

MESSAGE_OVERHEAD = 64
"""Octets that a message counts besides its text."""


PUSHES_AT_ONCE = 8


class Issue(Struct):
    """The messages of one turn.

    Attributes:
        unlike: senders of broadcasts and recipients of private messages.
        rendered: octets, day, newest id, by what deliveries look like.
        lines: the broadcasts, for modes that are ``same_to_all``.
    """

    number: int
    broadcasts: list[Said]
    private: dict[int, list[Said]]
    unlike: set[int]
    octets: int
    rendered: dict[object, tuple[bytes, int, int]] = field(default_factory=dict)
    lines: dict[Mode, list[str]] = field(default_factory=dict)

    @property
    def _days(self) -> set[int]:
        return {one.time // DAY for one in (*self.broadcasts[:1], *self.broadcasts[-1:])}

    def lines_for(self, delivery: Delivery) -> list[str] | None:
        """Ready lines, without the recipient's own; None if it needs its own rendering."""
        mode, account = delivery.recipient.mode, delivery.recipient.account
        if not mode.same_to_all or account in self.private or self._days - {delivery.day}:
            return None
        lines = self.lines.get(mode)
        if lines is None:
            lines = [mode.message(as_pushed(said, 0), "") for said in self.broadcasts]
            self.lines[mode] = lines
        if account not in self.unlike:
            return lines
        said = zip(lines, self.broadcasts, strict=True)
        return [line for line, one in said if one.sender_account != account]

    def messages_for(self, account: int) -> list[Said]:
        if account not in self.unlike:
            return self.broadcasts
        own = [said for said in self.broadcasts if said.sender_account != account]
        private = self.private.get(account)
        return sorted(own + private, key=lambda said: said.id) if private else own


class News:
    """The issues that some session lacks; ``pushes`` counts the pushes to sessions."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.pushes = 0
        self._said: list[Said] = []
        self._live: dict[int, Delivery] = {}
        self._issues: deque[Issue] = deque()
        self._kept = 0
        self._number = 0
        self._lacks: dict[Delivery, int] = {}
        self._queue: deque[Delivery] = deque()

    # --- who is live

    def now_live(self, delivery: Delivery) -> None:
        """Push to a delivery, which has all up to the newest applied entry."""
        delivery.live = True
        self._live[delivery.recipient.account] = delivery

    def no_more_live(self, delivery: Delivery) -> None:
        """Push no more to a delivery, which reads on from the log, or is over."""
        delivery.live = False
        self._lacks.pop(delivery, None)
        if self._live.get(delivery.recipient.account) is delivery:
            del self._live[delivery.recipient.account]

    @property
    def live(self) -> int:
        return len(self._live)

    def lacks(self, delivery: Delivery) -> bool:
        return delivery in self._lacks

    # --- turns

    def add(self, said: Iterable[Said]) -> None:
        """Add messages in the order of the log; without a live delivery nobody lacks them."""
        if self._live:
            self._said += said

    @property
    def waiting(self) -> bool:
        return bool(self._said or self._queue)

    def push(self, share: Slice) -> None:
        if self._said:
            self._issue()
        pushed = 0
        queued = len(self._queue)
        while self._queue:
            delivery = self._queue.popleft()
            first = self._lacks.pop(delivery, None)
            if first is None:
                continue
            pushed = 0 if self._push(delivery, first) else pushed + 1
            if pushed % PUSHES_AT_ONCE == 0 and not share.left():
                break
        self.pushes += queued - len(self._queue)
        if self._queue:
            self._wake()
        else:
            self._issues.clear()
            self._kept = 0

    def _issue(self) -> None:
        said, self._said = self._said, []
        self._number += 1
        broadcasts = [one for one in said if not one.recipient]
        private: dict[int, list[Said]] = {}
        if len(broadcasts) < len(said):
            for one in said:
                if one.recipient and one.sender_account != one.recipient:
                    private.setdefault(one.recipient, []).append(one)
        unlike = {one.sender_account for one in broadcasts}.union(private)
        octets = sum([len(one.text) + MESSAGE_OVERHEAD for one in said])
        self._issues.append(Issue(self._number, broadcasts, private, unlike, octets))
        self._kept += octets
        concerned: Iterable[Delivery] = self._live.values()
        if not broadcasts:
            concerned = [self._live[account] for account in private if account in self._live]
        lacks, number = self._lacks, self._number
        new = [delivery for delivery in concerned if delivery not in lacks]
        lacks.update(dict.fromkeys(new, number))
        self._queue.extend(new)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = 0
        while self._kept > KEPT_OCTETS and len(self._issues) > 1:
            issue = self._issues.popleft()
            self._kept -= issue.octets
            oldest = issue.number
        if oldest:
            for delivery in [d for d, first in self._lacks.items() if first <= oldest]:
                self.no_more_live(delivery)
                delivery.recipient.fell_behind()

    def _push(self, delivery: Delivery, first: int) -> bool:
        """Push the issues from ``first``; False if the rendering was ready, as mostly."""
        newest, recipient = self._issues[-1], delivery.recipient
        account = recipient.account
        if first == newest.number:
            like_others = account not in newest.unlike
        else:
            like_others = not any(account in issue.unlike for issue in self._since(first))
        alike = recipient.mode, delivery.previous, delivery.day, first
        known = newest.rendered.get(alike) if like_others else None
        if known is not None:
            data, delivery.day, last = known
            delivery.push(data, last)
            return False
        issues = self._since(first)
        said = [one for issue in issues for one in issue.messages_for(account)]
        if not said:
            recipient.lacks_nothing()
            return True
        data, delivery.day = _rendered(delivery, issues, said)
        if like_others:
            newest.rendered[alike] = data, delivery.day, said[-1].id
        delivery.push(data, said[-1].id)
        return True

    def _since(self, first: int) -> list[Issue]:
        return list(islice(self._issues, first - self._issues[0].number, None))


def _rendered(
    delivery: Delivery, issues: Sequence[Issue], said: Sequence[Said]
) -> tuple[bytes, int]:
    lines = [issue.lines_for(delivery) for issue in issues]
    if None in lines:
        return render(delivery, said)
    shown = chain.from_iterable(filter(None, lines))
    return "\r\n".join((*shown, "")).encode(), delivery.day
