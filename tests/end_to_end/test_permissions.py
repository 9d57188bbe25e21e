"""Whose a node's files are, whoever starts it, whatever the umask, and under another user."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import SOURCES, Cluster, environment, twistd
from commands import CTL, run
from ports import free_ports
from talking import DEADLINE, HOST, Person, family_of, until

NewCluster = Callable[..., Cluster]

SITE = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))

FILES = {
    "chainchat.sqlite",
    "chainchat.sqlite-wal",
    "chainchat.sqlite-shm",
    "control",
    "lock",
}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def with_umask(umask: int, command: list[str]) -> list[str]:
    return ["sh", "-c", f'umask {umask:03o} && exec "$@"', "sh", *command]


def ended(pid: int) -> bool:
    """True if a process is gone, or dead: who adopted it may never look, as in a container."""
    state = run("ps", "-o", "stat=", "-p", str(pid)).stdout
    return not state or state.startswith("Z")


def serves(folder: Path, client_port: int) -> None:
    """Wait until somebody is answered."""

    def answered() -> bool:
        try:
            with Person((HOST, client_port), "alice", within=5.0) as person:
                return person.ask("/logout").startswith("+OK")
        except (OSError, AssertionError):
            return False

    log = folder / "only.log"
    until(answered, lambda: log.read_text() if log.exists() else "no log")


class Daemon:
    """A chain of one as a daemon, in a folder of its own; ended by its pid file."""

    def __init__(self, folder: Path, *, client_port: int = 0) -> None:
        self.folder = folder
        first, chain_port = free_ports(2)
        self.client_port = client_port or first
        self.data = folder / "var" / "only"
        (folder / "chain.ini").write_text(
            f"[chain]\nname = lab\nfounding = only\n[only]\nhost = {HOST}\n"
            f"client-port = {self.client_port}\nchain-port = {chain_port}\n"
        )

    def run(
        self, *options: str, umask: int = 0o022, python: list[str] | None = None, user: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run twistd until the daemon is on its own."""
        command = [*(python or twistd()), *options, "chainchat", "--position", "only"]
        return subprocess.run(
            with_umask(umask, command),
            cwd=self.folder,
            env=environment(PYTHONPATH=os.pathsep.join([str(SOURCES), SITE])),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            user=user or None,
            group=pwd.getpwnam(user).pw_gid if user else None,
        )

    def start(self, *options: str, umask: int = 0o022, python: list[str] | None = None) -> None:
        done = self.run(*options, umask=umask, python=python)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        serves(self.folder, self.client_port)

    @property
    def pid(self) -> int | None:
        path = self.folder / "only.pid"
        return int(path.read_text()) if path.exists() else None

    @property
    def log(self) -> str:
        return (self.folder / "only.log").read_text()

    def stop(self) -> None:
        """End it politely."""
        pid = self.pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        until(lambda: ended(pid), lambda: "it does not stop")

    def kill(self) -> None:
        pid = self.pid
        if pid is not None and not ended(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    yield made
    made.kill()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_daemons_files_are_its_owners_whatever_the_umask(daemon: Daemon, umask: int) -> None:
    daemon.start(umask=umask)
    assert mode(daemon.data) == 0o700
    assert {path.name: mode(path) for path in daemon.data.iterdir()} == dict.fromkeys(FILES, 0o600)
    assert mode(daemon.folder / "only.log") == 0o640 & ~umask
    assert mode(daemon.folder / "only.pid") == 0o600
    daemon.stop()


def test_in_the_foreground_too(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("only",))
    node = cluster["only"]
    node.launcher = with_umask(0, [])
    cluster.start()
    assert mode(node.data) == 0o700
    assert {path.name: mode(path) for path in node.data.iterdir()} == dict.fromkeys(FILES, 0o600)
    assert mode(cluster.folder / "only.pid") == 0o640


def test_what_others_could_reach_is_narrowed_and_told(daemon: Daemon) -> None:
    daemon.start()
    daemon.stop()
    daemon.data.chmod(0o755)
    (daemon.data / "chainchat.sqlite").chmod(0o644)
    (daemon.folder / "only.log").chmod(0o666)
    daemon.start()
    assert mode(daemon.data) == 0o700
    assert {path.name: mode(path) for path in daemon.data.iterdir()} == dict.fromkeys(FILES, 0o600)
    assert mode(daemon.folder / "only.log") == 0o640
    told = f"only: {daemon.data}: others could reach only, chainchat.sqlite: now only their owner"
    assert told in daemon.log
    daemon.stop()


# --- another user

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


@pytest.fixture(scope="module")
def python() -> list[str]:
    """Runs twistd with a Python that nobody else needs root's rights to read."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run(
                [candidate, "-c", "import msgspec, re2, twisted"],
                user="nobody",
                env={"PYTHONPATH": SITE},
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return [candidate, "-c", "from twisted.scripts.twistd import run; run()"]
    pytest.skip("no Python here can be read by everybody")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody can reach, and only root can write."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def low_port() -> int:
    """A free port that only root can take."""
    for port in (23, *range(1_023, 500, -1)):
        with socket.socket(family_of(HOST)) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    pytest.skip("no free port below 1024")


@root_only
def test_twistd_takes_a_low_port_as_root_and_does_the_rest_as_the_user(
    public: Path, python: list[str]
) -> None:
    daemon = Daemon(public, client_port=low_port())
    nobody = pwd.getpwnam("nobody").pw_uid
    try:
        for _ in range(2):  # the second one finds the data of the first
            daemon.start("--uid", "nobody", python=python)
            pid = daemon.pid
            assert pid is not None
            seen = run("ps", "-o", "ruid=,euid=", "-p", str(pid))
            assert seen.stdout.split() == [str(nobody), str(nobody)]
            assert mode(daemon.data) == 0o700
            assert {path.name for path in daemon.data.iterdir()} == FILES
            for path in (daemon.data, *daemon.data.iterdir(), public / "only.log"):
                assert path.lstat().st_uid == nobody, path
            asked = run(*CTL, "status", folder=public)
            assert (asked.returncode, asked.stderr) == (0, "")
            daemon.stop()
            assert "Traceback" not in daemon.log
    finally:
        daemon.kill()


@root_only
def test_data_of_somebody_else_are_refused(public: Path, python: list[str]) -> None:
    daemon = Daemon(public)
    daemon.data.mkdir(parents=True, mode=0o700)
    done = daemon.run("--uid", "nobody", python=python)
    assert done.returncode == 1
    assert done.stderr == (
        f"chainchat: {daemon.data} belongs to root, and this node is to run as nobody: "
        f"chown -R nobody {daemon.data}, or run as root\n"
    )
    assert list(daemon.data.iterdir()) == []


@root_only
def test_only_root_can_become_somebody_else(public: Path, python: list[str]) -> None:
    daemon = Daemon(public)
    done = daemon.run("--uid", "root", python=python, user="nobody")
    assert done.returncode == 1
    assert done.stderr.startswith("chainchat: --uid and --gid are for root: ")


@root_only
def test_a_low_port_without_root_is_told(public: Path, python: list[str]) -> None:
    unprivileged = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if unprivileged.exists() and int(unprivileged.read_text()) < 1_024:
        pytest.skip("everybody can take low ports here")
    daemon = Daemon(public, client_port=low_port())
    shutil.chown(public, "nobody")
    done = daemon.run(python=python, user="nobody")
    assert done.returncode == 1
    assert "start as root with twistd --uid USER, or choose another client-port" in done.stderr


@root_only
def test_the_log_of_another_user_does_not_lead_elsewhere(
    public: Path, python: list[str], tmp_path: Path
) -> None:
    """Root gives the log to the user, and nothing that the user has put in its place."""
    daemon = Daemon(public)
    precious = tmp_path / "precious"
    precious.write_text("root's\n")
    (public / "only.log").symlink_to(precious)
    done = daemon.run("--uid", "nobody", python=python)
    assert done.returncode == 1
    assert done.stderr.startswith(f"chainchat: {'only.log'}: ")
    assert precious.stat().st_uid == 0
