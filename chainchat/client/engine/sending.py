"""SENDs on their way to the wire, and their answers as events."""

from random import Random

from chainchat.chat.requests import EVERYBODY
from chainchat.client.engine import events, wire
from chainchat.client.engine.dialogue import Dialogue
from chainchat.client.engine.memory import Memory, Outgoing
from chainchat.client.engine.outbox import Outbox
from chainchat.client.engine.wire import whole_number

EARLIER_REFUSED = 451
"""Refused because of an earlier refusal, already told."""

USUAL_LINE = 1024
"""Octets, until the server says how many it takes."""


class Sending:
    """The outbox, with its events.

    Attributes:
        max_line: octets of the longest line the server takes.
    """

    def __init__(self, random: Random, memory: Memory, told: list[events.Event]) -> None:
        self.max_line = USUAL_LINE
        self._memory = memory
        self._outbox = Outbox(random, memory)
        self._events = told
        self._delay_told = False  # why SENDs have to wait, until one is acknowledged
        for outgoing in memory.open.values():
            told.append(events.SendPending(outgoing.number, outgoing.to, outgoing.text))

    def __len__(self) -> int:
        return len(self._outbox)

    def add(self, to: str, text: str) -> int:
        outgoing = self._outbox.add(to, text)
        self._events.append(events.SendPending(outgoing.number, to, text))
        return outgoing.number

    def reconnected(self) -> None:
        self._outbox.reconnected()

    def tick(self, now: float) -> None:
        self._outbox.tick(now)

    def longest(self, to: str) -> int:
        """Octets of the longest text, as of somebody with nc."""
        return self.max_line - (0 if to == EVERYBODY else len(f">> {to}: "))

    def write(self, dialogue: Dialogue) -> None:
        offset = self._memory.numbered_from or 0
        while outgoing := self._outbox.next():
            line = wire.send_line(
                outgoing.number, outgoing.number + offset, outgoing.to, outgoing.text
            )
            room = self.longest(outgoing.to)
            if wire.octets(outgoing.text) <= room:
                dialogue.send(outgoing.number, line)
            else:
                self._outbox.unwritable(outgoing.number)
                self._refuse(outgoing, 502, f"too long: a line has at most {room} octets")

    def acknowledged(self, number: int, rest: str, now: float) -> int:
        """Take the words of a ``+OK``; return the id.

        Raises:
            ProtocolError: they name none.
        """
        word, _, more = rest.partition(" ")
        identifier = whole_number(word.removeprefix("id="))
        done = self._outbox.answered(number, now)
        self._delay_told = False
        again = "again" in more.split()
        self._events.append(events.SendAcknowledged(number, identifier, done.to, done.text, again))
        return identifier

    def refused(self, number: int, code: int, text: str, now: float) -> None:
        """Take an ``-ERR``: repeat what is refused for now, and say why once."""
        if code >= 500:
            self._refuse(self._outbox.answered(number, now), code, text.removeprefix("again "))
            return
        self._outbox.refused_for_now(now)
        if code != EARLIER_REFUSED and not self._delay_told:
            self._delay_told = True
            self._events.append(events.SendDelayed(number, code, text))

    def _refuse(self, outgoing: Outgoing, code: int, reason: str) -> None:
        number, to, text = outgoing.number, outgoing.to, outgoing.text
        self._events.append(events.SendRefused(number, to, text, code, reason))
