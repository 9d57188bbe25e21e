"""How a node starts and stops, and what it says when it cannot."""

import itertools
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, environment, twistd, wait_for_log
from commands import run, run_twistd
from talking import DEADLINE, HOST, Caller, Person, Program, family_of, until

NewCluster = Callable[..., Cluster]
POSITIONS = ("head", "middle", "tail")


def greeted(address: tuple[str, int]) -> list[str]:
    """What a node says to whom it does not serve."""
    with Caller(address) as caller:
        return caller.end()


# --- in any order


@pytest.mark.parametrize("order", list(itertools.permutations(POSITIONS)), ids="-".join)
def test_the_order_of_the_start_does_not_matter(
    new_cluster: NewCluster, order: tuple[str, str, str]
) -> None:
    cluster = new_cluster()
    started: list[str] = []
    for position in order[:2]:
        started.append(position)
        cluster[position].start()
        missing = ", ".join(p for p in POSITIONS if p not in started)
        for waiting in started:
            wait_for_log(cluster[waiting], f"the chain is not founded yet: waiting for {missing}\n")
    for waiting in started:
        line = greeted(cluster[waiting].address)[-1]
        assert line.startswith(f"-ERR 421 the chain is not founded yet: waiting for {order[2]}; ")
        for other in cluster.others(waiting):
            assert other.named in line
    cluster[order[2]].start()
    words = cluster.wait_until_it_serves(*POSITIONS)
    assert (words["epoch"], words["members"]) == ("1", "head,middle,tail")
    for position in POSITIONS:
        assert "serving in epoch 1 (head -> middle -> tail)" in cluster[position].log_text()


def test_chains_of_one_and_two(new_cluster: NewCluster) -> None:
    for positions in (("only",), ("first", "second")):
        cluster = new_cluster(positions).start()
        with Program(cluster[positions[-1]].address, name="alice") as program:
            assert program.ask("SEND 1 * :x").startswith("+OK id=")
            assert program.words("CHAIN")["members"] == ",".join(positions)


# --- daemons


@pytest.fixture
def daemons(new_cluster: NewCluster) -> Iterator[Cluster]:
    """A cluster whose nodes are to be started as daemons; ended by what the pid files name."""
    cluster = new_cluster()
    yield cluster
    for position in POSITIONS:
        pid = daemon_pid(cluster, position)
        if pid is not None and is_node(pid, cluster):
            os.kill(pid, signal.SIGKILL)


def daemon_pid(cluster: Cluster, position: str) -> int | None:
    path = cluster.folder / f"{position}.pid"
    text = path.read_text() if path.exists() else ""
    return int(text) if text.strip().isdigit() else None


def is_node(pid: int, cluster: Cluster) -> bool:
    """True if this process is one of this cluster's nodes."""
    return str(cluster.folder) in run("ps", "-ww", "-o", "args=", "-p", str(pid)).stdout


def start_daemon(cluster: Cluster, position: str) -> None:
    config = str(cluster.folder / "chain.ini")
    ended = run_twistd(cluster.folder, "chainchat", "--position", position, "--config", config)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def wait_for_daemons(cluster: Cluster) -> None:
    def serving() -> bool:
        found = [node.chain() for node in cluster.nodes.values()]
        return all(words is not None and "away" not in words for words in found)

    until(serving, lambda: f"{[node.chain() for node in cluster.nodes.values()]}")


def test_daemons_in_one_directory_have_files_of_their_own(daemons: Cluster) -> None:
    for position in POSITIONS:
        start_daemon(daemons, position)
    wait_for_daemons(daemons)
    names = {path.name for path in daemons.folder.iterdir()} - {"tls"}
    assert names == {
        "chain.ini",
        "var",
        *(f"{p}.{end}" for p in POSITIONS for end in ("pid", "log")),
    }
    for position in POSITIONS:
        wait_for_log(daemons[position], f"{position}: serving in epoch 1")
        pid = daemon_pid(daemons, position)
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        until(
            lambda pid=pid: not is_node(pid, daemons),
            lambda position=position: f"{position} does not stop",
        )
        assert not (daemons.folder / f"{position}.pid").exists()


def test_a_stale_pid_file_keeps_no_node_from_starting(daemons: Cluster) -> None:
    with subprocess.Popen(["sleep", "600"]) as foreign:
        try:
            dead = subprocess.Popen(["true"])
            dead.wait()
            contents = {"head": str(foreign.pid), "middle": str(dead.pid), "tail": "nonsense"}
            for position, content in contents.items():
                (daemons.folder / f"{position}.pid").write_text(content)
                start_daemon(daemons, position)
            wait_for_daemons(daemons)
            for position in POSITIONS:
                pid = daemon_pid(daemons, position)
                assert pid is not None
                assert is_node(pid, daemons)
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_after_a_kill_a_daemon_starts_again(daemons: Cluster) -> None:
    for position in POSITIONS:
        start_daemon(daemons, position)
    wait_for_daemons(daemons)
    pid = daemon_pid(daemons, "middle")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_node(pid, daemons), lambda: "it does not die")
    start_daemon(daemons, "middle")
    wait_for_daemons(daemons)
    assert daemon_pid(daemons, "middle") != pid


def test_a_daemon_serves_whose_standard_files_were_closed(daemons: Cluster) -> None:
    for position in POSITIONS:
        config = str(daemons.folder / "chain.ini")
        command = [*twistd(), "chainchat", "--position", position, "--config", config]
        script = 'exec "$@" <&- >&- 2>&-'
        subprocess.run(
            ["sh", "-c", script, "sh", *command],
            cwd=daemons.folder,
            env=environment(),
            timeout=DEADLINE,
            check=True,
        )
    wait_for_daemons(daemons)


# --- refused


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that a node which cannot start says."""
    assert ended.returncode not in (0, None)
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("chainchat: ")
    return lines[0].removeprefix("chainchat: ")


@pytest.mark.parametrize("foreground", [["-n"], []], ids=["foreground", "daemon"])
def test_a_second_process_on_the_same_data_is_refused(
    new_cluster: NewCluster, foreground: list[str]
) -> None:
    cluster = new_cluster(("only",)).start()
    node = cluster["only"]
    ended = run_twistd(cluster.folder, *foreground, "chainchat", "--position", "only")
    assert refusal(ended) == f"{node.data} is in use by process {node.pid}"
    with Person(node.address, "alice") as person:
        assert person.ask("still here").startswith("+OK ")
    assert (cluster.folder / "only.pid").read_text().strip() == str(node.pid)


@pytest.mark.parametrize("key", ["client-port", "chain-port"])
@pytest.mark.parametrize("foreground", [["-n"], []], ids=["foreground", "daemon"])
def test_a_taken_port_is_named_with_its_section_and_key(
    new_cluster: NewCluster, key: str, foreground: list[str]
) -> None:
    cluster = new_cluster()
    node = cluster["middle"]
    port = node.client_port if key == "client-port" else node.chain_port
    with socket.create_server((HOST, port), family=family_of(HOST)):
        ended = run_twistd(cluster.folder, *foreground, "chainchat", "--position", "middle")
    line = refusal(ended)
    assert line.startswith(f"{cluster.folder}/chain.ini: [middle] {key} = {port}: cannot listen")
    assert f"choose another {key}" in line


def test_an_unknown_position_is_told_which_there_are(new_cluster: NewCluster) -> None:
    folder = new_cluster().folder
    known = f"{folder}/chain.ini has: head, middle, tail"
    ended = run_twistd(folder, "-n", "chainchat", "--position", "first")
    assert refusal(ended) == f"--position first is not known; {known}"
    assert refusal(run_twistd(folder, "chainchat")) == f"--position is missing; {known}"
    assert not (folder / "var").exists()


def test_a_missing_chain_ini_is_named(tmp_path: Path) -> None:
    ended = run_twistd(tmp_path, "-n", "chainchat", "--position", "head")
    assert refusal(ended) == f"{tmp_path}/chain.ini: there is no such file"
    ended = run_twistd(tmp_path, "chainchat", "--position", "head", "--config", "other.ini")
    assert refusal(ended) == f"{tmp_path}/other.ini: there is no such file"
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_chain_ini_is_named(new_cluster: NewCluster) -> None:
    folder = new_cluster().folder
    config = folder / "chain.ini"
    config.write_text(config.read_text().replace("suspect-after = 1.0", "suspect-after = soon"))
    line = refusal(run_twistd(folder, "-n", "chainchat", "--position", "head"))
    assert line.startswith(f"{config}: [chain] suspect-after = soon; allowed: a number of seconds")


def test_data_that_cannot_be_written_is_named(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",))
    (cluster.folder / "var").write_text("a file where the folder should be")
    line = refusal(run_twistd(cluster.folder, "-n", "chainchat", "--position", "only"))
    assert line.startswith(f"{cluster['only'].data}: ")


@pytest.mark.parametrize("foreground", [["-n"], []], ids=["foreground", "daemon"])
def test_data_that_is_no_database_is_named(new_cluster: NewCluster, foreground: list[str]) -> None:
    cluster = new_cluster(("only",))
    node = cluster["only"]
    node.data.mkdir(parents=True)
    database = node.data / "chainchat.sqlite"
    database.write_bytes(b"this is no database" * 1000)
    ended = run_twistd(cluster.folder, *foreground, "chainchat", "--position", "only")
    assert refusal(ended) == f"{database}: file is not a database"
    assert database.read_bytes() == b"this is no database" * 1000


@pytest.mark.plain("the certificate names the host that was there before")
def test_a_host_of_another_machine_is_named(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",))
    config = cluster.folder / "chain.ini"
    config.write_text(config.read_text().replace(f"host = {HOST}", "host = 192.0.2.1"))
    line = refusal(run_twistd(cluster.folder, "-n", "chainchat", "--position", "only"))
    assert "cannot listen on 192.0.2.1: Cannot assign requested address" in line
    assert line.endswith("; choose a host of this machine")


def test_fenced_alone_is_refused(new_cluster: NewCluster) -> None:
    folder = new_cluster(("only",)).folder
    ended = run_twistd(folder, "-n", "chainchat", "--position", "only", "--fenced", "head")
    assert refusal(ended) == "--fenced goes with --force-alone; nothing was changed"


def test_help_explains_the_options(tmp_path: Path) -> None:
    ended = run_twistd(tmp_path, "chainchat", "--help")
    assert ended.returncode == 0
    text = " ".join(ended.stdout.split())
    for words in ("--position", "--config", "chain.ini", "Start one process for each"):
        assert words in text
    assert text.count("Usage: ") == 1
    listed = run_twistd(tmp_path, "--help").stdout
    assert re.search(r"^\s+chainchat\s+One node of a replicated chat room", listed, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


# --- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_stop_tells_people_where_to_go(
    new_cluster: NewCluster, number: signal.Signals
) -> None:
    cluster = new_cluster().start()
    node = cluster["middle"]
    head, tail = (other.named for other in cluster.others("middle"))
    with (
        Person(node.address, "alice") as alice,
        Program(node.address, name="bob") as bob,
        Person(node.address) as nobody,
    ):
        nobody.hear(r"^\* Type your name")  # else it may not be accepted yet
        alice.say(*(f"line {n}" for n in range(100)))
        alice.hear(r"^\+OK ")
        node.signal(number)
        note = bob.note("closing")
        assert note.words == {"nodes": f"{head},{tail}"}
        lines = alice.end()
        assert lines[-1] == f"* this node stops; go on at {head} or {tail}"
        assert nobody.end()[-1] == lines[-1]
        status = node.wait()
        told = 1 + sum(line.startswith("+OK ") for line in lines)
    assert status in (0, -number, 128 + number)  # twistd raises the signal once more
    cluster.start("middle")
    with Person(cluster["tail"].address, "alice") as alice:
        said = [line for line in alice.listed("/last 500") if "alice: line" in line]
        assert len(said) >= told
        assert [line.partition(": ")[2] for line in said] == [f"line {n}" for n in range(len(said))]


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "0.0.0.0 is every address of the machine that looks at it"),
        ("224.0.0.1", "224.0.0.1 is a multicast address, which is no machine's"),
        ("255.255.255.255", "255.255.255.255 is a broadcast address, which is no machine's"),
    ],
)
def test_an_address_that_names_no_machine_keeps_a_node_from_starting(
    new_cluster: NewCluster, host: str, why: str
) -> None:
    cluster = new_cluster()
    config = cluster["head"].config
    config.write_text(config.read_text().replace(f"host = {HOST}", f"host = {host}", 1))
    done = run_twistd(
        cluster.folder, "-n", "chainchat", "--position", "head", "--config", str(config)
    )
    assert done.returncode == 1
    line = f"chainchat: {config}: [head] host = {host}: {why}; name the address that the others "
    assert done.stderr == f"{line}reach this node by\n"
