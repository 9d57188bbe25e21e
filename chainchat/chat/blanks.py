"""Blanks in a text: enough would begin another row of somebody's screen."""

import re

MOST_BLANKS = 8

# Spaces of every width, letters without a shape (Hangul fillers, the empty Braille cell), and what
# is not shown at all: joiners, selectors, tags.
_BLANK = (
    " \u00a0\u00ad\u034f\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202f\u205f-\u206f"
    "\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_PADDING = re.compile(f"[{_BLANK}]{{{MOST_BLANKS + 1},}}")
_SPACES = " " * MOST_BLANKS


def without_padding(text: str) -> str:
    if text.isascii() and f"{_SPACES} " not in text:  # nearly every text
        return text
    return _PADDING.sub(_SPACES, text)
