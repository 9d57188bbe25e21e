"""News: each turn's messages reach whom they concern, in slices, in order, once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.modes.human import HUMAN
from chainchat.chat.modes.machine import MACHINE
from chainchat.chat.outcomes import Said
from chainchat.node.budget import Slice
from chainchat.node.times import DAY
from chainchat.sessions.delivery import Delivery, render
from chainchat.sessions.news import KEPT_OCTETS, PUSHES_AT_ONCE, News

TIME = 1_795_345_387_120


class Log:
    """The messages, as a history gives them."""

    def __init__(self):
        self.said = []

    def previous(self, account, before):
        return max((s.id for s in self.missed(account, 0) if s.id < before), default=0)

    def missed(self, account, after):
        return [
            s
            for s in self.said
            if s.id > after and s.recipient in (0, account) and s.sender_account != account
        ]


class Session:
    """A session that notes what it is pushed."""

    def __init__(self, house, account, mode):
        self.house, self.account, self.mode = house, account, mode
        self.name = f"n{account}"
        self.ids, self.data, self.behind, self.told = [], b"", False, False

    def push(self, data, newest):
        self.house.worked += 1.0
        self.data += data
        lines = data.decode().split("\r\n")[:-1]
        self.ids += [int(line.split()[1] if line[0] == "M" else line[1:].split()[0])
                     for line in lines if line[0] != "*"]  # fmt: skip
        assert self.ids[-1] == newest

    def lacks_nothing(self):
        self.told = True

    def fell_behind(self):
        self.behind = True


class House:
    def __init__(self, count, mode=HUMAN):
        self.worked, self.wakes, self.log = 0.0, 0, Log()
        self.news = News(self.wake)
        self.sessions = [Session(self, account, mode) for account in range(1, count + 1)]
        self.deliveries = [Delivery(session, self.log, 0) for session in self.sessions]
        for delivery in self.deliveries:
            self.news.now_live(delivery)

    def wake(self):
        self.wakes += 1

    def say(self, sender=99, to=0):
        id_ = len(self.log.said) + 1
        time = TIME + id_ * DAY // 8
        one = Said(id_, time, sender, f"n{sender}", to, f"n{to}" if to else "*", f"text {id_}")
        self.log.said.append(one)
        self.news.add([one])

    def turn(self, pushes=1_000):
        self.news.push(Slice(lambda: self.worked, pushes - 0.5))

    def expected(self, session):
        return [said.id for said in self.log.missed(session.account, 0)]


def test_a_broadcast_goes_out_in_slices_and_asks_for_more_turns():
    house = House(2 * PUSHES_AT_ONCE)
    house.say()
    served = []
    for _ in range(3):
        house.turn(pushes=1)
        served.append(sum(len(session.ids) for session in house.sessions))
    # The first has a rendering of its own, which the others share.
    assert served == [1, 1 + PUSHES_AT_ONCE, 2 * PUSHES_AT_ONCE]
    assert [session.ids for session in house.sessions] == [[1]] * len(house.sessions)
    assert house.wakes == 2


def test_after_rendering_for_one_alone_the_clock_is_looked_at():
    house = House(5)
    for session in house.sessions:
        house.say(sender=session.account)
    house.turn(pushes=1)
    assert [len(session.ids) for session in house.sessions] == [4, 0, 0, 0, 0]
    for _ in range(4):
        house.turn(pushes=1)
    assert [session.ids for session in house.sessions] == [
        house.expected(session) for session in house.sessions
    ]


def test_who_is_served_late_is_pushed_more_at_once_in_order():
    house = House(4 * PUSHES_AT_ONCE)
    for _ in range(3):
        house.say()
        house.turn(pushes=1)
    pushes = house.worked
    house.turn()
    assert [session.ids for session in house.sessions] == [[1, 2, 3]] * len(house.sessions)
    assert house.worked - pushes <= len(house.sessions)


@pytest.mark.parametrize("mode", [HUMAN, MACHINE])
def test_a_private_message_touches_nobody_but_its_recipient(mode):
    house = House(1_000, mode)
    house.say(sender=1, to=2)
    house.turn()
    assert house.worked == 1
    assert [s.account for s in house.sessions if s.ids] == [2]


def test_a_sender_is_not_pushed_its_own_message():
    house = House(3)
    house.say(sender=2)
    house.say(sender=99)
    house.turn()
    assert [session.ids for session in house.sessions] == [[1, 2], [2], [1, 2]]


@pytest.mark.parametrize("to", [0, 2])
def test_who_lacked_an_issue_in_which_nothing_concerned_them_is_told_so(to):
    house = House(PUSHES_AT_ONCE + 1)
    house.say(sender=1)
    if to:
        house.say(sender=99, to=to)
    house.turn(pushes=0)
    house.turn()
    first = house.sessions[0]
    assert (first.ids, first.told) == ([], True)


def test_who_is_no_more_live_is_pushed_nothing_and_the_log_has_the_rest():
    house = House(2)
    house.say()
    house.news.no_more_live(house.deliveries[0])
    house.turn()
    assert [session.ids for session in house.sessions] == [[], [1]]
    assert not house.news.lacks(house.deliveries[0])


def test_who_falls_too_far_behind_reads_the_log():
    house = House(3 * PUSHES_AT_ONCE)
    house.say()
    house.turn(pushes=1)
    for _ in range(KEPT_OCTETS // 64):
        house.say()
    house.turn(pushes=1)
    house.say()
    house.turn(pushes=1)
    assert {session.behind for session in house.sessions} == {True, False}
    for session, delivery in zip(house.sessions, house.deliveries, strict=True):
        assert session.behind is not delivery.live
        assert session.ids == house.expected(session)[: len(session.ids)]


@given(
    st.sampled_from([HUMAN, MACHINE]),
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.integers(1, 6), st.integers(0, 5)),
            st.tuples(st.just("turn"), st.integers(0, 4), st.just(0)),
        ),
        max_size=60,
    ),
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_happens_everybody_is_pushed_all_that_concerns_them_once_in_order(mode, steps):
    house = House(2 * PUSHES_AT_ONCE, mode)
    for step, number, to in steps:
        if step == "say":
            house.say(sender=number, to=to)
        else:
            house.turn(pushes=number)
    house.turn()
    for session in house.sessions:
        expected = house.log.missed(session.account, 0)
        assert session.ids == [said.id for said in expected]
        alone = Delivery(session, house.log, 0)
        if expected:
            assert session.data == render(alone, expected)[0]
