"""Reads: the tail answers at once while it has the lease, else behind a barrier (rule 13)."""

import pytest

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.messages import Answer, Read
from chainchat.chain.reads import Answered, Barrier, Reads
from chainchat.chain.replica import Send


def configuration(epoch, *positions):
    return Configuration(epoch, tuple(Member(p, f"id-{p}", 1) for p in positions))


class Reader(Reads):
    """The reads of one node, whose state is the number of entries applied."""

    def __init__(self, position, *positions, epoch=1):
        self.committed = 10
        self.lease = True
        self.evaluated = []
        super().__init__(position, self.answer, lambda: self.lease)
        self.go_on(epoch, *positions)

    def go_on(self, epoch, *positions):
        self.adopt(configuration(epoch, *positions))
        self.active = True

    def answer(self, query):
        self.evaluated.append(query)
        return query + b" at %d" % self.committed


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
    head.active = False
    assert list(head.turn()) == [Answered(first, b"found")]
    head.active = True
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
    node = Reads("head", bytes, lambda: True)
    node.linked("tail")
    number = node.ask(b"one")
    assert list(node.turn()) == []
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
    tail = Reads("tail", lambda query: order.append("read") or query, lambda: order.append("lease"))
    tail.adopt(configuration(1, "head", "tail"))
    tail.active = True
    tail.receive("head", Read(1, 7, b"one"))
    assert list(tail.turn()) == [Barrier(1)]
    assert order == ["read", "lease"]


# --- without it --------------------------------------------------------------------------


def test_without_the_lease_an_answer_waits_for_a_barrier(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    assert list(tail.turn()) == [Barrier(1)]
    assert list(tail.turn()) == []
    tail.committed = 12
    assert list(tail.passed(1)) == [Send("head", Answer(1, 7, b"one at 12"))]
    assert list(tail.passed(1)) == []


def test_all_that_was_asked_in_one_turn_waits_for_one_barrier(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    own = tail.ask(b"two")
    assert list(tail.turn()) == [Barrier(1)]
    tail.receive("head", Read(1, 8, b"three"))
    assert list(tail.turn()) == [Barrier(2)]
    assert list(tail.passed(1)) == [Send("head", Answer(1, 7, b"one at 10"))]
    assert list(tail.turn()) == [Answered(own, b"two at 10")]
    assert list(tail.passed(2)) == [Send("head", Answer(1, 8, b"three at 10"))]


def test_a_barrier_is_not_passed_by_the_lease_coming_back(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    list(tail.turn())
    tail.lease = True
    assert list(tail.turn()) == []
    assert len(list(tail.passed(1))) == 1


def test_a_new_configuration_drops_what_waits_and_who_asked_asks_again(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    own = tail.ask(b"two")
    list(tail.turn())
    tail.go_on(2, "head", "tail")
    assert list(tail.passed(1)) == []
    assert list(tail.turn()) == [Barrier(2)]  # its own question, asked again
    assert list(tail.passed(2)) == []
    assert list(tail.turn()) == [Answered(own, b"two at 10")]


def test_a_barrier_of_an_earlier_configuration_passes_nothing_in_the_next(tail):
    tail.lease = False
    tail.receive("head", Read(1, 7, b"one"))
    assert list(tail.turn()) == [Barrier(1)]
    tail.go_on(2, "head", "tail")
    tail.receive("head", Read(2, 7, b"one"))
    assert list(tail.turn()) == [Barrier(2)]
    assert list(tail.passed(1)) == []
    assert list(tail.passed(2)) == [Send("head", Answer(2, 7, b"one at 10"))]


def test_what_was_asked_in_an_earlier_configuration_is_not_answered_in_the_next(tail):
    tail.receive("head", Read(1, 7, b"one"))
    tail.go_on(2, "head", "tail")
    assert list(tail.turn()) == []
    assert tail.evaluated == []
