"""Queries: what the tail answers, page by page, and the history behind it."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chain.messages import MAX_FRAME, Answer, Entry, encode
from chainchat.chat import commands, queries
from chainchat.chat.commands import TO_EVERYBODY, Login, Origins, Say, Saying
from chainchat.chat.modes.mode import ChatMessage
from chainchat.chat.queries import (
    PAGE_MESSAGES,
    PAGE_NAMES,
    PATTERN_OCTETS,
    PATTERN_SECONDS,
    SCANNED_AT_ONCE,
    Accounts,
    Later,
    Page,
    Present,
    Recent,
    asker_chooses_price,
    beginning,
    checked_pattern,
)
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.state import ChatState
from chainchat.node.history import History
from chainchat.storage.interface import EVERY_READER, Indexed
from chainchat.storage.memory import MemoryStorage

deterministic = settings(derandomize=True, max_examples=100, deadline=None)

ALICE, BOB, CAROL = 2, 3, 4
TIME = 1795345387120
VERY_LONG = "x" * 39_000


class Work:
    """A clock of work, and the time for one page: so many pieces of a millisecond."""

    def __init__(self, pieces=1 << 62, seconds=0.001):
        self.done, self.pieces, self.seconds = 0, pieces, seconds

    def left(self):
        self.done += 1
        return self.done < self.pieces

    def spent(self):
        return self.done * self.seconds


def answer(query, state, history, work=None):
    return queries.answer(query, state, history, work or Work())


def state_with(*names, state=None):
    """A state in which these accounts are on."""
    state = state or ChatState()
    state.apply(1, "", 0, TIME, Origins(("a.1",)))
    for number, name in enumerate(names, 1):
        login = Login(f"a.1.{number}", name, "", b"")
        state.apply(state.applied + 1, "a.1", number, TIME, login)
    return state


class Talk:
    """A log of messages: pairs of (sender, recipient), numbered from 1, with their index."""

    def __init__(self, *pairs, text="hi", storage=None):
        self.storage = storage or MemoryStorage()
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


def pages(query, state=None, history=None, work=Work):
    """All pages of the answer; ``work`` makes the time for each."""
    found = []
    while query is not None:
        found.append(answer(query, state or ChatState(), history, work()))
        query = found[-1].more
    return found


# --- names -------------------------------------------------------------------------------


NAMES = ("Eve", "carl", "edgar", "mia", "Bill")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["Bill", "carl", "edgar", "Eve", "mia"]),
        ("e", ["edgar", "Eve"]),
        ("E", ["edgar", "Eve"]),
        ("(?-i)e", ["edgar"]),
        (".a", ["carl"]),
        (".*i", ["Bill", "mia"]),
        ("[be]", ["Bill", "edgar", "Eve"]),
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


# RE2 counts a program's instructions; for their measured cost see ``queries``.
TOO_LARGE = {
    "144 groups of nine": "(.*){9}" * 144,
    "as many of them as fit": "(.*){9}" * (PATTERN_OCTETS // 7),
    "a large count": "a{1000}",
    "counts of counts": "((a{9}){9}){9}",
    "a count of any character": ".{99}",
    "a long alternation": "|".join(string.ascii_letters[i:] for i in range(9)),
    "a class of Unicode": r"\pL",
    "many classes of Unicode": r"\pL" * 80,
    "a long text": "a" * (PATTERN_OCTETS + 1),
    "a long text in octets": "é" * (PATTERN_OCTETS // 2 + 1),
    "more than RE2's memory": r"(\pL{9}){9}",
}


@pytest.mark.parametrize("pattern", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_pattern_that_is_too_large_is_refused_with_a_way_out(pattern):
    with pytest.raises(RefusedError) as caught:
        checked_pattern(pattern)
    assert caught.value.code == Code.BAD_PATTERN
    assert caught.value.text == (
        "this pattern is too large, with its counts and classes written out; "
        "use a shorter one, or a plain beginning like: al"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "al",
        "a" * 32,
        r".{1,32}$",
        r"[A-Za-z0-9_.-]{1,32}$",
        r"(?i)(team|ops|dev|qa)[-_.]?(alice|bob|carol|dave)[0-9]{0,4}$",
        r"(?i).*bot.*",
        r"\w+-\w+",
        "|".join(f"number{i}" for i in range(20)),
        "(?i)é|[а-я]|.*x",
    ],
)
def test_a_sensible_pattern_is_not_too_large(pattern):
    assert checked_pattern(pattern) == pattern


def test_a_pattern_is_compiled_once_for_all_pages():
    queries._compile.cache_clear()
    names = [f"n{number:05}" for number in range(10 * SCANNED_AT_ONCE)]
    checked_pattern("n.*7")
    pages(Accounts("n.*7"), state_with(*names), work=lambda: Work(1))
    assert queries._compile.cache_info().misses == 1


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        ("", ""),
        ("al", "al"),
        ("Al", "al"),
        ("^al", "al"),
        ("al.*", "al"),
        ("al*", "a"),
        ("al?", "a"),
        ("al{2}", "a"),
        ("al+", "al"),
        ("a.b", "a"),
        ("al|bob", ""),
        ("(al)", ""),
        ("(?i)al", ""),
        (".*al", ""),
        ("^", ""),
    ],
)
def test_how_names_begin_that_a_pattern_matches(pattern, plain):
    assert beginning(pattern) == plain


@given(
    names=st.lists(st.text("aAbB0_.-", min_size=1, max_size=4), unique_by=str.lower, max_size=30),
    pattern=st.text("aAbB0_.-*?+^|()[]{}12$", max_size=6),
    pieces=st.integers(1, 2),
)
@deterministic
def test_a_list_has_just_the_names_that_the_pattern_matches(names, pattern, pieces):
    try:
        checked_pattern(pattern)
    except RefusedError:
        return
    matches = queries._compile(pattern).match
    found = pages(Accounts(pattern), state_with(*names), work=lambda: Work(pieces))
    assert [name for page in found for name in page.names] == [
        name for name in sorted(names, key=str.lower) if matches(name)
    ]


@pytest.mark.parametrize("query", [Accounts(), Present(), Accounts("n")])
def test_many_names_come_in_pages_each_once_and_in_order(query):
    names = [f"n{number:05}" for number in range(2 * PAGE_NAMES + 1)]
    found = pages(query, state_with(*names))
    assert len(found) == 3
    assert all(len(page.names) <= PAGE_NAMES for page in found)
    assert [name for page in found for name in page.names] == names


def test_a_page_ends_when_there_is_no_more_time_for_it_but_not_before_some_were_looked_at():
    names = [f"n{i:05}" for i in range(5 * SCANNED_AT_ONCE)]
    state = state_with(*names)
    for pieces in (0, 1):
        page = answer(Accounts(), state, None, Work(pieces))
        assert page.names == tuple(names[:SCANNED_AT_ONCE])
    page = answer(Accounts(), state, None, Work(3))
    assert page.names == tuple(names[: 3 * SCANNED_AT_ONCE])


def test_a_rare_name_is_looked_for_a_slice_at_a_time():
    names = [f"n{i:05}" for i in range(4 * SCANNED_AT_ONCE + 1)]
    found = pages(Accounts(f".*{names[-1]}"), state_with(*names), work=lambda: Work(2))
    assert [page.names for page in found] == [(), (), (names[-1],)]


class Looked(ChatState):
    """Counts the accounts that are looked at."""

    looked = 0

    def accounts_after(self, name, count):
        found = super().accounts_after(name, count)
        self.looked += len(found)
        return found


def test_with_a_plain_beginning_only_names_that_begin_so_are_looked_at():
    names = [f"{letter}{i:05}" for letter in "abc" for i in range(5 * SCANNED_AT_ONCE)]
    state = state_with(*names, "b", "B_", state=Looked())
    found = pages(Accounts("b0000[13]"), state)
    assert found == [Page(("b00001", "b00003"))]
    assert state.looked <= 2 * SCANNED_AT_ONCE
    assert pages(Accounts("B$"), state) == [Page(("b",))]
    assert pages(Accounts("b_"), state) == [Page(("B_",))]


def test_those_who_are_on_are_found_without_looking_at_all_accounts():
    state = state_with(*(f"n{i}" for i in range(300)), state=Looked())
    for i in range(2, 301):
        state.apply(state.applied + 1, "a.1", i + 299, TIME, commands.End(f"a.1.{i}", 0))
    assert pages(Present(), state) == [Page(("n0",))]
    assert state.looked == 0


# --- the price of a question --------------------------------------------------------------


def test_the_price_of_a_pattern_alone_is_up_to_who_asks():
    dear = [Accounts("a"), Accounts(".*", "bob", 1.0)]
    cheap = [Accounts(), Accounts(after="bob"), Present(), Recent(1, 20), Later(1, 0, 1 << 62)]
    assert all(map(asker_chooses_price, dear))
    assert not any(map(asker_chooses_price, cheap))


def test_the_work_on_a_pattern_adds_up_from_page_to_page():
    state = state_with(*(f"n{i:05}" for i in range(5 * SCANNED_AT_ONCE)))
    first = answer(Accounts(".*x"), state, None, Work(1, seconds=0.25))
    assert first.more == Accounts(".*x", f"n{SCANNED_AT_ONCE - 1:05}", 0.25)
    second = answer(first.more, state, None, Work(2, seconds=0.25))
    assert second.more == Accounts(".*x", f"n{3 * SCANNED_AT_ONCE - 1:05}", 0.75)


def test_a_pattern_that_has_cost_too_much_is_given_up_with_what_was_found():
    names = [f"n{i:05}" for i in range(9 * SCANNED_AT_ONCE)]
    state = state_with(*names)
    found = pages(Accounts(".*5"), state, work=lambda: Work(1, seconds=PATTERN_SECONDS / 4))
    assert [page.refused for page in found] == [None] * 3 + [Code.PATTERN_TOO_COSTLY]
    assert found[-1].more is None
    assert [name for page in found for name in page.names] == [
        name for name in names[: 4 * SCANNED_AT_ONCE] if "5" in name
    ]


def test_a_list_of_all_is_never_given_up():
    names = [f"n{i:05}" for i in range(9 * SCANNED_AT_ONCE)]
    found = pages(Accounts(), state_with(*names), work=lambda: Work(1, seconds=PATTERN_SECONDS))
    assert [name for page in found for name in page.names] == names


def test_names_that_come_or_go_between_pages_disturb_no_others():
    state = state_with(*(f"N{number:05}" for number in range(PAGE_NAMES + 2)))
    first = answer(Accounts(), state, None)
    for seq, name in enumerate((first.names[-1], "N00000"), state.applied + 1):
        state.apply(seq, "", 0, TIME, commands.Delete("a.1.3", -1, name))
    rest = tuple(f"N{i:05}" for i in range(len(first.names), PAGE_NAMES + 2))
    assert answer(first.more, state, None).names == rest


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

    def ids_before(reader, end, limit, *, unless_sender):
        looked.append(unless_sender)
        return before(reader, end, limit, unless_sender=unless_sender)

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
