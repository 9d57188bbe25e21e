"""Passwords with real nodes: on the screens of real clients, across nodes, deaths and restarts."""

import random
import re
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import Cluster, Node
from commands import CLIENT, Ended, run
from helpers import Helper
from secrets_kept import Screen, by, holding, protect
from talking import HOST, Person, Program, prove, secret_words, until
from terminals import Terminal

from chainchat.chat.refusals import Code
from chainchat.network.addresses import host_port

pytestmark = pytest.mark.plain("the tests choose the passwords, and show them on terminals")

NewCluster = Callable[..., Cluster]

SECRET, OTHER = "correct horse battery", "staple of another kind"


QUESTION = "(some clients, like nc, show it; an empty line goes back):"


@pytest.fixture
def names() -> Iterator[str]:
    """Names that no other test of the cluster has."""
    return (f"{name}-{random.randrange(10**9)}" for name in ("alice", "bob", "carol"))


# --- people ----------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["telnet", "busybox", "plink"])
def test_no_telnet_shows_a_password(
    cluster: Cluster, names: Iterator[str], client: str, skip_or_fail: Callable[[str], None]
) -> None:
    command = by(client, cluster["middle"])
    if not command:
        skip_or_fail(f"{client} is not installed")
    alice = next(names)
    protect(cluster["head"], alice, SECRET)
    with Screen(command) as screen:
        screen.see("Type your name")
        screen.press(f"{alice}\r")
        screen.see(f"* password of {alice} {QUESTION}")
        screen.press("correct hoarse\x7f\x7f\x7f\x7frse battery\r")
        screen.see(f"+OK you are {alice}")
        screen.press("seen again\r")
        screen.see("seen again")  # what is typed shows
        screen.see("+OK ")
        if client == "busybox":  # hides what is typed once in a connection, as the question says
            assert b"rse" not in screen.octets
            return
        screen.press("/password\r")
        screen.see("* your password now")
        screen.press(f"{SECRET}\r")
        screen.see("* your new password (8 to 128 characters;")
        screen.press(f"{OTHER}\r")
        screen.see("* the same again")
        screen.press(f"{OTHER}\r")
        screen.see("+OK your password is set")
        assert b"horse" not in screen.octets
        assert b"rse battery" not in screen.octets
        assert b"staple" not in screen.octets
        assert f"* the same again {QUESTION}" in screen.lines()
        assert "+OK your password is set" in screen.lines()


def test_nc_shows_what_is_typed_as_the_question_says(
    cluster: Cluster, names: Iterator[str], nc: str
) -> None:
    alice = next(names)
    protect(cluster["head"], alice, SECRET)
    with Screen([nc, *by("nc", cluster["tail"])[1:]]) as screen:
        screen.see("Type your name")
        screen.press(f"{alice}\r")
        screen.see(f"* password of {alice} {QUESTION}")
        screen.press(f"{SECRET}\r")
        screen.see(f"+OK you are {alice}")
        [line] = [line for line in screen.lines() if QUESTION in line]
        assert line.startswith("* password of ")  # the offer not to show it is written over
        assert line.endswith(SECRET)


def test_the_bundled_client_shows_and_keeps_no_password(
    cluster: Cluster, names: Iterator[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    alice = next(names)
    protect(cluster["head"], alice, SECRET)
    with Terminal(cluster, alice, cluster["middle"]) as terminal:
        terminal.see(f"^password of {alice}:")
        terminal.type(SECRET)
        terminal.see(rf"\+OK you are {alice}")
        terminal.type("/password")
        for old, answer in (
            (OTHER, "-ERR 512 wrong password"),
            (SECRET, r"\+OK your password is set"),
        ):
            terminal.see(r"^your password now \(an empty line goes back\): *$")
            terminal.type(old)
            terminal.see(r"^your new password \([^;]*\): *$")
            terminal.type(OTHER)
            terminal.see("^the same again ")
            terminal.type(SECRET)
            terminal.see("-ERR 522 that was not the same")
            terminal.see("^your new password .* goes back")
            terminal.type(OTHER)
            terminal.see("^the same again ")
            terminal.type(OTHER)
            terminal.see(answer)
        terminal.type(f" {SECRET}")
        terminal.see("-ERR 508 that line is what you typed as a password")
        terminal.type("hello")
        terminal.see("hello ✓")
        terminal.press("\x1b[A\x1b[A\x1b[A")  # nothing but what was said is in the history
        terminal.see(f"^{alice}> /password$")
        shown = "\n".join(terminal.lines())
        assert "horse" not in shown
        assert "staple" not in shown
        terminal.press("\x15/quit\r")
        terminal.end()
    assert holding(tmp_path, SECRET) == holding(tmp_path, OTHER) == []
    [kept] = tmp_path.rglob("*.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    with Terminal(cluster, alice, cluster["tail"]) as terminal:  # the key is enough
        terminal.see(rf"\+OK you are {alice}")
        terminal.type("/quit")
        terminal.end()


@pytest.mark.parametrize(
    ("secret", "more", "answer"),
    [
        (SECRET, 1, r"\+OK \d+"),
        (OTHER, 1, r"-ERR 512 wrong password"),
        (OTHER, 2_000, r"-ERR 512 wrong password"),  # more than the server has read by then
    ],
    ids=["right", "wrong", "wrong, and much more"],
)
def test_a_script_types_its_password_ahead(  # noqa: PLR0917 - a table
    cluster: Cluster, names: Iterator[str], nc: str, secret: str, more: int, answer: str
) -> None:
    alice, bob = next(names), next(names)
    protect(cluster["head"], alice, SECRET)
    with Program(cluster["tail"].address, name=bob) as witness:
        witness.ask("WHO")
        lines = [alice, secret, *[f"hello-{alice}"] * more]
        typed = "".join(f"{line}\n" for line in lines)
        done = run(nc, "-N", HOST, str(cluster["middle"].client_port), typed=typed)
        assert re.search(answer, done.stdout), done.stdout
        said = witness.since("SINCE 0")
        heard = [push.message.text for push in said if push.message.sender == alice]
        assert heard == ([lines[2]] if secret == SECRET else [])
        assert f"hello-{alice}" not in witness.listed("LIST")


def test_a_script_has_its_password_from_a_file_or_the_environment(
    cluster: Cluster, names: Iterator[str], tmp_path: Path
) -> None:
    alice = next(names)
    protect(cluster["head"], alice, SECRET)
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\nand no more\n")

    def says(*options: str, **variables: str) -> Ended:
        address = host_port(*cluster["middle"].address)
        told = ["--name", alice, "--connect", address, "--send", "hello"]
        state = str(tmp_path / random.randbytes(8).hex())
        return run(*CLIENT, *told, *options, XDG_STATE_HOME=state, **variables)

    assert says("--password-file", str(file)).returncode == 0
    assert says(CHAINCHAT_PASSWORD=SECRET).returncode == 0
    wrong = says(CHAINCHAT_PASSWORD=OTHER)
    assert (wrong.returncode, wrong.stderr) == (3, "chainchat-client: wrong password: try again\n")
    none = says()
    assert (none.returncode, none.stdout) == (3, "")
    assert none.stderr == (
        f"chainchat-client: {alice} needs a password: give it with --password-file FILE, or in "
        "CHAINCHAT_PASSWORD\n"
    )
    missing = says("--password-file", str(tmp_path / "none"))
    assert missing.returncode == 2
    assert "--password-file " in missing.stderr


# --- across nodes ------------------------------------------------------------------------------


def test_a_password_changed_at_another_node_between_proof_and_login_counts(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice = next(names)
    protect(cluster["head"], alice, SECRET)
    with (
        Program(cluster["head"].address, "one") as here,
        Program(cluster["tail"].address, "two") as there,
    ):
        assert prove(here, alice, SECRET).startswith("+OK")
        assert prove(there, alice, SECRET).startswith("+OK")
        assert there.ask(f"SECRET {secret_words(OTHER)}") == "+OK"
        assert here.ask(f"LOGIN {alice}").startswith(f"-ERR {Code.PASSWORD_CHANGED}")
        assert there.ask(f"LOGIN {alice}").startswith("+OK")


def test_passwords_survive_kills_a_change_of_the_chain_and_a_restart_of_all(
    new_cluster: NewCluster, names: Iterator[str]
) -> None:
    cluster = new_cluster().start()
    alice = next(names)
    protect(cluster["middle"], alice, SECRET)
    cluster.kill("head")
    cluster.wait_until_it_serves("middle", "tail")
    for position in ("middle", "tail"):
        with Program(cluster[position].address) as program:
            assert program.ask(f"LOGIN {alice}").startswith(f"-ERR {Code.PASSWORD_NEEDED}")
            assert prove(program, alice, SECRET).startswith("+OK")
            assert program.ask(f"LOGIN {alice}").startswith("+OK")
            program.ask("LOGOUT")
    cluster.bring_back("head")
    cluster.kill()
    cluster.start()
    with Program(cluster["head"].address) as program:
        assert prove(program, alice, OTHER).startswith(f"-ERR {Code.WRONG_PASSWORD}")
        assert prove(program, alice, SECRET).startswith("+OK")
        assert program.ask(f"LOGIN {alice}").startswith("+OK")


# --- nothing is left ---------------------------------------------------------------------------


def test_no_password_is_left_anywhere(new_cluster: NewCluster, names: Iterator[str]) -> None:
    """Right ones, wrong ones, new ones, in the middle of a stop: none is in any file of a node."""
    cluster = new_cluster().start()
    alice, bob, carol = next(names), next(names), next(names)
    secrets = [f"sesame-{n}-{random.randrange(10**12):012}" for n in range(6)]
    first, wrong, second, waiting, lost, said = secrets
    with Person(cluster["head"].address, bob) as person:
        for line in ("/password", first, first):
            person.say(line)
        person.hear("your password is set")
        person.say("/password", first, second, second)
        person.hear("your password is set")
        person.say("/password", wrong)
        person.hear("-ERR 512")
        person.say("")
        person.hear("nothing is changed")
        person.say(said)  # by mistake, into the room: the log has what is said, and only that
        person.ask("/logout")
    with Program(cluster["tail"].address) as program:
        assert prove(program, bob, wrong).startswith("-ERR 512")
        assert prove(program, bob, second).startswith("+OK")
    with Person(cluster["middle"].address, carol) as typing, Person(cluster["tail"].address) as at:
        typing.say("/password", waiting)
        typing.socket.settimeout(1)
        at.hear("Type your name")
        at.say(bob, lost, lost)
        cluster["tail"].kill()
        cluster.wait_until_it_serves("head", "middle")
        typing.say("/logout")
        cluster["middle"].stop()
        heard = "\n".join([*typing.end(), *typing.heard])
    assert waiting not in heard
    protect(cluster["head"], alice, first)
    cluster.stop()
    for secret in (first, wrong, second, waiting, lost):
        assert holding(cluster.folder, secret) == []
    assert holding(cluster.folder, said)


# --- guesses -----------------------------------------------------------------------------------


def too_many(node: Node, name: str) -> bool:
    with Program(node.address) as program:
        return prove(program, name, OTHER).startswith(f"-ERR {Code.TOO_MANY_ATTEMPTS}")


def guess(address: tuple[str, int], name: str, count: int) -> None:
    """Try wrong passwords, on new connections whenever the node closes one."""
    tried = 0
    while tried < count:
        with socket.create_connection(address) as connection:
            connection.settimeout(30)
            connection.sendall(f"{name}\r\n".encode())
            for _ in range(3):
                connection.sendall(f"wrong guess {tried}\r\n".encode())
                heard = b""
                while b"-ERR" not in heard:
                    data = connection.recv(4096)
                    if not data:
                        break
                    heard += data
                tried += 1


def test_who_guesses_disturbs_nobody(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob = next(names), next(names)
    protect(cluster["head"], alice, SECRET)
    node = cluster["middle"]

    def waits(program: Program, start: int) -> list[float]:
        taken = []
        for number in range(start, start + 200):
            begin = time.perf_counter()
            assert program.ask(f"SEND {number} * :{number}").startswith("+OK")
            taken.append(time.perf_counter() - begin)
        return taken

    with Program(node.address, name=bob) as program:
        before = waits(program, 1)
        with ExitStack() as guessing:
            who = [guessing.enter_context(Helper(guess, node.address, alice, 10)) for _ in range(5)]
            meanwhile = waits(program, 1_000)
            while any(helper.running for helper in who):
                meanwhile += waits(program, 2_000 + len(meanwhile))
        usual, now = statistics.median(before), statistics.median(meanwhile)
    assert now < 2 * usual + 0.02, f"it took {usual:.4f} s, and takes {now:.4f} s while guessing"
    until(lambda: too_many(node, alice), lambda: "as many guesses as anybody likes are admitted")
    with Program(cluster["head"].address) as program:  # where nobody guesses
        assert prove(program, alice, SECRET).startswith("+OK")


def test_the_password_of_a_chain_without_any_is_no_question(
    cluster: Cluster, names: Iterator[str], tmp_path: Path
) -> None:
    with Person(cluster["head"].address, next(names)) as person:
        assert person.welcome.startswith("+OK you are ")
        assert not any("password of" in line for line in person.heard)
