"""chainchatctl and real nodes: the first operator, kicks, accounts, and the socket's life."""

import json
import os
import random
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import SOURCES, Cluster, Node, environment, wait_for_log
from commands import CTL, Ended, run, run_twistd
from secrets_kept import protect
from talking import DEADLINE, HOST, Person, Program, until

from chainchat import __version__

NewCluster = Callable[..., Cluster]

PASSWORD = "correct horse battery"
POSITIONS = ("head", "middle", "tail")
DONE, REFUSED, UNREACHABLE, DOWN = 0, 1, 2, 2


def control(cluster: Cluster, *arguments: str, command: str = "") -> Ended:
    """Run chainchatctl to its end, in the folder of chain.ini."""
    program = [command] if command else CTL
    return run(*program, *arguments, folder=cluster.folder)


def asked(cluster: Cluster, *arguments: str) -> list[dict[str, Any]]:
    done = control(cluster, "--json", *arguments)
    assert (done.returncode, done.stderr) == (DONE, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def audit(node: Node) -> list[str]:
    return re.findall(r": audit: (.*)", node.log_text())


@pytest.fixture
def names() -> Iterator[str]:
    """Names that no other test of the cluster has."""
    return (f"{name}-{random.randrange(10**9)}" for name in ("alice", "bob", "carol"))


# --- people


@pytest.mark.plain("it matters who has a password")
def test_the_first_operator_of_a_living_chain(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob = next(names), next(names)
    protect(cluster["tail"], alice, PASSWORD)
    with Person(cluster["middle"].address, bob) as person:
        refused = control(cluster, "-p", "head", "operator", bob)
        assert (refused.returncode, refused.stdout) == (REFUSED, "")
        assert f"{bob} has no password" in refused.stderr
        made = control(cluster, "-p", "head", "operator", alice)
        assert (made.returncode, made.stdout, made.stderr) == (
            DONE,
            f"{alice} is an operator\n",
            "",
        )
        with Person(cluster["tail"].address) as operator:
            operator.hear("Type your name")
            operator.say(alice, PASSWORD)
            operator.hear(r"\+OK you are")
            assert operator.ask(f"/kick {bob}").startswith("+OK")
        person.end()
    assert f"control, by {me()}: operator {alice}: done" in audit(cluster["head"])
    kicked = [
        line for line in audit(cluster["tail"]) if f"session of {bob} ended by {alice}" in line
    ]
    assert re.search(rf" from {HOST}, session \S+$", kicked[0])
    assert asked(cluster, "-p", "middle", "operator", alice, "off") == [
        {"name": alice, "role": "user"}
    ]


def me() -> str:
    return f"uid {os.getuid()}" if sys.platform == "linux" else "the owner"


def test_a_kick_at_one_node_ends_a_session_at_another(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice = next(names)
    with Person(cluster["tail"].address, alice) as person:
        done = control(cluster, "-p", "head", "kick", alice)
        assert (done.returncode, done.stdout) == (
            DONE,
            f"{alice} is logged out, and can log in again\n",
        )
        person.end()
    again = control(cluster, "-p", "head", "kick", f"{alice}x")
    assert (again.returncode, again.stderr) == (
        REFUSED,
        f"chainchatctl: refused: there is no account {alice}x\n",
    )


def test_an_invited_person_comes_in_with_the_password_that_was_shown(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(("only",), sections="[accounts]\nnew = invited\n").start()
    node = cluster["only"]
    [invitation] = asked(cluster, "invite", "bob")
    password = invitation["password"]
    with Person(node.address) as person:
        person.hear("Type your name")
        person.say("bob", password)
        person.say(PASSWORD, PASSWORD)
        person.hear(r"\+OK you are bob")
        person.ask("/logout")
    assert asked(cluster, "operator", "bob") == [{"name": "bob", "role": "operator"}]
    assert [line for line in audit(node) if "password of bob set by bob" in line]
    for secret in (password, PASSWORD):
        assert secret not in node.log_text()
    cluster.stop()


def test_in_a_closed_room_the_password_stays_as_with_invite(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",), sections="[accounts]\nnew = closed\n").start()
    [invitation] = asked(cluster, "invite", "bob")
    assert not invitation["once"]
    for _ in range(2):
        with Person(cluster["only"].address) as person:
            person.hear("Type your name")
            person.say("bob", invitation["password"])
            person.hear(r"\+OK you are bob")
            person.ask("/logout")
    [reset] = asked(cluster, "invite", "bob", "reset")
    assert reset["once"]
    cluster.stop()


@pytest.mark.plain("it matters who has a password")
def test_accounts_are_listed_by_every_node_alike(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob = next(names), next(names)
    protect(cluster["head"], bob, PASSWORD)
    with Person(cluster["middle"].address, alice):
        wanted = [
            {"name": alice, "role": "user", "protected": False, "on": True},
            {"name": bob, "role": "user", "protected": True, "on": False},
        ]
        for position in POSITIONS:
            found = asked(cluster, "-p", position, "accounts")
            assert [item for item in found if item["name"] in (alice, bob)] == wanted
    shown = control(cluster, "-p", "head", "accounts").stdout
    assert re.search(rf"^{bob} +user +away +with a password$", shown, re.MULTILINE)


def test_refused_logins_are_written_down_once_a_minute(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice = next(names)
    protect(cluster["head"], alice, PASSWORD)
    node = cluster["middle"]
    for _ in range(3):
        with Program(node.address) as program:
            assert program.ask("LOGIN x y z").startswith("-ERR 501")
            with Person(node.address) as person:
                person.hear("Type your name")
                person.say(alice, "wrong password")
                person.hear("-ERR 512")
    lines = [line for line in audit(node) if line.startswith("refused: ")]
    assert lines == [f"refused: login of {alice} from {HOST}: 512 wrong password"]


# --- the node


def test_status_tells_of_the_chain_and_of_what_it_lacks(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    for position in POSITIONS:
        [status] = asked(cluster, "-p", position, "status")
        assert status["version"] == __version__
        assert (status["position"], status["members"]) == (position, list(POSITIONS))
        assert status["role"] == position
        assert status["serving"]
        assert status["confirms"]
    lines = control(cluster, "-p", "middle", "status").stdout.splitlines()
    assert lines[0].startswith(f"middle of test, chainchat {__version__}, started 20")
    assert lines[1].startswith("epoch 1   head -> [middle] -> tail   committed ")
    cluster.kill("head", "middle")
    cluster.wait_until_it_serves("tail")
    done = control(cluster, "-p", "head", "status")
    assert (done.returncode, done.stderr) == (
        UNREACHABLE,
        f"chainchatctl: head is not running: nobody listens at {cluster['head'].data}/control\n",
    )
    cluster["tail"].kill()
    cluster["head"].start()  # alone, it waits for tail

    def waits() -> bool:
        done = control(cluster, "-p", "head", "--json", "status")
        return json.loads(done.stdout).get("serving") is False

    until(waits, lambda: "head does not wait")
    done = control(cluster, "-p", "head", "--json", "status")
    status = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (DOWN, "")
    assert "waiting to be taken back" in status["reason"]
    refused = control(cluster, "-p", "head", "kick", "alice")
    assert (refused.returncode, "try another node" in refused.stderr) == (REFUSED, True)


def test_a_node_that_stands_still_does_not_answer_and_the_others_do(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(("first", "second")).start()
    cluster["first"].pause()
    still = "first does not answer: its process stands still, or is much too busy"
    alone = control(cluster, "-p", "first", "status")
    assert (alone.returncode, alone.stderr) == (UNREACHABLE, f"chainchatctl: {still}\n")
    waited = control(cluster, "-p", "first", "status", "--wait", "full", "--timeout", "0.5")
    assert waited.stderr == f"chainchatctl: not full within 0.5 s: first: {still}\n"
    shown = control(cluster, "status", "--all").stdout.splitlines()
    assert f"first: {still}" in shown
    assert [line.split()[:2] for line in shown[1:3]] == [["first", "-"], ["second", "tail"]]
    cluster["first"].resume()


def test_while_the_chain_cannot_confirm_somebody_who_orders_is_told_and_waits(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(("first", "second")).start()
    protect(cluster["first"], "alice", PASSWORD)
    cluster["first"].pause()  # the second of two does not go on alone
    with subprocess.Popen(
        [sys.executable, "-m", "chainchat.ctl", "-p", "second", "operator", "alice"],
        cwd=cluster.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stderr is not None
        told = asking.stderr.readline()
        cluster["first"].resume()
        output, _ = asking.communicate(timeout=DEADLINE)
    assert told.startswith("chainchatctl: waiting for the chain to confirm; Ctrl-C ends")
    assert (asking.returncode, output) == (DONE, "alice is an operator\n")


def test_a_reload_that_cannot_be_says_why_and_changes_nothing(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    assert control(cluster, "reload").returncode == DONE
    config = cluster.folder / "chain.ini"
    good = config.read_text()
    copy = cluster.folder / "good.ini"
    copy.write_text(good)
    config.write_text(good.replace("[clients]", "[cliants]"))
    refused = control(cluster, "--config", "good.ini", "reload")
    assert refused.returncode == REFUSED
    assert "nothing has changed: " in refused.stderr
    assert "cliants" in refused.stderr
    with Person(cluster["only"].address, "alice") as person:
        assert person.ask("still here").startswith("+OK")


def test_a_reload_closes_the_room_to_new_names(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    address = cluster["only"].address
    with Person(address) as person:
        person.hear("a new name makes a new account")
    config = cluster.folder / "chain.ini"
    config.write_text(f"{config.read_text()}\n[accounts]\nnew = invited\n")
    told = control(cluster, "reload")
    assert "[accounts] new: (default) -> invited" in told.stdout
    wait_for_log(cluster["only"], "only: reloaded: [accounts] new: (default) -> invited")
    with Person(address) as person:
        person.hear("accounts are made by invitation")
    with Program(address) as program:
        assert program.ask("LOGIN bob").startswith("-ERR 513 ")


# --- the socket


def test_the_socket_is_its_owners_and_goes_with_the_node(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    path = cluster["only"].data / "control"
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    cluster.stop()
    assert not path.exists()


def test_after_kill_9_the_stale_socket_is_replaced(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    cluster.kill()
    assert (cluster["only"].data / "control").exists()
    assert control(cluster, "status").returncode == UNREACHABLE
    cluster.start()
    assert asked(cluster, "status")[0]["serving"]


def test_a_file_in_the_place_of_the_socket_is_told(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",))
    node = cluster["only"]
    node.data.mkdir(parents=True)
    (node.data / "control").write_text("mine")
    node.start()
    assert node.wait(DEADLINE) == 1
    assert f"{node.data}/control is in the way of the control socket" in node.log_text()
    assert (node.data / "control").read_text() == "mine"


@pytest.mark.parametrize("foreground", [["-n"], []], ids=["foreground", "daemon"])
def test_a_path_that_is_too_long_is_told_at_the_start(
    tmp_path: Path, foreground: list[str]
) -> None:
    config = tmp_path / "chain.ini"
    config.write_text(f"[chain]\nname = lab\nfounding = only\n[only]\ndata = {'x' * 120}\n")
    done = run_twistd(tmp_path, *foreground, "chainchat", "--position", "only")
    assert done.returncode == 1
    [line] = (done.stdout + done.stderr).splitlines()
    assert line.startswith(f"chainchat: {config}: [only] data = {tmp_path}/x")
    assert line.endswith(": choose a shorter path; it may be a symbolic link to this one")
    assert not (tmp_path / ("x" * 120)).exists()


def test_two_nodes_of_one_machine_have_a_socket_each(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("first", "second")).start()
    for position in ("first", "second"):
        assert asked(cluster, "-p", position, "status")[0]["position"] == position
    done = control(cluster, "status")
    assert done.returncode == UNREACHABLE
    assert "2 nodes have their data on this machine: choose one by --position" in done.stderr


def test_from_a_checkout(cluster: Cluster) -> None:
    done = control(cluster, "-p", "head", "status", command=str(SOURCES / "bin" / "chainchatctl"))
    assert (done.returncode, done.stderr) == (DONE, "")


@pytest.mark.plain("it matters who has a password")
def test_whoever_logs_in_is_written_down(cluster: Cluster, names: Iterator[str]) -> None:
    alice = next(names)
    with Person(cluster["head"].address, alice) as person:
        person.ask("said in confidence")
        person.ask(f"/delete {alice} yes")
    lines = [line for line in audit(cluster["head"]) if alice in line]
    assert re.fullmatch(rf"login of {alice} from {HOST}, session \S+", lines[0])
    assert re.fullmatch(rf"account {alice} deleted by {alice} from {HOST}, session \S+", lines[1])
    assert "confidence" not in cluster["head"].log_text()
    wait_for_log(cluster["head"], "audit:")
