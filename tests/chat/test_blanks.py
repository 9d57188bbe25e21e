"""Blanks: no text pads itself to the next row of a screen."""

import sys
import unicodedata

import pytest

from chainchat.chat.blanks import MOST_BLANKS, without_padding
from chainchat.chat.lines import clean
from chainchat.chat.modes.human import HUMAN
from chainchat.chat.modes.machine import MACHINE
from chainchat.chat.modes.mode import ChatMessage
from chainchat.chat.refusals import RefusedError

FORGED = "hi" + " " * 60 + "* the account bob was deleted by alice"


@pytest.mark.parametrize("text", ["hello there", "a" + " " * MOST_BLANKS + "b", "dä   dö", ""])
def test_a_text_with_few_blanks_in_a_row_stays_as_it_is(text):
    assert without_padding(text) == text


@pytest.mark.parametrize(
    "blank",
    [
        *(" ", "\u00a0", "\u00ad", "\u1680", "\u2000", "\u200a", "\u200b", "\u200d", "\u202f"),
        *("\u205f", "\u2060", "\u2800", "\u3000", "\u3164", "\u115f", "\uffa0", "\ufeff", "\u180e"),
        *("\ufe0f", "\U000e0020", "\U0001d173", "\u034f", " \u200b", "\u3164 "),
    ],
    ids=ascii,
)
def test_many_become_eight_spaces_whatever_they_are(blank):
    assert without_padding(f"a{blank * 9}b") == "a        b"


def test_whatever_unicode_calls_a_space_or_does_not_show_is_a_blank_or_refused():
    visible = [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]
    missed = []
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cf", "Cc"):
            continue
        try:
            text = clean((character * 9).encode())
        except RefusedError:
            continue
        if without_padding(text) == text and point not in visible:
            missed.append(hex(point))
    assert missed == []


def test_people_are_shown_less_and_programs_what_was_said():
    message = ChatMessage(7, 0, 0, "alice", "*", FORGED)
    shown = HUMAN.message(message, "bob")
    assert shown == "#7 00:00 alice: hi        * the account bob was deleted by alice"
    assert HUMAN.message_item("", message, "bob") == f"| {shown}"
    assert MACHINE.message(message, "bob").endswith(f":{FORGED}")
