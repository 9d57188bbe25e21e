"""chainchatctl: which node it asks, how it shows answers, and its exit status."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from chainchat.control import verbs as node_verbs
from chainchat.ctl import asking
from chainchat.ctl.__main__ import DONE, REFUSED, UNREACHABLE, main
from chainchat.ctl.verbs import VERBS
from chainchat.network.control_socket import socket_of

DEADLINE = 60.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a chain.ini of three positions, none of which has its data here."""
    text = "[chain]\nname = lab\nfounding = head middle tail\n[head]\n[middle]\n[tail]\n"
    (tmp_path / "chain.ini").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data_of(folder, position):
    data = folder / "var" / position
    data.mkdir(parents=True, exist_ok=True)
    return data


class Node:
    """Answers one question, with what a test says; ``asked`` is the question."""

    def __init__(self, data: Path, answer: bytes) -> None:
        self.asked = b""
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(socket_of(data)))
        self._socket.listen()
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            self.asked = connection.recv(1_000)
            with suppress(OSError):  # who asked has seen enough
                connection.sendall(self._answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX) as caller:  # whoever was not asked is now
            caller.connect(self._socket.getsockname())
            caller.sendall(b"\n")
            self._thread.join(DEADLINE)
        self._socket.close()


def run(capsys, *arguments):
    """Exit status, standard output and standard error."""
    try:
        main(arguments)
    except SystemExit as end:
        status = end.code
    else:
        status = DONE
    found = capsys.readouterr()
    return status, found.out, found.err


# --- whom it asks


def test_the_only_node_whose_data_are_here_is_asked(folder, capsys):
    with Node(data_of(folder, "middle"), b'+OK @1 {"name":"alice"}\n') as node:
        assert run(capsys, "kick", "alice") == (
            DONE,
            "alice is logged out, and can log in again\n",
            "",
        )
    assert node.asked == b"@1 kick alice\n"


def test_of_several_one_has_to_be_chosen(folder, capsys):
    data_of(folder, "head")
    with Node(data_of(folder, "tail"), b". @1\n"):
        status, _, error = run(capsys, "accounts")
        assert status == UNREACHABLE
        assert "2 nodes have their data on this machine: choose one by --position" in error
        assert run(capsys, "--position", "tail", "accounts") == (DONE, "", "")


@pytest.mark.parametrize("where", [["--json", "kick", "alice"], ["kick", "alice", "--json"]])
def test_options_may_come_before_the_verb_or_after_it(folder, capsys, where):
    with Node(data_of(folder, "head"), b'+OK @1 {"name":"alice"}\n'):
        assert run(capsys, *where) == (DONE, '{"name": "alice"}\n', "")


def test_where_none_is_the_folders_looked_for_are_named(folder, capsys):
    status, _, error = run(capsys, "status")
    assert status == UNREACHABLE
    assert error.startswith(f"chainchatctl: no node of {folder}/chain.ini has its data on this")
    assert f"{folder}/var/head" in error


def test_a_position_that_is_elsewhere_or_unknown_is_told(folder, capsys):
    status, _, error = run(capsys, "-p", "head", "accounts")
    assert (status, error) == (
        UNREACHABLE,
        f"chainchatctl: {folder}/var/head is not on this machine: ask where head runs "
        "(127.0.0.1), or choose another --config\n",
    )
    status, _, error = run(capsys, "-p", "heads", "status")
    assert status == UNREACHABLE
    assert error.endswith("/chain.ini has: head, middle, tail\n")


def test_a_mistake_in_chain_ini_is_told(folder, capsys):
    status, _, error = run(capsys, "-c", "chains.ini", "status")
    assert (status, error) == (
        UNREACHABLE,
        f"chainchatctl: {folder}/chains.ini: there is no such file\n",
    )


@pytest.mark.parametrize("stale", [False, True], ids=["no socket", "stale socket"])
def test_a_node_that_does_not_run_is_told(folder, capsys, stale):
    data = data_of(folder, "head")
    if stale:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_of(data)))
    status, _, error = run(capsys, "status")
    assert status == UNREACHABLE
    assert error == f"chainchatctl: head is not running: nobody listens at {data}/control\n"


def test_a_path_that_is_too_long_is_told(folder, capsys):
    text = (folder / "chain.ini").read_text().replace("[head]", f"[head]\ndata = {'x' * 120}")
    (folder / "chain.ini").write_text(text)
    status, _, error = run(capsys, "-p", "head", "accounts")
    assert status == UNREACHABLE
    assert "and the system takes" in error


@contextmanager
def somebody_else():
    """Within this, the process is nobody's."""
    user = pwd.getpwnam("nobody")
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["closed folder", "open folder"])
def test_whoever_is_not_the_owner_is_told(folder, capsys, monkeypatch, mode):
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # where nobody gets to
        open_folder = Path(made)
        shutil.copy(folder / "chain.ini", open_folder)
        data = data_of(open_folder, "head")
        (open_folder / "chain.ini").chmod(0o644)  # whatever the umask is
        for each in (open_folder, data.parent):
            each.chmod(0o755)
        monkeypatch.chdir(open_folder)
        with Node(data, b". @1\n"):
            socket_of(data).chmod(0o600)
            data.chmod(mode)
            with somebody_else():
                status, _, error = run(capsys, "accounts")
        monkeypatch.chdir(folder)
    assert status == UNREACHABLE
    assert error.startswith(f"chainchatctl: only the owner of {data} may ask head: ")


# --- what it makes of the answer


def test_a_refusal_is_1_and_a_wrong_command_2(folder, capsys):
    data = data_of(folder, "head")
    with Node(data, b"-ERR 521 @1 there is no account bob\n"):
        assert run(capsys, "kick", "bob") == (
            REFUSED,
            "",
            "chainchatctl: refused: there is no account bob\n",
        )
    socket_of(data).unlink()
    with Node(data, b"-ERR 520 @1 a name has 1 to 32 letters\n"):
        assert run(capsys, "kick", "b ob")[0] == UNREACHABLE


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["kick"], ["kick", "a", "b"], ["operator", "a", "maybe"], ["kick", "a\nb"]],
)
def test_a_wrong_command_is_2(folder, capsys, arguments):
    with Node(data_of(folder, "head"), b"") as node:
        status, output, error = run(capsys, *arguments)
    assert (status, output) == (UNREACHABLE, "")
    assert error
    assert node.asked == b"\n"  # not asked


@pytest.mark.parametrize("answer", [b"", b"| @1 {}\n", b"HTTP/1.1 400 Bad Request\n"])
def test_a_node_that_ends_in_the_middle_is_told(folder, capsys, answer):
    with Node(data_of(folder, "head"), answer):
        status, _, error = run(capsys, "--json", "accounts")
    assert status == UNREACHABLE
    assert "head has ended the connection without an answer" in error


def test_who_has_to_wait_is_told_once_and_waits(folder):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(socket_of(data_of(folder, "head"))))
    listening.listen()
    told = []

    def tell():
        told.append(True)
        answering, _ = listening.accept()
        with answering:
            answering.sendall(b'+OK @1 {"lines":["so"]}\n')

    node = asking.chosen_node(asking.config.load(Path("chain.ini")), None)
    connection = asking.Connection(node)
    assert list(connection.ask("reload", tell, patience=0.01)) == [{"lines": ["so"]}]
    assert told == [True]
    connection.close()
    listening.close()


ANSWERS = {
    "may-stop": {"position": "head", "may": False, "reason": "middle is away"},
    "drain": {"position": "head", "drained": True, "left": 2},
    "undrain": {"position": "head", "drained": False, "left": 0},
    "stop": {"position": "head", "stopping": True},
    "log-level": {"level": "warn"},
    "export": {
        "id": 7,
        "time": "2026-11-22T11:03:07Z",
        "from": "alice",
        "to": "*",
        "text": "hello",
    },
    "status": {
        "position": "head",
        "chain": "lab",
        "version": "0.1.0",
        "started": "2026-11-22T11:03:07Z",
        "shown": ["epoch 1   [head]   committed 7", "you are on head, the only node"],
        "serving": True,
        "confirms": False,
        "since": "2026-11-22T11:04:07Z",
        "clients": 3,
        "drained": False,
        "first": 5,
        "removed": 6,
        "kept_unread": {
            "account": "alice",
            "after": 6,
            "since": "2026-11-22T10:03:07Z",
            "seconds": 3600.0,
        },
        "last": 9,
        "committed": 7,
        "applied": 7,
        "disk": {"free": 12_400_000_000, "left": 259_200.0, "files": {"database": 80_000}},
        "certificates": [{"whose": "this node's", "expires": "2036-11-28T00:00:00Z"}],
    },
    "accounts": {"name": "alice", "role": "operator", "protected": True, "on": False},
    "operator": {"name": "alice", "role": "user"},
    "invite": {"name": "bob", "password": "k7qdp-93mfh-x2pwc", "once": True},
    "kick": {"name": "bob"},
    "reload": {"lines": ["nothing has changed"]},
    "help": {"form": "kick NAME", "about": "end somebody's session"},
}
SHOWN = {
    "status": [
        "head of lab, chainchat 0.1.0, started 2026-11-22T11:03:07Z",
        "epoch 1   [head]   committed 7",
        "you are on head, the only node",
        "not confirming since 2026-11-22T11:04:07Z, 3 clients",
        "log: 9 last, 7 committed, 7 applied here",
        "removed: messages before 6; the log here begins with 5",
        "old messages stay: alice has seen none after 6, since 2026-11-22T10:03:07Z",
        "disk: 12.4 GB free, 3 days left at the present rate, 80.0 kB used",
        "certificate: this node's expires 2036-11-28T00:00:00Z",
    ],
    "may-stop": ["head may not stop: middle is away"],
    "drain": ["head takes no clients; 2 are left"],
    "undrain": ["head takes clients"],
    "stop": ["head stops"],
    "log-level": ["warn"],
    "export": ["#7 2026-11-22T11:03:07Z alice to *: hello"],
    "accounts": ["alice                            operator  away  with a password"],
    "operator": ["alice is no operator any more"],
    "invite": [
        "the password of bob, to choose another with, shown only this once:",
        "k7qdp-93mfh-x2pwc",
    ],
    "kick": ["bob is logged out, and can log in again"],
    "reload": ["nothing has changed"],
    "help": ["kick NAME                end somebody's session"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_answer_is_shown_in_words(verb):
    assert list(VERBS[verb].show(ANSWERS[verb])) == SHOWN[verb]


def test_it_knows_all_that_a_node_understands():
    assert list(VERBS) == list(node_verbs.VERBS)
    for name, verb in VERBS.items():
        choices = f"[{'|'.join(verb.choices)}]" if verb.choices else ""
        optional = (f"[{word}]" for word in verb.optional)
        form = " ".join(filter(None, [name, *verb.arguments, *optional, choices]))
        if name not in ("help", "export"):  # where --help tells the rest
            assert node_verbs.VERBS[name].form == form


def test_it_starts_without_twisted():
    code = "import sys, chainchat.ctl.__main__; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_json_is_a_line_for_each_item(folder, capsys):
    answer = b'| @1 {"name":"a"}\n| @1 {"name":"b"}\n. @1\n'
    with Node(data_of(folder, "head"), answer):
        _, output, _ = run(capsys, "--json", "accounts")
    assert [json.loads(line)["name"] for line in output.splitlines()] == ["a", "b"]
