"""The client as people and scripts run it: real processes, against a fake room on 127.0.0.1."""

import array
import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_room import Server
from patience import DEADLINE
from screens import at, command, environment, in_one_line

from chainchat.chat.refusals import Code
from chainchat.chat.requests import Acknowledge
from chainchat.client.script import pipe

ROOT = Path(__file__).parents[3]


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


def run_in_time(too_soon: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the client to its end, with a time-out in which it comes further than ``too_soon``."""
    timeout = 0.3
    while too_soon in (ended := run(*arguments, "--timeout", f"{timeout:g}")).stderr:
        timeout *= 2
        assert timeout < DEADLINE, ended.stderr
    return ended


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
    assert ended.returncode == 3  # one was refused


def test_a_mistake_is_told_and_spoils_the_exit_status(server: Server) -> None:
    ended = run("--name", "alice", *at(server.listen()), text="/lst\nhi\n")
    assert "-ERR 500 there is no /lst" in ended.stdout
    assert "+OK 1003" in ended.stdout
    assert ended.returncode == 3


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
    assert "-ERR 502 too long: a line has at most 1024 octets" in ended.stdout
    assert [m.text for m in server.room.messages] == ["hi"]
    assert ended.returncode == 3


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
    assert in_one_line(out) == [
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
    assert in_one_line(out[1:]) == [
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
        assert process.wait(DEADLINE) == 3
        assert process.stdout.read().splitlines()[-1] == "* the account alice was deleted"


def test_a_name_in_use_is_told(server: Server) -> None:
    port = server.listen()
    with running("--name", "alice", *at(port)):
        server.wait(lambda: "alice" in server.room.online)
        ended = run("--name", "alice", *at(port))
        assert (ended.returncode, ended.stdout) == (75, "-ERR 433 alice is in use\n")


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
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == "chainchat-client: not sent: 521 for a test\n"


def test_what_a_server_says_reaches_a_terminal_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    pipe._complain("no \x1b]0;title\x07 \x9b31m")
    assert capfd.readouterr().err == "chainchat-client: no \ufffd]0;title\ufffd \ufffd31m\n"


def test_send_that_gets_no_answer_fails_after_its_timeout(server: Server) -> None:
    server.room.holding = True
    ended = run_in_time("not logged in", "--name", "alarm", *at(server.listen()), "--send", "fire!")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("chainchat-client: not confirmed, perhaps said: 1 line")


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
    ended = run_in_time("nothing was heard", "--name", "alarm", *at(port), "--send", "fire!")
    assert ended.returncode == 75
    before, seconds, after = re.split(r" within ([0-9.]+) seconds: ", ended.stderr)
    assert before == "chainchat-client: not logged in"
    assert float(seconds) >= 0.3
    assert after == f"127.0.0.1:{port}: connection refused\n"


# --- options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "where to?"),
        (["--name", "two words"], "--name: 'two words': a name has 1 to 32"),
        (["--name", "a", "--connect", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["--name", "a", "--connect", "h:99999"], "'h:99999' is not HOST:PORT"),
        (["--name", "a"], "where to? Say --connect HOST:PORT, or --config chain.ini"),
        (["--name", "a", "--config", "none.ini"], "none.ini"),
        (["--name", "a", "--timeout", "soon"], "'soon' is not a number of seconds"),
        (["--name", "a", "--to", "bob"], "--to needs --send"),
        (["--name", "a", "--connect", "h:1", "--send", " "], "--send needs a text"),
        (["--name", "a", "--connect", "h:1", "--send", "-"], "the standard input is empty"),
        (
            ["--name", "a", "--connect", "h:1", "--send", "x", "--password-file", "/none"],
            "--password-file /none: No such file or directory (",
        ),
        (["--name", "a", "--connect", "h:1", "--send", "\x1b[0m"], "U+001B is a control"),
        (["--name", "a", "--connect", "h:1", "--send", "x", "--follow"], "exclude each other"),
        (["--colour"], "unrecognized arguments: --colour"),
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


# --- scripts that must not lose or double anything -----------------------------------


def test_send_reads_the_standard_input(server: Server) -> None:
    ended = run("--name", "cron", *at(server.listen()), "--send", "-", text="one\r\n\n\ttwo\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [message.text for message in server.room.messages] == ["one", " two"]


def test_an_alert_is_one_line_that_fits(server: Server) -> None:
    text = "disk\x1b[31m full\n\n  on db1 \u20ac" + "x" * 5000
    ended = run("--name", "cron", *at(server.listen()), "--send", "-", "--alert", text=text)
    assert (ended.returncode, ended.stderr) == (0, "")
    [message] = server.room.messages
    assert message.text.startswith("disk\ufffd[31m full / on db1 \u20acxxx")
    assert message.text.endswith("x\u2026")
    assert len(message.text.encode()) <= 900


def test_a_named_send_that_is_repeated_says_nothing_twice(server: Server) -> None:
    first = run("--name", "cron", *at(server.listen()), "--send", "a\nb", "--id", "backup 7")
    server.room.next_number = 5000  # other programs were forgotten since
    again = run("--name", "cron", *at(server.listen()), "--send", "a\nb", "--id", "backup 7")
    assert (first.returncode, again.returncode) == (0, 0)
    assert first.stdout == again.stdout == "1003\n1006\n"
    other = run("--name", "cron", *at(server.listen()), "--send", "c", "--id", "backup 8")
    assert other.stdout == "1009\n"
    assert [message.text for message in server.room.messages] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("judgement", "status"), [(Code.NO_SUCH_ACCOUNT, 3), (Code.DISK_NEARLY_FULL, 1)]
)
def test_the_exit_status_tells_what_was_said(server: Server, judgement: Code, status: int) -> None:
    server.room.judge = lambda say: judgement
    ended = run_in_time("not logged in", "--name", "cron", *at(server.listen()), "--send", "x")
    assert ended.returncode == status
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "<&-", ">&- <&- 2>&-"])
def test_what_is_said_is_said_whatever_becomes_of_the_output(
    server: Server, redirection: str
) -> None:
    started = shlex.join(command("--name", "cron", *at(server.listen()), "--send", "x"))
    ended = subprocess.run(
        ["sh", "-c", f"{started} {redirection}"],
        stderr=subprocess.PIPE,
        env=environment(),
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0
    assert b"a bug" not in ended.stderr
    assert [message.text for message in server.room.messages] == ["x"]


def test_a_full_output_of_a_pipe_is_told_in_one_line(server: Server) -> None:
    started = shlex.join(command("--name", "cron", *at(server.listen())))
    ended = subprocess.run(
        ["sh", "-c", f"echo hi | {started} >/dev/full"],
        capture_output=True,
        env=environment(),
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == b"chainchat-client: cannot print: No space left on device\n"


# --- contrib -------------------------------------------------------------------------


def posted(port: int, path: str, body: bytes, **headers: str) -> int:
    """Post something; the status of the answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_webhook_says_each_alert_once(server: Server) -> None:
    def alerts(percent: int) -> list[dict[str, object]]:
        return [
            {
                "status": "firing",
                "labels": {"alertname": "DiskFull", "instance": "db1"},
                "annotations": {"summary": f"{percent} %"},
            },
            {"status": "resolved", "labels": {"alertname": f"Below{percent}"}},
        ]

    options = ["--", "--name", "alarm", *at(server.listen())]
    with subprocess.Popen(
        [sys.executable, ROOT / "contrib" / "webhook", "--listen", "127.0.0.1:0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        text=True,
    ) as receiver:
        try:
            assert receiver.stdout is not None
            port = int(receiver.stdout.readline().rpartition(":")[2])
            percent, hour = 90, 0
            while hour != int(time.time() // 3600):  # in another, what comes again is said again
                percent, hour = percent + 1, int(time.time() // 3600)
                before = len(server.room.messages)
                body = json.dumps({"alerts": alerts(percent)}).encode()
                for _ in range(2):
                    assert posted(port, "/alertmanager", body) == 200
            for key in ({}, {}, {"Idempotency-Key": "7"}, {"Idempotency-Key": "7"}):
                assert posted(port, "/say", b"the backup\nis done", **key) == 200
            assert posted(port, "/alertmanager", b"[]") == 400
            assert posted(port, "/elsewhere", b"x") == 404
        finally:
            receiver.kill()
    assert [message.text for message in server.room.messages[before:]] == [
        f"FIRING DiskFull db1 {percent} %",
        f"RESOLVED Below{percent}",
        *["the backup / is done"] * 3,
    ]
