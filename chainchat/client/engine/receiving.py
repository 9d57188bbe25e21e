"""Pushes as events, with holes filled."""

from chainchat.client.engine import events
from chainchat.client.engine.dialogue import Asked, Dialogue
from chainchat.client.engine.inbox import PAGE, Inbox
from chainchat.client.engine.memory import Memory
from chainchat.client.engine.wire import Push


class Receiving:
    """The inbox, with its events."""

    def __init__(self, name: str, memory: Memory, told: list[events.Event]) -> None:
        self._name = name
        self._memory = memory
        self._inbox = Inbox()
        self._events = told

    @property
    def last(self) -> int | None:
        return self._inbox.last

    def handed_over(self) -> None:
        self._inbox.handed_over()

    def reconnected(self) -> None:
        self._inbox.reconnected()

    def pushed(self, push: Push, dialogue: Dialogue) -> None:
        filling = self._inbox.missing is not None
        if message := self._inbox.pushed(push):
            self._events.append(message)
        elif not filling:
            self._fill_hole(dialogue)

    def filled(self, asked: Asked, dialogue: Dialogue) -> None:
        hole = self._inbox.missing
        self._events += self._inbox.filled(asked.messages, self._name)
        if self._inbox.missing is not None and self._inbox.missing == hole:
            self._ask_page(dialogue)
        else:
            self._fill_hole(dialogue)

    def _fill_hole(self, dialogue: Dialogue) -> None:
        if self._inbox.missing is not None and self._inbox.last is not None:
            self._events.append(events.GapNoticed(self._inbox.last, self._inbox.missing))
            self._ask_page(dialogue)

    def _ask_page(self, dialogue: Dialogue) -> None:
        dialogue.ask(Asked("gap", "SINCE", 0, (self._inbox.after, PAGE)))

    def acknowledge(self, dialogue: Dialogue, now: float, *, at_once: bool = False) -> None:
        if (seen := self._inbox.to_acknowledge(now, at_once=at_once)) is not None:
            self._memory.acknowledged(seen)
            dialogue.ask(Asked("ack", "ACK", 0, (seen,)))
