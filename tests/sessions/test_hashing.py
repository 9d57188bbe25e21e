"""Passwords are hashed by threads of their own, a bounded number at a time."""

import threading
import time
from time import monotonic

import pytest
import pytest_twisted
from tcp import until
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


def held(hashing):
    """Keep the thread until the event that this returns is set."""
    go_on = threading.Event()
    hashing.start(go_on.wait, lambda _: None, lambda _: None)
    return go_on


@pytest_twisted.ensureDeferred
async def test_a_low_rank_comes_before_higher_ones_and_takes_a_place_from_the_highest(hashing):
    go_on, order, refused = held(hashing), [], []
    for number in range(MOST_WAITING - 1):
        hashing.start(lambda number=number: number, order.append, refused.append, rank=2.0)
    hashing.start(lambda: "known", order.append, refused.append, rank=1.0)
    hashing.start(lambda: "too", order.append, refused.append, rank=1.0)
    with pytest.raises(RefusedError, match="435 too many passwords wait to be checked"):
        hashing.start(int, order.append, refused.append, rank=2.0)
    assert [refusal.code for refusal in refused] == [Code.TOO_MANY_ATTEMPTS] * 2
    go_on.set()
    await until(lambda: len(order) == MOST_WAITING - 1)
    assert order == ["known", "too", *range(MOST_WAITING - 3)]


@pytest_twisted.ensureDeferred
async def test_after_each_the_thread_rests_in_proportion_to_the_work(hashing):
    times, done = [], Deferred()

    def work():
        times.append(monotonic())
        time.sleep(0.02)
        times.append(monotonic())

    hashing.start(work, lambda _: None, done.errback, rest=5.0)
    hashing.start(work, done.callback, done.errback)
    await done
    assert times[2] - times[1] >= 5 * 0.02


@pytest_twisted.ensureDeferred
async def test_no_thread_is_there_before_it_is_needed_nor_after_the_end(hashing):
    def threads():
        return [each for each in threading.enumerate() if "passwords" in each.name]

    assert threads() == []
    done = Deferred()
    hashing.start(threads, done.callback, done.errback)
    assert await done != []
    hashing.stop()
    assert threads() == []


@pytest_twisted.ensureDeferred
async def test_who_waits_for_a_hash_that_fails_is_refused(hashing, logged_failures):
    for _ in range(MOST_WAITING + 1):  # and takes nobody's place for ever
        refused = Deferred()
        hashing.start(lambda: 1 / 0, lambda _: None, refused.callback)
        assert (await refused).code == Code.TOO_MANY_ATTEMPTS
    assert "ZeroDivisionError" in logged_failures.pop()
    logged_failures.clear()
