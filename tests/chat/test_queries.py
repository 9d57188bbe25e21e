"""Queries: what the tail answers, page by page, and the history behind it."""

import string

import pytest
from asking import TIME, Work, answer, deterministic, pages, state_with
from hypothesis import given
from hypothesis import strategies as st

from chainchat.chat import commands, queries
from chainchat.chat.queries import (
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
