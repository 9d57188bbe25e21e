"""The client in a terminal, against a fake room on 127.0.0.1: what a person sees and types."""

import re
from collections.abc import Iterator

import pytest
from fake_room import Server
from screens import Screen, at

COLOUR = re.compile(rb"\x1b\[[0-9;]*(?<=[\[;])(3[0-9]|4[0-9]|9[0-7]|10[0-7])[;m]")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


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


def test_what_is_typed_appears_while_it_catches_up(server: Server) -> None:
    with Screen("--name", "alice", *at(server.listen("head"))) as screen:
        screen.is_online()
        server.do(lambda: [server.room.say("bob", f"message {n}") for n in range(10_000)])
        server.do(server.room.say, "bob", "the last")
        screen.shows(lambda rows: any("message" in row for row in rows))
        screen.type("half a li")
        rows = screen.shows(lambda rows: "alice> half a li" in rows)
        assert not any("the last" in row for row in rows)
        rows = screen.shows(lambda rows: any("the last" in row for row in rows))
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
        found = f"* head: {why}; now on tail"
        assert [row for row in screen.rows if row.startswith("* ")] == [*before, found]
        assert screen.colour(found) == "brightblack"


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
