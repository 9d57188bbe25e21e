"""Passwords are hashed by threads of their own, a bounded number at a time."""

import threading

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from chainchat.chat.refusals import Code, RefusedError
from chainchat.sessions.hashing import MOST_WAITING, ThreadedHashing


@pytest.fixture
def hashing():
    hashing = ThreadedHashing(reactor)
    yield hashing
    hashing.stop()


@pytest_twisted.ensureDeferred
async def test_the_work_is_done_by_another_thread_and_the_result_is_the_reactors(hashing):
    done = Deferred()
    hashing.start(
        threading.get_ident,
        lambda worker: done.callback((worker, threading.get_ident())),
        done.errback,
    )
    worker, here = await done
    assert here == threading.get_ident() != worker


@pytest_twisted.ensureDeferred
async def test_more_than_a_few_that_wait_are_refused_until_some_are_done(hashing):
    go_on, results, done = threading.Event(), [], Deferred()

    def finished(result):
        results.append(result)
        if len(results) == MOST_WAITING:
            done.callback(None)

    for number in range(MOST_WAITING):
        hashing.start(lambda number=number: go_on.wait() and number, finished, done.errback)
    with pytest.raises(RefusedError, match="435 too many passwords wait to be checked"):
        hashing.start(int, finished, done.errback)
    go_on.set()
    await done
    assert sorted(results) == list(range(MOST_WAITING))
    last = Deferred()
    hashing.start(int, last.callback, last.errback)
    assert await last == 0


@pytest_twisted.ensureDeferred
async def test_no_thread_is_there_before_it_is_needed_nor_after_the_end(hashing):
    before = threading.active_count()
    done = Deferred()
    hashing.start(int, done.callback, done.errback)
    assert await done == 0
    hashing.stop()
    assert threading.active_count() == before


@pytest_twisted.ensureDeferred
async def test_who_waits_for_a_hash_that_fails_is_refused(hashing, logged_failures):
    for _ in range(MOST_WAITING + 1):  # and takes nobody's place for ever
        refused = Deferred()
        hashing.start(lambda: 1 / 0, lambda _: None, refused.callback)
        assert (await refused).code == Code.TOO_MANY_ATTEMPTS
    assert "ZeroDivisionError" in logged_failures.pop()
    logged_failures.clear()
