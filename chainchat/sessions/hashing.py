"""Hashes passwords in a thread: the reactor's must not wait twenty milliseconds."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from time import monotonic
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from chainchat.chat.refusals import Code, RefusedError

T = TypeVar("T")

THREADS = 1
"""More threads would take processors from turns, though hashing frees Python's lock."""

MOST_WAITING = 16
"""Unfinished hashes: two thirds of a second, with the rests. More are refused."""

BUSY_SECONDS = 2

NOT_HASHED = f"the password could not be checked: wait {BUSY_SECONDS} seconds, and try again"

log = Logger()


class Hashing(Protocol):
    """Does slow work elsewhere."""

    def start(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[RefusedError], None],
        *,
        rank: float = 0.0,
        rest: float = 1.0,
    ) -> None:
        """Do ``work``; then call ``done`` with what it returned, or ``failed``.

        Args:
            rank: the lowest goes first, and takes the place of the highest.
            rest: idle time afterwards, in units of the work's.

        Raises:
            RefusedError: 435, too much waits already.
        """


class Job(Struct, frozen=True, eq=False):
    """Work that waits; see ``Hashing``."""

    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[RefusedError], None]
    rank: float
    rest: float


_rank = attrgetter("rank")


class ThreadedHashing:
    """Hashes in a thread, begun when needed."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, THREADS, "passwords")
        self._waiting: list[Job] = []
        self._busy = False
        self._rests_until = 0.0
        self._alarm: Any = None

    def start(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[RefusedError], None],
        *,
        rank: float = 0.0,
        rest: float = 1.0,
    ) -> None:
        """Start work; the reactor's thread calls ``done`` or ``failed``."""
        job = Job(work, done, failed, rank, rest)
        if len(self._waiting) + self._busy >= MOST_WAITING:
            text = f"too many passwords wait to be checked: wait {BUSY_SECONDS} seconds"
            refusal = RefusedError(Code.TOO_MANY_ATTEMPTS, text)
            last = max(reversed(self._waiting), key=_rank)
            if last.rank <= rank:
                raise refusal
            self._waiting.remove(last)
            last.failed(refusal)
        self._waiting.append(job)
        self._go_on()

    def _go_on(self) -> None:
        if self._busy or not self._waiting or self._alarm is not None:
            return
        rests = self._rests_until - self._reactor.seconds()
        if rests > 0:
            self._alarm = self._reactor.callLater(rests, self._rested)
            return
        if not self._pool.started:
            # However the process ends: it would wait for these threads for ever.
            self._reactor.addSystemEventTrigger("during", "shutdown", self.stop)
            self._pool.start()
        self._busy = True
        job = min(self._waiting, key=_rank)
        self._waiting.remove(job)
        deferred = deferToThreadPool(self._reactor, self._pool, _timed, job.work)
        deferred.addCallbacks(lambda found: self._done(job, *found), partial(self._failed, job))
        deferred.addErrback(
            lambda failure: log.failure("after a password was hashed", failure, event="bug")
        )
        deferred.addBoth(lambda _: self._go_on())

    def _rested(self) -> None:
        self._alarm = None
        self._go_on()

    def _done(self, job: Job, value: object, seconds: float) -> None:
        self._busy = False
        # So hashes never take a whole processor.
        self._rests_until = self._reactor.seconds() + job.rest * seconds
        job.done(value)

    def _failed(self, job: Job, failure: Failure) -> None:
        self._busy = False
        log.failure("a password could not be hashed", failure, event="bug")
        job.failed(RefusedError(Code.TOO_MANY_ATTEMPTS, NOT_HASHED))

    def stop(self) -> None:
        self._waiting.clear()
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        if self._pool.started:
            self._pool.stop()


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = monotonic()
    value = work()
    return value, monotonic() - began
