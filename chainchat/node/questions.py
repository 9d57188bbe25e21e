"""Questions to the tail: asked by the clients here, or answered as the tail.

Answering gets a share of all time, since the asker chooses its price.
"""

from collections.abc import Callable

from chainchat.chain.effects import Answered, Effect, GivenUp
from chainchat.chain.engine import Engine
from chainchat.chain.entries import UNDECODABLE
from chainchat.chain.messages import BadMessageError
from chainchat.chat import queries
from chainchat.chat.queries import Page
from chainchat.chat.refusals import Code
from chainchat.node.budget import PAGE_SECONDS, READ_SECONDS, READ_SHARE, Slice
from chainchat.node.bugs import Bugs
from chainchat.node.interfaces import Clock
from chainchat.node.share import Share
from chainchat.node.state_machine import StateMachine
from chainchat.storage.interface import StorageError

BARRIERS_PER_SECOND, BARRIERS_AT_ONCE = 20, 200
"""Barriers in the long run, and after a pause: each is an entry, with which a reader could fill a
disk that is full for all else. Questions that come meanwhile share the next one."""


class Questions:
    """Who waits for which answer."""

    def __init__(
        self,
        state_machine: StateMachine,
        clock: Clock,
        *,
        new_slice: Callable[[float], Slice],
        wake: Callable[[], None],
        distrust: Callable[[str], None],
        bugs: Bugs,
    ) -> None:
        """``new_slice`` gives so many seconds of this turn; ``distrust`` is of the tail."""
        self._state_machine = state_machine
        self._new_slice = new_slice
        self._distrust = distrust
        self._clock = clock
        self._bugs = bugs
        self._share = Share(clock, wake, READ_SHARE)
        self._paid_until = 0.0
        """When all barriers will be paid for, in monotonic seconds."""
        self._askers: dict[int, Callable[[Page], None]] = {}

    def ask(
        self, engine: Engine, query: bytes, answered: Callable[[Page], None], again: bool
    ) -> None:
        """``again``: of the next tail, too, if this one does not survive the question."""
        self._askers[engine.ask(query, again=again)] = answered

    def turn(self, engine: Engine, perform: Callable[[Effect], None]) -> bool:
        """Ask, answer and hand out answers, if it is time; return whether it was."""
        due = self._share.is_due
        if due:
            reading, barriers = self._new_slice(READ_SECONDS), engine.reads.barriers
            for effect in engine.answer(reading.left):
                perform(effect)
            self._share.took(reading.spent())
            if engine.reads.barriers > barriers:
                self._pay_for_barrier()
        if engine.reads.busy:
            self._share.wake_when_due()
        return due

    def _pay_for_barrier(self) -> None:
        now = self._clock.seconds()
        self._paid_until = max(self._paid_until, now) + 1 / BARRIERS_PER_SECOND
        self._share.rest(self._paid_until - now - (BARRIERS_AT_ONCE - 1) / BARRIERS_PER_SECOND)

    def evaluate(self, query: bytes) -> bytes:
        """Answer as the tail; a bug is answered, too, or one question would end tail after tail.

        Raises:
            BadMessageError: it is no query.
            StorageError: the disk failed.
        """
        try:
            return self._state_machine.evaluate(query, self._new_slice(PAGE_SECONDS))
        except (BadMessageError, StorageError):
            raise
        except Exception as error:  # reading has changed nothing
            self._bugs.note(error, "a question")
            return queries.encode(Page(refused=Code.SEARCH_BROKE))

    def settle(self, effect: Answered | GivenUp) -> None:
        asker = self._askers.pop(effect.number)
        asker(self._page(effect.answer) if isinstance(effect, Answered) else queries.GIVEN_UP)

    def _page(self, answer: bytes) -> Page:
        try:
            return queries.decode_page(answer)
        except UNDECODABLE as error:
            self._distrust(f"an answer that does not fit: {error}")
            return queries.GIVEN_UP

    def stop(self) -> None:
        self._share.stop()
