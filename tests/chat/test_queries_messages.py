"""Queries: messages, a page at a time."""

import pytest
from asking import ALICE, BOB, CAROL, TIME, VERY_LONG, Talk, Work, answer, deterministic, ids, pages
from hypothesis import given
from hypothesis import strategies as st

from chainchat.chain.messages import MAX_FRAME, Answer, encode
from chainchat.chat import queries
from chainchat.chat.modes.mode import ChatMessage
from chainchat.chat.queries import (
    PAGE_MESSAGES,
    PAGE_NAMES,
    PATTERN_OCTETS,
    Accounts,
    Later,
    Page,
    Present,
    Recent,
)
from chainchat.chat.refusals import Code
from chainchat.chat.state import ChatState
from chainchat.node.history import COUNTED_AT_ONCE, NOBODY, History
from chainchat.storage.interface import NO_MORE
from chainchat.storage.memory import MemoryStorage

# --- messages ----------------------------------------------------------------------------


def test_messages_are_those_to_everybody_and_ones_own():
    talk = Talk((ALICE, 0), (BOB, ALICE), (BOB, CAROL), (ALICE, BOB), (CAROL, 0))
    later = answer(Later(ALICE, 0, 10), ChatState(), talk.history)
    recent = answer(Recent(ALICE, 10), ChatState(), talk.history)
    assert ids(later.messages) == ids(recent.messages) == [1, 2, 4, 5]


def test_a_message_is_shown_as_it_was_said():
    talk = Talk((BOB, ALICE), (BOB, 0), text="hi: you")
    assert answer(Later(ALICE, 0, 10), ChatState(), talk.history).messages == (
        ChatMessage(1, 0, TIME, "n3", "n2", "hi: you"),
        ChatMessage(2, 1, TIME, "n3", "*", "hi: you"),
    )


def test_later_begins_after_an_id_and_is_the_oldest():
    talk = Talk(*[(BOB, 0)] * 9)
    assert ids(answer(Later(ALICE, 3, 2), ChatState(), talk.history).messages) == [4, 5]


def test_recent_is_the_newest_in_the_order_of_their_ids():
    talk = Talk(*[(BOB, 0)] * 9)
    assert ids(answer(Recent(ALICE, 3), ChatState(), talk.history).messages) == [7, 8, 9]
    assert ids(answer(Recent(ALICE, 10), ChatState(), talk.history).messages) == list(range(1, 10))


def test_a_count_that_is_reached_ends_the_answer():
    talk = Talk(*[(BOB, 0)] * 9)
    assert answer(Later(ALICE, 0, 3), ChatState(), talk.history).more is None
    assert answer(Recent(ALICE, 3), ChatState(), talk.history).more is None


def test_what_is_said_between_two_pages_of_the_newest_is_none_of_them():
    talk = Talk(*[(BOB, 0)] * 9)
    first = answer(Recent(ALICE, 5), ChatState(), talk.history, Work(2))
    talk.say(BOB)
    second = answer(first.more, ChatState(), talk.history)
    assert (ids(first.messages), ids(second.messages)) == ([5, 6], [7, 8, 9])
    assert second.more is None


def test_nothing_to_tell_is_one_empty_page():
    talk = Talk((BOB, CAROL))
    assert pages(Later(ALICE, 0, 10), history=talk.history) == [Page()]
    assert pages(Recent(ALICE, 10), history=talk.history) == [Page()]


def test_a_message_that_fills_a_page_alone_is_a_page():
    talk = Talk(*[(BOB, 0)] * 3, text=VERY_LONG)
    assert [ids(p.messages) for p in pages(Later(ALICE, 0, 9), history=talk.history)] == [
        [1], [2], [3],
    ]  # fmt: skip
    assert [ids(p.messages) for p in pages(Recent(ALICE, 2), history=talk.history)] == [[2], [3]]


class Reading(MemoryStorage):
    """Counts what is read of the log and of the index."""

    def __init__(self):
        super().__init__()
        self.read, self.ids = 0, 0

    def entries(self, seqs):
        for entry in super().entries(seqs):
            self.read += 1
            yield entry

    def ids_after(self, *arguments, **keywords):
        found = super().ids_after(*arguments, **keywords)
        self.ids += len(found)
        return found

    def ids_before(self, *arguments, **keywords):
        found = super().ids_before(*arguments, **keywords)
        self.ids += len(found)
        return found


@pytest.mark.parametrize("query", [Later(ALICE, 0, 1 << 62), Recent(ALICE, 1 << 62)])
def test_a_page_has_so_many_messages_and_reads_no_others(query):
    talk = Talk(*[(BOB, 0)] * (2 * PAGE_MESSAGES + 50), storage=Reading())
    found = pages(query, history=talk.history)
    assert [len(page.messages) for page in found] == [PAGE_MESSAGES, PAGE_MESSAGES, 50]
    storage = talk.storage = Reading()
    storage._log, storage._index = talk.history._storage._log, talk.history._storage._index
    answer(query, ChatState(), History(storage))
    assert storage.read <= PAGE_MESSAGES + 1  # one more may tell what came before
    looked_back = 2 * PAGE_MESSAGES + 50 if isinstance(query, Recent) else 0
    assert storage.ids <= looked_back + PAGE_MESSAGES + 1


@pytest.mark.parametrize("query", [Later(ALICE, 0, 1 << 62), Recent(ALICE, 1 << 62)])
def test_a_page_of_messages_ends_when_there_is_no_more_time_but_has_one(query):
    talk = Talk(*[(BOB, 0)] * 5, storage=Reading())
    found = pages(query, history=talk.history, work=lambda: Work(0))
    assert [len(page.messages) for page in found] == [1] * 5 + [0]
    assert talk.storage.read <= 2 * 5
    found = pages(query, history=talk.history, work=lambda: Work(2))
    assert [len(page.messages) for page in found] == [2, 2, 1]


@given(
    talk=st.lists(st.tuples(st.integers(2, 4), st.sampled_from([0, 2, 3])), max_size=12),
    pieces=st.integers(0, 4),
)
@deterministic
def test_the_newest_of_all_are_all(talk, pieces):
    storage = Talk(*talk).storage
    history = History(storage)
    later = pages(Later(ALICE, 0, 99), history=history, work=lambda: Work(pieces))
    recent = pages(Recent(ALICE, 99), history=history, work=lambda: Work(pieces))
    forwards = [message for page in later for message in page.messages]
    assert forwards == [message for page in recent for message in page.messages]
    afresh = [History(storage).previous(ALICE, message.id) for message in forwards]
    assert [message.previous for message in forwards] == afresh


@pytest.mark.parametrize("query", [Later(ALICE, 1, 1 << 62), Recent(ALICE, 20)])
def test_all_that_one_has_said_in_a_row_is_looked_through_once_not_for_each_page(query):
    talk = Talk((BOB, 0), *[(ALICE, 0)] * 60)
    looked = []
    before = talk.storage.ids_before

    def ids_before(reader, end, limit, *, unless_sender, above=0):
        looked.append(unless_sender)
        return before(reader, end, limit, unless_sender=unless_sender, above=above)

    talk.storage.ids_before = ids_before
    found = pages(query, history=talk.history, work=lambda: Work(2))
    messages = [message for page in found for message in page.messages]
    assert len(messages) >= 20
    assert {message.previous for message in messages} == {1}
    assert looked.count(ALICE) == 1


def test_what_is_said_later_is_no_part_of_what_was_looked_through():
    talk = Talk((BOB, 0), (ALICE, 0))
    assert [m.previous for m in talk.history.oldest(ALICE, 0, 9)] == [0, 1]
    talk.say(BOB)
    talk.say(ALICE)
    assert [m.previous for m in talk.history.oldest(ALICE, 2, 9)] == [1, 3]
    assert [m.previous for m in talk.history.oldest(ALICE, 0, 9)] == [0, 1, 1, 3]
    assert talk.history.previous(ALICE, 99) == 3


@given(
    sizes=st.lists(st.integers(1, 16_384), max_size=12),
    count=st.integers(1, 14),
    letter=st.sampled_from("xé"),
)
@deterministic
def test_pages_give_each_message_once_and_fit_in_a_frame(sizes, count, letter):
    talk = Talk()
    for size in sizes:
        talk.say(BOB, text=(letter * size).encode()[:size].decode(errors="ignore"))
    every = list(range(1, len(sizes) + 1))
    later = pages(Later(ALICE, 0, count), history=talk.history)
    recent = pages(Recent(ALICE, count), history=talk.history)
    assert [id_ for page in later for id_ in ids(page.messages)] == every[:count]
    assert [id_ for page in recent for id_ in ids(page.messages)] == every[-count:]
    for page in later + recent:
        assert len(encode(Answer(1 << 62, 1 << 62, queries.encode(page)))[1]) < MAX_FRAME


def test_the_largest_page_of_names_fits_in_a_frame():
    names = tuple("n" * 32 for _ in range(PAGE_NAMES))
    page = Page(names, more=Accounts("p" * PATTERN_OCTETS, "n" * 32, 1.5))
    assert len(encode(Answer(1 << 62, 1 << 62, queries.encode(page)))[1]) < MAX_FRAME


@pytest.mark.parametrize(
    "query", [Accounts(".a", "bob", 0.5), Present("bob"), Recent(2, 20), Later(2, 5, 1 << 62)]
)
def test_a_query_and_a_page_survive_their_journey(query):
    page = Page(("alice",), (ChatMessage(1, 0, TIME, "bob", "*", "hi"),), query, Code.BAD_PATTERN)
    assert queries.decode_query(queries.encode(query)) == query
    assert queries.decode_page(queries.encode(page)) == page


# --- history -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "left", "counted"),
    [(9, True, (2, False)), (2, True, (2, False)), (1, True, (1, True)), (9, False, (2, False))],
)
def test_what_was_missed_is_counted_up_to_a_number(most, left, counted):
    talk = Talk(*[(ALICE, 0), (BOB, 0)] * 2)
    assert talk.history.count_missed(ALICE, 0, most, lambda: left) == counted


def test_who_missed_much_is_told_at_least_how_much():
    talk = Talk(*[(BOB, 0)] * (3 * COUNTED_AT_ONCE))
    assert talk.history.count_missed(ALICE, 0, 999, lambda: True) == (3 * COUNTED_AT_ONCE, False)
    assert talk.history.count_missed(ALICE, 0, 999, lambda: False) == (COUNTED_AT_ONCE, True)


def test_missed_is_everything_but_what_one_said_oneself():
    talk = Talk((ALICE, 0), (BOB, ALICE), (ALICE, BOB), (BOB, 0), (ALICE, ALICE), (BOB, CAROL))
    assert ids(talk.history.missed(ALICE, 0, 10)) == [2, 4]
    assert ids(talk.history.missed(ALICE, 2, 10)) == [4]
    assert ids(talk.history.missed(ALICE, 0, 1)) == [2]


def test_previous_is_the_newest_pushable_below():
    talk = Talk((BOB, 0), (ALICE, 0), (BOB, CAROL), (BOB, ALICE), (ALICE, BOB))
    assert [talk.history.previous(ALICE, before) for before in range(1, 7)] == [0, 1, 1, 1, 4, 4]


def test_each_message_names_the_one_pushed_before_it_and_own_ones_do_not_count():
    talk = Talk((BOB, 0), (ALICE, 0), (BOB, ALICE), (ALICE, BOB), (BOB, CAROL), (CAROL, 0))
    everything = list(talk.history.oldest(ALICE, 0, 10))
    assert [(m.id, m.previous) for m in everything] == [(1, 0), (2, 1), (3, 1), (4, 3), (6, 3)]
    assert list(talk.history.oldest(ALICE, 3, 10)) == everything[-2:]
    assert talk.history.before_newest(ALICE, 2) == (3, 2)
    assert talk.history.before_newest(ALICE, 10) == (0, 5)
    assert list(talk.history.oldest(ALICE, 3, 2)) == everything[-2:]
    assert [(m.id, m.previous) for m in talk.history.missed(ALICE, 1, 10)] == [(3, 1), (6, 3)]


class Searched(MemoryStorage):
    """Checks how many ids each search for others' messages looks at."""

    def ids_after(self, reader, after, limit, *, unless_sender, up_to=NO_MORE):
        if unless_sender != NOBODY and self._index.of(0).ids[-1] - after > SEARCHED:
            assert up_to - after <= SEARCHED
        return super().ids_after(reader, after, limit, unless_sender=unless_sender, up_to=up_to)

    def ids_before(self, reader, before, limit, *, unless_sender, above=0):
        if unless_sender != NOBODY:
            assert before - above - 1 <= SEARCHED
        return super().ids_before(reader, before, limit, unless_sender=unless_sender, above=above)


SEARCHED = 10


@pytest.fixture
def soliloquy():
    """Alice speaks 35 times between two messages of bob's, and then 40 times."""
    talk = Talk((BOB, 0), *[(ALICE, 0)] * 35, (BOB, 0), *[(ALICE, 0)] * 40, storage=Searched())
    talk.history = History(talk.storage, applied=lambda: 77, searched=SEARCHED)
    return talk


def test_a_search_for_what_others_said_ends_soon_however_much_one_said_oneself(soliloquy):
    history, after, found = soliloquy.history, 1, []
    while after < NO_MORE:
        messages = list(history.missed(ALICE, after, 9))
        found += [(message.id, message.previous) for message in messages]
        after = history.search_end(after)
    assert found == [(37, 0)]
    assert history.count_missed(ALICE, 0, 9, lambda: True) == (2, False)
    assert history.count_missed(ALICE, 0, 9, lambda: False) == (1, True)


def test_what_came_long_before_is_not_looked_for(soliloquy):
    history = soliloquy.history
    known = [history.previous(ALICE, before) for before in range(1, 79)]
    assert known == [0, *[1] * 10, *[0] * 26, *[37] * 10, *[0] * 31]
    list(history.oldest(ALICE, 30, 9))  # what it knows of a gap then is right elsewhere
    assert [history.previous(ALICE, before) for before in range(1, 79)] == known
    assert [message.previous for message in history.oldest(ALICE, 8, 4)] == [1] * 4


def test_history_is_read_a_thousand_messages_at_a_time():
    talk = Talk(*[(BOB, 0)] * 1_005)
    assert len(list(talk.history.oldest(ALICE, 0, 1 << 62))) == 1_000
    found = pages(Later(ALICE, 0, 1 << 62), history=talk.history)
    assert [id_ for page in found for id_ in ids(page.messages)] == list(range(1, 1_006))


def test_messages_of_one_entry_are_found_one_by_one():
    talk = Talk((5, 6))
    talk.say_all(5, "a", "b", "c")
    talk.say(6)
    found = list(talk.history.oldest(7, 0, 10))
    assert [(m.id, m.previous, m.text) for m in found] == [
        (2, 0, "a"), (3, 2, "b"), (4, 3, "c"), (5, 4, "hi"),
    ]  # fmt: skip
    assert [(m.id, m.text) for m in talk.history.oldest(7, 2, 1)] == [(3, "b")]
    assert talk.history.before_newest(7, 3) == (2, 3)
