"""The screen's part of the transcript against a model that sorts and draws everything each time."""

import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.client.model.looks import Glyphs, Looks, Pieces
from chainchat.client.model.transcript import (
    DROPPED_SHARE,
    MOST_CHARACTERS,
    MOST_ENTRIES,
    Transcript,
)
from chainchat.client.model.view import View

NOON = 1_795_348_987_120  # 2026-11-22T12:03:07.120Z
DAY = 86_400_000


class Shown:
    """A view, and what it has to show."""

    def __init__(self) -> None:
        self.transcript = Transcript(datetime.UTC)
        looks = Looks("alice", Glyphs(unicode=True), lambda time: "12:03")
        self.view = View(self.transcript, looks)
        self.columns, self.height = 40, 8
        self.model: list[tuple[int, int, int, str]] = []  # id, 1 for a notice, count, text

    def message(self, identifier: int, text: str = "", *, sender: str = "bob") -> None:
        text = text or f"text {identifier} " * (identifier % 7)
        known = any(row[:2] == (identifier, 0) for row in self.model)
        added = self.transcript.add_message(
            identifier, NOON + identifier * DAY // 5, sender, "*", text
        )
        assert added is not known
        if added:
            self.model.append((identifier, 0, 0, text))

    def notice(self) -> None:
        text = f"* notice {len(self.model)}"
        newest = max((row[0] for row in self.model), default=0)
        self.model.append((newest, 1, len(self.model), text))
        self.transcript.add_line(text)

    def rows(self) -> list[str]:
        return texts(self.view.rows(self.columns, self.height))

    def everything(self) -> list[str]:
        """All rows there are."""
        places = range(len(self.transcript.entries))
        return texts([row for p in places for row in self.view.rows_of(p, self.columns)])


def texts(rows: list[Pieces]) -> list[str]:
    return ["".join(text for _, text in row) for row in rows]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("message"), st.integers(1, 60)),
        st.tuples(st.just("notice")),
        st.tuples(st.just("scroll"), st.integers(-12, 12)),
        st.tuples(st.just("resize"), st.integers(18, 60), st.integers(1, 12)),
        st.tuples(st.just("search"), st.sampled_from(["text 7", "notice", "nowhere"])),
        st.tuples(st.just("end")),
    ),
    max_size=60,
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(STEPS)
def test_whatever_arrives_the_view_is_a_piece_of_the_sorted_whole_and_stays_where_it_is(
    steps: list[tuple[Any, ...]],
) -> None:
    shown = Shown()
    for step in steps:
        before, followed = shown.rows(), shown.view.follows
        match step:
            case "message", identifier:
                shown.message(identifier)
            case ("notice",):
                shown.notice()
            case "scroll", up:
                shown.view.scroll(up, shown.columns, shown.height)
            case "resize", shown.columns, shown.height:
                pass
            case "search", text:
                found = shown.view.search(text, shown.columns, shown.height)
                assert found == any(text in row[3] for row in shown.model if not row[1])
                assert not found or any(text in row for row in shown.rows())
            case ("end",):
                shown.view.to_end()
        assert [entry.text for entry in shown.transcript.entries] == [
            row[3] for row in sorted(shown.model)
        ]
        rows, everything = shown.rows(), shown.everything()
        assert len(rows) <= shown.height
        if shown.view.follows:
            assert rows == everything[-shown.height :]
        else:
            pieces = [everything[i : i + len(rows)] for i in range(len(everything))]
            assert rows in pieces
        if step[0] in ("message", "notice") and not followed:
            assert rows[-1:] == before[-1:]


def test_it_scrolls_to_the_first_row_and_no_further_and_back_to_the_newest() -> None:
    shown = Shown()
    for identifier in range(1, 40):
        shown.message(identifier, "short")
    everything = shown.everything()
    shown.view.scroll(5, shown.columns, shown.height)
    assert shown.rows() == everything[-8 - 5 : -5]
    shown.view.scroll(1000, shown.columns, shown.height)
    assert shown.rows() == everything[:8]
    shown.view.scroll(-3, shown.columns, shown.height)
    assert shown.rows() == everything[3:11]
    assert shown.view.below() > 0
    shown.view.scroll(-1000, shown.columns, shown.height)
    assert shown.view.follows
    assert shown.rows() == everything[-8:]


def test_the_line_of_what_is_new_stands_before_the_first_message_after_the_mark() -> None:
    shown = Shown()
    for identifier in (1, 5, 9):
        shown.message(identifier, "short")
    shown.transcript.unread_after = 5
    rows = shown.everything()
    assert rows.index("─── new " + "─" * 32) == rows.index("#9 12:03 bob: short") - 1
    shown.message(7, "short")
    rows = shown.everything()
    assert rows.index("─── new " + "─" * 32) == rows.index("#7 12:03 bob: short") - 1


def test_an_own_line_has_a_time_between_those_of_its_neighbours() -> None:
    shown = Shown()
    shown.message(1)
    shown.message(9)
    for identifier, clock in ((5, NOON - DAY), (6, NOON + 9 * DAY)):
        shown.transcript.add_message(identifier, clock, "alice", "*", "mine", mine=True)
    times = [entry.time for entry in shown.transcript.entries]
    assert times == sorted(times)


def test_what_was_confirmed_before_is_marked_as_mine_and_stands_once() -> None:
    shown = Shown()
    shown.message(3, "hi", sender="alice")
    assert not shown.transcript.add_message(3, NOON, "alice", "*", "hi", mine=True)
    assert shown.everything()[-1] == "#3 12:03 alice: hi ✓"


def test_only_so_many_entries_are_kept() -> None:
    shown = Shown()
    for identifier in range(MOST_ENTRIES + 1):
        shown.transcript.add_message(identifier + 1, NOON, "bob", "*", "x")
    assert len(shown.transcript.entries) == MOST_ENTRIES - MOST_ENTRIES // DROPPED_SHARE
    assert shown.transcript.newest == MOST_ENTRIES + 1


def test_long_texts_are_kept_within_bounds_of_their_own() -> None:
    shown, text = Shown(), "x" * (1 << 20)
    for identifier in range(2 * MOST_CHARACTERS // len(text)):
        shown.transcript.add_message(identifier + 1, NOON, "bob", "*", text)
        shown.transcript.add_line(text)
        kept = sum(len(entry.text) for entry in shown.transcript.entries)
        assert kept <= MOST_CHARACTERS
    assert kept > MOST_CHARACTERS // 2
    assert shown.transcript.newest == identifier + 1
