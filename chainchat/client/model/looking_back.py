"""The search in what the servers keep, backwards from what is loaded.

Memory holds one page, and what was found in it.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from chainchat.client.engine.events import MessageArrived
from chainchat.client.model.transcript import matches

PAGE = 500
"""Messages per page."""

WIDEST = 16 * PAGE
"""The most ids looked through at a time, if few are messages."""

AT_ONCE = 20
"""Pages asked for without a pause, at the beginning."""

PAGE_EVERY = 0.4
"""Seconds per page after those.

Servers let an account read 2,000 lines a second, or fewer while it also speaks.
"""

CONTEXT = 2
"""Messages shown before and after the one found."""


class Found(Struct, frozen=True):
    """The newest message found, among its neighbours."""

    message: MessageArrived
    around: tuple[MessageArrived, ...]


class LookingBack:
    """A search, active until it has found something, is stopped, or has seen all.

    Attributes:
        wanted: what is looked for; empty before the first search.
        reached: the oldest message looked at, if any.
        ended: everything was looked at.

    Args:
        ask: asks for so many messages after an id; returns the request's number.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ask: Callable[[int, int], int],
        clock: Callable[[], float],
        ignored: Collection[str],
    ) -> None:
        self.wanted = ""
        self.active = False
        self.reached: MessageArrived | None = None
        self.ended = False
        self._ask = ask
        self._clock = clock
        self._ignored = ignored
        self._request = 0
        self._high = self._low = self._after = 0
        """All before ``_high`` is still to be looked at; in this window, after ``_low``.

        The next page begins after ``_after``.
        """
        self._width = PAGE
        self._found: Found | None = None
        self._latest: deque[MessageArrived] = deque(maxlen=CONTEXT)
        self._pages = float(AT_ONCE)
        self._counted_at = clock()

    def begin(self, wanted: str, before: int) -> None:
        """Look for ``wanted``; go on from where its last search came to."""
        if wanted != self.wanted:
            self.wanted, self.ended, self.reached = wanted, False, None
            self._width = PAGE
            self._open_window(before)
        if not self.ended:
            self.active = True
            self.go_on()

    def stop(self) -> None:
        """Stop; a page on its way is not looked at."""
        self.active = False
        self._request = 0
        self._open_window(self._high)

    def go_on(self) -> None:
        """Ask for the next page, if due; call this some times a second."""
        if not self.active or self._request:
            return
        now = self._clock()
        self._pages = min(AT_ONCE, self._pages + (now - self._counted_at) / PAGE_EVERY)
        self._counted_at = now
        if self._pages >= 1:
            self._pages -= 1
            self._request = self._ask(self._after, PAGE)

    def asked(self, request: int) -> bool:
        return self.active and request == self._request

    def _open_window(self, high: int) -> None:
        self._high = high
        self._low = self._after = max(0, high - self._width)
        self._found = None
        self._latest.clear()

    def listed(self, messages: Sequence[MessageArrived]) -> Found | None:
        """Take a page. A find ends the search; ``begin`` looks further."""
        self._request = 0
        inside = [message for message in messages if message.id < self._high]
        for message in inside:
            self._look_at(message)
        if len(messages) == PAGE == len(inside) and inside[-1].id < self._high - 1:
            self._after = inside[-1].id
            self.go_on()
            return None
        if inside and self._after == self._low:
            self.reached = inside[0]
        if self._found is not None:
            found = self._found
            self.active = False
            self._open_window(found.message.id)
            return found
        self._next_window(len(inside))
        self.go_on()
        return None

    def _next_window(self, messages: int) -> None:
        if not self._low:
            self.active, self.ended = False, True
            return
        if messages < PAGE // 4:
            self._width = min(WIDEST, 2 * self._width)
        elif messages > PAGE // 2:
            self._width = PAGE
        self._open_window(self._low + 1)

    def _look_at(self, message: MessageArrived) -> None:
        before = tuple(self._latest)
        self._latest.append(message)
        if self._found is not None:
            place = self._found.around.index(self._found.message)
            if len(self._found.around) - place <= CONTEXT:
                self._found = Found(self._found.message, (*self._found.around, message))
        if message.sender.lower() not in self._ignored and matches(
            self.wanted, message.sender, message.text
        ):
            self._found = Found(message, (*before, message))
