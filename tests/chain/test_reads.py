"""Reads: the tail answers in slices, at once with the lease, otherwise behind a barrier."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Answered, GivenUp, Send
from chainchat.chain.messages import Answer, Read
from chainchat.chain.reads import ON_THEIR_WAY, Barrier, Reads


def configuration(epoch, *positions):
    return Configuration(epoch, tuple(Member(p, f"id-{p}", 1) for p in positions))


class Reader:
    """The reads of one node, whose state is the number of applied entries.

    ``time``: how many pieces of work a turn has time for.
    """

    def __init__(self, position, *positions, epoch=1):
        self.committed = self.applied = 10
        self.lease = True
        self.time = 1_000
        self.evaluated = []
        self.reads = Reads(
            position,
            self.answer,
            lambda: self.lease,
            committed=lambda: self.committed,
            applied=lambda: self.applied,
        )
        for name in ("ask", "adopt", "linked", "full", "receive", "passed"):
            setattr(self, name, getattr(self.reads, name))
        self.go_on(epoch, *positions)

    def turn(self):
        left = iter(range(self.time - 1))
        return self.reads.turn(lambda: next(left, None) is not None)

    @property
    def busy(self):
        return self.reads.busy

    def commit(self, seq):
        self.committed = self.applied = seq

    def go_on(self, epoch, *positions):
        self.adopt(configuration(epoch, *positions))
        self.reads.active = True

    def answer(self, query):
        self.evaluated.append(query)
        return query + b" at %d" % self.applied


@pytest.fixture
def head():
    return Reader("head", "head", "tail")


@pytest.fixture
def tail():
    return Reader("tail", "head", "tail")


# --- asking ------------------------------------------------------------------------------


def test_a_question_goes_to_the_tail(head):
    assert [head.ask(b"one"), head.ask(b"two")] == [1, 2]
    assert list(head.turn()) == [
        Send("tail", Read(1, 1, b"one")),
        Send("tail", Read(1, 2, b"two")),
    ]
    assert list(head.turn()) == []


def test_an_answer_comes_back_with_the_number_of_its_question(head):
    number = head.ask(b"one")
    list(head.turn())
    head.receive("tail", Answer(1, number, b"found"))
    assert list(head.turn()) == [Answered(number, b"found")]


def test_a_question_is_answered_once(head):
    number = head.ask(b"one")
    list(head.turn())
    for _ in range(2):
        head.receive("tail", Answer(1, number, b"found"))
    head.receive("tail", Answer(1, 99, b"never asked"))
    assert list(head.turn()) == [Answered(number, b"found")]


def test_who_takes_no_part_asks_nobody_but_gives_answers_that_came(head):
    first = head.ask(b"one")
    list(head.turn())
    head.ask(b"two")
    head.receive("tail", Answer(1, first, b"found"))
    head.reads.active = False
    assert list(head.turn()) == [Answered(first, b"found")]
    head.reads.active = True
    assert list(head.turn()) == [Send("tail", Read(1, 2, b"two"))]


def test_on_a_new_connection_with_the_tail_it_is_asked_again(head):
    head.ask(b"one")
    [asked] = head.turn()
    head.linked("head")
    assert list(head.turn()) == []
    head.linked("tail")
    assert list(head.turn()) == [asked]


def test_what_was_answered_is_not_asked_again(head):
    number = head.ask(b"one")
    list(head.turn())
    head.receive("tail", Answer(1, number, b"found"))
    head.linked("tail")
    assert list(head.turn()) == [Answered(number, b"found")]


def test_in_a_new_configuration_the_new_tail_is_asked():
    node = Reader("middle", "head", "middle", "tail")
    node.ask(b"one")
    list(node.turn())
    node.go_on(2, "head", "middle", "newcomer")
    assert list(node.turn()) == [Send("newcomer", Read(2, 1, b"one"))]
    node.go_on(3, "head", "middle")
    assert list(node.turn()) == [Answered(1, b"one at 10")]


def test_a_connection_before_there_is_a_configuration_is_nothing():
    node = Reads("head", bytes, lambda: True, committed=int, applied=int)
    node.linked("tail")
    number = node.ask(b"one")
    assert list(node.turn(lambda: True)) == []
    assert number == 1


# --- with the lease ----------------------------------------------------------------------


def test_the_tail_answers_what_it_is_asked(tail):
    tail.receive("head", Read(1, 7, b"one"))
    tail.receive("head", Read(1, 8, b"two"))
    assert list(tail.turn()) == [
        Send("head", Answer(1, 7, b"one at 10")),
        Send("head", Answer(1, 8, b"two at 10")),
    ]
    assert list(tail.turn()) == []


def test_the_tail_answers_its_own_questions_in_the_same_turn(tail):
    number = tail.ask(b"one")
    assert list(tail.turn()) == [Answered(number, b"one at 10")]


def test_whoever_is_not_the_tail_answers_nothing(head):
    head.receive("tail", Read(1, 7, b"one"))
    assert list(head.turn()) == []
    assert head.evaluated == []


def test_the_lease_is_looked_at_after_the_state_was_read():
    order = []
    tail = Reads(
        "tail",
        lambda query: order.append("read") or query,
        lambda: order.append("lease"),
        committed=int,
        applied=int,
    )
    tail.adopt(configuration(1, "head", "tail"))
    tail.active = True
    tail.receive("head", Read(1, 7, b"one"))
    assert list(tail.turn(lambda: True)) == [Barrier(1)]
    assert order == ["read", "lease"]


# --- what is committed and not applied yet ------------------------------------------------


def test_a_question_waits_until_what_was_committed_when_it_came_is_applied(tail):
    tail.committed = 12
    tail.receive("head", Read(1, 7, b"one"))
    assert list(tail.turn()) == []
    tail.applied = 11
    assert list(tail.turn()) == []
    tail.applied = 12
    assert list(tail.turn()) == [Send("head", Answer(1, 7, b"one at 12"))]


def test_a_question_does_not_wait_for_what_is_committed_later(tail):
    tail.receive("head", Read(1, 7, b"one"))
    tail.committed = 12
    assert list(tail.turn()) == [Send("head", Answer(1, 7, b"one at 10"))]


def test_the_tails_own_question_waits_likewise(tail):
    tail.committed = 12
    own = tail.ask(b"one")
    assert list(tail.turn()) == []
    tail.applied = 13
    assert list(tail.turn()) == [Answered(own, b"one at 13")]


def test_a_turn_is_wanted_only_for_what_can_be_answered(tail):
    assert not tail.busy
    tail.committed = 12
    tail.receive("head", Read(1, 7, b"one"))
    assert not tail.busy
    tail.applied = 12
    assert tail.busy
    tail.reads.active = False
    assert not tail.busy
    assert list(tail.turn()) == []


@given(
    steps=st.lists(st.sampled_from(["commit", "apply", "ask", "turn"]), max_size=40),
    time=st.integers(1, 3),
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_no_answer_is_older_than_its_question(steps, time):
    tail = Reader("tail", "head", "tail")
    tail.time = time
    committed, answers = {}, []
    for step in [*steps, "apply", *["turn"] * 40]:
        match step:
            case "commit":
                tail.committed += 1
            case "apply":
                tail.applied = tail.committed
            case "ask":
                committed[len(committed)] = tail.committed
                tail.receive("head", Read(1, len(committed) - 1, b"one"))
            case "turn":
                answers += [effect.message for effect in tail.turn()]
    assert [answer.number for answer in answers] == list(committed)
    for answer in answers:
        assert int(answer.answer.split()[-1]) >= committed[answer.number]


# --- slices -------------------------------------------------------------------------------


def test_one_question_is_answered_even_if_there_is_no_time(tail):
    tail.time = 0
    for number in (7, 8):
        tail.receive("head", Read(1, number, b"one"))
    assert list(tail.turn()) == [Send("head", Answer(1, 7, b"one at 10"))]
    assert tail.busy
    assert list(tail.turn()) == [Send("head", Answer(1, 8, b"one at 10"))]
    assert not tail.busy


def test_as_many_are_answered_as_there_is_time_for_in_the_order_in_which_they_came(tail):
    tail.time = 2
    for number in range(5):
        tail.receive("head" if number % 2 else "other", Read(1, number, b"one"))
    turns = [[effect.message.number for effect in tail.turn()] for _ in range(3)]
    assert turns == [[0, 1], [2, 3], [4]]
    assert len(tail.evaluated) == 5


def test_the_lease_counts_for_each_question(tail):
    tail.time = 1
    for number in (7, 8, 9):
        tail.receive("head", Read(1, number, b"one"))
    assert list(tail.turn()) == [Send("head", Answer(1, 7, b"one at 10"))]
    tail.lease = False
    assert list(tail.turn()) == [Barrier(1)]
    assert not tail.busy
    tail.passed(1)
    tail.time = 5
    assert [effect.message.number for effect in tail.turn()] == [8, 9]


def test_what_waited_for_a_barrier_is_answered_in_slices_and_first(tail):
    tail.time, tail.lease = 1, False
    for number in (1, 2):
        tail.receive("head", Read(1, number, b"one"))
    list(tail.turn())
    tail.lease = True
    tail.receive("head", Read(1, 3, b"one"))
    tail.passed(1)
    assert [[effect.message.number for effect in tail.turn()] for _ in range(3)] == [[1], [2], [3]]


def test_answers_are_handed_out_in_slices(head):
    numbers = [head.ask(b"one") for _ in range(3)]
    list(head.turn())
    for number in numbers:
        head.receive("tail", Answer(1, number, b"found"))
    head.time = 2
    assert [effect.number for effect in head.turn()] == numbers[:2]
    assert head.busy
    assert [effect.number for effect in head.turn()] == numbers[2:]
    assert not head.busy


def test_a_node_has_only_so_many_questions_on_their_way(head):
    numbers = [head.ask(b"one") for _ in range(ON_THEIR_WAY + 2)]
    assert [effect.message.number for effect in head.turn()] == numbers[:ON_THEIR_WAY]
    assert not head.busy
    assert list(head.turn()) == []
    head.receive("tail", Answer(1, numbers[5], b"found"))
    assert head.busy
    assert [effect.message.number for effect in head.turn() if isinstance(effect, Send)] == [
        numbers[ON_THEIR_WAY]
    ]


def test_after_a_new_connection_the_tail_holds_no_question_twice():
    head, tail = Reader("head", "head", "tail"), Reader("tail", "head", "tail")
    numbers = [head.ask(b"one") for _ in range(3)]
    for _ in range(2):
        head.linked("tail")
        tail.linked("head")
        for effect in head.turn():
            tail.receive("head", effect.message)
    assert [effect.message.number for effect in tail.turn()] == numbers


def test_a_new_connection_with_one_node_leaves_the_questions_of_others(tail):
    tail.receive("other", Read(1, 1, b"one"))
    tail.receive("head", Read(1, 2, b"two"))
    tail.linked("head")
    assert list(tail.turn()) == [Send("other", Answer(1, 1, b"one at 10"))]


# --- what the tail did not survive --------------------------------------------------------


@pytest.fixture
def middle():
    return Reader("middle", "head", "middle", "tail")


def test_what_is_not_to_be_asked_again_is_given_up_when_its_tail_is_gone(middle):
    dear, cheap = middle.ask(b"dear", again=False), middle.ask(b"cheap")
    list(middle.turn())
    middle.go_on(2, "head", "middle")
    assert list(middle.turn()) == [Answered(cheap, b"cheap at 10"), GivenUp(dear)]
    assert middle.evaluated == [b"cheap"]


def test_it_is_given_up_at_once_even_while_this_node_takes_no_part(middle):
    number = middle.ask(b"dear", again=False)
    list(middle.turn())
    middle.adopt(configuration(2, "head", "middle"))
    assert middle.busy
    assert list(middle.turn()) == [GivenUp(number)]
    middle.reads.active = True
    assert list(middle.turn()) == []


def test_another_life_of_the_tail_is_another_tail(middle):
    number = middle.ask(b"dear", again=False)
    list(middle.turn())
    lives = [Member(p, f"id-{p}", 2 if p == "tail" else 1) for p in ("head", "middle", "tail")]
    middle.adopt(Configuration(2, tuple(lives)))
    assert list(middle.turn()) == [GivenUp(number)]


def test_what_no_tail_was_asked_yet_is_asked_of_the_next(middle):
    middle.reads.active = False
    number = middle.ask(b"dear", again=False)
    list(middle.turn())
    middle.go_on(2, "head", "middle")
    assert list(middle.turn()) == [Answered(number, b"dear at 10")]


def test_a_tail_that_stays_in_the_chain_has_survived_it(middle):
    number = middle.ask(b"dear", again=False)
    list(middle.turn())
    middle.go_on(2, "head", "middle", "tail", "newcomer")
    assert list(middle.turn()) == [Send("newcomer", Read(2, number, b"dear"))]


def test_an_answer_that_came_before_the_tail_was_gone_counts(middle):
    number = middle.ask(b"dear", again=False)
    list(middle.turn())
    middle.receive("tail", Answer(1, number, b"found"))
    middle.go_on(2, "head", "middle")
    assert list(middle.turn()) == [Answered(number, b"found")]


# --- without it --------------------------------------------------------------------------


def test_without_the_lease_an_answer_waits_for_a_barrier(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    assert list(tail.turn()) == [Barrier(1)]
    assert list(tail.turn()) == []
    tail.commit(12)
    tail.passed(1)
    assert list(tail.turn()) == [Send("head", Answer(1, 7, b"one at 12"))]
    tail.passed(1)
    assert list(tail.turn()) == []


def test_all_that_was_asked_in_one_turn_waits_for_one_barrier(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    own = tail.ask(b"two")
    assert list(tail.turn()) == [Barrier(1)]
    tail.receive("head", Read(1, 8, b"three"))
    assert list(tail.turn()) == [Barrier(2)]
    tail.passed(1)
    assert list(tail.turn()) == [
        Send("head", Answer(1, 7, b"one at 10")),
        Answered(own, b"two at 10"),
    ]
    tail.passed(2)
    assert list(tail.turn()) == [Send("head", Answer(1, 8, b"three at 10"))]


def test_a_barrier_is_not_passed_by_the_lease_coming_back(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    list(tail.turn())
    tail.lease = True
    assert list(tail.turn()) == []
    tail.passed(1)
    assert len(list(tail.turn())) == 1


def test_a_new_configuration_drops_what_waits_and_who_asked_asks_again(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    own = tail.ask(b"two")
    list(tail.turn())
    tail.go_on(2, "head", "tail")
    tail.passed(1)
    assert list(tail.turn()) == [Barrier(2)]  # its own question, asked again
    tail.passed(2)
    assert list(tail.turn()) == [Answered(own, b"two at 10")]


def test_a_barrier_of_an_earlier_configuration_passes_nothing_in_the_next(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    assert list(tail.turn()) == [Barrier(1)]
    tail.go_on(2, "head", "tail")
    tail.receive("head", Read(2, 7, b"one"))
    assert list(tail.turn()) == [Barrier(2)]
    tail.passed(1)
    assert list(tail.turn()) == []
    tail.passed(2)
    assert list(tail.turn()) == [Send("head", Answer(2, 7, b"one at 10"))]


def test_what_was_asked_in_an_earlier_configuration_is_not_answered_in_the_next(tail):
    tail.receive("head", Read(1, 7, b"one"))
    tail.go_on(2, "head", "tail")
    assert list(tail.turn()) == []
    assert tail.evaluated == []


# --- a connection that is full -----------------------------------------------------------


def test_whose_connection_is_full_is_answered_later_and_keeps_nobody_waiting(tail):
    tail.receive("head", Read(1, 1, b"one"))
    tail.receive("head", Read(1, 2, b"two"))
    tail.ask(b"own")
    tail.full("head", full=True)
    assert [type(effect) for effect in tail.turn()] == [Answered]
    assert tail.evaluated == [b"own"]
    assert not tail.busy
    tail.full("head", full=False)
    assert tail.busy
    assert [effect.message.number for effect in tail.turn()] == [1, 2]


def test_a_connection_fills_up_while_it_is_answered(tail):
    for number in (1, 2):
        tail.receive("head", Read(1, number, b"question"))
    for effect in tail.turn():
        assert effect.message.number == 1
        tail.full("head", full=True)


def test_a_new_connection_is_not_full(tail):
    tail.full("head", full=True)
    tail.linked("head")
    tail.receive("head", Read(1, 1, b"one"))
    assert [effect.message.number for effect in tail.turn()] == [1]
