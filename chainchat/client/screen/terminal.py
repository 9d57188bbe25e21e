"""The client for people: one full-screen application from the first key to the last.

It draws a ``Room`` and brings it keys. Since it never gives the terminal back, nothing is echoed
twice. It scrolls and searches itself: a line confirmed late belongs between others, and nothing
above the input line could be drawn again after the window has changed its size.
"""

import asyncio
import contextlib
import gc
import locale
import os
import signal
import ssl
import sys
from collections.abc import Callable

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.layout import (
    BufferControl,
    CompletionsMenu,
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    UIContent,
    UIControl,
    Window,
)
from prompt_toolkit.layout.processors import (
    BeforeInput,
    ConditionalProcessor,
    PasswordProcessor,
)
from prompt_toolkit.output import ColorDepth, create_output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from chainchat.client.connection import Connection
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.kept.kept_memory import KeptMemory
from chainchat.client.kept.settings import Settings
from chainchat.client.model.looks import STYLES, Glyphs, Pieces, name_styles
from chainchat.client.model.room import Alert, Log, Room
from chainchat.client.model.standing import Names
from chainchat.client.screen.completion import Completions
from chainchat.client.screen.drawing import Roomy, SteadyOutput, roomy
from chainchat.client.screen.history import History
from chainchat.client.screen.keys import Keyboard
from chainchat.client.screen.pasting import PasteParser

NAMES_WITHIN = 1.0
"""Seconds that completion waits for names."""

REFRESH_EVERY = 0.5

REDRAW_EVERY = 0.03
"""Seconds between drawings of what was heard; keys are shown at once."""

ESCAPE_WITHIN = 0.05
"""Seconds after which an Esc is not the beginning of another key."""

MOST_INPUT_ROWS = 6

LAST_ROWS = 20


def locale_is_utf8() -> bool:
    """True for a UTF-8 locale; Python assumes UTF-8 even for ``LC_ALL=C``."""
    return locale.getencoding().lower().replace("-", "") == "utf8"


class Terminal:
    """One person's session.

    Args:
        memory: where what is pending survives the end; None: it does not.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        tls: ssl.SSLContext | None = None,
        *,
        log: Log | None = None,
        memory: KeptMemory | None = None,
        names: Names | None = None,
    ) -> None:
        self._settings = settings
        self._memory = memory
        self._glyphs = Glyphs(unicode=locale_is_utf8())
        self.room = Room(engine, self._glyphs, settings, log=log, names=names)
        self._connection = Connection(engine, self._heard, tls)
        self._exit_status = 0
        self._title = ""
        self._heard_something = asyncio.Event()
        self._drawn_at = 0.0
        self._redrawing: asyncio.TimerHandle | None = None
        self._output = SteadyOutput.of_terminal()
        self._depth = _depth(settings)
        self._style = Style.from_dict({**STYLES, **name_styles(few=self._has_few_colours())})
        asking = self.room.conversation.asking
        self.input = Buffer(
            name="input",
            completer=Completions(self.room.conversation, self._seek),
            history=History(asking.is_secret, settings.history),
            multiline=True,
            on_text_changed=self._edited,
        )
        self.searched = Buffer(name="search", multiline=False, on_text_changed=self._find)
        self.app = self._application()
        self.app.key_processor.before_key_press += lambda _: self.room.saw()
        self.app.ttimeoutlen = self.app.timeoutlen = ESCAPE_WITHIN

    def _application(self) -> Application[None]:
        return Application(
            layout=self._layout(),
            key_bindings=Keyboard(self).bindings(),
            style=self._style,
            color_depth=self._depth,
            full_screen=True,
            mouse_support=Condition(lambda: self._settings.mouse == "on"),
            input=_keyboard(),
            output=self._output,
            max_render_postpone_time=None,
            after_render=lambda _: self._drawn(),
        )

    def _has_few_colours(self) -> bool:
        depth = self._depth or self._output.get_default_color_depth()
        return depth in (ColorDepth.DEPTH_1_BIT, ColorDepth.DEPTH_4_BIT)

    def _layout(self) -> Layout:
        secret = Condition(lambda: bool(self.room.conversation.asking.question))
        prompt = BeforeInput(lambda: self.room.prompt)
        hidden = ConditionalProcessor(PasswordProcessor(), secret)
        typed = BufferControl(self.input, input_processors=[hidden, prompt, Roomy()])
        found = BufferControl(
            self.searched,
            input_processors=[BeforeInput(lambda: self.room.search_prompt), Roomy()],
        )
        is_searching = has_focus(self.searched)
        height = Dimension(min=1, max=MOST_INPUT_ROWS)
        rows = HSplit(
            [
                self._rows(lambda columns, most: self.room.panel_rows(columns)[:most]),
                Window(_Transcript(self.room)),
                self._rows(lambda columns, most: self.room.pending.rows(columns)[-most:]),
                ConditionalContainer(
                    Window(typed, height=height, wrap_lines=True, dont_extend_height=True),
                    ~is_searching,
                ),
                ConditionalContainer(Window(found, height=1), is_searching),
                Window(FormattedTextControl(self._status), height=1),
            ]
        )
        menu = Float(CompletionsMenu(max_height=8), xcursor=True, ycursor=True)
        return Layout(FloatContainer(rows, [menu]), focused_element=typed)

    def _rows(self, make: Callable[[int, int], list[Pieces]]) -> ConditionalContainer:
        """A part of the screen, as high as the rows of ``make``.

        ``make`` takes their width and greatest number: two parts, the input and the status line fit
        into any window.
        """
        rows: list[Pieces] = []

        def fresh() -> bool:
            size = self._output.get_size()
            rows[:] = make(size.columns, max(1, (size.rows - 2) // 2))
            return bool(rows)

        def text() -> FormattedText:
            pieces = [piece for row in rows for piece in (*_roomy(row), ("", "\n"))]
            return FormattedText(pieces[:-1])

        window = Window(FormattedTextControl(text), height=lambda: Dimension.exact(len(rows)))
        return ConditionalContainer(window, Condition(fresh))

    async def run(self) -> int:
        work = [asyncio.create_task(self._connect()), asyncio.create_task(self._refresh())]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.leave_at_once, 128 + number)
        _keep_out_of_collections()
        try:
            await self.app.run_async(handle_sigint=False)
        finally:
            for task in work:
                task.cancel()
            ended = await asyncio.gather(*work, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        self._say_goodbye()
        return self._exit_status or (1 if self.room.pending else 0)

    async def _connect(self) -> None:
        try:
            await self._connection.run()
        finally:
            self._exit()

    def _exit(self) -> None:
        with contextlib.suppress(Exception):  # it has ended already, or is about to
            self.app.exit()

    def leave_at_once(self, status: int) -> None:
        self._exit_status = status
        self._exit()

    def _say_goodbye(self) -> None:
        if self._title:
            self._output.clear_title()
        if self._exit_status > 128 and self._exit_status != 130:
            return  # a signal: nobody may be there
        size = self._output.get_size()
        self.room.view.to_end()
        rows = self.room.rows(size.columns, min(LAST_ROWS, size.rows - 2))
        rows += [
            [("", line)] for line in self.room.pending.last_words(kept=self._memory is not None)
        ]
        pieces = [piece for row in rows for piece in (*row, ("", "\n"))]
        depth = self._depth or self._output.get_default_color_depth()
        plain = create_output(sys.stdout)  # the other one takes cells
        print_formatted_text(plain, FormattedText(pieces), self._style, color_depth=depth)

    async def _refresh(self) -> None:
        while True:
            self.room.refresh()
            if self._memory is not None and self._memory.trouble:
                self.room.tell(f"* what you say is not kept on disk: {self._memory.trouble}")
                self._memory.trouble = ""
            self._connection.flush()
            self.app.invalidate()  # seconds pass
            await asyncio.sleep(REFRESH_EVERY)

    # --- keys ------------------------------------------------------------------------

    def accept(self) -> None:
        question = self.room.conversation.asking.question
        text = self.input.text
        if question:
            self.input.reset(append_to_history=False)
            self.room.answer(text)
        else:
            text = self.room.confirmed(text)
            self.input.reset(append_to_history=bool(self.input.text))
            self.room.typed(text)
        self._connection.flush()
        self._keep_working()

    def flush(self) -> None:
        self._connection.flush()

    def paste(self, text: str) -> None:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
        before, after = (
            self.input.document.text_before_cursor,
            self.input.document.text_after_cursor,
        )
        if self.room.conversation.asking.question:
            self.input.insert_text(lines.partition("\n")[0])
            return
        if self.room.needs_no_question(whole := f"{before}{lines}{after}"):
            self.input.insert_text(lines)
        else:
            self.input.reset()
            self.room.ask_about(whole)

    def _edited(self, _: Buffer) -> None:
        self.room.edited()

    def _find(self, searched: Buffer) -> None:
        self.room.find(searched.text)

    async def _seek(self, beginning: str) -> None:
        self.room.conversation.seek(beginning)
        self._connection.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NAMES_WITHIN):
                while self.room.conversation.seeking:
                    self._heard_something.clear()
                    await self._heard_something.wait()

    # --- the screen ------------------------------------------------------------------

    def _heard(self, event: events.Event) -> None:
        match event:
            case events.PasswordNeeded():
                self.input.reset()  # what was begun is no password
            case events.Ended(reason=reason) if reason != "logout":
                self._exit_status = 1
        self._connection.behind()
        self.room.heard(event)
        self._keep_working()
        self._heard_something.set()

    def _keep_working(self) -> None:
        if self.room.work():
            asyncio.get_running_loop().call_soon(self._keep_working)
        self._redraw_soon()

    def _redraw_soon(self) -> None:
        if self._redrawing is None:
            loop = asyncio.get_running_loop()
            self._redrawing = loop.call_at(self._drawn_at + REDRAW_EVERY, self._redraw)

    def _redraw(self) -> None:
        self._redrawing = None
        self.app.invalidate()

    def _drawn(self) -> None:
        """Count as seen all that was heard, as it is on the screen."""
        self._drawn_at = asyncio.get_running_loop().time()
        if self._redrawing is not None:
            self._redrawing.cancel()
            self._redrawing = None
        self._connection.shown()
        self._call()
        title = self.room.title()
        if self._settings.title == "on" and title != self._title:
            self._output.set_title(title)
            self._title = title
        self._output.flush()

    def _call(self) -> None:
        alert, self.room.alert = self.room.alert, None
        if alert is None:
            return
        is_mention = alert is Alert.MENTION
        if self._settings.bell == "all" or (self._settings.bell == "mentions" and is_mention):
            self._output.bell()
        if is_mention and self._settings.desktop != "off":
            text = self.room.title()
            way = (
                f"9;{text}" if self._settings.desktop == "osc9" else f"777;notify;chainchat;{text}"
            )
            self._output.write_raw(f"\x1b]{way}\x07")

    def _status(self) -> FormattedText:
        columns = self._output.get_size().columns
        return FormattedText(self.room.status(columns, typed=self.input.text))


class _Transcript(UIControl):
    """The transcript, whose last row stands at the bottom."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def create_content(self, width: int, height: int) -> UIContent:
        rows = self._room.rows(width, height)
        rows = [[]] * (height - len(rows)) + rows
        return UIContent(get_line=lambda i: _roomy(rows[i]), line_count=height)


def _roomy(row: Pieces) -> FormattedText:
    return FormattedText((style, roomy(text)) for style, text in row)


def _keyboard() -> Input:
    keyboard = create_input(sys.stdin)
    if isinstance(keyboard, Vt100Input):
        keyboard.vt100_parser = PasteParser(keyboard.vt100_parser.feed_key_callback)
    return keyboard


def _keep_out_of_collections() -> None:
    """Keep garbage collections from all that is there, which saves 20 ms each time."""
    gc.collect()
    gc.freeze()


def _depth(settings: Settings) -> ColorDepth | None:
    if os.environ.get("NO_COLOR") or settings.colours == "off":
        return ColorDepth.DEPTH_1_BIT
    return ColorDepth.DEPTH_4_BIT if settings.colours == "16" else None
