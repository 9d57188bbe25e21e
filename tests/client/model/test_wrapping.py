"""Wrapping: only the client's own marks stand where a row of the terminal begins."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from chainchat.client.model import wrapping
from chainchat.client.model.wrapping import INDENT, NARROWEST


def wrapped(line, columns):
    """The rows, of pieces cut anywhere."""
    pieces = [("", line[: len(line) // 3]), ("class:name", line[len(line) // 3 :])]
    return "\n".join("".join(text for _, text in row) for row in wrapping.wrapped(pieces, columns))


@pytest.mark.parametrize("line", ["", "#1 14:03 bob: hi", "x" * 40, "\u4f60" * 20])
def test_a_line_that_fits_stays_as_it_is(line):
    assert wrapped(line, 40) == line


def test_a_longer_one_is_broken_at_spaces_and_indented():
    assert wrapped("#1 14:03 bob: one two three four five", 20).split("\n") == [
        "#1 14:03 bob: one",
        "    two three four",
        "    five",
    ]


def test_a_long_word_is_broken_where_the_row_ends():
    assert wrapped("a " + "x" * 36, 20).split("\n") == [
        "a",
        "    " + "x" * 16,
        "    " + "x" * 16,
        "    xxxx",
    ]


def test_wide_characters_take_their_room():
    assert wrapped("\u4f60" * 20, 20).split("\n") == [
        "\u4f60" * 10,
        "    " + "\u4f60" * 8,
        "    " + "\u4f60" * 2,
    ]


def test_a_terminal_that_is_too_narrow_is_left_to_itself():
    assert wrapped("x" * 99, NARROWEST - 1) == "x" * 99


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


def test_what_a_person_sees_as_one_is_not_broken():
    assert wrapped("x" * 16 + FAMILY, 20).split("\n") == ["x" * 16, f"    {FAMILY}"]
    assert wrapped("\u0928\u093f" * 11, 20).split("\n") == [
        "\u0928\u093f" * 10,
        "    \u0928\u093f",
    ]


PIECES = st.sampled_from([*" ab*#\u4f60\u0301\u200b\u093f", FAMILY, FAMILY * 9])


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=200).map("".join), st.integers(NARROWEST, 60))
def test_no_row_is_too_wide_and_nothing_but_spaces_is_lost(line, columns):
    first, *later = wrapped(line, columns).split("\n")
    assert all(get_cwidth(row) <= columns for row in (first, *later))
    assert all(row.startswith(INDENT) for row in later)
    shown = "".join([first, *(row.removeprefix(INDENT) for row in later)])
    assert shown.replace(" ", "") == line.replace(" ", "")
