"""The scripts under bin/, run as a newcomer runs them.

The virtual environment is made by a fake Python, so that nothing is fetched; the demo is real.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from held_ports import HeldPorts
from patience import DEADLINE

ROOT = Path(__file__).parent.parent
SCRIPTS = ("bin/demo", "bin/test", "bin/venv", ".ci/run")

# Answers what bin/venv asks of a Python; python3.14 lacks venv. Its pip writes down what it is to
# install, then does what $FAKE_PIP says.
FAKE_PYTHON = """\
#!/bin/sh
case "$(basename "$0") $*" in
python3.14*ensurepip*) exit 1 ;;
*"-m venv --clear "*)
    rm -rf "$4" && mkdir -p "$4/bin" && touch "$4/pyvenv.cfg" && cp "$0" "$4/bin/python"
    echo "with $(basename "$0")" >&2
    ;;
*"-m pip "*)
    for what; do :; done
    echo "$what" >>"$FAKE_CALLS"
    eval "$FAKE_PIP"
    ;;
esac
"""
NO_PYTHON = "#!/bin/sh\nexit 127\n"
INSTALLING = "installing chainchat and what it needs into .venv (about a minute) ..."


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    with suppress(OSError):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False  # ended; whoever inherited it has not looked yet
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def children(pid: int) -> list[int]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def names(pids: list[int]) -> list[str]:
    """What these processes run."""
    listing = subprocess.run(
        ["ps", "-o", "comm=", "-p", ",".join(map(str, pids)) or "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    return listing.stdout.split()


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@contextmanager
def running(
    command: list[str | Path], log: Path, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes to a file; it does not outlive the test."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **options
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(DEADLINE)
                process.kill()


def test_what_the_tests_start_can_be_interrupted_though_they_cannot():
    """Who starts them with ``&`` in a script lets them ignore SIGINT."""
    shown = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    code = f"""
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from conftest import let_children_be_interrupted
let_children_be_interrupted()
signal.raise_signal(signal.SIGINT)
subprocess.run([sys.executable, "-c", {shown!r}], check=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True, check=True
    )
    assert ended.stdout == "True\n"


@pytest.fixture
def checkout(tmp_path_factory):
    """A folder with the scripts in it, and a space in its name; short, for the control sockets."""
    folder = tmp_path_factory.mktemp("a checkout")
    shutil.copytree(ROOT / "bin", folder / "bin")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


class Fake:
    """A checkout in which only fake Pythons are found."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder = folder
        self.tools = tools
        self.calls = tools / "calls"
        tools.mkdir()
        for name in ("python3", "python3.12", "python3.13", "python3.14"):
            script(tools / name, FAKE_PYTHON)
        script(tools / "python3.11", NO_PYTHON)

    def options(self, **environment: str) -> dict[str, object]:
        path = f"{self.tools}:/usr/bin:/bin"
        fakes = {"PATH": path, "FAKE_CALLS": str(self.calls), "FAKE_PIP": "true"}
        return {"cwd": self.tools, "env": {**fakes, **environment}}

    def venv(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.folder / "bin/venv", *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            **self.options(**environment),
        )

    def installed(self) -> list[str]:
        """What pip was told to install, of the checkout: nothing, or an extra."""
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [call.removeprefix(str(self.folder)) for call in calls]


@pytest.fixture
def fake(checkout, tmp_path):
    return Fake(checkout, tmp_path / "tools")


# What they say


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_explains_itself(name):
    done = subprocess.run(
        [ROOT / name, "--help"], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stdout.startswith(f"usage: {name} [")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["bin/demo", "--frehs"], "bin/demo: unknown argument --frehs"),
        (["bin/demo", "--config"], "bin/demo: --config needs a file"),
        (["bin/test", "--simulate"], "bin/test: --simulate needs a number"),
        (["bin/test", "--soak", "long"], "bin/test: --soak needs a number"),
        (["bin/venv", "--tset"], "usage: bin/venv [--test] [COMMAND [ARGUMENT ...]]"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_done(checkout, command, problem):
    done = subprocess.run(
        [checkout / command[0], *command[1:]],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == problem
    assert not (checkout / ".venv").exists()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    done = subprocess.run(
        ["shellcheck", *SCRIPTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.stdout == ""


# The virtual environment


def test_the_environment_is_made_by_the_first_python_that_has_venv(fake):
    done = fake.venv("sh", "-c", "echo $VIRTUAL_ENV; command -v python; exit 7")
    venv = fake.folder / ".venv"
    assert done.stdout.splitlines() == [str(venv), str(venv / "bin/python")]
    assert done.returncode == 7
    assert done.stderr.splitlines() == [INSTALLING, "with python3.13"]
    assert fake.installed() == [""]


def test_where_no_python_fits_what_to_install_is_told(fake):
    for path in fake.tools.glob("python3*"):
        script(path, NO_PYTHON)
    done = fake.venv()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        INSTALLING,
        "chainchat needs Python 3.11 or newer with its module venv;"
        " on Debian or Ubuntu: sudo apt install python3-venv",
    ]


def test_a_complete_environment_is_left_alone(fake):
    fake.venv()
    done = fake.venv("echo", "hello")
    assert (done.stdout, done.stderr) == ("hello\n", "")
    assert fake.installed() == [""]


def test_the_command_does_not_hold_the_lock(fake):
    command = ("sh", "-c", 'flock --nonblock "$1" echo free', "sh", fake.folder / "bin/venv")
    assert fake.venv(*command).stdout == "free\n"


def test_the_command_keeps_the_process_id_so_that_a_signal_reaches_it(fake, tmp_path):
    fake.venv()
    command = ["bash", fake.folder / "bin/venv", "sh", "-c", "echo $$"]
    with running(command, tmp_path / "log", **fake.options()) as process:
        assert process.wait(DEADLINE) == 0
    assert int((tmp_path / "log").read_text()) == process.pid


def test_what_the_tests_need_is_added_once_and_kept_when_pyproject_changes(fake):
    fake.venv()
    fake.venv("--test")
    fake.venv("--test")
    fake.venv()
    assert fake.installed() == ["", "[test]"]
    with (fake.folder / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    fake.venv()
    fake.venv()
    assert fake.installed() == ["", "[test]", "[test]"]


def test_after_a_move_of_the_folder_the_environment_is_made_again(fake):
    fake.venv()
    fake.folder = fake.folder.rename(fake.folder.with_name("moved"))
    assert "with python3.13" in fake.venv().stderr
    assert fake.installed()[-1] == ""


def test_a_folder_that_is_somebody_elses_is_not_touched(fake):
    (fake.folder / ".venv").mkdir()
    (fake.folder / ".venv/mine").touch()
    done = fake.venv()
    assert done.returncode == 1
    assert "is no virtual environment: move it away" in done.stderr
    assert (fake.folder / ".venv/mine").exists()


def test_when_pip_fails_what_it_says_is_shown_and_the_next_run_tries_again(fake):
    done = fake.venv(FAKE_PIP="echo no network; exit 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[2:] == [
        "no network",
        "bin/venv: pip failed, see above; try again",
    ]
    assert fake.venv().returncode == 0
    assert fake.installed() == ["", ""]


@pytest.mark.parametrize("complete", [False, True])
def test_a_run_that_was_killed_is_waited_for_and_repeated_from_the_start(fake, tmp_path, complete):
    if complete:
        fake.venv()
        fake.calls.unlink()
        (fake.folder / "pyproject.toml").write_text("changed")
    released = tmp_path / "released"
    os.mkfifo(released)
    slow = fake.options(FAKE_PIP=f'read line <"{released}"')
    command = ["bash", fake.folder / "bin/venv"]
    with running(command, tmp_path / "log", **slow) as process:
        until(fake.installed)
        process.kill()  # its pip goes on
    with running([*command, "echo", "done"], tmp_path / "second", **fake.options()) as second:
        until(lambda: "flock" in names(children(second.pid)))
        assert not (tmp_path / "second").read_text()
        released.write_text("now\n")
        assert second.wait(DEADLINE) == 0
    assert (tmp_path / "second").read_text().splitlines() == [INSTALLING, "with python3.13", "done"]


def test_of_two_at_once_one_installs(fake, tmp_path):
    released = tmp_path / "released"
    os.mkfifo(released)
    slow = fake.options(FAKE_PIP=f'read line <"{released}"')
    command = ["bash", fake.folder / "bin/venv", "echo", "done"]
    with running(command, tmp_path / "first", **slow) as first:
        until(fake.installed)
        with running(command, tmp_path / "second", **slow) as second:
            until(lambda: "flock" in names(children(second.pid)))
            released.write_text("now\n")
            assert (first.wait(DEADLINE), second.wait(DEADLINE)) == (0, 0)
    assert (tmp_path / "second").read_text() == "done\n"
    assert fake.installed() == [""]


# The demo

needs_server = pytest.mark.skipif(
    importlib.util.find_spec("chainchat.tap") is None, reason="there is no server yet"
)


CLIENT_HOST = "127.0.0.2"
"""Another address than the servers have between them."""


class Demo:
    """A checkout with the environment that runs the tests, and a chain on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "demo.log"
        self.config = folder / "lab" / "chain.ini"
        self.held = HeldPorts()
        self.ports = [self.held.new() for _ in range(6)]
        (folder / "lab").mkdir()
        self.config.write_text(
            "[chain]\nname = test\nfounding = head middle tail\n"
            + "".join(
                f"[{position}]\nclient-host = {CLIENT_HOST}\nclient-port = {client}\n"
                f"chain-port = {chain}\n"
                for position, client, chain in zip(
                    ("head", "middle", "tail"), self.ports[:3], self.ports[3:], strict=True
                )
            )
        )
        script_folder = folder / ".venv/bin"
        script_folder.mkdir(parents=True)
        script(script_folder / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        checksum = subprocess.run(
            ["cksum"],
            input=(folder / "pyproject.toml").read_bytes(),
            capture_output=True,
            check=True,
        )
        (folder / ".venv/stamp").write_bytes(checksum.stdout + f"{folder}\n".encode())

    def command(self, *arguments: str) -> list[str | Path]:
        return [self.folder / "bin/demo", "--no-client", "--config", self.config, *arguments]

    def options(self) -> dict[str, object]:
        return {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "cwd": self.folder}

    def refusal(self, *arguments: str) -> str:
        """What a demo that must not start says."""
        log = self.folder / "refused.log"
        with running(self.command(*arguments), log, **self.options()) as process:
            assert process.wait(DEADLINE) == 1
        return log.read_text()


@pytest.fixture
def demo(checkout):
    demo = Demo(checkout)
    yield demo
    demo.held.let_go()


@needs_server
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_demo_serves_until_a_signal_and_leaves_no_process(demo, number, status):
    with running(demo.command(), demo.log, **demo.options()) as process:
        until(lambda: "Ctrl-C stops it." in demo.log.read_text() or process.poll() is not None)
        assert f"nc {CLIENT_HOST} {demo.ports[0]} " in demo.log.read_text()
        started = children(process.pid)
        assert len(started) == 3
        assert "taken by a running chain" in demo.refusal()
        assert "taken by a running chain" in demo.refusal("--fresh")
        os.kill(min(started), signal.SIGKILL)  # the head, which is started first
        until(lambda: f"join it: nc {CLIENT_HOST} {demo.ports[1]}" in demo.refusal())
        process.send_signal(number)
        assert process.wait(DEADLINE) == status
    assert [pid for pid in started if alive(pid)] == []
    kept = sorted(path.name for path in (demo.folder / "lab/var").iterdir())
    assert kept == ["head", "head.log", "lock", "middle", "middle.log", "tail", "tail.log"]


@needs_server
def test_a_signal_while_the_chain_starts_leaves_no_process(demo):
    with running(demo.command(), demo.log, **demo.options()) as process:
        # What the scripts before it run are children, too; and the signal itself would end those.
        until(lambda: "starting head" in demo.log.read_text() and children(process.pid))
        started = children(process.pid)
        process.terminate()
        assert process.wait(DEADLINE) == 143
    assert [pid for pid in started if alive(pid)] == []


@needs_server
def test_a_node_that_cannot_start_ends_the_demo_with_the_end_of_its_log(demo):
    (demo.folder / "lab/var/middle").mkdir(parents=True)
    (demo.folder / "lab/var/middle/chainchat.sqlite").write_bytes(b"this is no database" * 100)
    said, log = demo.refusal().split("middle has stopped (exit status 1); the end of ")
    assert "starting head, middle, tail" in said
    assert "chainchat.sqlite" in log


@pytest.mark.parametrize(
    ("index", "position", "key"), [(1, "middle", "client-port"), (5, "tail", "chain-port")]
)
def test_a_taken_port_is_told_with_the_key_to_change(demo, index, position, key):
    host = CLIENT_HOST if key == "client-port" else "127.0.0.1"
    with socket.create_server((host, demo.ports[index])):
        said = demo.refusal("--fresh")
    assert said == (
        f"port {demo.ports[index]} on {host} is taken: stop what uses it,"
        f" or change {key} in [{position}] of {demo.config}\n"
    )


def test_a_mistake_in_the_file_is_told_as_it_is(demo):
    demo.config.write_text("")
    assert demo.refusal() == (
        f"{demo.config}: [chain] the section is missing; name and founding are required\n"
    )


def test_fresh_deletes_nothing_that_is_not_the_data_of_a_node(demo):
    data = demo.folder / "lab/var/head"
    data.mkdir(parents=True)
    (data / "thesis.tex").touch()
    assert demo.refusal("--fresh") == f"{data} is not the data of a node: it is not deleted\n"
    assert (data / "thesis.tex").exists()
