"""Reads, answered by the tail from its committed state (paper, section 2).

Inputs take effect in the next ``turn``, after the replica's.

An answer is never older than its question:

- *read what was told*: a question waits until the tail has applied all that it had committed when
  the question came, which is all that anybody had been told: the tail commits first.
- *lease*: after the tail has read its state, no other chain can have begun yet. Without the lease,
  the question waits until an entry submitted after it is applied here, which proves that no other
  chain had begun when the question came.
- *not again*: a question whose price its asker chooses is put to one tail only, which may die of
  it.
"""

from collections import deque
from collections.abc import Callable, Iterator

from msgspec import Struct

from chainchat.chain.configuration import Configuration, Life
from chainchat.chain.effects import Answered, Distrust, GivenUp, Send
from chainchat.chain.messages import Answer, BadMessageError, Read

ON_THEIR_WAY = 64
"""Questions of one node at the tail; further ones wait, and delay no other node's."""

MOST_QUEUED = 1_024
"""Questions at the tail: more than all nodes have on their way."""


class Barrier(Struct, frozen=True):
    """Submit an entry that changes nothing; call ``passed`` once it is applied here."""

    number: int


Output = Send | Answered | GivenUp | Distrust | Barrier


class _Question(Struct):
    query: bytes
    again: bool
    tail: Life | None = None


class _Asked(Struct):
    """A question at the tail; ``proven``: a barrier has passed since."""

    sender: str
    read: Read
    committed: int
    proven: bool = False


class Reads:
    """One node's questions and, at the tail, those of all.

    An unanswered question goes to every new tail, and on every new connection (but *not again*).

    Attributes:
        barriers: how many were begun.
    """

    def __init__(
        self,
        position: str,
        evaluate: Callable[[bytes], bytes],
        holds_lease: Callable[[], bool],
        *,
        committed: Callable[[], int],
        applied: Callable[[], int],
    ) -> None:
        """Begin without questions.

        Args:
            evaluate: answers a query from the applied state, in bounded time; raises
                BadMessageError for octets that are no query.
            holds_lease: no other chain can have begun yet, and this node has applied an entry of
                this epoch.
        """
        self._position = position
        self._evaluate = evaluate
        self._holds_lease = holds_lease
        self._committed = committed
        self._applied = applied
        self.barriers = 0
        self._behind: dict[int, list[_Asked]] = {}
        self._configuration = Configuration()
        self.active = False
        self._numbered = 0
        self._questions: dict[int, _Question] = {}
        self._unasked: deque[int] = deque()
        self._on_their_way: set[int] = set()
        self._queue: deque[_Asked] = deque()
        self._arrived: deque[Answered | GivenUp] = deque()
        self._full: set[str] = set()

    # --- inputs

    def ask(self, query: bytes, *, again: bool = True) -> int:
        """Take in a question and return its number; without ``again``, it is *not again*."""
        self._numbered += 1
        self._questions[self._numbered] = _Question(query, again)
        self._unasked.append(self._numbered)
        return self._numbered

    def adopt(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.active = False
        self._queue.clear()
        self._behind = {}
        for number in [n for n, one in self._questions.items() if self._is_lost(one)]:
            del self._questions[number]
            self._arrived.append(GivenUp(number))
        self._ask_all_again()

    def _is_lost(self, question: _Question) -> bool:
        """*not again*: return whether the only tail that was asked is gone."""
        if question.again or question.tail is None:
            return False
        return not self._configuration.has(question.tail)

    def _ask_all_again(self) -> None:
        self._unasked = deque(self._questions)
        self._on_their_way = set()

    def linked(self, position: str) -> None:
        if self._configuration.members and position == self._configuration.tail:
            self._ask_all_again()
        self._queue = deque(asked for asked in self._queue if asked.sender != position)
        for barrier, waiting in self._behind.items():
            self._behind[barrier] = [asked for asked in waiting if asked.sender != position]
        self._full.discard(position)

    def full(self, position: str, *, full: bool) -> None:
        (self._full.add if full else self._full.discard)(position)

    def receive(self, sender: str, message: Read | Answer) -> None:
        """Take in a message of this epoch, while active.

        Raises:
            BadMessageError: ``MOST_QUEUED`` questions wait.
        """
        match message:
            case Read() if self._configuration.tail == self._position:
                if len(self._queue) + sum(map(len, self._behind.values())) >= MOST_QUEUED:
                    raise BadMessageError("more questions than nodes ask at a time")
                self._queue.append(_Asked(sender, message, self._committed()))
            case Answer() if message.number in self._questions:
                self._close(message.number)
                self._arrived.append(Answered(message.number, message.answer))
            case _:
                pass

    def _close(self, number: int) -> None:
        del self._questions[number]
        self._on_their_way.discard(number)

    # --- the turn

    @property
    def busy(self) -> bool:
        if self._arrived:
            return True
        if not self._unasked and not self._queue:  # nearly always
            return False
        return self.active and (self._may_ask or self._may_reply)

    @property
    def _may_ask(self) -> bool:
        return bool(self._unasked) and len(self._on_their_way) < ON_THEIR_WAY

    @property
    def _may_reply(self) -> bool:
        return self._next_in_line is not None

    @property
    def _next_in_line(self) -> _Asked | None:
        """*read what was told*: the next question, or None until it may be answered."""
        for asked in self._queue:
            if asked.sender not in self._full:
                return asked if asked.committed <= self._applied() else None
        return None

    def turn(self, go_on: Callable[[], bool]) -> Iterator[Output]:
        if self.active:
            yield from self._ask_tail(go_on)
            yield from self._reply(go_on)
        while self._arrived:
            yield self._arrived.popleft()
            if not go_on():
                return

    def _ask_tail(self, go_on: Callable[[], bool]) -> Iterator[Send]:
        configuration = self._configuration
        tail = configuration.members[-1]
        while self._may_ask:
            number = self._unasked.popleft()
            question = self._questions.get(number)
            if question is None:
                continue
            question.tail = tail.life
            self._on_their_way.add(number)
            read = Read(configuration.epoch, number, question.query, configuration.identity)
            if tail.position == self._position:
                self.receive(self._position, read)
            else:
                yield Send(tail.position, read)
            if not go_on():
                return

    def _reply(self, go_on: Callable[[], bool]) -> Iterator[Output]:
        """Answer in order.

        *lease*: checked *after* reading the state; without the lease, all wait for one barrier.
        """
        while (asked := self._next_in_line) is not None:
            self._queue.remove(asked)
            try:
                answer = self._evaluate(asked.read.query)
            except BadMessageError as error:
                yield Distrust(asked.sender, str(error))
                continue
            if not asked.proven and not self._holds_lease():
                self.barriers += 1
                self._behind[self.barriers] = [asked, *self._queue]
                self._queue.clear()
                yield Barrier(self.barriers)
                return
            yield from self._give(asked, answer)
            if not go_on():
                return

    def _give(self, asked: _Asked, answer: bytes) -> Iterator[Send | Answered]:
        number = asked.read.number
        if asked.sender != self._position:
            epoch, identity = self._configuration.epoch, self._configuration.identity
            yield Send(asked.sender, Answer(epoch, number, answer, identity))
        elif number in self._questions:
            self._close(number)
            yield Answered(number, answer)

    def passed(self, barrier: int) -> None:
        """Answer first what waited for the barrier, whose entry is applied."""
        for asked in reversed(self._behind.pop(barrier, [])):
            asked.proven = True
            self._queue.appendleft(asked)
