"""The terminal client's keys, besides those of a line."""

from enum import IntEnum
from typing import Any, Protocol

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, has_focus, has_selection
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from chainchat.client.model.room import Room
from chainchat.client.screen.editing import EDITS, delete

WHEEL_ROWS = 3


class Button(IntEnum):
    """The buttons, as terminals number them."""

    PRESSED = 0
    WHEEL_UP = 64
    WHEEL_DOWN = 65


BEGIN_OF_SGR = "\x1b[<"
"""The beginning of a report in the newer of two formats (xterm's mode 1006)."""

MODIFIERS = 4 | 8 | 16

HOW_TO_SELECT = (
    "* to select text, hold Shift (iTerm2: Option); /set mouse off leaves the mouse to the terminal"
)


class Face(Protocol):
    """What keys act on."""

    room: Room
    input: Buffer
    searched: Buffer
    app: Application[Any]

    def accept(self) -> None:
        """Say what is typed, or answer a question."""

    def paste(self, text: str) -> None: ...

    def flush(self) -> None:
        """Carry out what the room wants of the connection."""

    def leave_at_once(self, status: int) -> None:
        """Leave, though lines are pending."""


class Keyboard:
    """What each key does."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._room = face.room
        self._recalled = ""  # what was searched for last; what is typed replaces it
        self._has_told_how_to_select = False
        face.searched.on_text_insert += lambda _: self._replace_recalled()

    def bindings(self) -> KeyBindings:
        keys = KeyBindings()
        typing, searching = has_focus(self._face.input), has_focus(self._face.searched)
        keys.add("enter", filter=typing)(lambda _: self._face.accept())
        asked = Condition(lambda: self._room.asks_about_a_paste)
        for yes in "yY":
            keys.add(yes, filter=typing & asked)(lambda _: self._face.accept())
        for no in "nN":
            keys.add(no, filter=typing & asked)(self._escape)
        for names, edit in EDITS.items():
            for name in names:
                keys.add(name, filter=~has_selection)(edit)
        keys.add("c-c")(self._cancel)
        keys.add("c-d", filter=typing)(self._end)
        keys.add("c-z")(lambda event: event.app.suspend_to_background())
        keys.add("escape")(self._escape)
        keys.add(Keys.BracketedPaste, filter=typing)(lambda event: self._face.paste(event.data))
        keys.add("pageup")(lambda _: self._room.scroll(self._room.page))
        keys.add("pagedown")(lambda _: self._room.scroll(-self._room.page))
        keys.add(Keys.Vt100MouseEvent)(self._mouse)
        keys.add("f2")(self._panel)
        keys.add("c-r", filter=typing)(self._search)
        keys.add("c-r", filter=searching)(lambda _: self._again(1))
        keys.add("up", filter=searching)(lambda _: self._again(1))
        keys.add("c-s", filter=searching)(lambda _: self._again(-1))
        keys.add("down", filter=searching)(lambda _: self._again(-1))
        keys.add("enter", filter=searching)(lambda _: self._stop_searching())
        return keys

    def _cancel(self, _: KeyPressEvent) -> None:
        """Ctrl-C: drop what is begun, as in a shell; else leave."""
        if self._is_searching():
            self._stop_searching()
        elif self._room.edited():
            pass
        elif self._room.cancelled() or (self._face.input.text and not self._room.leaving):
            self._face.input.reset()
        else:
            self._face.leave_at_once(130)

    def _end(self, event: KeyPressEvent) -> None:
        if self._face.input.text:
            delete(event)
        else:
            self._room.leave()
            self._face.flush()

    def _escape(self, _: KeyPressEvent) -> None:
        if self._is_searching():
            self._stop_searching()
        self._room.edited()
        self._room.stop_searching()
        self._room.view.to_end()

    def _mouse(self, event: KeyPressEvent) -> None:
        match _button(event.data):
            case Button.WHEEL_UP:
                self._room.scroll(WHEEL_ROWS)
            case Button.WHEEL_DOWN:
                self._room.scroll(-WHEEL_ROWS)
            case Button.PRESSED if not self._has_told_how_to_select:
                self._has_told_how_to_select = True
                self._room.tell(HOW_TO_SELECT)

    def _panel(self, _: KeyPressEvent) -> None:
        self._room.panel = not self._room.panel
        self._room.refresh()
        self._face.flush()

    def _search(self, event: KeyPressEvent) -> None:
        wanted = self._room.view.looking_for
        self._face.searched.text = wanted
        self._face.searched.cursor_position = len(wanted)
        if wanted:
            self._again(1)
        self._recalled = wanted
        event.app.layout.focus(self._face.searched)

    def _replace_recalled(self) -> None:
        recalled, self._recalled = self._recalled, ""
        searched = self._face.searched
        if recalled and searched.text.startswith(recalled):
            searched.text = searched.text.removeprefix(recalled)
            searched.cursor_position = len(searched.text)

    def _again(self, older: int) -> None:
        self._recalled = ""
        found = self._room.find(self._face.searched.text, again=older)
        if not found and older > 0:
            self._room.look_back()
            self._face.flush()

    def _stop_searching(self) -> None:
        self._face.app.layout.focus(self._face.input)
        self._face.searched.reset()

    def _is_searching(self) -> bool:
        return self._face.app.layout.has_focus(self._face.searched)


def _button(data: str) -> int | None:
    """The button pressed; None if a button was let go."""
    if not data.startswith(BEGIN_OF_SGR):
        return (ord(data[3]) - ord(" ")) & ~MODIFIERS
    number = int(data.removeprefix(BEGIN_OF_SGR).partition(";")[0])
    return number & ~MODIFIERS if data.endswith("M") else None
