"""Reads, answered by the tail from its committed state (paper, section 2).

Like a replica, it takes inputs at any time and acts in its next ``turn``, which runs after the
replica's: so an answer shows at least everything that was committed when the question came.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chainchat.chain.configuration import Configuration
from chainchat.chain.messages import Answer, Message, Read
from chainchat.chain.replica import Send


class Answered(Struct, frozen=True):
    """The answer to the question that ``ask`` numbered."""

    number: int
    answer: bytes


class Reads:
    """The questions of one node, and, at the tail, those of all.

    A question is asked again, of the new tail, in every new configuration and on every new
    connection until it is answered; reading twice does no harm.
    """

    def __init__(self, position: str, evaluate: Callable[[bytes], bytes]) -> None:
        """No questions yet.

        Args:
            position: this node's name.
            evaluate: answers a query from the committed state.
        """
        self._position = position
        self._evaluate = evaluate
        self._configuration = Configuration()
        self.active = False
        self._numbered = 0
        self._unanswered: dict[int, bytes] = {}
        self._unasked: list[int] = []
        self._asked_here: list[tuple[str, Read]] = []
        self._answers: list[Answered] = []

    def ask(self, query: bytes) -> int:
        """Take a question in; its number comes back with the answer."""
        self._numbered += 1
        self._unanswered[self._numbered] = query
        self._unasked.append(self._numbered)
        return self._numbered

    def adopt(self, configuration: Configuration) -> None:
        """Go on in another configuration, as soon as ``active`` says so."""
        self._configuration = configuration
        self.active = False
        self._asked_here = []
        self._unasked = list(self._unanswered)

    def linked(self, position: str) -> None:
        """A new connection with ``position``."""
        if self._configuration.members and position == self._configuration.tail:
            self._unasked = list(self._unanswered)

    def receive(self, sender: str, message: Read | Answer) -> None:
        """Take in a message of this epoch, while taking part in it."""
        match message:
            case Read() if self._configuration.tail == self._position:
                self._asked_here.append((sender, message))
            case Answer() if message.number in self._unanswered:
                del self._unanswered[message.number]
                self._answers.append(Answered(message.number, message.answer))
            case _:
                pass

    def turn(self) -> Iterator[Send | Answered]:
        """Everything that follows from the inputs since the last turn."""
        if self.active:
            epoch, tail = self._configuration.epoch, self._configuration.tail
            numbers, self._unasked = self._unasked, []
            for number in numbers:
                if number not in self._unanswered:
                    continue
                read = Read(epoch, number, self._unanswered[number])
                if tail == self._position:
                    self._asked_here.append((self._position, read))
                else:
                    yield Send(tail, read)
            asked, self._asked_here = self._asked_here, []
            for sender, read in asked:
                yield from self._reply(
                    sender, Answer(epoch, read.number, self._evaluate(read.query))
                )
        answers, self._answers = self._answers, []
        yield from answers

    def _reply(self, asker: str, answer: Answer) -> Iterator[Send]:
        if asker == self._position:
            self.receive(asker, answer)
        else:
            message: Message = answer
            yield Send(asker, message)
