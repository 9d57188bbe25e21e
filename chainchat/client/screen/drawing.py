"""Drawing that stays right whatever width a terminal gives a character.

Terminals disagree about emoji of several characters, and about marks. prompt_toolkit moves the
cursor by steps from where it believes it to be: after such a character, the rest of the row would
stand elsewhere, and what it replaces would stay.
"""

import sys
import unicodedata
from bisect import bisect_left
from functools import lru_cache

from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.utils import (
    get_bell_environment_variable,
    get_cwidth,
    get_term_environment_variable,
)

from chainchat.client.model.wrapping import is_spacing_mark

EMOJI = "\U0001f000"
SYMBOLS = ("\u2300", "\u2bff")
"""Terminals differ, with their age, in the wide characters between these two."""

UNCERTAIN = frozenset({"Mn", "Mc", "Me", "Cf", "Cn", "Co", "Cs"})
"""Kinds of characters to which some terminals give no room of their own."""

STYLES_OF_EMOJI = dict.fromkeys((0xFE0E, 0xFE0F))
"""Some terminals give a symbol another width as text or as picture."""

RESERVE = "\udbff"
"""Stands behind a mark that takes a column in some terminals only; no text has it."""

SAVE, RESTORE, HOME = "\x1b7", "\x1b8", "\x1b[H"


class SteadyOutput(Vt100_Output):
    """The terminal of a full-screen renderer, a cell at a time."""

    @classmethod
    def of_terminal(cls) -> "SteadyOutput":
        made = cls.from_pty(
            sys.stdout,
            term=get_term_environment_variable(),
            default_color_depth=ColorDepth.from_env(),
            enable_bell=get_bell_environment_variable(),
        )
        assert isinstance(made, cls)
        return made

    _reserved = 0
    """Columns behind the newest cell, for its marks."""

    def write(self, data: str) -> None:
        """Draw a cell, and stand behind it, whatever its width."""
        if data == "\r":  # on its way to the last column
            super().write(data)
            return
        reserved, self._reserved = self._reserved, 0
        if data == RESERVE and reserved:
            self._reserved = reserved - 1
            self.cursor_forward(1)
        elif data.isascii() or is_certain(data):
            super().write(data)
        elif data == RESERVE or not (width := get_cwidth(data)):
            super().write(" ")  # of a mark that stands elsewhere
        else:
            self._reserved = sum(map(is_spacing_mark, data))
            self.write_raw(f"{SAVE}{' ' * (width + self._reserved)}{RESTORE}{SAVE}")
            super().write(data.translate(STYLES_OF_EMOJI))
            self.write_raw(RESTORE)
            self.cursor_forward(width)

    def erase_down(self) -> None:
        """Clear the screen: the renderer believes to be at its beginning."""
        self.write_raw(HOME)
        super().erase_down()

    def enable_mouse_support(self) -> None:
        """Be told of buttons and the wheel, not of motion."""
        self.write_raw("\x1b[?1000h\x1b[?1006h")

    def disable_mouse_support(self) -> None:
        self.write_raw("\x1b[?1006l\x1b[?1000l")


@lru_cache(maxsize=4096)
def is_certain(cell: str) -> bool:
    """True if every terminal gives this cell as much room as we do."""
    if len(cell) != 1:
        return False
    is_new = cell >= EMOJI or (SYMBOLS[0] <= cell <= SYMBOLS[1] and get_cwidth(cell) == 2)
    return not is_new and unicodedata.category(cell) not in UNCERTAIN


def roomy(text: str) -> str:
    """Return ``text`` with a column reserved behind each mark that may take one."""
    if text.isascii() or not any(map(is_spacing_mark, text)):
        return text
    return "".join(c + RESERVE if is_spacing_mark(c) else c for c in text)


class Roomy(Processor):
    """Makes the input line roomy."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        fragments = [(style, roomy(text)) for style, text, *_ in transformation_input.fragments]
        shown = "".join(text for _, text in fragments)
        places = [place for place, character in enumerate(shown) if character != RESERVE]
        places.append(len(shown))
        return Transformation(
            [*fragments],
            source_to_display=lambda place: places[min(place, len(places) - 1)],
            display_to_source=lambda place: bisect_left(places, place),
        )
