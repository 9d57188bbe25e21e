"""Hashes passwords in threads, since each takes twenty milliseconds."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, Protocol, TypeVar

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from chainchat.chat.refusals import Code, RefusedError

T = TypeVar("T")

THREADS = 1
"""More would take processors from the turns, though hashing gives Python's lock away."""

MOST_WAITING = 16
"""Hashes begun and not done: two thirds of a second, with the rests. More are refused."""

BUSY_SECONDS = 2
"""How long who was refused is told to wait."""

NOT_HASHED = f"the password could not be checked: wait {BUSY_SECONDS} seconds, and try again"

log = Logger()


class Hashing(Protocol):
    """Does slow work elsewhere."""

    def start(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[RefusedError], None],
    ) -> None:
        """Do ``work``; then call ``done`` with what it returned, or ``failed`` with a refusal.

        Raises:
            RefusedError: 435, too much waits already.
        """


class ThreadedHashing:
    """Hashing in a few threads, which begin when they are needed."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, THREADS, "passwords")
        self._waiting = 0

    def start(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[RefusedError], None],
    ) -> None:
        """See ``Hashing``; the reactor's thread calls ``done`` or ``failed``."""
        if self._waiting >= MOST_WAITING:
            text = f"too many passwords wait to be checked: wait {BUSY_SECONDS} seconds"
            raise RefusedError(Code.TOO_MANY_ATTEMPTS, text)
        if not self._pool.started:
            # However the process ends: it would wait for these threads for ever.
            self._reactor.addSystemEventTrigger("during", "shutdown", self.stop)
            self._pool.start()
        self._waiting += 1

        def over(result: Any) -> Any:
            self._waiting -= 1
            return result

        def refuse(failure: Failure) -> None:
            log.failure("a password could not be hashed", failure, event="bug")
            failed(RefusedError(Code.TOO_MANY_ATTEMPTS, NOT_HASHED))

        deferred = deferToThreadPool(self._reactor, self._pool, _spaced(work))
        deferred.addBoth(over).addCallbacks(done, refuse)
        deferred.addErrback(
            lambda failure: log.failure("after a password was hashed", failure, event="bug")
        )

    def stop(self) -> None:
        """End the threads."""
        if self._pool.started:
            self._pool.stop()


def _spaced(work: Callable[[], T]) -> Callable[[], T]:
    """The work, and then as long a rest: so hashes never take a whole processor."""

    def spaced() -> T:
        began = monotonic()
        try:
            return work()
        finally:
            sleep(monotonic() - began)

    return spaced
