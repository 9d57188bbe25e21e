"""The client for people: an input line that stays whole, whatever arrives.

The client takes no full screen: scrollback, selection and copying work, and the transcript remains
after leaving. A sent line is shown as pending above the input line; once acknowledged, it moves up
into the transcript, with its id. So the transcript shows only what has happened. One's own lines
show this machine's time: their acknowledgements carry none.
"""

import asyncio
import contextlib
import datetime
import locale
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from itertools import islice

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.output import ColorDepth, create_output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from chainchat.client import events
from chainchat.client.backlog import MOST_LINES, Backlog
from chainchat.client.connection import Connection
from chainchat.client.conversation import Conversation
from chainchat.client.engine import Engine
from chainchat.client.wire import EVERYBODY, harmless

MOST_PENDING_SHOWN = 5
"""Pending lines shown above the input line; the rest are counted."""

VERBS = (
    *("/chain", "/delete", "/exit", "/help", "/last", "/list"),
    *("/logout", "/notices", "/password", "/quit", "/who"),
)

NAMES_WITHIN = 1.0
"""Seconds that completion waits for names."""

STYLE = Style.from_dict(
    {
        "faint": "ansibrightblack",
        "name": "ansicyan",
        "private": "ansimagenta",
        "good": "ansigreen",
        "bad": "ansired",
        "bottom-toolbar": "noreverse",
        "bottom-toolbar.text": "noreverse ansibrightblack",
    }
)


class Glyphs:
    """Symbols, in Unicode or in ASCII."""

    def __init__(self, *, unicode: bool) -> None:
        self.unicode = unicode
        self.pending, self.done, self.dot = ("…", "✓", "·") if unicode else ("...", "ok", "|")

    def fit(self, text: str) -> str:
        """``text`` as far as the terminal can show it."""
        return text if self.unicode else text.encode("ascii", "replace").decode()


def locale_is_utf8() -> bool:
    """True if the locale says UTF-8, which Python assumes even for ``LC_ALL=C``."""
    return locale.getencoding().lower().replace("-", "") == "utf8"


class Terminal:
    """One person's session in a terminal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._glyphs = Glyphs(unicode=locale_is_utf8())
        self._conversation = Conversation(
            engine,
            lambda: datetime.datetime.now(datetime.UTC),
            notices=True,
            echo=self._glyphs.done,
            asks=True,
        )
        self._asking = self._conversation.asking
        self._connection = Connection(engine, self._heard)
        self._pending: dict[int, str] = {}
        self._unprinted = Backlog()
        self._printing: asyncio.Task[None] | None = None
        self._depth = ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None
        self._output = create_output(sys.stdout)
        self._session: PromptSession[str] = PromptSession(
            message=self._prompt,
            bottom_toolbar=self._toolbar,
            completer=Completions(self._conversation, self._seek),
            complete_while_typing=False,
            history=History(lambda: bool(self._asking.question)),
            is_password=Condition(lambda: bool(self._asking.question)),
            color_depth=self._depth,
            erase_when_done=True,
            style=STYLE,
            output=self._output,
        )
        self._exit_status = 0
        self._heard_something = asyncio.Event()

    async def run(self) -> int:
        """Run until the person leaves or the server ends it; returns the exit status."""
        tasks = [
            asyncio.create_task(work)
            for work in (self._connection.run(), self._read(), self._refresh())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._printing:
                await self._printing
        for task in done:
            task.result()
        return self._verdict()

    def _verdict(self) -> int:
        if self._pending:
            count = len(self._pending)
            print(f"* {count} of your lines {'was' if count == 1 else 'were'} not confirmed:")
            for text in self._pending.values():
                print(f"|   {self._glyphs.fit(text)}")
        return self._exit_status or (1 if self._pending else 0)

    # --- in ----------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            try:
                typed = await self._session.prompt_async()
            except KeyboardInterrupt:
                if self._session.default_buffer.text:
                    continue  # as in a shell: away with this line
                self._exit_status = 130
                return
            except EOFError:
                typed = "/logout"
            if self._asking.question:
                self._print(self._asking.answer(typed))
                self._connection.flush()
                continue
            for count, line in enumerate(typed.splitlines()):  # several, when they were pasted
                if count % MOST_LINES == MOST_LINES - 1:
                    await asyncio.sleep(0)
                self._print(self._conversation.typed(line))
            self._connection.flush()

    async def _refresh(self) -> None:
        while True:
            self._conversation.refresh(asyncio.get_running_loop().time())
            self._connection.flush()
            await asyncio.sleep(0.5)

    async def _seek(self, beginning: str) -> None:
        self._conversation.seek(beginning)
        self._connection.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NAMES_WITHIN):
                while self._conversation.seeking:
                    self._heard_something.clear()
                    await self._heard_something.wait()

    # --- out -----------------------------------------------------------------------------

    def _heard(self, event: events.Event) -> None:
        match event:
            case events.SendPending(number=number, to=to, text=text):
                self._pending[number] = text if to == EVERYBODY else f">> {to}: {text}"
            case events.SendAcknowledged(number=number) | events.SendRefused(number=number):
                self._pending.pop(number, None)
            case events.PasswordNeeded():
                self._session.default_buffer.reset()  # what was begun is no password
            case events.Ended(reason=reason) if reason != "logout":
                self._exit_status = 1
        self._print(self._conversation.heard(event))
        if not isinstance(event, events.MessageArrived):
            self._heard_something.set()
            self._session.app.invalidate()

    def _print(self, lines: Iterable[str]) -> None:
        """Show lines above the input line; nothing is read faster than it is shown."""
        self._unprinted.add(lines)
        if not self._unprinted:
            return
        self._connection.behind()
        if self._unprinted.full:
            self._connection.hold()
        if self._printing is None or self._printing.done():
            self._printing = asyncio.ensure_future(self._print_all())

    async def _print_all(self) -> None:
        while self._unprinted:
            # A terminal answers once it has drawn what it got: a slow one sets the pace.
            await self._session.app.renderer.wait_for_cpr_responses()
            self._write_above(self._unprinted.take())
            await asyncio.sleep(0)  # keys and the input line have their turn
        self._connection.shown()

    def _write_above(self, lines: Iterable[str]) -> None:
        """Write lines in place of the input line, which is drawn again below.

        ``run_in_terminal`` does the same, but lets the terminal echo keys in between.
        """
        app = self._session.app
        if not app.is_running:
            self._write(lines)
            return
        app.renderer.erase()
        self._write(lines)
        if not (app.key_processor.input_queue or app.is_done):  # otherwise nobody hears the answer
            app.renderer.request_absolute_cursor_position()
        app.invalidate()

    def _write(self, lines: Iterable[str]) -> None:
        depth = self._depth or self._output.get_default_color_depth()
        fragments: StyleAndTextTuples = []
        for line in lines:
            fragments += coloured(self._glyphs.fit(line), self._glyphs.done)
            fragments.append(("", "\n"))
        print_formatted_text(self._output, fragments, STYLE, color_depth=depth)

    def _prompt(self) -> FormattedText:
        """The pending lines, and the name before the input."""
        shown = list(islice(self._pending.values(), MOST_PENDING_SHOWN))
        more = len(self._pending) - len(shown)
        lines = [f"{self._glyphs.pending} {harmless(self._glyphs.fit(text))}" for text in shown]
        if more:
            lines.append(f"{self._glyphs.pending} and {more} more")
        prompt = f"{self._asking.question}: " if self._asking.question else f"{self._engine.name}> "
        return FormattedText([*(("class:faint", line + "\n") for line in lines), ("", prompt)])

    def _toolbar(self) -> FormattedText:
        """The status line: the node, its place in the chain, and what the client waits for."""
        dot = f" {self._glyphs.dot} "
        chain = self._conversation.chain
        parts = [f"on {self._conversation.node}" if self._engine.online else "connecting"]
        if self._conversation.trouble:
            parts.append(self._conversation.trouble)
        if self._engine.online and chain:
            parts += [f"role {chain.get('role', '?')}", f"epoch {chain.get('epoch', '?')}"]
        if self._conversation.waiting:
            parts.append("the chain cannot confirm at the moment")
        if self._pending:
            parts.append(f"{len(self._pending)} pending")
        return FormattedText([("", harmless(self._glyphs.fit(dot.join(parts))))])


def coloured(line: str, done: str) -> StyleAndTextTuples:
    """Colour a line by its mark; ``done`` ends one's own lines."""
    mark, _, rest = line.partition(" ")
    if mark.startswith("#"):
        time, _, rest = rest.partition(" ")
        who, colon, text = rest.partition(":")
        own = text.endswith(f" {done}") and text.removesuffix(done)
        return [
            ("class:faint", f"{mark} {time} "),
            ("class:private" if " >> " in who else "class:name", who + colon),
            ("", own or text),
            ("class:good", done if own else ""),
        ]
    styles = {"*": "class:faint", "-ERR": "class:bad", "+OK": "class:good"}
    return [(styles.get(mark, ""), line)]


class History(InMemoryHistory):
    """The lines that were typed, without passwords; ``secret``: True while one is typed."""

    def __init__(self, secret: Callable[[], bool]) -> None:
        super().__init__()
        self._secret = secret

    def append_string(self, string: str) -> None:
        """Take a line, unless it is a password."""
        if not self._secret():
            super().append_string(string)


class Completions(Completer):
    """Completes verbs, and names where a name is meant."""

    def __init__(self, conversation: Conversation, seek: Callable[[str], Awaitable[None]]) -> None:
        self._conversation = conversation
        self._seek = seek

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """``get_completions``, after learning the names that may be meant."""
        beginning = _name_begun(document.text_before_cursor)
        if beginning is not None and not self._conversation.asking.question:
            await self._seek(beginning)
        for completion in self.get_completions(document, complete_event):
            yield completion

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002 - the interface
    ) -> Iterable[Completion]:
        """The completions of the word before the cursor."""
        line = document.text_before_cursor
        candidates: Iterable[str] = ()
        if self._conversation.asking.question:
            return
        word = _name_begun(line) or ""
        if line.startswith(">>"):
            candidates = [f"{name}: " for name in sorted(self._conversation.names)]
        elif line.lower().startswith("/delete "):
            candidates = sorted(self._conversation.names)
        elif line.startswith("/"):
            word, candidates = line, VERBS
        for candidate in candidates:
            if candidate.lower().startswith(word.lower()):
                yield Completion(candidate, start_position=-len(word))


def _name_begun(line: str) -> str | None:
    if line.startswith(">>"):
        return line.removeprefix(">>").lstrip()
    if line.lower().startswith("/delete "):
        return line.partition(" ")[2].lstrip()
    return None
