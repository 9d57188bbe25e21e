"""The wheel, installed elsewhere, is all that a node and a client need."""

import json
import os
import re
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import SOURCES
from ports import free_ports
from talking import DEADLINE, HOST, Person, until

from chainchat.network.addresses import host_port

ROOT = Path(__file__).parent.parent.parent
BUILD_WITHIN = 120


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a new environment that has the wheel, and of ours only the dependencies."""
    folder = tmp_path_factory.mktemp("install")
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    run([*build, str(ROOT)], folder)
    (wheel,) = wheels.iterdir()
    assert re.fullmatch(r"chainchat-[0-9.]+-py3-none-any\.whl", wheel.name)
    venv.create(folder / "venv", symlinks=True)
    scripts = folder / "venv" / "bin"
    run([*pip, "--python", str(scripts / "python"), "install", "--no-deps", str(wheel)], folder)
    purelib = sysconfig.get_path(
        "purelib", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    )
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    (Path(purelib) / "dependencies.pth").write_text("\n".join(dict.fromkeys(places)))
    return scripts


def run(command: list[str], folder: Path) -> str:
    """Run something to its end, without this checkout; what it prints."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=BUILD_WITHIN,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def twistd(scripts: Path) -> list[str]:
    """Twisted's own script is one of the dependencies, so it is run by the new Python."""
    return [str(scripts / "python"), "-c", "from twisted.scripts.twistd import run; run()"]


@pytest.fixture
def served(installed: Path, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The address of a chain of one node, run from the wheel as a container runs it."""
    containerfile = (ROOT / "contrib" / "container" / "Containerfile").read_text()
    [entry] = re.findall(r"^ENTRYPOINT (.*)", containerfile, re.MULTILINE)
    _, *arguments = json.loads(entry.replace("/etc/chainchat/chain.ini", "chain.ini"))
    client_port, chain_port = free_ports(2)
    (tmp_path / "chain.ini").write_text(
        "[chain]\nname = test\nfounding = head\n"
        f"[head]\nhost = {HOST}\nclient-port = {client_port}\nchain-port = {chain_port}\n"
    )
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(
            [*twistd(installed), *arguments, "--position", "head"],
            cwd=tmp_path,
            env=clean_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        out = tmp_path / "out"
        until(lambda: "serving in epoch 1" in out.read_text(), out.read_text)
        yield HOST, client_port
    finally:
        process.terminate()
        process.wait(DEADLINE)


def test_the_package_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    python = str(installed / "python")
    place = run([python, "-c", "import chainchat; print(chainchat.__file__)"], tmp_path).strip()
    assert Path(place).is_relative_to(installed.parent)
    assert not Path(place).is_relative_to(SOURCES)


def test_the_package_says_that_it_is_typed(installed: Path) -> None:
    [marker] = installed.parent.glob("lib/python*/site-packages/chainchat/py.typed")
    assert marker.is_file()


def test_twistd_lists_it(installed: Path, tmp_path: Path) -> None:
    listed = run([*twistd(installed), "--help"], tmp_path)
    assert re.search(r"^\s+chainchat\s+One node of a replicated chat room", listed, re.MULTILINE)
    assert "--position" in run([*twistd(installed), "chainchat", "--help"], tmp_path)


def test_a_node_of_it_serves(served: tuple[str, int]) -> None:
    with Person(served, "alice") as alice:
        assert alice.ask("hello").startswith("+OK ")
        alice.say("/chain")
        alice.hear(r"^\| epoch 1   \[head\]   committed \d+$")
        alice.hear(r"^\. you are on head, the only node, chainchat [0-9.]+$")


def test_its_client_sends(installed: Path, served: tuple[str, int], tmp_path: Path) -> None:
    client = str(installed / "chainchat-client")
    with Person(served, "alice") as alice:
        connect = host_port(*served)
        command = [client, "--name", "cron", "--connect", connect, "--send", "hello"]
        number = run(command, tmp_path).strip()
        assert alice.hear("cron: hello").string.startswith(f"#{number} ")
    # The chain.ini of the present folder names the nodes, too.
    assert run([client, "--name", "cron", "--send", "again"], tmp_path).strip().isdigit()


@pytest.mark.usefixtures("served")
def test_its_chainchatctl_asks(installed: Path, tmp_path: Path) -> None:
    shown = run([str(installed / "chainchatctl"), "status"], tmp_path)
    assert shown.splitlines()[1].startswith("epoch 1   [head]   committed ")


def test_the_wheel_leaves_twisted_alone(installed: Path) -> None:
    packages = next(installed.parent.glob("lib/python*/site-packages"))
    plugins = packages / "twisted" / "plugins"
    ours = {path.name for path in plugins.iterdir()} - {"__pycache__", "dropin.cache"}
    assert ours == {"chainchat_plugin.py"}
    assert not (packages / "twisted" / "__init__.py").exists()
