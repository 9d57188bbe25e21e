"""The bundled client in a real terminal, and in pipes, with a real chain."""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from cluster import Cluster, environment
from commands import CLIENT, Ended, run
from talking import DEADLINE, Person, until
from terminals import Terminal

from chainchat.network.addresses import host_port

NewCluster = Callable[..., Cluster]


def client(*arguments: str, text: str = "") -> Ended:
    """Run the client with pipes."""
    return run(*CLIENT, *arguments, typed=text)


@pytest.fixture
def at(cluster: Cluster) -> Iterator[Callable[[str], tuple[str, str]]]:
    def option(position: str) -> tuple[str, str]:
        return "--connect", host_port(*cluster[position].address)

    return option


At = Callable[[str], tuple[str, str]]


# --- the terminal


def test_people_talk_through_two_terminals(cluster: Cluster) -> None:
    with (
        Terminal(cluster, "alice", cluster["head"]) as alice,
        Terminal(cluster, "bob", cluster["tail"]) as bob,
    ):
        alice.see(r"\+OK you are alice, on head")
        bob.see(r"\+OK you are bob, on tail")
        alice.see(r"^on head, first of 3 servers · 2 here · F2 draws the chain$")
        bob.see(r"^on tail, third of 3 servers · 2 here · F2 draws the chain$")
        alice.type("hello bob: ä€")
        bob.see(r"^#\d+ \d\d:\d\d alice: hello bob: ä€$")
        alice.see(r"^#\d+ \d\d:\d\d alice: hello bob: ä€ ✓$")
        bob.type(">> alice: psst")
        alice.see(r"^#\d+ \d\d:\d\d bob >> you: psst$")
        bob.see(r"^#\d+ \d\d:\d\d you >> alice: psst ✓$")
        alice.type(">> nobody-at-all: hello")
        alice.see(r"^-ERR 521 .*\(not said: >> nobody-at-all: hello\)$")
        alice.type("/who")
        alice.see(r"^\| alice$")
        alice.see(r"^\| bob$")
        alice.type("/chain")
        alice.see(r"^\| epoch 1   \[head\] -> middle -> tail   committed \d+$")
        alice.type("/last 2")
        alice.see(r"^\| #\d+ \d\d:\d\d bob >> you: psst$")
        alice.type("/logout")
        assert alice.end() == 0
        bob.press("\x04")  # Ctrl-D
        assert bob.end() == 0


def test_who_finds_no_server_at_work_is_told_the_state_of_each(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    with Terminal(cluster, "alice", cluster["head"], columns=80) as alice:
        alice.see(r"^on head, first of 3 servers")
        cluster.kill()
        alice.see(
            r"^offline · .*\b(head|middle|tail), (head|middle|tail), (head|middle|tail): conn"
        )
        cluster["middle"].start()
        # The head died first: whether the others have gone on without it is a matter of moments.
        waits = "middle: waiting to be taken back by (head, tail|tail, head|tail)"
        alice.see(rf"^offline · {waits} · (trying|next try in \d+ s)")
        alice.type("said meanwhile")
        alice.see("^… said meanwhile$")
        alice.type("/quit")
        alice.see(r"^\* leaving once 1 line is confirmed; Ctrl-C leaves at once$")
        cluster["head"].start()
        cluster["tail"].start()
        assert alice.end() == 0
    with Person(cluster["tail"].address, "bob") as bob:
        said = [line for line in bob.listed("/last 5") if "said meanwhile" in line]
        assert len(said) == 1


def test_a_line_is_pending_until_the_chain_has_it(new_cluster: NewCluster) -> None:
    cluster = new_cluster(suspect_after=20.0).start()
    with Terminal(cluster, "alice", cluster["head"]) as alice:
        alice.see(r"^on head, first of 3")
        cluster["tail"].pause()
        alice.type("is anybody there?")
        alice.see(r"^… is anybody there\?$")
        alice.see(r"· 1 pending( ·|$)")
        assert not [line for line in alice.lines() if line.endswith("✓")]
        cluster["tail"].kill()
        alice.see(r"^#\d+ \d\d:\d\d alice: is anybody there\? ✓$")  # without the tail
        until(
            lambda: not [line for line in alice.lines()[-3:] if "pending" in line or "…" in line],
            lambda: f"still pending: {alice.lines()}",
        )
        alice.type("/quit")
        assert alice.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_client_whose_node_ends_goes_on_at_another(
    new_cluster: NewCluster, number: signal.Signals
) -> None:
    cluster = new_cluster().start()
    with (
        Person(cluster["tail"].address, "bob") as bob,  # before alice, who is told who joins
        Terminal(cluster, "alice", cluster["middle"]) as alice,
    ):
        alice.see(r"^on middle, second of 3")
        alice.type("before")
        bob.hear("alice: before")
        alice.see(r"^#\d+ \d\d:\d\d alice: before ✓$")
        noticed = alice.notices()
        cluster["middle"].signal(number)
        alice.type("said meanwhile")
        bob.hear("alice: said meanwhile")
        alice.see(r"^#\d+ \d\d:\d\d alice: said meanwhile ✓$")
        bob.ask("after")
        alice.see(r"^#\d+ \d\d:\d\d bob: after$")
        alice.see(r"^on (head|tail), (first|second) of 2 servers · without middle")
        shown = [line for line in alice.lines() if "said meanwhile" in line]
        assert len(shown) == 1, shown
        assert sum("said meanwhile" in line for line in bob.heard) == 1
        # What a dead node has not read resets the connection.
        dead = "the server closed the connection|connection reset by peer"
        why = "this node stops" if number == signal.SIGTERM else f"({dead})"
        found = alice.see(
            rf"^\* middle: {why}; now on (head|tail)(, 1 unconfirmed line sent there)?$"
        )
        assert alice.notices() == [*noticed, found]
        assert alice.colour(found) == "brightblack"
        alice.type("/logout")
        assert alice.end() == 0


# --- pipes


def test_a_script_talks_through_a_pipe(cluster: Cluster, at: At) -> None:
    with Person(cluster["tail"].address, "listener") as listener:
        lines = "one\n//two\n>> listener: three\n/list script\nfour, without an end"
        ended = client("--name", "script", *at("head"), text=lines)
        assert (ended.returncode, ended.stderr) == (0, "")
        said = [re.sub(r"^\+OK \d+$", "+OK", line) for line in ended.stdout.splitlines()]
        assert said == [
            "+OK you are script, on head: /help tells what to type",
            *["+OK"] * 3,
            "| script",
            ". 1 account",
            "+OK",
            "* logged out",
        ]
        for text in ("script: one", "script: /two", "script >> you: three", "script: four"):
            listener.hear(re.escape(text))


def test_send_says_it_once_and_prints_the_id(cluster: Cluster, at: At) -> None:
    with Person(cluster["tail"].address, "listener") as listener:
        ended = client("--name", "cron", *at("head"), "--send", "the backup\nis done")
        assert (ended.returncode, ended.stderr) == (0, "")
        first, second = ended.stdout.split()
        assert listener.hear("the backup").string.startswith(f"#{first} ")
        assert listener.hear("is done").string.startswith(f"#{second} ")
        ended = client("--name", "cron", *at("middle"), "--send", "psst", "--to", "listener")
        assert listener.hear("cron >> you: psst").string.startswith(f"#{ended.stdout.strip()} ")
        ended = client("--name", "cron", *at("middle"), "--send", "x", "--to", "nobody-at-all")
        assert (ended.returncode, ended.stdout) == (3, "")
        assert "not sent: 521" in ended.stderr


def test_a_send_with_a_name_is_said_once_by_whichever_node(cluster: Cluster, at: At) -> None:
    named = ("--name", "pager", "--id", "incident 7", "--send")
    first = client(*named, "db1 is down\nfor a minute", *at("head"))
    again = client(*named, "-", *at("tail"), text="db1 is down\nfor a minute\n")
    assert (first.returncode, first.stderr, again.returncode) == (0, "", 0)
    assert again.stdout == first.stdout
    other = client(*named, "something else", *at("tail"))
    assert (other.returncode, other.stdout) == (3, "")
    told = "not sent: 552 something else was said under the name incident 7"
    assert other.stderr == f"chainchat-client: {told}\n"
    with Person(cluster["middle"].address, "reader") as reader:
        said = [line for line in reader.listed("/last 500") if " pager: " in line]
        assert [line.rpartition("pager: ")[2] for line in said] == ["db1 is down", "for a minute"]


def test_send_finds_the_nodes_in_chain_ini(cluster: Cluster) -> None:
    config = str(cluster.folder / "chain.ini")
    ended = client("--name", "cron", "--config", config, "--send", "x")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip().isdigit()


def test_send_waits_for_a_chain_that_is_down_but_not_for_ever(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("head", "tail"))
    config = str(cluster.folder / "chain.ini")
    ended = client("--name", "cron", "--config", config, "--send", "x", "--timeout", "1")
    assert ended.returncode == 75
    assert "not logged in within 1 seconds" in ended.stderr
    assert ended.stderr.count("connection refused") == 1
    with subprocess.Popen(
        [*CLIENT, "--name", "cron", "--config", config, "--send", "x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as waiting:
        cluster.start()
        out, err = waiting.communicate(timeout=DEADLINE)
    assert (waiting.returncode, err) == (0, "")
    assert out.strip().isdigit()


def test_a_deleted_account_ends_the_script(cluster: Cluster, at: At) -> None:
    with subprocess.Popen(
        [*CLIENT, "--name", "victim", *at("head"), "--follow"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline().startswith("+OK you are victim")
        with Person(cluster["tail"].address, "culprit") as culprit:
            culprit.ask("/delete victim yes")
        out, _ = following.communicate(timeout=DEADLINE)
    assert "* the account victim was deleted by culprit" in out
    assert following.returncode == 3
