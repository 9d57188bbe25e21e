"""The requests of the program, and their answers."""

from collections import deque
from collections.abc import Iterable

from chainchat.client.engine import events, wire
from chainchat.client.engine.dialogue import Asked, Dialogue

READS = frozenset({"CHAIN", "LIST", "SINCE", "WHO"})
"""Requests that a new connection may repeat."""


class Requests:
    """The program's requests, each until it is answered."""

    def __init__(self, told: list[events.Event]) -> None:
        self._count = 0
        self._held: deque[Asked] = deque()  # until we are logged in
        self._events = told

    def add(self, verb: str, arguments: tuple[str | int, ...]) -> int:
        for argument in arguments:
            wire.checked(str(argument))
        self._count += 1
        self._held.append(Asked(f"r{self._count}", verb, self._count, arguments))
        return self._count

    def write(self, dialogue: Dialogue) -> None:
        while self._held:
            dialogue.ask(self._held.popleft())

    def ask_again(self, interrupted: Iterable[Asked]) -> None:
        """Keep unanswered reads for the next connection; refuse the others."""
        requests = [asked for asked in interrupted if asked.of_program]
        for asked in requests:
            if asked.verb not in READS:
                reason = "the connection broke before the answer: it may have been done"
                self._events.append(events.RequestRefused(asked.number, asked.verb, 0, reason))
            asked.forget()
        self._held.extendleft(asked for asked in reversed(requests) if asked.verb in READS)

    def done(self, asked: Asked, words: dict[str, str]) -> None:
        self._events.append(events.Answered(asked.number, asked.verb, words))

    def refused(self, asked: Asked, code: int, text: str) -> None:
        self._events.append(events.RequestRefused(asked.number, asked.verb, code, text))

    def listed(self, asked: Asked) -> None:
        if asked.verb == "SINCE":
            self._events.append(events.HistoryListed(asked.number, tuple(asked.messages)))
        else:
            self._events.append(events.Listed(asked.number, asked.verb, tuple(asked.items)))
