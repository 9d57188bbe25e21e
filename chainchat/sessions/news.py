"""The newest messages, on their way to sessions that have the earlier ones.

What was said makes an *issue*, which is pushed in slices to each live delivery that it concerns;
deliveries that look alike share a rendering. The next begins when all have this one. While much is
said to thousands, each issue is followed by a rest: a push costs much the same with one message as
with some, and what is said meanwhile goes out together.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct, field

from chainchat.chat.modes.mode import Mode
from chainchat.chat.outcomes import Said
from chainchat.node.budget import PUSH_SHARE, Slice
from chainchat.node.interfaces import Clock
from chainchat.node.share import Share
from chainchat.node.times import DAY
from chainchat.sessions.delivery import Delivery, as_pushed, render

KEPT_OCTETS = 256 * 1024
"""What may wait for the next issue; beyond that, everybody reads it from the log."""

MESSAGE_OVERHEAD = 64
"""Octets that a message counts besides its text."""

PUSHES_AT_ONCE = 8

LONG_SECONDS = 0.003
"""An issue that takes as long to push is followed by a rest, if more was said meanwhile."""

LONGEST_SECONDS = 0.0125
"""So much of it counts: the rest is at most 50 milliseconds."""

ENOUGH = 16
"""So many messages end the rest."""


class Issue(Struct):
    """Messages that are pushed together.

    Attributes:
        first: the id of the first.
        unlike: senders of broadcasts and recipients of private messages.
        rendered: octets, day, newest id, by what deliveries look like.
        lines: the broadcasts, for modes that are ``same_to_all``.
    """

    first: int
    broadcasts: list[Said]
    private: dict[int, list[Said]]
    unlike: set[int]
    rendered: dict[object, tuple[bytes, int, int]] = field(default_factory=dict)
    lines: dict[Mode, list[str]] = field(default_factory=dict)

    def render(self, delivery: Delivery, said: Sequence[Said]) -> tuple[bytes, int]:
        lines = self._lines_for(delivery)
        if lines is None:
            return render(delivery, said)
        return "\r\n".join((*lines, "")).encode(), delivery.day

    @property
    def _days(self) -> set[int]:
        return {one.time // DAY for one in (*self.broadcasts[:1], *self.broadcasts[-1:])}

    def _lines_for(self, delivery: Delivery) -> list[str] | None:
        """Ready lines, without the recipient's own; None if it needs its own rendering."""
        mode, account = delivery.recipient.mode, delivery.recipient.account
        if not mode.same_to_all or account in self.private or self._days - {delivery.day}:
            return None
        if delivery.previous >= self.first:
            return None
        lines = self.lines.get(mode)
        if lines is None:
            lines = [mode.message(as_pushed(said, 0), "") for said in self.broadcasts]
            self.lines[mode] = lines
        if account not in self.unlike:
            return lines
        said = zip(lines, self.broadcasts, strict=True)
        return [line for line, one in said if one.sender_account != account]

    def messages_for(self, delivery: Delivery) -> list[Said]:
        """What it lacks: it may have read some from the log before it was live."""
        account, said = delivery.recipient.account, self.broadcasts
        if account in self.unlike:
            said = [one for one in said if one.sender_account != account]
            if private := self.private.get(account):
                said = sorted(said + private, key=lambda one: one.id)
        if delivery.previous >= self.first:
            said = [one for one in said if one.id > delivery.previous]
        return said


class News:
    """What live deliveries lack; ``pushes`` counts the pushes to sessions."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._share = Share(clock, wake, PUSH_SHARE)
        self.pushes = 0
        self._live: dict[int, Delivery] = {}
        self._said: list[Said] = []
        """The next issue's."""
        self._octets = 0
        self._lost: set[int] = set()
        """Recipients of what was too much for the next issue; 0 for everybody."""
        self._issue: Issue | None = None
        """None while those in the queue fall behind."""
        self._queue: deque[Delivery] = deque()
        self._lacking: set[Delivery] = set()
        self._took = 0.0

    def stop(self) -> None:
        self._share.stop()

    # --- who is live

    def now_live(self, delivery: Delivery) -> None:
        """Push to a delivery, which has all up to the newest applied entry."""
        delivery.live = True
        self._live[delivery.recipient.account] = delivery

    def no_more_live(self, delivery: Delivery) -> None:
        """Push no more to a delivery, which reads on from the log, or is over."""
        delivery.live = False
        self._lacking.discard(delivery)
        if self._live.get(delivery.recipient.account) is delivery:
            del self._live[delivery.recipient.account]

    @property
    def live(self) -> int:
        return len(self._live)

    def lacks(self, delivery: Delivery) -> bool:
        """True for a live delivery that will be pushed something, or told that there is nothing."""
        if delivery in self._lacking:
            return True
        account = delivery.recipient.account
        return not self._lost.isdisjoint((0, account)) or any(
            not one.recipient or (one.recipient == account != one.sender_account)
            for one in self._said
        )

    # --- turns

    def add(self, said: Sequence[Said]) -> None:
        """Add messages in the order of the log; without a live delivery nobody lacks them."""
        if not self._live:
            return
        self._said += said
        self._octets += sum([len(one.text) + MESSAGE_OVERHEAD for one in said])
        if self._lost or (self._octets > KEPT_OCTETS and self._queue):
            self._lost.update([one.recipient for one in self._said])
            self._forget_said()

    def _forget_said(self) -> None:
        self._said = []
        self._octets = 0

    @property
    def waiting(self) -> bool:
        return bool(self._said or self._queue or self._lost)

    def push(self, share: Slice) -> None:
        while self._queue or self._begin():
            began = share.spent()
            self._push_issue(share)
            self._took += share.spent() - began
            if self._queue:
                self._wake()
                return
            self._end()
            if not share.left():
                break
        if self._said or self._lost:
            self._share.wake_when_due()

    def _begin(self) -> bool:
        """Begin the next issue; False if there is none yet."""
        accounts: Collection[int]
        if self._lost:
            accounts, self._lost = self._lost, set()
        elif self._said and (len(self._said) >= ENOUGH or self._share.is_due):
            self._issue = _issue(self._said)
            self._forget_said()
            accounts = (0,) if self._issue.broadcasts else self._issue.private
        else:
            return False
        live = self._live
        concerned = live.values() if 0 in accounts else [live[a] for a in accounts if a in live]
        self._queue.extend(concerned)
        self._lacking.update(concerned)
        return True

    def _end(self) -> None:
        """End the issue; rest if it took long, and others are said as fast."""
        self._issue = None
        if self._said and self._took >= LONG_SECONDS:
            self._share.took(min(self._took, LONGEST_SECONDS))
        self._took = 0.0

    def _push_issue(self, share: Slice) -> None:
        pushed, queued = 0, len(self._queue)
        while self._queue:
            delivery = self._queue.popleft()
            if delivery not in self._lacking:
                continue
            self._lacking.remove(delivery)
            try:
                pushed = 0 if self._push(delivery) else pushed + 1
            except Exception as error:
                delivery.recipient.broke(error)
            if pushed % PUSHES_AT_ONCE == 0 and not share.left():
                break
        self.pushes += queued - len(self._queue)

    def _push(self, delivery: Delivery) -> bool:
        """Push the issue; False if the rendering was ready, as mostly."""
        issue, recipient = self._issue, delivery.recipient
        if issue is None:
            self.no_more_live(delivery)
            recipient.fell_behind()
            return False
        like_others = recipient.account not in issue.unlike
        alike = recipient.mode, delivery.previous, delivery.day
        known = issue.rendered.get(alike) if like_others else None
        if known is not None:
            data, delivery.day, last = known
            delivery.push(data, last)
            return False
        said = issue.messages_for(delivery)
        if not said:
            recipient.lacks_nothing()
            return True
        data, delivery.day = issue.render(delivery, said)
        if like_others:
            issue.rendered[alike] = data, delivery.day, said[-1].id
        delivery.push(data, said[-1].id)
        return True


def _issue(said: Sequence[Said]) -> Issue:
    broadcasts = [one for one in said if not one.recipient]
    private: dict[int, list[Said]] = {}
    if len(broadcasts) < len(said):
        for one in said:
            if one.recipient and one.sender_account != one.recipient:
                private.setdefault(one.recipient, []).append(one)
    unlike = {one.sender_account for one in broadcasts}.union(private)
    return Issue(said[0].id, broadcasts, private, unlike)
