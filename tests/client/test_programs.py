"""The client as people and scripts run it: real processes, against a fake room on 127.0.0.1."""

import array
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect.fdpexpect
import pyte
import pytest
from fake_room import Server
from patience import DEADLINE

from chainchat.chat.refusals import Code
from chainchat.chat.requests import Acknowledge

ROOT = Path(__file__).parents[2]
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?<=[\[;])(3[0-9]|4[0-9]|9[0-7]|10[0-7])[;m]")
ROWS, COLUMNS = 24, 80


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chainchat.client", *arguments]


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return {**kept, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "TERM": "xterm", **changes}


def run(*arguments: str, text: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the client to its end."""
    return subprocess.run(
        command(*arguments),
        input=text,
        capture_output=True,
        text=True,
        env=environment(),
        cwd=cwd,
        timeout=DEADLINE,
        check=False,
    )


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A client with pipes, stopped at the end."""
    with subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def at(port: int) -> tuple[str, str]:
    return ("--connect", f"127.0.0.1:{port}")


# --- pipes ---------------------------------------------------------------------------


def test_lines_in_are_said_and_the_end_of_the_input_ends_it(server: Server) -> None:
    port = server.listen()
    ended = run("--name", "alice", *at(port), text="hello\n//slash\n>> alice: me\nlast, no newline")
    assert ended.stdout.splitlines() == [
        "+OK you are alice, on tail: /help tells what to type",
        "+OK 1003",
        "+OK 1006",
        "+OK 1009",
        "+OK 1012",
        "* logged out",
    ]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [(m.to, m.text) for m in server.room.messages] == [
        ("*", "hello"),
        ("*", "/slash"),
        ("alice", "me"),
        ("*", "last, no newline"),
    ]


def test_verbs_are_answered_in_their_place(server: Server) -> None:
    port = server.listen()
    server.do(server.room.say, "bob", "before")
    server.room.marks["bob"] = 0
    text = "hi\n/list\n/who\n/last 5\n/delete bob\n/delete bob yes\n/chain\n"
    ended = run("--name", "alice", *at(port), text=text)
    assert ended.stdout.splitlines()[1:-1] == [
        "+OK 1006",
        "| alice",
        "| bob",
        ". 2 accounts",
        "| alice",
        ". 1 on now",
        "| 2026-11-22",
        "| #1003 12:03 bob: before",
        "| #1006 12:03 alice: hi",
        ". 2 messages",
        "-ERR 534 type /delete bob yes to delete it",
        "+OK bob is deleted",
        "| epoch 3   head -> [tail]   committed 1006",
        ". you are on tail, the tail",
    ]
    assert ended.returncode == 1  # one was refused


def test_a_mistake_is_told_and_spoils_the_exit_status(server: Server) -> None:
    ended = run("--name", "alice", *at(server.listen()), text="/lst\nhi\n")
    assert "-ERR 500 there is no /lst" in ended.stdout
    assert "+OK 1003" in ended.stdout
    assert ended.returncode == 1


def test_what_is_said_by_others_is_printed_and_acknowledged(server: Server) -> None:
    port = server.listen()
    with running("--name", "alice", *at(port), "--follow") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        server.wait(lambda: "alice" in server.room.online)
        server.do(server.room.say, "bob", "for all")
        said = server.do(server.room.say, "bob", "for you", "alice")
        lines = [process.stdout.readline().rstrip() for _ in range(4)]
        assert lines[1:] == [
            "* 2026-11-22",
            "#1003 12:03 bob: for all",
            "#1006 12:03 bob >> you: for you",
        ]
        server.wait(lambda: server.room.marks["alice"] == said)
        assert Acknowledge(said) in server.room.requests
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 130
        assert process.stderr
        assert process.stderr.read() == ""


def test_what_nobody_has_read_from_the_pipe_is_not_acknowledged(server: Server) -> None:
    port = server.listen()
    with running("--name", "alice", *at(port), "--follow") as process:
        assert process.stdout
        server.wait(lambda: "alice" in server.room.online)
        server.do(lambda: [server.room.say("bob", "x" * 60) for _ in range(3000)])
        full = array.array("i", [0])
        deadline = time.monotonic() + DEADLINE
        while full[0] < 32 * 1024:  # a pipe that is full holds at least that
            fcntl.ioctl(process.stdout, termios.FIONREAD, full)
            assert time.monotonic() < deadline
        last = server.do(server.room.say, "bob", "the last")
        assert server.room.marks["alice"] < last
        lines = []
        while not lines or "the last" not in lines[-1]:
            lines.append(process.stdout.readline().rstrip())
        assert sum(line.endswith("x" * 60) for line in lines) == 3000
        server.wait(lambda: server.room.marks["alice"] == last)


def test_with_a_reader_that_does_not_read_it_still_talks_to_the_server(server: Server) -> None:
    port = server.listen()
    with running("--name", "alice", *at(port), "--follow") as process:
        assert process.stdin
        server.wait(lambda: "alice" in server.room.online)
        process.stdin.write("/help\n" * 200)
        process.stdin.write("hello\n")
        process.stdin.flush()
        server.wait(lambda: [m.text for m in server.room.messages] == ["hello"])


def test_what_is_printed_at_the_end_waits_for_a_slow_reader(server: Server) -> None:
    with running("--name", "alice", *at(server.listen())) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("/help\n" * 2000)
        process.stdin.close()
        server.wait(lambda: bool(server.sockets))
        lines = process.stdout.read().splitlines()
        assert process.wait(DEADLINE) == 0
    assert sum(line.startswith(". ") for line in lines) == 2000
    assert lines[-1] == "* logged out"


def test_an_endless_line_is_refused_and_the_next_is_said(server: Server) -> None:
    ended = run("--name", "alice", *at(server.listen()), text="x" * 1_000_000 + "\nhi\n")
    assert "-ERR 502 too long: a line here has at most 1024 octets" in ended.stdout
    assert [m.text for m in server.room.messages] == ["hi"]
    assert ended.returncode == 1


def test_why_lines_have_to_wait_is_printed(server: Server) -> None:
    refusals = iter([Code.NAME_IN_USE, Code.NAME_IN_USE])
    server.room.judge = lambda say: next(refusals, None)
    ended = run("--name", "alice", *at(server.listen()), text="hi\n")
    assert ended.stdout.splitlines()[1:3] == [
        "* not said yet: for a test; trying again",
        "+OK 1003",
    ]


def test_json_prints_one_object_for_each_event(server: Server) -> None:
    port = server.listen()
    with running("--name", "alice", *at(port), "--json") as process:
        assert process.stdin
        assert process.stdout
        server.wait(lambda: "alice" in server.room.online)
        server.do(server.room.say, "bob", "näh")
        objects = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.stdin.write("hi\n")
        process.stdin.close()
        objects += [json.loads(line) for line in process.stdout]
        assert process.wait(DEADLINE) == 0
    assert [each["event"] for each in objects] == [
        *("connected", "logged-in", "message", "pending", "acknowledged", "ended")
    ]
    assert objects[2] == {
        "event": "message",
        "id": 1003,
        "time": "2026-11-22T12:03:07.120Z",
        "from": "bob",
        "to": "*",
        "text": "näh",
    }
    assert objects[4]["id"] == 1006


def test_a_file_can_be_the_input(server: Server, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("".join(f"line {number}\n" for number in range(3000)))
    with lines.open() as stdin:
        ended = subprocess.run(
            command("--name", "alice", *at(server.listen())),
            stdin=stdin,
            capture_output=True,
            env=environment(),
            timeout=DEADLINE,
            check=False,
        )
    assert ended.returncode == 0
    assert [m.text for m in server.room.messages] == [f"line {n}" for n in range(3000)]


def test_a_reader_that_goes_away_ends_it_without_a_word(server: Server) -> None:
    port = server.listen()
    with running("--name", "alice", *at(port), "--follow") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        server.do(server.room.say, "bob", "anybody there?")
        assert process.wait(DEADLINE) == 1
        assert process.stderr.read() == ""


def test_when_a_node_dies_the_next_gets_what_was_not_acknowledged_once(server: Server) -> None:
    first, second = server.listen("head"), server.listen("tail")
    server.room.holding = True
    with running("--name", "alice", *at(first), *at(second)) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("one\ntwo\n")
        process.stdin.close()
        server.wait(lambda: len(server.room.held) == 2)
        server.do(server.room.say, "bob", "something")
        assert [process.stdout.readline() for _ in range(3)][2] == "#1003 12:03 bob: something\n"
        server.room.holding = False
        server.kill(first)
        out = process.stdout.read().splitlines()
        assert process.wait(DEADLINE) == 0
    assert out == [
        "* head: the server closed the connection; now on tail, 2 unconfirmed lines sent there",
        "+OK 1006",
        "+OK 1009",
        "* logged out",
    ]
    assert [m.text for m in server.room.messages] == ["something", "one", "two"]


def test_what_a_node_could_not_confirm_is_said_at_another_and_not_complained_about(
    server: Server,
) -> None:
    first, second = server.listen("head"), server.listen("tail")
    server.room.holding = True
    with running("--name", "alice", *at(first), *at(second)) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("one\n")
        process.stdin.close()
        server.wait(lambda: len(server.room.held) == 1)
        server.room.holding = False
        connection = server.room.online["alice"]
        lines = ("waiting :not confirmed: one", "undone :not done: two", "closing :this node stops")
        for line in lines:
            server.do(connection.line, f"NOTE {line}")
        server.do(connection.close)
        out = process.stdout.read().splitlines()
        assert process.wait(DEADLINE) == 0
    assert out[1:] == [
        "* head: this node stops; now on tail, 1 unconfirmed line sent there",
        "+OK 1003",
        "* logged out",
    ]


def test_when_no_node_is_there_for_longer_than_a_second_it_says_so(server: Server) -> None:
    first = server.listen("head")
    with running("--name", "alice", *at(first), "--follow") as process:
        assert process.stdout
        process.stdout.readline()
        server.kill(first)
        told = process.stdout.readline().rstrip()
        assert told == "* head: the server closed the connection; trying again"
        server.listen("head", first)
        assert process.stdout.readline().rstrip() == "* now on head"


def test_a_deleted_account_ends_it(server: Server) -> None:
    with running("--name", "alice", *at(server.listen())) as process:
        assert process.stdout
        server.wait(lambda: "alice" in server.room.online)
        server.do(server.room.online["alice"]._delete, "alice")
        assert process.wait(DEADLINE) == 1
        assert process.stdout.read().splitlines()[-1] == "* the account alice was deleted"


def test_a_name_in_use_is_told(server: Server) -> None:
    port = server.listen()
    with running("--name", "alice", *at(port)):
        server.wait(lambda: "alice" in server.room.online)
        ended = run("--name", "alice", *at(port))
        assert (ended.returncode, ended.stdout) == (1, "-ERR 433 alice is in use\n")


# --- one-shots -----------------------------------------------------------------------


def test_send_prints_the_id(server: Server) -> None:
    server.room.marks["bob"] = 0
    ended = run("--name", "alarm", *at(server.listen()), "--send", "fire!", "--to", "bob")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1003\n", "")
    assert [(m.sender, m.to, m.text) for m in server.room.messages] == [("alarm", "bob", "fire!")]


def test_send_says_each_line_of_its_text(server: Server) -> None:
    ended = run("--name", "alarm", *at(server.listen()), "--send", "/one\n\ntwo\n")
    assert (ended.returncode, ended.stdout) == (0, "1003\n1006\n")
    assert [m.text for m in server.room.messages] == ["/one", "two"]


def test_send_that_is_refused_fails(server: Server) -> None:
    server.room.judge = lambda say: Code.NO_SUCH_ACCOUNT
    ended = run("--name", "alarm", *at(server.listen()), "--send", "fire!", "--to", "bob")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "chainchat-client: not sent: 521 for a test\n"


def test_send_that_gets_no_answer_fails_after_its_timeout(server: Server) -> None:
    server.room.holding = True
    ended = run("--name", "alarm", *at(server.listen()), "--send", "fire!", "--timeout", "0.5")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("chainchat-client: not acknowledged: 1")


def test_send_waits_for_a_name_in_use(server: Server) -> None:
    port = server.listen()
    with running("--name", "alarm", *at(port)) as other:
        assert other.stdin
        server.wait(lambda: "alarm" in server.room.online)
        with running("--name", "alarm", *at(port), "--send", "fire!") as process:
            server.wait(lambda: len(server.sockets) == 2)
            other.stdin.close()
            assert process.stdout
            assert process.stdout.read() == "1003\n"
            assert process.wait(DEADLINE) == 0


def test_send_without_a_server_says_why_it_failed(server: Server) -> None:
    port = server.listen()
    server.kill(port)
    ended = run("--name", "alarm", *at(port), "--send", "fire!", "--timeout", "0.3")
    assert ended.returncode == 1
    assert ended.stderr == (
        "chainchat-client: not logged in within 0.3 seconds:"
        f" 127.0.0.1:{port}: connection refused\n"
    )


# --- options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: --name"),
        (["--name", "two words"], "--name: 'two words': a name has 1 to 32"),
        (["--name", "a", "--connect", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["--name", "a", "--connect", "h:99999"], "'h:99999' is not HOST:PORT"),
        (["--name", "a"], "where to? Say --connect HOST:PORT, or --config chain.ini"),
        (["--name", "a", "--config", "none.ini"], "none.ini"),
        (["--name", "a", "--timeout", "soon"], "'soon' is not a number of seconds"),
        (["--name", "a", "--to", "bob"], "--to needs --send"),
        (["--name", "a", "--connect", "h:1", "--send", " "], "--send needs a text"),
        (["--name", "a", "--connect", "h:1", "--send", "\x1b[0m"], "U+001B is a control"),
        (["--name", "a", "--connect", "h:1", "--send", "x", "--follow"], "exclude each other"),
        (["--colour"], "--name"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    ended = run(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_nodes_can_come_from_the_configuration(server: Server, tmp_path: Path) -> None:
    port = server.listen()
    (tmp_path / "chain.ini").write_text(
        f"[chain]\nname = lab\nfounding = head\n[head]\nclient-port = {port}\n"
    )
    ended = run("--name", "alarm", "--send", "fire!", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1003\n", "")


def test_the_script_of_the_checkout_runs_it() -> None:
    ended = subprocess.run(
        [ROOT / "bin" / "chainchat-client", "--version"],
        capture_output=True,
        text=True,
        env=environment(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"),
        timeout=DEADLINE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("chainchat-client ")


# --- a terminal ----------------------------------------------------------------------


class Screen:
    """A client in a terminal that is really there."""

    def __init__(self, *arguments: str, **changes: str) -> None:
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (ROWS, COLUMNS))
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**changes),
            start_new_session=True,
        )
        os.close(slave)
        self.terminal = pexpect.fdpexpect.fdspawn(master, timeout=DEADLINE)
        self.received = b""
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._screen.write_process_input = self.terminal.send
        self._stream = pyte.ByteStream(self._screen)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        self.terminal.close()

    def type(self, text: str) -> None:
        self.terminal.send(text)

    @property
    def rows(self) -> list[str]:
        """What stands on the screen, without empty rows."""
        return [row.rstrip() for row in self._screen.display if row.strip()]

    def colour(self, text: str) -> str:
        """That of the row that shows ``text``."""
        [y] = [y for y, row in enumerate(self._screen.display) if row.rstrip() == text]
        colour: str = self._screen.buffer[y][0].fg
        return colour

    def shows(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the screen is as it should be; its rows."""
        deadline = time.monotonic() + DEADLINE
        while not condition(self.rows):
            assert time.monotonic() < deadline, "\n".join(self.rows)
            self.read(0.2)
        return self.rows

    def is_online(self) -> None:
        """Wait until the client is logged in, has an input line, and knows the chain."""
        self.shows(lambda rows: "alice>" in rows and "epoch 3" in rows[-1])

    def read(self, timeout: float) -> bool:
        """Show what has come; whether the terminal is still open."""
        with contextlib.suppress(pexpect.TIMEOUT):
            try:
                data = self.terminal.read_nonblocking(65536, timeout)
            except (pexpect.EOF, OSError):
                return False
            self.received += data
            self._stream.feed(data)
        return True

    def ends(self) -> int:
        """Wait for the end of the process; its exit status."""
        deadline = time.monotonic() + DEADLINE
        while self.read(0.2):
            assert time.monotonic() < deadline, "\n".join(self.rows)
        return self.process.wait(DEADLINE)


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
        assert screen.received.count(b"half a li") > 2  # never echoed by the terminal itself


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
        *now, day = [row for row in screen.rows if row.startswith("* ")]
        assert (now, day) == ([*before, found], day)
        assert screen.colour(found) == "brightblack"


def test_leaving_with_an_unconfirmed_line_names_it(server: Server) -> None:
    server.room.holding = True
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type("hi\r")
        screen.shows(lambda rows: "… hi" in rows and "alice>" in rows)
        screen.type("\x03")
        assert screen.ends() == 130
        assert screen.rows[-2:] == ["* 1 of your lines was not confirmed:", "|   hi"]


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
