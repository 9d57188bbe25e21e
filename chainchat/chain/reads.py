"""Reads, answered by the tail from its committed state (paper, section 2).

Like a replica, it takes inputs at any time and acts in its next ``turn``, which runs after the
replica's: so an answer shows at least everything that was committed when the question came.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chainchat.chain.configuration import Configuration
from chainchat.chain.messages import Answer, Read
from chainchat.chain.replica import Send


class Answered(Struct, frozen=True):
    """The answer to the question that ``ask`` numbered."""

    number: int
    answer: bytes


class Barrier(Struct, frozen=True):
    """Submit an entry that changes nothing; when it was applied here, call ``passed``."""

    number: int


class Reads:
    """The questions of one node, and, at the tail, those of all.

    A question is asked again, of the new tail, in every new configuration and on every new
    connection until it is answered; reading twice does no harm.
    """

    def __init__(
        self, position: str, evaluate: Callable[[bytes], bytes], holds_lease: Callable[[], bool]
    ) -> None:
        """No questions yet.

        Args:
            position: this node's name.
            evaluate: answers a query from the committed state.
            holds_lease: whether the committed state here is the newest: no other chain can have
                gone on without this node yet, and it has applied an entry of this epoch.
        """
        self._position = position
        self._evaluate = evaluate
        self._holds_lease = holds_lease
        self._barriers = 0
        self._behind: dict[int, list[tuple[str, Read]]] = {}
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
        self._behind = {}
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

    def turn(self) -> Iterator[Send | Answered | Barrier]:
        """Everything that follows from the inputs since the last turn."""
        if self.active:
            yield from self._ask_tail()
            yield from self._reply()
        answers, self._answers = self._answers, []
        yield from answers

    def _ask_tail(self) -> Iterator[Send]:
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

    def _reply(self) -> Iterator[Send | Barrier]:
        """Tail: answer what was asked (rule 13).

        The lease is looked at *after* the state was read. Without it another chain may have gone on
        already; then the answers wait until an entry that was submitted after the questions came is
        committed in this configuration, which proves that none had.
        """
        asked, self._asked_here = self._asked_here, []
        if not asked:
            return
        answers = [(sender, self._answer(read)) for sender, read in asked]
        if not self._holds_lease():
            self._barriers += 1
            self._behind[self._barriers] = asked
            yield Barrier(self._barriers)
            return
        for sender, answer in answers:
            if sender == self._position:
                self.receive(sender, answer)
            else:
                yield Send(sender, answer)

    def passed(self, barrier: int) -> Iterator[Send]:
        """The entry of this barrier was committed: answer what waited for it."""
        for sender, read in self._behind.pop(barrier, []):
            answer = self._answer(read)
            if sender == self._position:
                self.receive(sender, answer)
            else:
                yield Send(sender, answer)

    def _answer(self, read: Read) -> Answer:
        return Answer(self._configuration.epoch, read.number, self._evaluate(read.query))
