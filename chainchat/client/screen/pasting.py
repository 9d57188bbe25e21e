"""Pastes of any length, at a steady pace.

prompt_toolkit's parser looks through all of a paste again for each piece that comes.
"""

from collections.abc import Callable

from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys

BEGIN, END = "\x1b[200~", "\x1b[201~"


class PasteParser(Vt100Parser):
    """Makes keys of what the terminal sends."""

    def __init__(self, pressed: Callable[[KeyPress], None]) -> None:
        super().__init__(pressed)
        self._pressed = pressed
        self._pieces: list[str] | None = None
        """The pieces of the present paste; the last may hold the beginning of its end."""
        self._begun = ""

    def feed(self, data: str) -> None:
        data, self._begun = self._begun + data, ""
        while data:
            if self._pieces is not None:
                data = self._go_on(self._pieces, data)
                continue
            typed, begin, data = data.partition(BEGIN)
            if begin:
                super().feed(typed)
                super().flush()
                self._pieces = []
            else:
                self._begun = _begun(typed)
                super().feed(typed.removesuffix(self._begun))

    def flush(self) -> None:
        """Take what has come for keys, as nothing follows."""
        begun, self._begun = self._begun, ""
        super().feed(begun)
        super().flush()

    def _go_on(self, pieces: list[str], data: str) -> str:
        """Take a piece of a paste; return what follows it."""
        last = pieces.pop() if pieces else ""
        pasted, end, rest = (last + data).partition(END)
        if end:
            self._pieces = None
            self._pressed(KeyPress(Keys.BracketedPaste, "".join((*pieces, pasted))))
            return rest
        kept = len(END) - 1
        pieces += [pasted[:-kept], pasted[-kept:]]
        return ""


def _begun(typed: str) -> str:
    """The end of ``typed`` that may begin ``BEGIN``."""
    return next((BEGIN[:n] for n in range(len(BEGIN) - 1, 0, -1) if typed.endswith(BEGIN[:n])), "")
