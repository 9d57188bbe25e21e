"""Handshakes take a share of the time, in turn, and none is forgotten."""

import pytest
from twisted.internet.task import Clock

from chainchat.node.budget import HANDSHAKE_SHARE
from chainchat.tls.handshakes import Handshakes

COST = 0.001


class Stranger:
    """A connection whose steps take a millisecond each."""

    def __init__(self, clock, stepped):
        self.clock, self.stepped = clock, stepped
        self.reads = True
        self.transport = self

    def pauseProducing(self):  # noqa: N802 - Twisted's name
        self.reads = False

    def resumeProducing(self):  # noqa: N802 - Twisted's name
        self.reads = True

    def shake_hands(self, data):
        self.stepped.append((self.clock.seconds(), data))
        self.clock.rightNow += COST


@pytest.fixture
def clock():
    return Clock()


def test_one_alone_does_not_wait(clock):
    stepped = []
    handshakes, stranger = Handshakes(clock), Stranger(clock, stepped)
    handshakes.take(stranger, b"hello")
    assert stepped == [(0.0, b"hello")]
    assert stranger.reads


def test_many_take_their_part_of_the_time_one_after_another(clock):
    stepped = []
    handshakes = Handshakes(clock)
    strangers = [Stranger(clock, stepped) for _ in range(100)]
    for number, stranger in enumerate(strangers):
        handshakes.take(stranger, b"%d" % number)
    assert [stranger.reads for stranger in strangers] == [True] + [False] * 99
    while len(stepped) < 100:
        clock.advance(0.0001)
    assert [data for _, data in stepped] == [b"%d" % number for number in range(100)]
    assert all(stranger.reads for stranger in strangers)
    assert stepped[-1][0] == pytest.approx(99 * COST / HANDSHAKE_SHARE, rel=0.1)


def test_who_has_gone_takes_no_time(clock):
    stepped = []
    handshakes = Handshakes(clock)
    strangers = [Stranger(clock, stepped) for _ in range(3)]
    for number, stranger in enumerate(strangers):
        handshakes.take(stranger, b"%d" % number)
    handshakes.forget(strangers[1])
    clock.pump([0.001] * 5)
    assert [data for _, data in stepped] == [b"0", b"2"]
    assert not strangers[1].reads


def test_when_all_who_wait_have_gone_no_timer_is_left(clock):
    handshakes = Handshakes(clock)
    strangers = [Stranger(clock, []) for _ in range(3)]
    for stranger in strangers:
        handshakes.take(stranger, b"")
    for stranger in strangers:
        handshakes.forget(stranger)
    assert not clock.getDelayedCalls()
