"""The newest messages, on their way to every session that has all before them.

Each turn's messages make one issue. A delivery that is *live* is pushed each issue that concerns
it, in order; those that look alike share one rendering. Pushing goes on in slices, so a broadcast
to thousands holds up nobody: who is served later is pushed more at once. Whoever falls too far
behind reads on from the log, as every delivery does that is not live.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice

from msgspec import Struct

from chainchat.chat.state import Said
from chainchat.chat.voice import Message
from chainchat.server.budget import Slice
from chainchat.server.delivery import Delivery, render

KEPT_MESSAGES = 2_000
"""Messages that are kept for those who were not pushed them yet; who lacks more reads the log."""


class Issue(Struct):
    """The messages of one turn.

    Attributes:
        number: counts issues.
        broadcasts: what was said to everybody.
        private: what was said to one, by account.
        senders: accounts that said something to everybody, and are not pushed that.
    """

    number: int
    broadcasts: list[Said]
    private: dict[int, list[Said]]
    senders: set[int]

    def concerns_in_its_own_way(self, account: int) -> bool:
        """True if what the account is pushed is not what nearly everybody is."""
        return account in self.senders or account in self.private

    def messages_for(self, account: int) -> list[Said]:
        """What to push to the account, in the order of the log."""
        own = [said for said in self.broadcasts if said.sender_account != account]
        private = self.private.get(account)
        return sorted(own + private, key=lambda said: said.id) if private else own


class News:
    """The issues that somebody still lacks."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """No news; ``wake`` asks for a turn of the node."""
        self._wake = wake
        self._said: list[Said] = []
        """Of this turn."""
        self._live: dict[int, Delivery] = {}
        """By account."""
        self._issues: deque[Issue] = deque()
        self._kept = 0
        self._number = 0
        self._lacks: dict[Delivery, int] = {}
        """The first issue that each of them lacks."""
        self._queue: deque[Delivery] = deque()
        """The same deliveries, in the order in which they are served."""
        self._rendered: dict[object, tuple[bytes, int, int]] = {}
        """What deliveries that look alike have in common: octets, day, newest id."""

    # --- who is live

    def now_live(self, delivery: Delivery) -> None:
        """The delivery has everything up to the newest entry applied."""
        delivery.live = True
        self._live[delivery.recipient.account] = delivery

    def no_more_live(self, delivery: Delivery) -> None:
        """It is pushed nothing more: it reads on from the log, or is over."""
        delivery.live = False
        self._lacks.pop(delivery, None)
        if self._live.get(delivery.recipient.account) is delivery:
            del self._live[delivery.recipient.account]

    def lacks(self, delivery: Delivery) -> bool:
        """True while something is still to be pushed to it."""
        return delivery in self._lacks

    # --- turns

    def add(self, said: Iterable[Said]) -> None:
        """More was said, in the order of the log."""
        self._said += said

    def push(self, share: Slice) -> None:
        """Push to some of those who lack something, and to all if there is time."""
        if self._said:
            self._issue()
        while self._queue:
            delivery = self._queue.popleft()
            first = self._lacks.pop(delivery, None)
            if first is not None:
                self._push(delivery, first)
                if not share.left():
                    break
        if self._queue:
            self._wake()
        else:
            self._issues.clear()
            self._kept = 0
            self._rendered = {}

    def _issue(self) -> None:
        """Make an issue of what was said in this turn, and note whom it concerns."""
        said, self._said = self._said, []
        if not self._live:
            return
        self._number += 1
        broadcasts = [one for one in said if not one.recipient]
        private: dict[int, list[Said]] = {}
        if len(broadcasts) < len(said):
            for one in said:
                if one.recipient and one.sender_account != one.recipient:
                    private.setdefault(one.recipient, []).append(one)
        senders = {one.sender_account for one in broadcasts}
        self._issues.append(Issue(self._number, broadcasts, private, senders))
        self._kept += len(said)
        self._rendered = {}
        concerned: Iterable[Delivery] = self._live.values()
        if not broadcasts:
            concerned = [self._live[account] for account in private if account in self._live]
        lacks, number = self._lacks, self._number
        new = [delivery for delivery in concerned if delivery not in lacks]
        lacks.update(dict.fromkeys(new, number))
        self._queue.extend(new)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Keep no more than somebody who is served late should be pushed at once."""
        while self._kept > KEPT_MESSAGES and len(self._issues) > 1:
            oldest = self._issues.popleft()
            self._kept -= len(oldest.broadcasts) + sum(map(len, oldest.private.values()))
            for delivery in [d for d, first in self._lacks.items() if first <= oldest.number]:
                self.no_more_live(delivery)
                delivery.recipient.fell_behind()

    def _push(self, delivery: Delivery, first: int) -> None:
        """Push what ``delivery`` lacks, from the issue ``first`` on."""
        issues = list(islice(self._issues, first - self._issues[0].number, None))
        account = delivery.recipient.account
        if any(issue.concerns_in_its_own_way(account) for issue in issues):
            own = list(chain.from_iterable(issue.messages_for(account) for issue in issues))
            if own:
                data, delivery.day = _rendered(delivery, own)
                delivery.push(data, own[-1].id)
            return
        alike = (delivery.recipient.voice, delivery.previous, delivery.day, first)
        known = self._rendered.get(alike)
        if known is None:
            shared = list(chain.from_iterable(issue.broadcasts for issue in issues))
            if not shared:
                return
            data, day = _rendered(delivery, shared)
            known = self._rendered[alike] = data, day, shared[-1].id
        data, delivery.day, newest = known
        delivery.push(data, newest)


def _rendered(delivery: Delivery, said: Sequence[Said]) -> tuple[bytes, int]:
    messages = [Message(n.id, 0, n.time, n.sender, n.to, n.text) for n in said]
    return render(delivery, messages)
