"""What a person's screen shows, without a terminal: transcript, pending lines, status, questions.

The transcript shows only what has happened: a sent line is pending until it is confirmed, and then
stands where its id belongs. One's own lines show this machine's time: confirmations carry none.
"""

import datetime
import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

from chainchat.chat.requests import EVERYBODY
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.wire import harmless
from chainchat.client.kept.settings import Settings
from chainchat.client.model import standing
from chainchat.client.model.backlog import Backlog
from chainchat.client.model.conversation import FOR_NO_LOG, Conversation, milliseconds
from chainchat.client.model.looks import Glyphs, Looks, Pieces
from chainchat.client.model.missed import Missed
from chainchat.client.model.own_verbs import OwnVerbs
from chainchat.client.model.pending import Pending
from chainchat.client.model.searching import Searching
from chainchat.client.model.standing import Counts, Names, Standing
from chainchat.client.model.strides import MOST_LISTED
from chainchat.client.model.transcript import Entry, Transcript
from chainchat.client.model.view import View

MOST_PASTED = 3
"""Pasted lines that are said without a question."""

BUSY = 20
"""With more people on, nobody is told by default who comes and goes."""

NEAR_LIMIT = 0.8
"""Share of the longest text from which octets are counted."""

WEEK = 7

WELL = 0.5
"""Seconds of lag that nobody needs to know of."""


class Alert(Enum):
    """What may call the person back to the screen."""

    MESSAGE = auto()
    MENTION = auto()


Log = Callable[[datetime.datetime, str], None]


class Room:
    """One person's screen.

    Attributes:
        panel: the chain is shown.
        alert: the loudest event since the terminal looked.

    Args:
        settings: may change while this runs.
        log: takes each shown line, in order.
        clock, wall: monotonic seconds; seconds since 1970.
    """

    def __init__(
        self,
        engine: Engine,
        glyphs: Glyphs,
        settings: Settings,
        *,
        log: Log | None = None,
        names: Names | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._glyphs = glyphs
        self.settings = settings
        self._log = log
        self._clock = clock
        self._wall = wall
        self._utc = settings.utc
        self.transcript = Transcript(self._zone)
        self._looks = Looks(engine.name, glyphs, self._time_of_day)
        self.view = View(self.transcript, self._looks)
        self.standing = Standing(names)
        self.conversation = Conversation(
            engine, notices=True, asks=True, zone=self._zone, name_of=self.standing.name_of
        )
        self._ignored = {name.lower() for name in settings.ignore}
        self.searching = Searching(
            engine,
            self.conversation,
            self.transcript,
            self.view,
            clock=clock,
            ignored=self._ignored,
        )
        self._own = OwnVerbs(self, settings, self._ignored)
        self.pending = Pending(glyphs)
        self.panel = False
        self.alert: Alert | None = None
        self._unshown = Backlog()
        self._missed: Missed | None = None
        self._look = 0  # the request for the newest messages
        self._first = True
        self._unread = self._mentions = 0
        self._asked_about = ""  # a paste of many lines
        self._offline_since = 0.0
        self._chain_asked = 0.0
        self._size = 80, 20  # columns and rows that were drawn last
        self.leaving = False

    @property
    def _zone(self) -> datetime.tzinfo | None:
        return datetime.UTC if self.settings.utc == "on" else None

    def _time_of_day(self, milliseconds_: int) -> str:
        return f"{self.transcript.local(milliseconds_):%H:%M}"

    # --- typed -----------------------------------------------------------------------

    def needs_no_question(self, text: str) -> bool:
        return _lines_of(text) <= MOST_PASTED

    def ask_about(self, text: str) -> None:
        self._asked_about = text

    @property
    def asks_about_a_paste(self) -> bool:
        return bool(self._asked_about)

    def edited(self) -> bool:
        """Note that the input has changed: no to a paste; True if one was asked about."""
        asked, self._asked_about = self._asked_about, ""
        if asked:
            self.tell("* nothing of the paste is said")
        return bool(asked)

    def confirmed(self, text: str) -> str:
        """What Enter says: ``text``, or the paste asked about."""
        asked, self._asked_about = self._asked_about, ""
        return asked or text

    def answer(self, text: str) -> None:
        self._show(self.conversation.asking.answer(text))

    def cancelled(self) -> bool:
        """Cancel a change of the password; False if there is none, as at the login."""
        changing = bool(self.conversation.asking.question) and self._engine.online
        if changing:
            self.answer("")
        return changing

    @property
    def prompt(self) -> str:
        if self._asked_about:
            return f"say {_lines_of(self._asked_about)} lines? (Enter: yes, Esc: no) "
        if self.conversation.asking.question:
            return f"{self.conversation.asking.question}: "
        return f"{self._engine.name}> "

    def typed(self, text: str) -> None:
        self.view.to_end()
        for line in text.splitlines():
            own = self._own.answer(line)
            self._rezone()
            self._show(self.conversation.typed(line) if own is None else own)

    def leave(self) -> None:
        self.leaving = True
        self.typed("/logout")

    def _rezone(self) -> None:
        if self.settings.utc != self._utc:
            self._utc = self.settings.utc
            self.transcript.zone = self.conversation.zone = self._zone

    def find(self, text: str, *, again: int = 0) -> bool:
        return self.searching.find(text, self._size, again=again)

    def look_back(self) -> None:
        self.searching.look_back()

    @property
    def search_prompt(self) -> str:
        failed = " (not loaded; Ctrl-R: further back)" if self.searching.failed else ""
        return f"search{failed}: "

    def stop_searching(self) -> None:
        self._show(self.searching.stop())
        self.view.stop_searching()

    def saw(self) -> None:
        """Note that the person pressed a key, so nothing is unread."""
        self._unread = self._mentions = 0

    # --- heard -----------------------------------------------------------------------

    def heard(self, event: events.Event) -> None:
        match event:
            case events.MessageArrived():
                self._arrived(event)
                return
            case events.SendPending(number=number, to=to, text=text):
                self.pending.add(number, text if to == EVERYBODY else f">> {to}: {text}")
                return
            case events.SendAcknowledged(number=number):
                self.pending.remove(number)
                self._said(event)
                return
            case events.HistoryListed(request=request) if request == self._look:
                self._looked_back(event)
                return
            case events.HistoryListed() | events.RequestRefused():
                if (told := self.searching.heard(event)) is not None:
                    self._show(told)
                    return
            case events.SendRefused(number=number):
                self.pending.remove(number)
        self._note_standing(event)
        self.conversation.notices = self._tells_of_others
        self._show(self.conversation.heard(event))
        if isinstance(event, events.LoggedIn):
            self._logged_in(event)

    @property
    def _tells_of_others(self) -> bool:
        if self.settings.joins == "auto":
            return len(self.conversation.here) <= BUSY
        return self.settings.joins == "on"

    def _arrived(self, message: events.MessageArrived) -> None:
        if self._missed is not None:
            self._missed.pushed(message.id)
        if message.sender.lower() not in self._ignored:
            self.conversation.know(message.sender)
            self._add(message)
        self._tell_missed()

    def _add(self, message: events.MessageArrived, *, past: bool = False) -> None:
        newest = self.transcript.newest
        moment = milliseconds(message.time)
        name, to, text = message.sender, message.to, message.text
        mine = name.lower() == self._engine.name.lower()
        if not self.transcript.add_message(message.id, moment, name, to, text):
            return
        entry = Entry(message.id, moment, name, to, text)
        self._write_down(entry)
        if past or mine or self._missed is not None:
            return
        if not self._unread and newest:
            self.transcript.unread_after = newest
        self._unread += 1
        mentioned = self._looks.mentions(entry)
        self._mentions += mentioned
        if mentioned:
            self.alert = Alert.MENTION
        elif self.alert is None:
            self.alert = Alert.MESSAGE

    def _said(self, event: events.SendAcknowledged) -> None:
        moment = int(self._wall() * 1000)
        name = self._engine.name
        if self.transcript.add_message(event.id, moment, name, event.to, event.text, mine=True):
            self._write_down(Entry(event.id, moment, name, event.to, event.text))

    def _write_down(self, entry: Entry) -> None:
        if self._log is not None:
            to = "" if entry.to == EVERYBODY else f" >> {entry.to}"
            line = f"#{entry.id} {entry.sender}{to}: {harmless(entry.text)}"
            self._log(self.transcript.local(entry.time), line)

    def tell(self, line: str) -> None:
        self._show([line])

    def _show(self, lines: Iterable[str]) -> None:
        self._unshown.add(lines)
        self.work()

    def work(self) -> bool:
        """Show some of the waiting lines; True if more wait."""
        for line in self._unshown.take():
            self.transcript.add_line(line)
            if self._log is not None and not line.startswith(FOR_NO_LOG):
                self._log(self.transcript.local(int(self._wall() * 1000)), line)
        return bool(self._unshown)

    # --- coming back

    def _logged_in(self, event: events.LoggedIn) -> None:
        if self._first and self._engine.pending:
            count = self._engine.pending
            lines = "1 line" if count == 1 else f"{count} lines"
            self._show([f"* {lines} of before, not confirmed then, sent again"])
        away = self._clock() - self._offline_since
        if self._first or away > standing.LONG_AWAY:
            self._missed = Missed(event, self._engine.name)
            self._ask_back()
        self._first = False

    def _ask_back(self) -> None:
        assert self._missed is not None
        self._look = self._engine.request("SINCE", self._missed.search_from, MOST_LISTED)

    def _looked_back(self, event: events.HistoryListed) -> None:
        assert self._missed is not None
        shown = self._missed.listed(event.messages)
        if shown is None:
            self._ask_back()
            return
        for message in shown:
            if message.sender.lower() not in self._ignored:
                self._add(message, past=True)
        self.transcript.unread_after = self._missed.after
        self._tell_missed()

    def _tell_missed(self) -> None:
        missed = self._missed
        if missed is None or missed.count is None:
            return
        self._missed = None
        if not missed.count:
            self.transcript.unread_after = 0
            return
        first = self.transcript.first_after(missed.after)
        since = f" since {self._moment(first.time)}" if first else ""
        messages = "1 message" if missed.count == 1 else f"{missed.count:,} messages"
        self._show([f"* you missed {messages}{since}"])

    def _moment(self, time: int) -> str:
        """``18:02``, ``Friday 18:02``, or the date where that may be another Friday."""
        moment, now = map(self.transcript.local, (time, int(self._wall() * 1000)))
        days = (now.date() - moment.date()).days
        day = "" if not days else f"{moment:%A} " if days < WEEK else f"{moment.date()} "
        return f"{day}{moment:%H:%M}"

    # --- how things stand

    def _note_standing(self, event: events.Event) -> None:
        match event:
            case events.ConnectionLost() if self.standing.node:
                self._offline_since = self._clock()
            case events.Answered(verb="CHAIN", words=words):
                self.standing.told(words)
                self.standing.lag = self._clock() - self._chain_asked
        self.standing.heard(event, self._clock())

    def refresh(self) -> None:
        """Ask for what is shown of the chain; call this some times a second."""
        if self.panel:
            self.conversation.refresh_soon()
        if self.conversation.refresh(self._clock()):
            self._chain_asked = self._clock()
        self.searching.go_on()

    def status(self, columns: int, *, typed: str = "") -> Pieces:
        """The status line; ``typed``: what stands in the input line."""
        stand, dot = self.standing, f" {self._glyphs.dot} "
        counts = Counts(
            pending=len(self.pending),
            unread=self._unread,
            mentions=self._mentions,
            below=self.view.below(),
        )
        told = [self.near_limit(typed), *standing.counted(counts)]
        bad, places, more = True, [], []
        if not self._engine.online and self.conversation.asking.question:
            matters = ["the server waits for your password", *told]
        elif not self._engine.online:
            state = self.conversation.trouble if stand.node else ""
            matters = ["offline", state, *stand.offline(self._clock()), *told]
        else:
            bad = bool(stand.trouble_of_chain())
            here = len(self.conversation.here)
            lag = f"answers take {stand.lag:.1f} s" if stand.lag > WELL and not self.panel else ""
            reading = "reading what you missed" if self._missed is not None else ""
            places = [stand.place(), f"on {stand.node}"]
            matters = [stand.trouble_of_chain(), self.searching.progress(), reading, *told, lag]
            more = [f"{here} here" if here else "", "F2 draws the chain" if stand.members else ""]
        fit = self._fit
        line = standing.fitted(fit(places), fit(matters), fit(more), dot, columns)
        return [("class:status.warning" if bad else "class:status", line)]

    def _fit(self, parts: Sequence[str]) -> list[str]:
        return [harmless(self._glyphs.fit(part)) for part in parts]

    def panel_rows(self, columns: int) -> list[Pieces]:
        if not self.panel:
            return []
        rule = self._looks.rule("", columns, "class:faint")
        return [*standing.drawn(self.standing, self._glyphs, columns), rule]

    def near_limit(self, text: str) -> str:
        """``987 of 1024 octets`` near the server's limit; else empty."""
        to = EVERYBODY
        line = max(text.splitlines() or [""], key=len)
        if line.lstrip().startswith(">>"):
            to, _, line = line.lstrip().removeprefix(">>").partition(":")
        limit = self._engine.longest(to.strip())
        octets = len(line.strip().encode(errors="replace"))
        return f"{octets} of {limit} octets" if octets > NEAR_LIMIT * limit else ""

    def title(self) -> str:
        count = f"({self._unread}) " if self._unread else ""
        return f"{count}{self._engine.name} - chainchat"

    def rows(self, columns: int, height: int) -> list[Pieces]:
        self._size = columns, height
        return self.view.rows(columns, height)

    def scroll(self, up: int) -> None:
        self.view.scroll(up, *self._size)

    @property
    def page(self) -> int:
        return max(1, self._size[1] - 2)


def _lines_of(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())
