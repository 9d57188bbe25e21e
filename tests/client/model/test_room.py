"""What a person's screen shows, event by event, without a terminal."""

import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from chainchat.chat.refusals import Code
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.events import MessageArrived
from chainchat.client.kept.settings import Settings
from chainchat.client.model.conversation import LONGEST_QUOTED
from chainchat.client.model.looks import NAME_COLOURS, Glyphs, name_style
from chainchat.client.model.room import BUSY, Alert, Room
from chainchat.client.model.standing import MOST_MEMBERS, Standing

ADDRESS, OTHER = ("127.0.0.1", 7001), ("127.0.0.1", 7002)
TIME = "2026-11-22T12:03:07.120Z"


class Face:
    """A room whose clock is moved by hand."""

    def __init__(self, *, days: int = 0, **settings: object) -> None:
        """``days``: how long ago that was which is said."""
        self.now = 0.0
        self.page = 0  # the last request for messages
        self.engine = Engine("alice", "c7f3", [ADDRESS, OTHER], Random(1))
        self.logged: list[str] = []
        self.room = Room(
            self.engine,
            Glyphs(unicode=True),
            Settings(utc="on", **settings),  # type: ignore[arg-type]
            log=lambda moment, line: self.logged.append(f"{moment:%H:%M} {line}"),
            clock=lambda: self.now,
            wall=lambda: 1_795_348_990.0 + days * 86_400,
        )

    def hear(self, *heard: events.Event) -> None:
        for event in heard:
            self.room.heard(event)
        self.engine.seen()

    def log_in(self) -> None:
        self.engine.start(0.0)
        self.engine.connected(0.0)
        hello = b"+OK @- node=head max-line=1024 nodes=127.0.0.1:7001,127.0.0.1:7002\r\n"
        self.engine.received(hello + b"+OK @login session=t high=7 mark=7\r\n", 0.0)
        self.hear(*self.engine.take_events())
        self.engine.received(b". @r1\r\n", 0.0)
        self.hear(*self.engine.take_events())
        self.chain("head,middle,tail")

    def chain(self, members: str, node: str = "head", away: str = "") -> None:
        words = {"members": members, "node": node, "epoch": "3", "committed": "9", "away": away}
        self.hear(events.Answered(99, "CHAIN", words))

    def rows(self, height: int = 20) -> list[str]:
        return [text(row) for row in self.room.rows(80, height)]

    def status(self, columns: int = 80) -> str:
        return text(self.room.status(columns))

    def types(self, line: str) -> list[str]:
        before = len(self.room.transcript.entries)
        self.room.typed(line)
        return [entry.text for entry in self.room.transcript.entries[before:]]


def text(pieces: list[tuple[str, str]]) -> str:
    return "".join(piece for _, piece in pieces)


def said(identifier: int, what: str, sender: str = "bob", to: str = "*") -> MessageArrived:
    return MessageArrived(identifier, TIME, sender, to, what)


@pytest.fixture
def face() -> Face:
    return Face()


# --- who calls -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "alert"),
    [
        (said(10, "hello"), Alert.MESSAGE),
        (said(10, "Alice: look"), Alert.MENTION),
        (said(10, "thanks @alice"), Alert.MENTION),
        (said(10, "malice and alices"), Alert.MESSAGE),
        (said(10, "psst", to="alice"), Alert.MENTION),
        (said(10, "alice here", sender="alice"), None),
    ],
)
def test_whoever_is_named_or_spoken_to_alone_is_called(
    face: Face, message: MessageArrived, alert: Alert | None
) -> None:
    face.log_in()
    face.hear(message)
    assert face.room.alert is alert
    styles = [style for row in face.room.rows(80, 20) for style, _ in row]
    assert ("class:mention" in styles) == (alert is Alert.MENTION)


def test_a_server_cannot_name_members_without_bound() -> None:
    stand = Standing()
    for part in range(5):
        stand.told({"members": ",".join(f"n{part}-{number}" for number in range(1000))})
    assert len(stand.members) == MOST_MEMBERS
    assert len(stand.away) < 2 * MOST_MEMBERS


def test_what_is_unread_is_counted_until_a_key_is_pressed(face: Face) -> None:
    face.log_in()
    face.hear(said(10, "one"))
    face.room.saw()
    face.hear(said(11, "two"), said(12, "three, alice"))
    assert face.room.title() == "(2) alice - chainchat"
    assert "2 unread, 1 for you" in face.status()
    rows = face.rows()
    assert rows[-3].startswith("─── new ───")
    face.room.saw()
    assert face.room.title() == "alice - chainchat"
    assert "unread" not in face.status()


def test_nothing_is_shown_of_somebody_who_is_ignored(face: Face) -> None:
    face.log_in()
    assert face.types("/ignore BOB") == [
        "+OK nothing is shown of BOB until you leave; /ignore BOB ends that"
    ]
    face.hear(said(10, "alice!"))
    assert face.room.alert is None
    assert "alice!" not in " ".join(face.rows())
    assert face.types("/ignore") == ["| bob", ". 1 name ignored"]
    assert face.types("/ignore bob") == ["+OK bob is shown again"]
    face.hear(said(11, "hi"))
    assert face.rows()[-1] == "#11 12:03 bob: hi"


@pytest.mark.parametrize(
    ("days", "since"),
    [(0, "12:03"), (1, "Sunday 12:03"), (6, "Sunday 12:03"), (7, "2026-11-22 12:03")],
)
def test_since_when_one_was_away_is_told_by_the_day_as_long_as_that_is_clear(
    days: int, since: str
) -> None:
    face = Face(days=days)
    face.engine.start(0.0)
    face.engine.connected(0.0)
    hello = b"+OK @- node=head max-line=1024 nodes=127.0.0.1:7001\r\n"
    face.engine.received(hello + b"+OK @login session=t high=9 mark=7\r\n", 0.0)
    face.hear(*face.engine.take_events())
    missed = b"| @r1 MSG 8 7 2026-11-22T12:03:07.120Z bob * :hi\r\n"
    face.engine.received(missed + b". @r1\r\n", 0.0)
    face.hear(*face.engine.take_events())
    assert f"* you missed 1 message since {since}" in face.rows()


def test_names_have_colours_of_their_own_in_any_case() -> None:
    assert name_style("Bob") == name_style("bob")
    styles = {name_style(f"name{number}") for number in range(100)}
    assert len(styles) == len(NAME_COLOURS)


# --- how things stand ----------------------------------------------------------------


def test_the_status_line_says_where_one_is_and_who_is_missing(face: Face) -> None:
    face.log_in()
    assert face.status() == "on head, first of 3 servers · F2 draws the chain"
    face.chain("head,tail")
    assert face.status() == "on head, first of 2 servers · without middle · F2 draws the chain"
    face.chain("head")
    assert face.status().startswith("on head, the only one left · without middle and tail")
    face.hear(events.Notice("waiting", {"for": "tail"}, "the chain cannot confirm"))
    assert "nothing is confirmed: waiting for tail" in face.status()
    face.hear(events.Notice("serving", {}, "the chain confirms again"))
    assert "waiting" not in face.status()


def test_offline_it_tells_the_state_of_every_node_and_when_the_next_is_tried(face: Face) -> None:
    face.log_in()
    face.engine.lost(0.0)
    face.hear(events.Connected(*OTHER, "tail"))
    refusal = "this node serves nobody now: it waits for head; go on at 127.0.0.1:7001"
    face.hear(events.ConnectionLost(*ADDRESS, "connection refused", 0.0))
    face.hear(events.ConnectionLost(*OTHER, refusal, 4.2))
    assert face.status(140) == (
        "offline · tail: this node serves nobody now: it waits for head · "
        "head: connection refused · next try in 4 s"
    )
    assert face.status(60) == "offline · head: connection refused · next try in 4 s"


def test_nodes_are_called_by_their_names_before_they_were_reached() -> None:
    standing = Standing({OTHER: "tail"})
    standing.heard(events.ConnectionLost(*ADDRESS, "connection refused", 0.0), 0.0)
    waits = "restarted; waiting to be taken back by head; try 127.0.0.1:7001"
    standing.heard(events.ConnectionLost(*OTHER, waits, 0.0), 0.0)
    assert standing.troubles_of_nodes() == [
        "tail: waiting to be taken back by head",
        "127.0.0.1:7001: connection refused",
    ]


def test_offline_servers_without_a_known_name_are_counted(face: Face) -> None:
    face.log_in()
    for port in (7001, 7002, 7003):
        refused = "connection refused"
        face.hear(events.ConnectionLost("127.0.0.1", port, refused, 5.0))
    assert face.room.standing.troubles_of_nodes() == ["head and 2 more: connection refused"]


def test_of_a_long_line_that_is_refused_the_beginning_is_shown(face: Face) -> None:
    face.log_in()
    face.hear(events.SendRefused(1, "*", "x" * 1_100, 502, "too long"))
    assert "".join(face.rows()[-2:]).count("x") == LONGEST_QUOTED
    assert face.rows()[-1].endswith("x ...)")


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_nothing_is_cut_in_the_middle_of_the_status_line(face: Face, columns: int) -> None:
    face.log_in()
    whole = set(face.status(500).split(" · "))
    parts = face.status(columns).split(" · ")
    assert len(face.status(columns)) <= columns
    assert parts[0] in whole or len(parts) == 1
    assert set(parts[1:]) <= whole


def test_on_a_narrow_screen_the_place_gives_way_to_what_matters(face: Face) -> None:
    face.log_in()
    assert face.status(40) == "on head, first of 3 servers"
    face.room.saw()
    face.hear(said(11, "hello alice"), said(12, "alice?"))
    assert face.status(40) == "on head · 2 unread, 2 for you"
    assert face.status(25) == "2 unread, 2 for you"
    face.hear(events.Notice("waiting", {"for": "tail"}, "the chain cannot confirm"))
    trouble = "nothing is confirmed: waiting for tail"
    assert face.status(80) == f"on head · {trouble} · 2 unread, 2 for you"
    assert face.status(50) == trouble
    assert face.status(20) == trouble[:20]


def test_the_chain_is_drawn_with_what_each_member_does(face: Face) -> None:
    assert face.room.panel_rows(80) == []
    face.log_in()
    face.room.panel = True
    drawn = [text(row) for row in face.room.panel_rows(80)]
    assert [word for word in drawn[0].split() if word != "→"] == ["head", "middle", "tail"]
    assert "numbers what is said" in drawn[1]
    assert drawn[2].strip() == "you are here"
    assert "confirmed up to #9" in drawn[3]
    narrow = [text(row) for row in face.room.panel_rows(40)]
    assert narrow[:4] == [
        "head   numbers what is said, you are",
        "    here",
        "middle passes it on",
        "tail   confirms, answers",
    ]
    assert max(map(len, narrow)) <= 40


def test_in_a_busy_room_nobody_is_told_who_comes_and_goes_unless_they_want(face: Face) -> None:
    face.log_in()
    came = events.Notice("joined", {"name": "zoe"}, "zoe has joined")
    face.hear(came)
    assert face.rows()[-1] == "* zoe has joined"
    face.room.conversation.here.update(f"name{number}" for number in range(BUSY + 1))
    face.hear(events.Notice("left", {"name": "zoe"}, "zoe has left"))
    assert face.rows()[-1] == "* zoe has joined"
    assert face.types("/set joins on") == ["+OK joins is on until you leave"]
    face.hear(events.Notice("left", {"name": "zoe"}, "zoe has left"))
    assert face.rows()[-1] == "* zoe has left"


# --- typed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/set", ". /set and one of them, and a value, changes it until you leave"),
        ("/set bell loud", "-ERR 501 bell is one of: mentions, all, off"),
        ("/set nonsense on", "-ERR 501 there is no setting nonsense: type /set to see them"),
        ("/set bell", "-ERR 501 type /set, what to set, and the value: /set bell off"),
        ("/search", "-ERR 501 type /search, then what to look for; Ctrl-R does it as you type"),
        ("/ignore a b", "-ERR 501 type /ignore and one name"),
        ("/help set", ". /help lists everything"),
        ("/help", ". for more about a verb, type /help and the verb: /help list"),
    ],
)
def test_the_clients_own_verbs_are_answered(face: Face, line: str, answer: str) -> None:
    face.log_in()
    assert face.types(line)[-1] == answer


def test_what_was_said_is_searched(face: Face) -> None:
    face.log_in()
    face.hear(*(said(10 + n, f"message {n}") for n in range(50)))
    face.rows(height=8)
    assert face.types("/search Message 7") == []
    assert "#17 12:03 bob: message 7" in face.rows(height=8)
    assert "#17 12:03 bob: message 7" in face.rows(height=8)


@pytest.fixture
def looking_back(face: Face, monkeypatch: pytest.MonkeyPatch) -> Face:
    """A room in which nothing that is loaded holds ``needle``."""
    request = face.engine.request

    def noted(verb: str, *arguments: str | int) -> int:
        number = request(verb, *arguments)
        if verb == "SINCE":
            face.page = number
        return number

    monkeypatch.setattr(face.engine, "request", noted)
    face.log_in()
    face.hear(said(20_000, "loaded"))
    assert face.types("/search needle") == []
    return face


def listed(face: Face, *messages: MessageArrived) -> list[str]:
    """What is shown when the last page is answered with these."""
    before = len(face.room.transcript.entries)
    face.hear(events.HistoryListed(face.page, messages))
    return [entry.text for entry in face.room.transcript.entries[before:]]


def test_what_is_not_loaded_is_searched_at_the_server_and_shown_among_its_neighbours(
    looking_back: Face,
) -> None:
    assert "searching, Esc stops" in looking_back.status()
    around = [said(19_600 + n, f"text {n}" if n != 3 else "a Needle") for n in range(7)]
    assert listed(looking_back, *around) == [
        "| 2026-11-22",
        "| #19601 12:03 bob: text 1",
        "| #19602 12:03 bob: text 2",
        "| #19603 12:03 bob: a Needle",
        "| #19604 12:03 bob: text 4",
        "| #19605 12:03 bob: text 5",
        ". Ctrl-R, or /search, looks for an older one",
    ]
    assert "Esc stops" not in looking_back.status()
    assert looking_back.types("/search") == []
    assert listed(looking_back, said(19_550, "no")) == []
    assert "searching before 2026-11-22 12:03, Esc stops" in looking_back.status()


def test_a_search_says_how_far_back_it_has_looked_when_it_is_stopped_or_has_seen_all(
    looking_back: Face,
) -> None:
    listed(looking_back, said(19_550, "no"))
    looking_back.room.stop_searching()
    stopped = looking_back.room.transcript.entries[-1].text
    assert stopped == "* searched back to #19550 of 2026-11-22 12:03; Ctrl-R goes on"
    assert listed(looking_back, said(19_500, "too late")) == []
    looking_back.types("/search needle")
    told: list[str] = []
    while not told:
        looking_back.now += 1
        looking_back.room.refresh()
        told = listed(looking_back)
    assert told == [
        "* nothing older holds needle: searched back to #19550 of 2026-11-22 12:03",
    ]


def test_a_refused_search_says_why_and_how_far_it_came(looking_back: Face) -> None:
    looking_back.hear(events.RequestRefused(looking_back.page, "SINCE", 461, "the tail is lost"))
    told = [entry.text for entry in looking_back.room.transcript.entries[-2:]]
    assert told[0] == "* the tail is lost"
    assert told[1] == "* searched back to where it is loaded; Ctrl-R goes on"


def test_octets_are_counted_near_the_limit_which_is_that_of_nc(face: Face) -> None:
    face.log_in()
    assert face.room.near_limit("x" * 800) == ""
    assert face.room.near_limit("ä" * 500) == "1000 of 1024 octets"
    assert "· 1000 of 1024 octets ·" in text(face.room.status(80, typed="ä" * 500))
    assert face.room.near_limit(f">> bob: {'x' * 900}") == "900 of 1016 octets"


def test_who_is_asked_for_a_password_is_not_told_that_the_client_tries(face: Face) -> None:
    face.engine.start(0.0)
    face.engine.connected(0.0)
    face.hear(events.PasswordNeeded("alice needs a password"))
    assert face.room.prompt == "password of alice: "
    assert face.status() == "the server waits for your password"
    assert not face.room.cancelled()


def test_a_change_of_the_password_can_be_cancelled(face: Face) -> None:
    face.log_in()
    face.types("/password")
    assert face.room.prompt.startswith("your new password ")
    assert face.room.cancelled()
    assert face.rows()[-1] == "+OK nothing is changed"
    assert not face.room.cancelled()


def test_after_a_refused_change_of_the_password_the_next_line_is_none_that_is_said(
    face: Face,
) -> None:
    face.log_in()
    face.types("/password")
    for _ in range(2):
        face.room.answer("a password")
    face.hear(events.PasswordRefused(Code.WRONG_PASSWORD, "wrong password: try again"))
    assert face.rows()[-1] == "-ERR 512 wrong password: try again"
    assert face.room.prompt.startswith("your new password ")
    assert face.room.cancelled()
    face.types("a password")
    assert face.rows()[-1].startswith("-ERR 508 that line is what you typed as a password")
    for code in (0, Code.TLS_ONLY):  # not to be tried again
        face.hear(events.PasswordRefused(code, "why"))
        assert face.room.prompt == "alice> "


def test_operators_do_what_they_do_and_no_password_is_written_down(face: Face) -> None:
    face.log_in()
    face.engine.take_bytes()
    for line in ("/invite bob", "/password reset bob", "/operator bob on", "/kick bob"):
        assert face.types(line) == []
    asked = face.engine.take_bytes().decode().split("\n")[:-1]
    assert [line.partition(" ")[2] for line in asked] == [
        *("INVITE bob", "RESET bob", "OPERATOR bob on", "KICK bob")
    ]
    number = int(asked[0].partition(" ")[0].removeprefix("@r"))
    face.hear(events.Answered(number, "INVITE", {"password": "a1b2c3"}))
    assert face.rows()[-1] == ("+OK the password of bob, to choose another with, told once: a1b2c3")
    assert "a1b2c3" not in " ".join(face.logged)


def test_whether_one_is_told_of_others_can_be_said_as_elsewhere(face: Face) -> None:
    face.log_in()
    assert face.types("/notices off") == ["+OK you are not told who comes and goes"]
    face.hear(events.Notice("joined", {"name": "zoe"}, "zoe has joined"))
    assert face.rows()[-1] == "+OK you are not told who comes and goes"


def test_leaving_says_how_many_lines_are_open_and_what_leaves_at_once(face: Face) -> None:
    for count, told in ((1, "1 line is"), (2, "2 lines are")):
        face.engine.send("hi")
        assert face.types("/quit") == [f"* leaving once {told} confirmed; Ctrl-C leaves at once"], (
            count
        )


def test_everything_shown_is_written_down_once(face: Face) -> None:
    face.log_in()
    face.hear(said(10, "hi"), said(10, "hi"))
    face.hear(events.SendAcknowledged(1, 12, "bob", "psst", again=False))
    assert face.logged[0].endswith("+OK you are alice, on head: /help tells what to type")
    assert face.logged[1:] == ["12:03 #10 bob: hi", "12:03 #12 alice >> bob: psst"]


def test_the_zone_can_be_changed_while_it_runs(face: Face, local: Callable[[str], None]) -> None:
    local("Asia/Tokyo")
    face.log_in()
    face.hear(said(10, "hi"))
    face.types("/set utc off")
    assert "#10 21:03 bob: hi" in face.rows()
    assert any(row.startswith("─── Sunday 2026-11-22 JST ───") for row in face.rows())
    face.types("/set utc on")
    assert any(row.startswith("─── Sunday 2026-11-22 UTC ───") for row in face.rows())
    assert "#10 12:03 bob: hi" in face.rows()


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the zone of this machine."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()
