"""Questions about the chat: what the tail answers, page by page, and the history behind it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chain.messages import MAX_FRAME, Answer, Entry, encode
from chainchat.chat import commands, queries
from chainchat.chat.commands import TO_EVERYBODY, Login, Origins, Say, Saying
from chainchat.chat.queries import (
    PAGE_NAMES,
    SCANNED_ACCOUNTS,
    Accounts,
    Later,
    Page,
    Present,
    Recent,
    answer,
    checked_pattern,
)
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.state import ChatState
from chainchat.chat.voice import Message
from chainchat.server.history import History
from chainchat.storage import EVERY_READER, Indexed
from chainchat.storage.memory import MemoryStorage

deterministic = settings(derandomize=True, max_examples=100, deadline=None)

ALICE, BOB, CAROL = 2, 3, 4
TIME = 1795345387120
VERY_LONG = "x" * 39_000


def state_with(*names):
    """A state in which these are on."""
    state = ChatState()
    state.apply(1, "", 0, TIME, Origins(("a.1",)))
    for number, name in enumerate(names, 1):
        login = Login(f"a.1.{number}", name, "", b"")
        state.apply(state.applied + 1, "a.1", number, TIME, login)
    return state


class Talk:
    """A log of what was said: pairs of (sender, recipient), numbered from 1, with their index."""

    def __init__(self, *pairs, text="hi"):
        self.storage = MemoryStorage()
        self.history = History(self.storage)
        for sender, recipient in pairs:
            self.say(sender, recipient, text)

    def say(self, sender, recipient=TO_EVERYBODY, text="hi"):
        seq = self.storage.last.seq + 1
        to = f"n{recipient}" if recipient else "*"
        say = Say("a.1.1", sender, f"n{sender}", "", (Saying(text, recipient, to),))
        self.storage.append([Entry(seq, 1, "a.1", seq, TIME, commands.encode(say))])
        readers = {recipient, sender} if recipient else {EVERY_READER}
        self.storage.index([Indexed(reader, [seq], sender) for reader in readers])

    def say_all(self, sender, *texts):
        """Several messages to everybody, in one entry."""
        first, seq = self.storage.last.seq + 1, self.storage.last.seq + len(texts)
        sayings = tuple(Saying(text, TO_EVERYBODY, "*") for text in texts)
        command = commands.encode(Say("a.1.1", sender, f"n{sender}", "", sayings))
        self.storage.append([Entry(seq, 1, "a.1", seq, TIME, command, len(texts))])
        self.storage.index([Indexed(EVERY_READER, range(first, seq + 1), sender)])


def ids(messages):
    return [message.id for message in messages]


def pages(query, state=None, history=None):
    """All pages of the answer."""
    found = []
    while query is not None:
        found.append(answer(query, state or ChatState(), history))
        query = found[-1].more
    return found


# --- names -------------------------------------------------------------------------------


NAMES = ("Eve", "carl", "edgar", "mia", "Bill")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["Bill", "carl", "edgar", "Eve", "mia"]),
        ("e", ["edgar"]),
        ("(?i)e", ["edgar", "Eve"]),
        (".a", ["carl"]),
        (".*i", ["Bill", "mia"]),
        ("[be]", ["edgar"]),
        ("a$", []),
        ("edgar and more", []),
    ],
)
def test_a_pattern_matches_at_the_beginning_of_a_name(pattern, names):
    assert answer(Accounts(pattern), state_with(*NAMES), None) == Page(names=tuple(names))


def test_accounts_are_all_and_present_are_those_who_are_on():
    state = state_with("alice", "bob")
    state.apply(4, "a.1", 3, TIME, commands.End("a.1.1", 0))
    assert answer(Accounts(), state, None).names == ("alice", "bob")
    assert answer(Present(), state, None).names == ("bob",)


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{1001}", r"(a)\1", "(?=a)"])
def test_a_bad_pattern_is_refused_with_the_reason_and_a_way_out(pattern):
    with pytest.raises(RefusedError) as caught:
        checked_pattern(pattern)
    assert caught.value.code == Code.BAD_PATTERN
    assert caught.value.text.startswith("not a regular expression: ")
    assert caught.value.text.endswith("; try a plain beginning like: al")
    assert caught.value.text.isprintable()


def test_a_good_pattern_is_given_back():
    assert checked_pattern(".*i") == ".*i"


@pytest.mark.parametrize("query", [Accounts(), Present(), Accounts("n")])
def test_many_names_come_in_pages_each_once_and_in_order(query):
    names = [f"n{number:05}" for number in range(2 * PAGE_NAMES + 1)]
    found = pages(query, state_with(*names))
    assert [len(page.names) for page in found] == [PAGE_NAMES, PAGE_NAMES, 1]
    assert [name for page in found for name in page.names] == names


def test_a_rare_name_is_looked_for_some_accounts_at_a_time():
    names = [f"n{i:05}" for i in range(2 * SCANNED_ACCOUNTS + 1)]
    found = pages(Accounts(f"n.*{2 * SCANNED_ACCOUNTS}"), state_with(*names))
    assert [page.names for page in found] == [(), (), (names[-1],)]


def test_a_full_page_that_is_the_last_has_no_more():
    names = [f"n{number:05}" for number in range(PAGE_NAMES)]
    assert answer(Accounts(), state_with(*names), None) == Page(names=tuple(names))


def test_names_that_come_or_go_between_pages_disturb_no_others():
    state = state_with(*(f"N{number:05}" for number in range(PAGE_NAMES + 2)))
    first = answer(Accounts(), state, None)
    for seq, name in enumerate((first.names[-1], "N00000"), state.applied + 1):
        state.apply(seq, "", 0, TIME, commands.Delete("a.1.3", -1, name))
    assert answer(first.more, state, None).names == ("N01000", "N01001")


# --- messages ----------------------------------------------------------------------------


def test_messages_are_those_to_everybody_and_ones_own():
    talk = Talk((ALICE, 0), (BOB, ALICE), (BOB, CAROL), (ALICE, BOB), (CAROL, 0))
    later = answer(Later(ALICE, 0, 10), ChatState(), talk.history)
    recent = answer(Recent(ALICE, 10), ChatState(), talk.history)
    assert ids(later.messages) == ids(recent.messages) == [1, 2, 4, 5]


def test_a_message_is_shown_as_it_was_said():
    talk = Talk((BOB, ALICE), (BOB, 0), text="hi: you")
    assert answer(Later(ALICE, 0, 10), ChatState(), talk.history).messages == (
        Message(1, 0, TIME, "n3", "n2", "hi: you"),
        Message(2, 1, TIME, "n3", "*", "hi: you"),
    )


def test_later_begins_after_an_id_and_is_the_oldest():
    talk = Talk(*[(BOB, 0)] * 9)
    assert ids(answer(Later(ALICE, 3, 2), ChatState(), talk.history).messages) == [4, 5]


def test_recent_is_the_newest_in_the_order_of_their_ids():
    talk = Talk(*[(BOB, 0)] * 9)
    assert ids(answer(Recent(ALICE, 3), ChatState(), talk.history).messages) == [7, 8, 9]
    assert ids(answer(Recent(ALICE, 3, before=5), ChatState(), talk.history).messages) == [2, 3, 4]


def test_a_count_that_is_reached_ends_the_answer():
    talk = Talk(*[(BOB, 0)] * 9)
    assert answer(Later(ALICE, 0, 3), ChatState(), talk.history).more is None
    assert answer(Recent(ALICE, 3), ChatState(), talk.history).more is None


def test_nothing_to_tell_is_one_empty_page():
    talk = Talk((BOB, CAROL))
    assert pages(Later(ALICE, 0, 10), history=talk.history) == [Page()]
    assert pages(Recent(ALICE, 10), history=talk.history) == [Page()]


def test_a_message_that_fills_a_page_alone_is_a_page():
    talk = Talk(*[(BOB, 0)] * 3, text=VERY_LONG)
    assert [ids(p.messages) for p in pages(Later(ALICE, 0, 9), history=talk.history)] == [
        [1], [2], [3],
    ]  # fmt: skip
    assert [ids(p.messages) for p in pages(Recent(ALICE, 9), history=talk.history)] == [
        [3], [2], [1],
    ]  # fmt: skip


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
    assert [id_ for page in reversed(recent) for id_ in ids(page.messages)] == every[-count:]
    for page in later + recent:
        assert len(encode(Answer(1 << 62, 1 << 62, queries.encode(page)))[1]) < MAX_FRAME


def test_the_largest_page_of_names_fits_in_a_frame():
    names = tuple("n" * 32 for _ in range(PAGE_NAMES))
    page = Page(names, more=Accounts("p" * 16_384, "n" * 32))
    assert len(encode(Answer(1 << 62, 1 << 62, queries.encode(page)))[1]) < MAX_FRAME


@pytest.mark.parametrize(
    "query", [Accounts(".a", "bob"), Present("bob"), Recent(2, 20, 99), Later(2, 5, 1 << 62)]
)
def test_a_query_and_a_page_survive_their_journey(query):
    page = Page(("alice",), (Message(1, 0, TIME, "bob", "*", "hi"),), query)
    assert queries.decode_query(queries.encode(query)) == query
    assert queries.decode_page(queries.encode(page)) == page


# --- history -----------------------------------------------------------------------------


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
    everything = talk.history.oldest(ALICE, 0, 10)
    assert [(m.id, m.previous) for m in everything] == [(1, 0), (2, 1), (3, 1), (4, 3), (6, 3)]
    assert talk.history.newest(ALICE, 99, 2) == everything[-2:]
    assert talk.history.oldest(ALICE, 3, 2) == everything[-2:]
    assert [(m.id, m.previous) for m in talk.history.missed(ALICE, 1, 10)] == [(3, 1), (6, 3)]


def test_history_is_read_a_thousand_messages_at_a_time():
    talk = Talk(*[(BOB, 0)] * 1_005)
    assert len(talk.history.oldest(ALICE, 0, 1 << 62)) == 1_000
    found = pages(Later(ALICE, 0, 1 << 62), history=talk.history)
    assert [id_ for page in found for id_ in ids(page.messages)] == list(range(1, 1_006))


def test_messages_of_one_entry_are_found_one_by_one():
    talk = Talk((5, 6))
    talk.say_all(5, "a", "b", "c")
    talk.say(6)
    found = talk.history.oldest(7, 0, 10)
    assert [(m.id, m.previous, m.text) for m in found] == [
        (2, 0, "a"), (3, 2, "b"), (4, 3, "c"), (5, 4, "hi"),
    ]  # fmt: skip
    assert [(m.id, m.text) for m in talk.history.newest(7, 4, 1)] == [(3, "b")]
