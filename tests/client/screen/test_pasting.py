"""Pastes, cut anywhere: the keys are those of prompt_toolkit's own parser."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress

from chainchat.client.screen.pasting import BEGIN, END, PasteParser

PIECES = st.sampled_from([BEGIN, END, "\x1b", "[20", "0~", "1~", "a", "ä€", "\r", "\x1b[A"])


def keys(parser: type[Vt100Parser], data: str, cuts: list[int]) -> list[tuple[object, str]]:
    """What the parser makes of data that comes in pieces."""
    pressed: list[KeyPress] = []
    made = parser(pressed.append)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in pairwise(edges):
        made.feed(data[begin:end])
    made.flush()
    return [(key.key, key.data) for key in pressed]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.lists(st.integers(1, 60), max_size=12))
def test_the_keys_are_the_same_wherever_a_paste_is_cut(data: str, cuts: list[int]) -> None:
    assert keys(PasteParser, data, cuts) == keys(Vt100Parser, data, cuts)


def test_of_a_long_paste_each_piece_is_looked_at_once() -> None:
    pressed: list[KeyPress] = []
    parser = PasteParser(pressed.append)
    looked_at = 0
    go_on = parser._go_on

    def counted(pieces: list[str], data: str) -> str:
        nonlocal looked_at
        looked_at += len(pieces[-1] if pieces else "") + len(data)
        return go_on(pieces, data)

    parser._go_on = counted  # type: ignore[method-assign]
    parser.feed(BEGIN)
    for _ in range(1_000):
        parser.feed("x" * 1_000)
    parser.feed(END)
    assert [key.data for key in pressed] == ["x" * 1_000_000]
    assert looked_at < 1_100_000
