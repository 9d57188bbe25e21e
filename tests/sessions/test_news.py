"""News: each turn's messages reach whom they concern, in slices, in order, once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chainchat.chat.modes.human import HUMAN
from chainchat.chat.modes.machine import MACHINE
from chainchat.chat.outcomes import Said
from chainchat.node.budget import PUSH_SHARE, Slice
from chainchat.node.times import DAY
from chainchat.sessions.delivery import Delivery, render
from chainchat.sessions.news import ENOUGH, KEPT_OCTETS, LONGEST_SECONDS, PUSHES_AT_ONCE, News

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
        self.clock = Clock()
        self.news = News(self.clock, self.wake)
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

    def finish(self):
        """Let rests pass, and turns, until nobody lacks anything."""
        while self.news.waiting:
            self.clock.advance(1_000.0)
            self.turn()

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


def test_what_is_said_while_an_issue_is_pushed_goes_out_together_to_all_alike():
    house = House(4 * PUSHES_AT_ONCE)
    for _ in range(3):
        house.say()
        house.turn(pushes=1)
    house.finish()
    assert [session.ids for session in house.sessions] == [[1, 2, 3]] * len(house.sessions)
    assert house.worked == 2 * len(house.sessions)


def test_after_a_long_issue_what_is_said_waits_a_little():
    house = House(4)
    house.say()
    house.turn(pushes=1)
    house.say()
    house.turn()
    assert house.worked == 4
    [rest] = house.clock.getDelayedCalls()
    assert rest.getTime() == pytest.approx(LONGEST_SECONDS * (1 / PUSH_SHARE - 1))
    house.say()
    house.turn()
    assert house.worked == 4
    wakes = house.wakes
    house.clock.advance(rest.getTime())
    assert house.wakes == wakes + 1
    house.turn()
    assert house.worked == 8
    assert [session.ids for session in house.sessions] == [[1, 2, 3]] * 4


def test_a_rest_ends_when_enough_was_said():
    house = House(4)
    house.say()
    house.turn(pushes=1)
    for _ in range(ENOUGH):
        house.say()
    house.turn()
    assert [len(session.ids) for session in house.sessions] == [1 + ENOUGH] * 4


def test_who_waits_for_everybody_before_the_next_line_does_not_wait_for_a_rest():
    house = House(4)
    for said in range(1, 4):
        house.say()
        house.turn()
        assert [len(session.ids) for session in house.sessions] == [said] * 4


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


def too_much(house, to=0):
    """Begin to push a line; say what is too much for the next issue."""
    house.say()
    house.turn(pushes=1)
    for _ in range(KEPT_OCTETS // 64):
        house.say(to=to)


def test_when_too_much_is_said_everybody_reads_the_log_in_slices():
    house = House(3 * PUSHES_AT_ONCE)
    too_much(house)
    house.finish()
    assert all(session.behind for session in house.sessions)
    assert [session.ids for session in house.sessions] == [[1]] * len(house.sessions)
    assert not house.news.live
    house.say()
    assert not house.news.waiting


def test_when_too_much_is_said_in_private_its_recipient_alone_reads_the_log():
    house = House(3 * PUSHES_AT_ONCE)
    too_much(house, to=2)
    served, last = house.deliveries[1], house.deliveries[-1]
    while house.news.lacks(last):
        assert house.news.lacks(served)
        house.turn(pushes=1)
    house.finish()
    house.say()
    house.finish()
    behind = [session.account for session in house.sessions if session.behind]
    assert behind == [2]
    assert house.sessions[1].ids == [1]
    assert all(s.ids == house.expected(s) for s in house.sessions if not s.behind)


def test_who_has_read_from_the_log_what_waits_is_not_pushed_it_again():
    house = House(3)
    first = house.deliveries[0]
    house.say()
    house.turn(pushes=1)
    house.news.no_more_live(first)
    house.say()  # it waits, and the log has it
    first.push(b"#2 text 2\r\n", 2)
    house.news.now_live(first)
    assert house.news.lacks(first)
    house.say()
    house.finish()
    assert house.sessions[0].ids == [1, 2, 3]
    assert not house.news.lacks(first)


def test_who_has_read_all_that_waits_is_told_that_there_is_nothing():
    house = House(3)
    house.say()
    house.turn(pushes=0)
    house.news.no_more_live(house.deliveries[2])
    house.say()
    house.deliveries[2].push(b"#1 text 1\r\n#2 text 2\r\n", 2)
    house.news.now_live(house.deliveries[2])
    house.finish()
    assert (house.sessions[2].ids, house.sessions[2].told) == ([1, 2], True)


@given(
    st.sampled_from([HUMAN, MACHINE]),
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.integers(1, 6), st.integers(0, 5)),
            st.tuples(st.just("turn"), st.integers(0, 4), st.integers(0, 5)),
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
            house.clock.advance(to * LONGEST_SECONDS)
    house.finish()
    for session in house.sessions:
        expected = house.log.missed(session.account, 0)
        assert session.ids == [said.id for said in expected]
        alone = Delivery(session, house.log, 0)
        if expected:
            assert session.data == render(alone, expected)[0]
