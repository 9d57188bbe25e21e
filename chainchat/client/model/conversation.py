"""A person's lines in and out, without I/O: human mode, on top of machine mode.

Machine mode has only SINCE: for ``/last`` the client asks ever further back.
"""

import datetime
import re
from collections.abc import Callable, Iterable
from itertools import chain
from zlib import crc32

from chainchat.chat.modes.human import HUMAN
from chainchat.chat.modes.mode import ChainView, ChatMessage
from chainchat.chat.passwords import TYPED_BEFORE
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    EVERYBODY,
    NAME,
    Chain,
    ChangePassword,
    Delete,
    Grant,
    Help,
    Invite,
    Kick,
    Last,
    List,
    Logout,
    Notices,
    Request,
    ResetPassword,
    Say,
    Who,
)
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.wire import LONGEST_NUMBER, UnsendableError, harmless
from chainchat.client.model.questions import Asking
from chainchat.client.model.strides import MOST_LISTED, Stride

STATUS_EVERY = 5.0
"""Seconds between requests for the chain's state."""

FOR_NO_LOG = "+OK the password of"
"""The beginning of a line that holds a password, which no log may get."""

WHO_PER_NAME = 0.05
"""Seconds before WHO is asked again, for each name on.

Where thousands are on, all their clients hear in one moment that many came. If each asked at once,
and after each such notice, the tail would answer nothing else.
"""

MOST_NAMES = 10_000

LONGEST_NAME = 32

LATEST = 253_370_764_800_000
"""The year 9999, in milliseconds: the last of Python's."""

LONGEST_QUOTED = 100
"""Characters of a refused line that are shown; the history has it all."""

IDS_PER_MESSAGE = 4
"""Ids that ``/last`` looks back per message: logins and others' mail have ids, too."""


class Conversation:
    """Turns lines into calls of the engine, and events into lines.

    Attributes:
        here: accounts that are on.
        trouble: what ended the connection or prevents the login; mostly empty.

    Args:
        asks: ``asking`` can be answered, without showing what is typed.
        zone: of the times shown; None: this machine's.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        notices: bool,
        asks: bool = False,
        zone: datetime.tzinfo | None = datetime.UTC,
        name_of: Callable[[str, int], str] = "{}:{}".format,
    ) -> None:
        self.names: set[str] = set()
        self.here: set[str] = set()
        self.node = ""
        self.trouble = ""
        self.asking = Asking(engine)
        self._asks = asks
        self._engine = engine
        self.notices = notices
        self.zone = zone
        self._name_of = name_of
        self._human = HUMAN
        self._day = ""
        self._told = False  # of the trouble, while it lasts
        self._welcomed = False
        self._last: dict[int, tuple[int, Stride, int]] = {}
        """By request: messages wanted, how far back, after which id."""
        self._foreground: dict[int, str] = {}  # the person's own requests: what they are about
        self._removed = ""  # what the server says of messages that are gone
        self._status_due = 0.0
        self._who_is_stale = False
        self._who_due = 0.0  # 0 while that is not known
        self._sought = ""  # what the names begin with that were asked for last
        self._refreshing: set[str] = set()  # verbs that we have asked for ourselves

    @property
    def asked(self) -> int:
        return len(self._foreground)

    # --- typed -----------------------------------------------------------------------

    def typed(self, line: str) -> list[str]:
        """Carry out ``line``; return lines to show, an error with ``-ERR``."""
        line = line.replace("\t", " ")
        if not line.strip():
            return []
        try:
            if self.asking.was_typed(line):
                raise RefusedError(Code.TYPED_AS_PASSWORD, TYPED_BEFORE)
            _, request = self._human.parse(line, logged_in=True)
            return self._do(request)
        except RefusedError as error:
            return [harmless(self._human.refused("", error.code, error.text))]
        except UnsendableError as error:
            return [f"-ERR {error.code} {error} (not said: {harmless(_beginning(line))})"]

    def _do(self, request: Request) -> list[str]:
        match request:
            case Say(to=to, text=text):
                self._engine.send(text, to)
            case List(pattern=pattern):
                self._ask("LIST", *([pattern] if pattern else []))
            case Who():
                self._ask("WHO")
            case Last(count=count):
                self._look_back(count, Stride(count * IDS_PER_MESSAGE, count))
            case Chain():
                self._ask("CHAIN")
            case Delete(name=name, confirmed=confirmed):
                return self._delete(name or self._engine.name, confirmed=confirmed)
            case Help(verb=verb):
                lines = self._human.help("", verb)
                return [line for line in lines if not line.startswith("| /hello")]
            case Notices(on=on):
                self.notices = on
                return [f"+OK you are {'' if on else 'not '}told who comes and goes"]
            case Logout():
                return self._leave()
            case ChangePassword(remove=remove) if self._asks:
                return self.asking.change(remove=remove)
            case ChangePassword():
                return [self._human.refused("", Code.BAD_ARGUMENTS, "type that in a terminal")]
            case Invite(name=name):
                self._ask("INVITE", name)
            case ResetPassword(name=name):
                self._ask("RESET", name)
            case Grant(name=name, operator=operator):
                self._ask("OPERATOR", name, "on" if operator else "off")
            case Kick(name=name):
                self._ask("KICK", name)
            case _:
                raise AssertionError(request)  # people do not say the rest
        return []

    def _ask(self, verb: str, *arguments: str | int) -> int:
        request = self._engine.request(verb, *arguments)
        self._foreground[request] = str(arguments[0]) if arguments else ""
        return request

    def _look_back(self, wanted: int, stride: Stride) -> None:
        after = max(0, self._engine.newest - stride.ids)
        self._last[self._ask("SINCE", after, MOST_LISTED)] = wanted, stride, after

    def _delete(self, name: str, *, confirmed: bool) -> list[str]:
        if confirmed:
            self._ask("DELETE", name)
            return []
        whose = "your own account" if name.lower() == self._engine.name.lower() else "it"
        text = f"type /delete {name} yes to delete {whose}"
        return [self._human.refused("", Code.CONFIRM_DELETION, text)]

    def _leave(self) -> list[str]:
        self._engine.logout()
        unconfirmed = self._engine.pending
        if not unconfirmed:
            return []
        lines = "1 line is" if unconfirmed == 1 else f"{unconfirmed} lines are"
        return [f"* leaving once {lines} confirmed; Ctrl-C leaves at once"]

    def refresh(self, now: float) -> bool:
        """Ask for what a status line shows; True if asked. ``now``: monotonic seconds."""
        if not self._engine.online:
            return False
        asked = False
        if now >= self._status_due and "CHAIN" not in self._refreshing:
            self._status_due = now + STATUS_EVERY
            self._ask_for_us("CHAIN")
            asked = True
        if self._who_is_stale and "WHO" not in self._refreshing:
            self._who_due = self._who_due or now + self._who_pause
            if now >= self._who_due:
                self._who_is_stale, self._who_due = False, 0.0
                self._ask_for_us("WHO")
        return asked

    @property
    def _who_pause(self) -> float:
        """Seconds, other ones for each account: else all would ask together."""
        lot = crc32(self._engine.name.encode()) / (1 << 32)
        return WHO_PER_NAME * len(self.here) * (0.5 + lot)

    def refresh_soon(self) -> None:
        self._status_due = 0.0

    def seek(self, beginning: str) -> None:
        """Ask for the names that begin so; costly where many clients do."""
        may_be_name = not beginning or NAME.fullmatch(beginning)
        if self._engine.online and may_be_name and not self.seeking:
            self._sought = beginning.lower()
            self._ask_for_us("LIST", *([re.escape(beginning)] if beginning else []))

    @property
    def seeking(self) -> bool:
        return "LIST" in self._refreshing

    def _ask_for_us(self, verb: str, *arguments: str) -> None:
        """Ask for the client itself; the engine repeats the question after a break."""
        self._refreshing.add(verb)
        self._engine.request(verb, *arguments)

    # --- heard -----------------------------------------------------------------------

    def heard(self, event: events.Event) -> Iterable[str]:
        """Lines about ``event``, each made in its turn."""
        return map(harmless, self._lines(event))

    def _lines(self, event: events.Event) -> Iterable[str]:
        match event:
            case events.MessageArrived():
                self.know(event.sender)
                return self._message(event)
            case events.SendAcknowledged():
                return self._sent(event)
            case events.SendRefused(to=to, text=text, code=code, reason=reason):
                what = text if to == EVERYBODY else f">> {to}: {text}"
                return [f"-ERR {code} {reason} (not said: {_beginning(what)})"]
            case events.SendDelayed(text=text):
                return [f"* not said yet: {text}; trying again"]
            case events.Listed():
                return self._listed(event)
            case events.HistoryListed(request=request, messages=messages):
                self._foreground.pop(request, None)
                return self._history(request, messages)
            case events.Answered():
                return self._answered(event)
            case events.RequestRefused(request=request, verb=verb, code=code, text=text):
                self._answers_us(request, verb)
                known = self._foreground.pop(request, None) is not None
                self._last.pop(request, None)
                return [f"-ERR {code} {text}" if code else f"* {text}"] if known else []
            case events.PasswordNeeded(new=new):
                self.asking.log_in(new=new)
                return [f"* {event.text}"]
            case events.PasswordChanged(removed=removed):
                return [f"+OK your password is {'removed' if removed else 'set'}"]
            case events.PasswordRefused(code=code, text=text):
                if code not in (0, Code.TLS_ONLY):
                    self.asking.change_refused()
                return [f"-ERR {code} {text}" if code else f"* {text}"]
            case events.Notice():
                return self._noticed(event)
            case _:
                return self._connection(event)

    def _message(self, message: events.MessageArrived) -> list[str]:
        return [*self._new_day(message.time), self._shown(message)]

    def _new_day(self, time: str) -> list[str]:
        day = self._local(time).date().isoformat()
        if day <= self._day:
            return []
        self._day = day
        return [f"* {day}"]

    def _local(self, time: str) -> datetime.datetime:
        moment = datetime.datetime.fromtimestamp(milliseconds(time) / 1000, datetime.UTC)
        return moment.astimezone(self.zone)

    def _shown(self, message: events.MessageArrived) -> str:
        local, to = self._local(message.time), message.to
        time = round(local.replace(tzinfo=datetime.UTC).timestamp() * 1000)
        return self._human.message(
            ChatMessage(message.id, 0, time, message.sender, to, message.text), self._engine.name
        )

    def _sent(self, event: events.SendAcknowledged) -> list[str]:
        return [self._human.sent("", event.id, again=event.again)]

    def know(self, *names: str) -> None:
        room = MOST_NAMES - len(self.names)
        if room > 0:
            self.names.update(name for name in names[:room] if len(name) <= LONGEST_NAME)

    def _answers_us(self, request: int, verb: str) -> bool:
        ours = request not in self._foreground
        if ours:
            self._refreshing.discard(verb)
        return ours

    def _listed(self, event: events.Listed) -> Iterable[str]:
        if self._answers_us(event.request, event.verb):
            if event.verb == "WHO":
                self.here = set(event.items[:MOST_NAMES])
                self.know(*self.here)
                return []
            self.names = {n for n in self.names if not n.lower().startswith(self._sought)}
            self.know(*event.items[:MOST_NAMES])
            return []
        self._foreground.pop(event.request, None)
        self.know(*event.items[:MOST_NAMES])
        count = len(event.items)
        kind = "account" if event.verb == "LIST" else "on now"
        kind += "s" if kind == "account" and count != 1 else ""
        return chain((f"| {name}" for name in event.items), (f". {count} {kind}",))

    def _history(self, request: int, messages: tuple[events.MessageArrived, ...]) -> list[str]:
        if request not in self._last:
            return []  # of a search that was stopped
        wanted, stride, after = self._last.pop(request)
        if not stride.suits(len(messages), all_there_are=not after):
            self._look_back(wanted, stride)
            return []
        shown = min(wanted, len(messages))
        removed = [f"* {self._removed}"] if self._removed and shown < wanted else []
        lines = self.listed(messages[-wanted:])
        return [*removed, *lines, f". {shown} message{'' if shown == 1 else 's'}"]

    def listed(self, messages: Iterable[events.MessageArrived]) -> list[str]:
        lines = []
        day = ""
        for message in messages:
            if (its_day := self._local(message.time).date().isoformat()) != day:
                day = its_day
                lines.append(f"| {day}")
            lines.append(f"| {self._shown(message)}")
        return lines

    def _answered(self, event: events.Answered) -> list[str]:
        self._answers_us(event.request, event.verb)
        name = self._foreground.pop(event.request, None)
        if event.verb == "CHAIN":
            return self._drawn(event.words) if name is not None else []
        match event.verb:
            case "INVITE" | "RESET":
                password = event.words.get("password", "")
                return [f"{FOR_NO_LOG} {name}, to choose another with, told once: {password}"]
            case "OPERATOR":
                return [f"+OK it is done: {name}"]
            case "KICK":
                return [f"+OK the session of {name} is ended"]
        self.names.discard(name or "")
        return [f"+OK {name} is deleted"]

    def _drawn(self, words: dict[str, str]) -> list[str]:
        away = words.get("away", "")
        view = ChainView(
            epoch=_number(words.get("epoch", "")),
            members=tuple(words.get("members", "").split(",")),
            node=words.get("node", ""),
            role=words.get("role", ""),
            committed=_number(words.get("committed", "")),
            away=tuple(away.split(",")) if away else (),
        )
        return list(self._human.chain("", view))

    def _noticed(self, event: events.Notice) -> list[str]:
        match event.code:
            case "joined" | "left":
                self._came_or_went(event.words.get("name", ""), event.code == "joined")
                return [f"* {event.text}"] if self.notices else []
            case "waiting" if "for" not in event.words:
                return []  # about one request: the engine asks again, or says what became of it
            case "waiting" | "serving":
                self._status_due = 0.0
                return [f"* {event.text}"]
            case "slowed":
                return [f"* {event.text}"]
            case "removed":
                known, self._removed = self._removed == event.text, event.text
                return [] if known or self._last else [f"* {event.text}"]
            case "closing":
                self._note_trouble(f"{self.node}: {event.text.partition(';')[0]}")
        return []  # a newer server's

    def _came_or_went(self, name: str, came: bool) -> None:
        if not NAME.fullmatch(name):  # many at once
            self._who_is_stale = True
            return
        self.know(name)
        if came and len(self.here) < MOST_NAMES:
            self.here.add(name)
        elif not came:
            self.here.discard(name)

    def _connection(self, event: events.Event) -> list[str]:
        match event:
            case events.Connected(node=node):
                self.node = node
            case events.LoggedIn():
                return [self._logged_in(event.name)]
            case events.ConnectionLost(host=host, port=port, reason=reason):
                self._note_trouble(f"{self.node or self._name_of(host, port)}: {reason}")
                self.node = ""
            case events.LoginDelayed(text=text):
                self._note_trouble(text)
            case events.StillOffline():
                self._told = True
                return [f"* {self.trouble}; trying again"]
            case events.Ended(reason="refused", code=code, text=text):
                return [f"-ERR {code} {text}"]
            case events.Ended(text=text):
                return [f"* {text}"]
        return []

    def _note_trouble(self, trouble: str) -> None:
        """Note the first trouble, the only one told, once it is over, or lasts."""
        self.trouble = self.trouble or trouble

    def _logged_in(self, name: str) -> str:
        trouble = "" if self._told else self.trouble
        self._who_is_stale = self.notices
        again, self._welcomed = self._welcomed, True
        self.trouble, self._told = "", False
        self._status_due = 0.0
        if not again:
            return f"+OK you are {name}, on {self.node}: /help tells what to type"
        lines, where = self._engine.pending, f"now on {self.node}"
        if lines:
            where += f", {lines} unconfirmed line{'' if lines == 1 else 's'} sent there"
        return f"* {trouble}; {where}" if trouble else f"* {where}"


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTED else f"{text[:LONGEST_QUOTED]} ..."


def milliseconds(time: str) -> int:
    """Milliseconds since 1970; 0 if malformed, or beyond what any time zone can show."""
    try:
        moment = round(datetime.datetime.fromisoformat(time).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
    return moment if 0 <= moment <= LATEST else 0


def _number(word: str) -> int:
    return int(word) if word.isdecimal() and len(word) <= LONGEST_NUMBER else 0
