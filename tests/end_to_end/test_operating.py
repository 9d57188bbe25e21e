"""What an operator does with a chain: the commands of docs/operations.md, with real nodes."""

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import SOURCES, Cluster, Node, environment, twistd, wait_for_log
from commands import CTL, ctl, run, run_twistd, told
from ports import free_ports
from talking import DEADLINE, Person, Program, until

from chainchat import __version__
from chainchat.storage.schema import SCHEMA_VERSION
from chainchat.storage.sqlite import SQLiteStorage

NewCluster = Callable[..., Cluster]

WELL, DEGRADED, DOWN = 0, 1, 2


def say(node: Node, name: str, *lines: str) -> None:
    with Person(node.address, name) as person:
        for line in lines:
            assert person.ask(line).startswith("+OK"), line


# --- status


def test_status_of_all_is_an_exit_status(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    well = ctl(cluster, "status", "--all", "--wait", "full", "--timeout", "20")
    assert (well.returncode, well.stderr) == (WELL, "")
    header, *rows, verdict = well.stdout.splitlines()
    assert header.split() == [
        *("NODE", "ROLE", "STATE", "EPOCH", "COMMITTED", "IN", "FLIGHT"),
        *("CLIENTS", "FREE", "VERSION"),
    ]
    assert [row.split()[:3] for row in rows] == [[p, p, "serving"] for p in cluster.nodes]
    assert all(row.endswith(__version__) for row in rows)
    assert verdict == "the chain is well"

    cluster["tail"].kill()
    cluster.wait_until_it_serves("head", "middle")
    degraded = ctl(cluster, "status", "--all")
    assert degraded.returncode == DEGRADED
    assert "the chain has 2 of 3 members: head, middle" in degraded.stdout
    assert "tail: tail is not running" in degraded.stdout
    late = ctl(cluster, "-p", "head", "status", "--wait", "full", "--timeout", "0.3")
    assert late.returncode == DOWN
    assert "not full within 0.3 s: head: the chain has 2 of 3 members" in late.stderr

    cluster.kill()
    assert ctl(cluster, "status", "--all").returncode == DOWN


def test_a_spare_that_waits_is_well(new_cluster: NewCluster) -> None:
    cluster = new_cluster(spares=("spare",)).start()
    cluster["spare"].start()
    elsewhere = cluster.folder / "elsewhere.ini"
    text = cluster["head"].config.read_text()
    elsewhere.write_text(text.replace("data = var/spare", "data = nowhere"))
    for config in ("chain.ini", elsewhere):
        for goal in ("full", "serving"):
            wait = ("status", "--all", "--wait", goal, "--timeout", "20")
            well = ctl(cluster, "-c", config, *wait)
            assert (well.returncode, well.stderr) == (WELL, "")
            *_, spare, verdict = well.stdout.splitlines()
            assert spare.startswith("spare    learner   in reserve")
            assert verdict == "the chain is well"
    alone = ctl(cluster, "-p", "spare", "status", "--wait", "member", "--timeout", "20")
    assert alone.returncode == WELL, alone
    assert ctl(cluster, "-p", "spare", "status", "--wait", "serving", "--timeout", "0").stderr
    cluster["tail"].kill()
    joined = ctl(cluster, "-p", "spare", "status", "--wait", "serving", "--timeout", "20")
    assert (joined.returncode, "serving since" in joined.stdout) == (WELL, True)
    cluster.kill("spare")
    without = ctl(cluster, "status", "--all")
    assert without.returncode == DEGRADED
    assert "spare: spare is not running" in without.stdout


def test_a_node_of_another_machine_is_asked_at_its_client_port(cluster: Cluster) -> None:
    text = cluster["head"].config.read_text()
    elsewhere = text.replace("data = var/middle", "data = nowhere")
    assert elsewhere != text
    (cluster.folder / "elsewhere.ini").write_text(elsewhere)
    found = told(cluster, "-c", "elsewhere.ini", "status", "--all")
    assert [each["position"] for each in found] == ["head", "middle", "tail"]
    assert (found[1]["role"], found[1]["version"]) == ("middle", __version__)
    assert "disk" not in found[1]


# --- stopping


def test_may_stop_says_no_with_a_reason(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("head", "tail")).start()
    assert ctl(cluster, "-p", "head", "may-stop").returncode == 0
    cluster["tail"].kill()
    cluster.wait_until_it_serves("head")
    no = ctl(cluster, "-p", "head", "may-stop")
    assert (no.returncode, no.stderr) == (1, "")
    assert no.stdout.startswith("head may not stop: head is the only member")


def test_a_drained_node_sends_its_clients_on_and_lets_nobody_in(cluster: Cluster) -> None:
    node = cluster["tail"]
    with Person(node.address, "drained-one") as person:
        done = ctl(cluster, "-p", "tail", "drain", "0")
        assert (done.returncode, done.stdout) == (0, "tail takes no clients; 0 are left\n")
        assert "go on at" in person.hear("this node is drained").string
        person.end()
    with Person(node.address) as refused:
        refused.hear("-ERR 421 this node is drained")
    status = ctl(cluster, "status", "--all")
    assert status.returncode == DEGRADED
    assert "drained" in status.stdout
    assert ctl(cluster, "-p", "tail", "undrain").stdout == "tail takes clients\n"
    say(node, "drained-one", "back")


def test_stop_waits_for_the_end(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    done = ctl(cluster, "stop")
    assert (done.returncode, done.stdout) == (0, "only stops\n")
    SQLiteStorage(cluster["only"].data).close()  # nobody holds the data any more
    assert cluster["only"].wait() == 0


@pytest.mark.parametrize("spares", [(), ("spare",)], ids=["", "spare"])
def test_a_rolling_restart_loses_nobody(new_cluster: NewCluster, spares: tuple[str, ...]) -> None:
    cluster = new_cluster(spares=spares).start()
    for spare in spares:
        cluster[spare].start()
    assert ctl(cluster, "status", "--all", "--wait", "full").returncode == WELL
    before = {position: node.pid for position, node in cluster.nodes.items()}
    restart = cluster.folder / "restart"
    restart.write_text(
        f"#!{sys.executable}\n"
        "import os, subprocess, sys, time\n"
        "position = sys.argv[1]\n"
        f"subprocess.run([*{CTL!r}, '-p', position, 'stop'], check=True)\n"
        f"log = open(position + '.log', 'ab')\n"
        f"command = [*{twistd()!r}, '-n', '--pidfile=' + position + '.new', 'chainchat']\n"
        "subprocess.Popen([*command, '-p', position], stdout=log, stderr=log,"
        " start_new_session=True)\n"
    )
    restart.chmod(0o755)
    try:
        done = run(
            SOURCES / "bin" / "rolling-restart",
            *("--ctl", " ".join(CTL), "--drain", "0", "--timeout", "60"),
            *("--restart", f"{restart} {{position}}"),
            folder=cluster.folder,
        )
        assert done.returncode == 0, done
        assert ctl(cluster, "status", "--all", "--wait", "full").returncode == WELL
        assert all(not node.running for node in cluster.nodes.values()), before
        starts = [
            node.log_text().count(f"chainchat {__version__}, chain test")
            for node in cluster.nodes.values()
        ]
        assert starts == [2] * len(cluster.nodes)
        for position in (*spares, "tail", "middle"):
            ctl(cluster, "-p", position, "stop")
        until(
            lambda: (cluster["head"].chain() or {}).get("members") == "head",
            lambda: f"{cluster['head'].chain()}",
        )
        refused = run(
            SOURCES / "bin" / "rolling-restart",
            *("--ctl", " ".join(CTL), "--restart", f"{restart} {{position}}", "head"),
            folder=cluster.folder,
        )
        assert refused.returncode == 1
        assert "head may not stop: head is the only member" in refused.stdout
        assert "head is left as it is" in refused.stderr
    finally:
        for position in cluster.nodes:
            ctl(cluster, "-p", position, "stop")


@pytest.mark.plain("the certificates name the address")
@pytest.mark.parametrize("all_were_down", [False, True], ids=["the others serve", "all were down"])
def test_a_server_moves(new_cluster: NewCluster, all_were_down: bool) -> None:
    old, new = "127.0.0.1", "127.0.0.2"
    cluster = new_cluster(host=old).start()
    head, middle, tail = cluster.nodes.values()
    say(tail, "alice", "before the move")
    cluster.kill() if all_were_down else tail.stop()
    before, section, after = head.config.read_text().partition("[tail]\n")
    assert after.startswith(f"host = {old}\n")
    head.config.write_text(before + section + after.replace(old, new, 1))
    tail.host = new
    if all_were_down:
        cluster.start()
    else:
        for node in (head, middle):
            node.stop()
            node.start()
            args = ("status", "--wait", "member", "--timeout", "30")
            assert ctl(cluster, "-p", node.position, *args).returncode != DOWN
        tail.start()
    full = ctl(cluster, "status", "--all", "--wait", "full", "--timeout", "30")
    assert (full.returncode, "the chain is well" in full.stdout) == (WELL, True), full
    with Person((new, tail.client_port), "alice") as person:
        assert any("alice: before the move" in line for line in person.listed("/last"))
    with Program(head.address) as program:
        assert f"{new}:{tail.client_port}" in program.greeting["nodes"].split(",")


# --- backups, and what is in data


def test_a_backup_of_a_running_node_restores_the_room(new_cluster: NewCluster) -> None:
    cluster = new_cluster().start()
    say(cluster["head"], "alice", "before the backup", ">> alice: to myself")
    backup = cluster.folder / "room.backup"
    assert ctl(cluster, "-p", "middle", "backup", backup).returncode == 0
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert not list(cluster.folder.glob(".room*"))
    again = ctl(cluster, "-p", "middle", "backup", backup)
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    [inside] = told(cluster, "inspect", backup)
    assert (inside["position"], inside["epoch"]) == ("middle", 1)
    assert inside["committed"] >= 3
    assert [m["position"] for m in inside["members"]] == ["head", "middle", "tail"]
    kept = ctl(cluster, "export", backup).stdout

    say(cluster["head"], "alice", "after the backup")
    cluster.kill()
    for node in cluster.nodes.values():
        shutil.rmtree(node.data)
    restored = cluster["middle"]
    restored.data.mkdir(mode=0o700)
    shutil.copy(backup, restored.data / "chainchat.sqlite")
    restored.start("--force-alone", "--fenced", "head,tail", typed="head,tail are off\n")
    wait_for_log(restored, "serving in epoch")
    cluster["head"].start()
    cluster["tail"].start()
    full = ctl(cluster, "-p", "middle", "status", "--wait", "full", "--timeout", "30")
    assert full.returncode == WELL, full
    for position in cluster.nodes:
        assert ctl(cluster, "-p", position, "export").stdout == kept
    assert "before the backup" in kept
    assert "after the backup" not in kept
    say(cluster["tail"], "alice", "and on")


def test_export_is_the_same_from_a_node_from_its_data_and_from_a_backup(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(("only",)).start()
    node = cluster["only"]
    say(node, "bob", "I am bob")
    say(node, "alice", "héllo", ">> bob: for you alone", "once more")
    for words in (["export"], ["export", "--account", "bob"], ["export", "--after", "4"]):
        live = ctl(cluster, *words).stdout
        ctl(cluster, "backup", "b")
        assert live == ctl(cluster, *words, node.data).stdout == ctl(cluster, *words, "b").stdout
        (cluster.folder / "b").unlink()
    everybody = [json.loads(line) for line in ctl(cluster, "export").stdout.splitlines()]
    assert [each["text"] for each in everybody] == ["I am bob", "héllo", "once more"]
    assert list(everybody[0]) == ["id", "time", "from", "to", "text"]
    assert "for you alone" in ctl(cluster, "export", "--account", "bob").stdout
    nobody = ctl(cluster, "export", "--account", "carol")
    assert (nobody.returncode, "there is no account carol" in nobody.stderr) == (1, True)


def test_inspect_changes_nothing_of_a_node_that_was_killed(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    node = cluster["only"]
    say(node, "alice", "one", "two")
    node.kill()
    before = fingerprint(node.data)
    [found] = told(cluster, "inspect", node.data)
    assert fingerprint(node.data) == before
    assert found["newest"][-1]["command"] in ("say", "end")
    assert (found["schema"], found["begin"], found["end"] >= 3) == (SCHEMA_VERSION, 1, True)
    assert ctl(cluster, "export", node.data).stdout.count("\n") == 2
    assert fingerprint(node.data) == before
    lines = ctl(cluster, "inspect", node.data).stdout.splitlines()
    assert lines[0] == f"{node.data}: only, schema {SCHEMA_VERSION}"
    for path, why in (("nowhere", "no such file"), ("chain.ini", "not a database")):
        wrong = ctl(cluster, "inspect", path)
        assert (wrong.returncode, why in wrong.stderr) == (2, True), wrong


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
        if path.is_file()
    }


# --- the log, signals, service managers


def test_a_log_of_json_has_a_word_for_each_kind_of_line(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",), sections="[log]\nformat = json\n").start()
    node = cluster["only"]
    lines = [json.loads(line) for line in node.log_text().splitlines()]
    words = [line["event"] for line in lines if line["event"] != "twisted"]
    assert words[:2] == ["start", "life"]
    assert {"epoch", "readiness"} <= {*words}
    [start] = [line for line in lines if line["event"] == "start"]
    assert start["position"] == "only"
    assert start["text"] == f"chainchat {__version__}, chain test"
    assert (start["level"], start["time"][:2]) == ("info", "20")


def test_the_log_level_is_chosen_while_it_runs(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    assert ctl(cluster, "log-level").stdout == "info\n"
    assert ctl(cluster, "log-level", "warn").stdout == "warn\n"
    say(cluster["only"], "alice", "unseen")
    assert "login of alice" not in cluster["only"].log_text()
    assert ctl(cluster, "log-level", "loud").returncode == 2
    ctl(cluster, "log-level", "info")
    say(cluster["only"], "bob", "seen")
    wait_for_log(cluster["only"], "login of bob")


def test_no_signal_but_those_that_stop_ends_a_node(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",)).start()
    node = cluster["only"]
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        node.signal(number)
    wait_for_log(node, "reloaded: nothing has changed")
    say(node, "alice", "still here")
    assert node.stop() == -signal.SIGTERM


def test_a_moved_log_is_opened_anew_and_else_it_rotates(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",))
    node = cluster["only"]
    log = cluster.folder / "named.log"
    node.launcher = []
    with subprocess.Popen(
        [*twistd(), "-n", "--pidfile=", f"--logfile={log}", "chainchat", "-p", "only"],
        cwd=cluster.folder,
        env=environment(),
    ) as process:
        until(lambda: log.exists() and "serving" in log.read_text(), lambda: "it does not serve")
        log.rename(cluster.folder / "moved.log")
        process.send_signal(signal.SIGUSR1)
        until(log.exists, lambda: "no new log")
        process.send_signal(signal.SIGUSR1)
        until((cluster.folder / "named.log.1").exists, lambda: "it does not rotate")
        process.terminate()
        assert process.wait(DEADLINE) == -signal.SIGTERM


def test_a_service_manager_is_told_when_it_listens_and_how_it_is(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("head", "tail"))
    path = cluster.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(DEADLINE)
        cluster["head"].environment = {"NOTIFY_SOCKET": str(path)}
        cluster["head"].start()  # alone: it listens, and serves nobody
        assert manager.recv(200) == b"READY=1"
        assert manager.recv(200) == b"STATUS=the chain is not founded yet: waiting for tail"
        cluster["tail"].start()
        said = b""
        while b"serving in epoch 1" not in said:
            said = manager.recv(200)
        cluster["head"].stop()
        while said != b"STOPPING=1":
            said = manager.recv(200)


def test_two_chains_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    ports = free_ports(4)
    for name, client, chain in (("one", *ports[:2]), ("two", *ports[2:])):
        (tmp_path / f"{name}.ini").write_text(
            f"[chain]\nname = {name}\nfounding = only\n[only]\ndata = {name}\n"
            f"client-port = {client}\nchain-port = {chain}\n"
        )
    try:
        assert run_twistd(tmp_path, "chainchat", "-p", "only", "-c", "one.ini").returncode == 0
        second = run_twistd(tmp_path, "chainchat", "-p", "only", "-c", "two.ini")
        assert second.returncode == 1
        [line] = (second.stdout + second.stderr).splitlines()
        assert line.startswith(f"chainchat: {tmp_path}/only.pid is of process ")
    finally:
        run(*CTL, "-c", "one.ini", "stop", folder=tmp_path)


@pytest.mark.parametrize("foreground", [["-n"], []], ids=["foreground", "daemon"])
def test_a_folder_that_cannot_be_written_is_told_in_a_line(
    tmp_path: Path, foreground: list[str]
) -> None:
    config = tmp_path / "chain.ini"
    config.write_text("[chain]\nname = lab\nfounding = only\n[only]\n")
    folder = Path("/proc") if os.getuid() == 0 else Path("/")
    done = run_twistd(folder, *foreground, "chainchat", "-p", "only", "-c", config)
    assert done.returncode == 1
    [line] = (done.stdout + done.stderr).splitlines()
    assert line.startswith("chainchat: only.")


def test_the_version_is_told_wherever_one_looks(cluster: Cluster) -> None:
    with Person(cluster["head"].address) as person:
        person.hear(rf"chainchat {__version__}: node head of chain test")
        person.say("/chain")
        person.hear(rf"you are on head, the head, chainchat {__version__}")
    with Program(cluster["head"].address) as program:
        assert program.words("CHAIN")["version"] == __version__
    assert f"head: chainchat {__version__}, chain test" in cluster["head"].log_text()
    assert ctl(cluster, "--version").stdout == f"chainchatctl {__version__}\n"
