"""The SENDs without a final answer: what to write next, or again.

What one client says is never reordered. After a refusal with 4xx the server refuses later numbers
too (451): nothing new is written until all SENDs under way are answered. Then all open ones are
written again, lowest number first.
"""

from collections import deque
from random import Random

from chainchat.client.engine.backoff import Backoff
from chainchat.client.engine.memory import Memory, Outgoing

WINDOW = 1024
"""Unanswered SENDs of one connection."""


class Outbox:
    """Keeps every SEND until it is settled."""

    def __init__(self, random: Random, memory: Memory) -> None:
        self._memory = memory
        self._unwritten: deque[Outgoing] = deque(memory.open.values())
        self._unanswered = 0  # on this connection
        self._refused = False  # one was, with 4xx; its retry has not begun
        self._retry_at = 0.0
        self._backoff = Backoff(random, first=0.2, longest=5.0)

    def __len__(self) -> int:
        return len(self._memory.open)

    def add(self, to: str, text: str) -> Outgoing:
        outgoing = Outgoing(self._memory.last_number + 1, to, text)
        self._memory.added(outgoing)
        self._unwritten.append(outgoing)
        return outgoing

    def reconnected(self) -> None:
        self._unanswered = 0
        self._start_over()

    def _start_over(self) -> None:
        self._unwritten = deque(self._memory.open.values())
        self._refused = False

    def next(self) -> Outgoing | None:
        """The SEND to write now, if any, which counts as written."""
        if self._refused or not self._unwritten or self._unanswered >= WINDOW:
            return None
        self._unanswered += 1
        return self._unwritten.popleft()

    def answered(self, number: int, now: float) -> Outgoing:
        self._came_back(now)
        if not self._refused:
            self._backoff.reset()
        outgoing = self._memory.open[number]
        self._memory.settled(number)
        return outgoing

    def unwritable(self, number: int) -> None:
        self._unanswered -= 1
        self._memory.settled(number)

    def refused_for_now(self, now: float) -> None:
        """Retry later, after an answer of 4xx."""
        self._refused = True
        self._came_back(now)

    def _came_back(self, now: float) -> None:
        self._unanswered -= 1
        if self._refused and not self._unanswered:
            self._retry_at = now + self._backoff.next()

    def tick(self, now: float) -> None:
        if self._refused and not self._unanswered and now >= self._retry_at:
            self._start_over()
