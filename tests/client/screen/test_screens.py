"""The client in a terminal, against a fake room on 127.0.0.1: what a person sees and types."""

import re
import signal
from pathlib import Path

import pytest
from fake_room import Server
from screens import Screen, at, in_one_line

from chainchat.chat.requests import List

COLOUR = re.compile(rb"\x1b\[[0-9;]*(?<=[\[;])(3[0-9]|4[0-9]|9[0-7]|10[0-7])[;m]")


def test_the_input_line_stays_whole_when_a_message_arrives(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen("head"))) as screen:
        screen.is_online()
        screen.type("half a li")
        screen.shows(lambda rows: "alice> half a li" in rows)
        server.do(server.room.say, "bob", "do I disturb?")
        rows = screen.shows(lambda rows: "#1003 12:03 bob: do I disturb?" in rows)
        rows = screen.shows(lambda rows: "alice> half a li" in rows)
        assert rows.index("#1003 12:03 bob: do I disturb?") < rows.index("alice> half a li")
        screen.type("ne\r")
        screen.shows(lambda rows: any(row.endswith("alice: half a line ✓") for row in rows))
        assert server.room.messages[-1].text == "half a line"


MOST_DRAWINGS = 100


def test_what_is_typed_appears_while_it_catches_up(server: Server) -> None:
    """More is said at each look, so that it never has caught up."""

    def much_is_said() -> None:
        server.do(lambda: [server.room.say("bob", "message") for _ in range(2_000)])

    def is_there(rows: list[str]) -> bool:
        if "alice> half a li" in rows:
            return True
        assert screen.drawings < before + MOST_DRAWINGS, "it does not appear"
        much_is_said()
        return False

    with Screen("--name", "alice", *at(server.listen("head"))) as screen:
        screen.is_online()
        much_is_said()
        screen.shows(lambda rows: any("message" in row for row in rows))
        before = screen.drawings
        screen.type("half a li")
        screen.shows(is_there)
        server.do(server.room.say, "bob", "the last")
        screen.shows(lambda rows: any("the last" in row for row in rows))
        screen.shows(lambda rows: "alice> half a li" in rows)


def test_a_line_is_pending_above_the_input_until_it_is_acknowledged(server: Server) -> None:
    server.room.holding = True
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type(">> bob: quick\r")
        screen.shows(lambda rows: "… >> bob: quick" in rows and "1 pending" in rows[-1])
        server.do(server.room.release)
        screen.shows(lambda rows: any("you >> bob: quick ✓" in row for row in rows))
        screen.shows(lambda rows: "… >> bob: quick" not in rows and "alice>" in rows)


@pytest.mark.parametrize("stops", [False, True])
def test_that_another_node_was_found_is_one_faint_line(server: Server, stops: bool) -> None:
    first, second = server.listen("head"), server.listen("tail")
    with Screen("--name", "alice", *at(first), *at(second)) as screen:
        screen.is_online()
        before = [row for row in screen.rows if row.startswith("* ")]
        if stops:
            connection = server.room.online["alice"]
            server.do(connection.line, "NOTE closing :this node stops; go on at somewhere else")
        server.kill(first)
        screen.shows(lambda rows: "on tail" in rows[-1])
        screen.type("hi\r")
        screen.shows(lambda rows: any("alice: hi ✓" in row for row in rows))
        why = "this node stops" if stops else "the server closed the connection"
        told = [row for row in screen.rows if row.startswith("* ")]
        assert in_one_line(told) == [*before, f"* head: {why}; now on tail"]
        assert {screen.colour(row) for row in told[len(before) :]} == {"brightblack"}


def test_leaving_with_an_unconfirmed_line_names_it(server: Server) -> None:
    server.room.holding = True
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type("hi\r")
        screen.shows(lambda rows: "… hi" in rows and "alice>" in rows)
        screen.type("\x03")
        assert screen.ends() == 130
        assert screen.rows[-2:] == [
            "* 1 of your lines was not confirmed; the next start says it:",
            "|   hi",
        ]


def test_logging_out_ends_it_well(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type("/quit\r")
        assert screen.ends() == 0
        assert screen.rows[-1] == "* logged out"


def test_names_and_verbs_are_completed(server: Server) -> None:
    server.room.marks["benedict"] = 0
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type(">> be\t")
        server.wait(lambda: any(isinstance(asked, List) for asked in server.room.requests))
        server.do(lambda: None)  # it is answered
        screen.type("\t")  # if that came too late for the first, which is not waited for long
        screen.shows(lambda rows: "alice> >> benedict:" in rows)


def test_colours_are_used_unless_the_environment_says_no(server: Server) -> None:
    port = server.listen()
    received = []
    for changes in ({}, {"NO_COLOR": "1"}):
        with Screen("--name", "alice", *at(port), **changes) as screen:
            screen.is_online()
            screen.type("hi\r")
            screen.shows(lambda rows: any("alice: hi ✓" in row for row in rows))
            screen.type("/quit\r")
            screen.ends()
            received.append(screen.received)
    assert [bool(COLOUR.search(data)) for data in received] == [True, False]


def test_without_utf8_everything_is_ascii(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen()), LC_ALL="C") as screen:
        screen.is_online()
        server.do(server.room.say, "bob", "näh …")
        screen.shows(lambda rows: "#1003 12:03 bob: n?h ?" in rows)
        screen.type("hi\r")
        screen.shows(lambda rows: any("alice: hi ok" in row for row in rows))
        assert screen.received.isascii()


def test_a_dumb_terminal_gets_plain_lines(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen()), TERM="dumb") as screen:
        screen.shows(lambda rows: any("you are alice" in row for row in rows))
        screen.type("hi\n")
        screen.shows(lambda rows: "+OK 1003" in rows)
        assert b"\x1b" not in screen.received


# --- resizing, pasting, leaving ------------------------------------------------------


def test_whatever_is_pending_fits_into_a_small_window(server: Server) -> None:
    server.room.holding = True
    with Screen("--name", "alice", *at(server.listen()), size=(10, 40)) as screen:
        screen.shows(lambda rows: any(row.startswith("on tail") for row in rows))
        for _ in range(5):
            screen.type("long " * 20 + "\r")
        screen.shows(lambda rows: "5 pending" in "".join(rows[-1:]) and rows[-2:-1] == ["alice>"])
        assert sum("long long" in row for row in screen.rows) == 4
        screen.type("half\x1bOQ")  # F2
        typed = ["alice> half"]
        screen.shows(lambda rows: rows[-2:-1] == typed and "→" in "".join(rows[:2]))
        screen.size(6, 40)  # and nothing stands there for a moment
        screen.shows(lambda rows: rows[-2:-1] == typed and len(rows) <= 6)
        assert "too small" not in "".join(screen.rows)


def test_many_pasted_lines_are_asked_about_once(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type("\x1b[200~one\r\ntwo\x1b[201~")
        screen.shows(lambda rows: "two" in " ".join(rows))
        screen.type("\r")
        screen.shows(lambda rows: any(row.endswith("alice: two ✓") for row in rows))
        screen.type("begun \x1b[200~" + "".join(f"line {n}\n" for n in range(9)) + "\x1b[201~")
        screen.shows(lambda rows: "say 9 lines? (Enter: yes, Esc: no)" in rows)
        screen.type("\x1b")
        screen.shows(lambda rows: "alice>" in rows)
        assert "* nothing of the paste is said" in screen.rows
        assert [m.text for m in server.room.messages] == ["one", "two"]
        for yes in ("\r", "y"):
            paste = "".join(f"line {n}{yes}\n" for n in range(9))
            screen.type(f"\x1b[200~{paste}\x1b[201~{yes}")
            said = f"alice: line 8{yes.strip()} ✓"
            screen.shows(lambda rows, said=said: any(row.endswith(said) for row in rows))
        screen.shows(lambda rows: "alice>" in rows)  # and no y
        said = [m.text for m in server.room.messages][2:]
        assert said == [f"line {n}" for n in range(9)] + [f"line {n}y" for n in range(9)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_gives_the_terminal_back(
    server: Server, number: signal.Signals
) -> None:
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        assert screen.mode != screen.first_mode
        screen.process.send_signal(number)
        assert screen.ends() == 128 + number
        assert screen.mode == screen.first_mode
        assert not screen.is_full
        on, off = b"\x1b[?1000h", b"\x1b[?1000l"
        assert screen.received.count(on) == screen.received.count(off) == 1


def test_it_can_be_suspended_and_goes_on(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen()), shell=True) as screen:
        screen.is_online()
        screen.type("half a li\x1a")
        screen.shows(lambda rows: any("suspended" in row for row in rows))
        assert not screen.is_full
        server.do(server.room.say, "bob", "are you there?")
        screen.type("\r")
        screen.shows(
            lambda rows: "alice> half a li" in rows and "#1003 12:03 bob: are you there?" in rows
        )
        screen.type("\x15/quit\r")
        screen.ends()


# --- what survives -------------------------------------------------------------------


def test_a_restarted_client_resumes_at_once_and_says_what_it_sends_again(
    server: Server, tmp_path: Path
) -> None:
    port = server.listen()
    server.room.holding = True
    with Screen("--name", "alice", *at(port), state=tmp_path) as screen:
        screen.is_online()
        screen.type("hi\r")
        screen.shows(lambda rows: "… hi" in rows)
        server.wait(lambda: bool(server.room.held))
        screen.process.kill()
        screen.process.wait()
    with Screen("--name", "alice", *at(port), state=tmp_path) as screen:
        screen.shows(lambda rows: "* 1 line of before, not confirmed then, sent again" in rows)
        server.do(server.room.release)
        screen.shows(lambda rows: any(row.endswith("alice: hi ✓") for row in rows))
    assert [type(r).__name__ for r in server.room.requests].count("Login") == 1
    assert len(server.room.messages) == 1


def test_one_account_is_in_a_room_once_on_a_machine(server: Server, tmp_path: Path) -> None:
    port = server.listen()
    with Screen("--name", "alice", *at(port), state=tmp_path) as screen:
        screen.is_online()
        with Screen("--name", "alice", *at(port), state=tmp_path) as second:
            assert second.ends() == 2
            assert "alice is in this room already" in " ".join(second.rows)


# --- coming back, searching ----------------------------------------------------------


def test_somebody_new_sees_the_last_twenty(server: Server) -> None:
    for number in range(60):
        server.room.say("bob", f"message {number}")
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        rows = screen.shows(lambda rows: any("message 59" in row for row in rows))
        shown = [row for row in rows if "bob: message" in row]
        assert shown == [f"#{1003 + 3 * n} 12:03 bob: message {n}" for n in range(40, 60)]


def test_who_comes_back_is_told_what_they_missed_and_sees_the_newest(server: Server) -> None:
    server.room.say("bob", "before")
    server.room.marks["alice"] = server.room.high
    for number in range(214):
        server.room.say("bob", f"message {number}")
    with Screen("--name", "alice", *at(server.listen())) as screen:
        missed = re.compile(r"\* you missed 214 messages since .*12:03")  # how long ago that is
        screen.shows(lambda rows: any(missed.fullmatch(row) for row in rows))
        assert any(row.endswith("bob: message 213") for row in screen.rows)
        screen.type("\x1b[5~" * 40)  # PageUp
        rows = screen.shows(lambda rows: any(row.endswith("bob: message 0") for row in rows))
        place = next(n for n, row in enumerate(rows) if row.endswith("bob: message 0"))
        assert rows[place - 1].startswith("─── new ───")
        screen.type("\x1b")
        screen.shows(lambda rows: any(row.endswith("bob: message 213") for row in rows))


def test_what_was_said_is_searched_as_one_types(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        for number in range(300):
            server.do(server.room.say, "bob", f"message {number} {'needle' * (number in (5, 100))}")
        screen.shows(lambda rows: any("message 299" in row for row in rows))
        screen.type("\x12needle")
        screen.shows(lambda rows: any("message 100 needle" in row for row in rows))
        screen.type("\x12")
        screen.shows(lambda rows: any("message 5 needle" in row for row in rows))
        screen.type("\x1b")
        screen.shows(lambda rows: "alice>" in rows and any("message 299" in row for row in rows))


def test_what_was_said_before_is_searched_at_the_server(server: Server) -> None:
    for number in range(2_000):
        server.room.say("bob", f"message {number} {'needle' * (number in (5, 100))}")
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.shows(lambda rows: any("message 1999" in row for row in rows))
        prompt = "search (not loaded; Ctrl-R: further back)"
        screen.type("\x12needle")
        for begins in (
            "| #1303 12:03 bob: message 100",
            "| #1018 12:03 bob: message 5 n",
            "* nothing older holds needle",
        ):
            screen.shows(lambda rows: rows[-2] == f"{prompt}: needle")
            screen.type("\x12")
            screen.shows(lambda rows, begins=begins: any(r.startswith(begins) for r in rows))
        screen.shows(lambda rows: "nothing older" in rows[-1])
        screen.type("\r\x12message 7")  # instead of what was searched for before
        screen.shows(lambda rows: rows[-2] == f"{prompt}: message 7")


def test_lines_stand_in_the_order_of_their_ids(server: Server) -> None:
    server.room.holding = True
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type("mine\r")
        server.wait(lambda: bool(server.room.held))
        connection = server.room.online["alice"]
        server.do(connection.line, "MSG 1010 0 2026-11-22T12:03:07.120Z bob * :later")
        screen.shows(lambda rows: any("later" in row for row in rows))
        server.do(server.room.release)
        rows = screen.shows(lambda rows: any("mine ✓" in row for row in rows))
        ids = [row.partition(" ")[0] for row in rows if row.startswith("#")]
        assert ids == ["#1003", "#1010"]


WHEEL_UP, WHEEL_DOWN, CLICK = "\x1b[<64;9;9M", "\x1b[<65;9;9M", "\x1b[<0;9;9M\x1b[<0;9;9m"


def test_the_wheel_scrolls_what_was_said_and_who_clicks_is_told_how_to_select(
    server: Server,
) -> None:
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        for number in range(60):
            server.do(server.room.say, "bob", f"message {number}")
        screen.shows(lambda rows: rows[-3].endswith("bob: message 59"))
        screen.type("half a line" + WHEEL_UP * 3)
        screen.shows(lambda rows: rows[-3].endswith("bob: message 50"))
        assert screen.rows[-2] == "alice> half a line"
        screen.type(WHEEL_DOWN * 2 + WHEEL_DOWN)
        screen.shows(lambda rows: rows[-3].endswith("bob: message 59"))
        screen.type(CLICK * 2)
        screen.shows(lambda rows: any(row.startswith("* to select text, hold") for row in rows))
        assert sum(row.startswith("* to select text") for row in screen.rows) == 1
        on, off = b"\x1b[?1000h\x1b[?1006h", b"\x1b[?1006l\x1b[?1000l"
        assert screen.received.count(on) - screen.received.count(off) == 1
        screen.type("\x15/set mouse off\r")
        screen.shows(lambda _: screen.received.count(on) == screen.received.count(off))


# --- what is typed again, what is chosen ---------------------------------------------


def test_lines_of_earlier_runs_are_in_the_history_for_their_owner_alone(
    server: Server, tmp_path: Path
) -> None:
    port = server.listen()
    with Screen("--name", "alice", *at(port), state=tmp_path) as screen:
        screen.is_online()
        screen.type("said before\r")
        screen.shows(lambda rows: any(row.endswith("said before ✓") for row in rows))
        screen.type("/quit\r")
        assert screen.ends() == 0
    assert (tmp_path / "chainchat" / "history").stat().st_mode & 0o777 == 0o600
    with Screen("--name", "alice", *at(port), state=tmp_path) as screen:
        screen.is_online()
        screen.type("\x1b[A\x1b[A")
        screen.shows(lambda rows: "alice> said before" in rows)


def rings(screen: Screen) -> int:
    """How often the bell has rung; a title ends with the same octet."""
    return re.sub(rb"\x1b\][^\x07]*\x07", b"", screen.received).count(b"\x07")


def test_what_is_chosen_stands_in_a_file(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "chainchat"
    folder.mkdir()
    log = tmp_path / "log"
    (folder / "client.toml").write_text(
        f'name = "alice"\nnodes = ["127.0.0.1:{server.listen()}"]\nlog = "{log}"\nbell = "all"\n'
    )
    with Screen(state=tmp_path) as screen:
        screen.is_online()
        server.do(server.room.say, "bob", "anything")
        screen.shows(lambda rows: "#1003 12:03 bob: anything" in rows)
        screen.shows(lambda _: rings(screen) == 1)
        assert "2026-11-22 12:03:07 #1003 bob: anything" in log.read_text()
    (folder / "client.toml").write_text('bel = "all"\n')
    with Screen(state=tmp_path) as screen:
        assert screen.ends() == 2
        assert "unknown field `bel`" in " ".join(screen.rows)


@pytest.mark.parametrize(
    ("way", "octets"),
    [("osc9", b"\x1b]9;(1) alice"), ("osc777", b"\x1b]777;notify;chainchat;(1) al")],
)
def test_the_desktop_and_the_title_tell_of_mentions(
    server: Server, tmp_path: Path, way: str, octets: bytes
) -> None:
    (tmp_path / "chainchat").mkdir()
    (tmp_path / "chainchat" / "client.toml").write_text(f'desktop = "{way}"\n')
    with Screen("--name", "alice", *at(server.listen()), state=tmp_path) as screen:
        screen.is_online()
        server.do(server.room.say, "bob", "Alice: look")
        told = octets, b"\x1b]2;(1) alice - chainchat\x07"
        screen.shows(lambda _: all(each in screen.received for each in told))
        assert rings(screen) == 1
        screen.type("x\x03")
        screen.shows(lambda _: screen.received.count(b"\x1b]2;alice - chainchat\x07") == 2)


def test_without_a_name_it_is_the_login_name(server: Server) -> None:
    with Screen(*at(server.listen()), LOGNAME="alice") as screen:
        screen.is_online()


def test_of_16_colours_none_is_of_more(server: Server, tmp_path: Path) -> None:
    (tmp_path / "chainchat").mkdir()
    (tmp_path / "chainchat" / "client.toml").write_text('colours = "16"\n')
    received = []
    for state in (None, tmp_path):
        with Screen("--name", "alice", *at(server.listen()), state=state) as screen:
            screen.is_online()
            server.do(server.room.say, "bob", "hi")
            screen.shows(lambda rows: any(row.endswith("bob: hi") for row in rows))
            received.append(b"\x1b[0;38;5;" in screen.received)
            assert COLOUR.search(screen.received)
    assert received == [True, False]


def test_a_key_shows_the_chain_and_takes_it_away(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type("\x1bOQ")  # F2
        rows = screen.shows(lambda rows: "you are here" in " ".join(rows))
        assert rows[0].split() == ["head", "→", "tail"]
        screen.type("\x1bOQ")
        screen.shows(lambda rows: "you are here" not in " ".join(rows))
