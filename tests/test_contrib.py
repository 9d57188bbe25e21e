"""What packages install beside the programs: the unit is hardened, and names what exists."""

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SYSTEMD = ROOT / "contrib" / "systemd"
UNIT = SYSTEMD / "chainchat@.service"
CONTAINERFILE = ROOT / "contrib" / "container" / "Containerfile"
MOST_EXPOSED = 20
"""Tenths, as ``systemd-analyze security`` counts."""


@pytest.fixture
def tool(skip_or_fail):
    def where(name):
        found = shutil.which(name)
        if found is None:
            skip_or_fail(f"{name} is not installed")
        return found

    return where


def test_the_unit_is_hardened(tool):
    done = subprocess.run(
        [
            *(tool("systemd-analyze"), "security", "--offline=yes", "--no-pager"),
            *(f"--threshold={MOST_EXPOSED}", str(UNIT)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_understands_the_unit(tool):
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert [line for line in lines if "is not executable" not in line] == []


def test_the_unit_runs_programs_that_are_installed():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    commands = dict(re.findall(r"^(Exec\w+)=/opt/chainchat/bin/(\S+)", UNIT.read_text(), re.M))
    assert commands == {"ExecStart": "twistd", "ExecReload": "chainchatctl"}
    assert "chainchatctl" in scripts


def test_logrotate_understands_its_file(tool, tmp_path):
    text = (ROOT / "contrib" / "logrotate" / "chainchat").read_text()
    own = tmp_path / "chainchat"
    own.write_text(re.sub(r"^ *su .*\n", "", text, flags=re.M))
    own.chmod(0o644)
    done = subprocess.run(
        [tool("logrotate"), "--debug", "--state", str(tmp_path / "state"), str(own)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "error:" in done.stderr) == (0, False), done.stderr


@pytest.fixture
def machine(tmp_path):
    """The root of a machine with what docs/operations.md copies for systemd."""
    for kind in ("sysusers", "tmpfiles"):
        folder = tmp_path / f"usr/lib/{kind}.d"
        folder.mkdir(parents=True)
        shutil.copy(SYSTEMD / f"{kind}.conf", folder / "chainchat.conf")
    (tmp_path / "etc").mkdir()
    return tmp_path


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes users and gives folders away")
def test_the_user_and_the_folders_are_made(tool, machine):
    for command in ("systemd-sysusers", "systemd-tmpfiles --create"):
        program, *options = command.split()
        done = subprocess.run(
            [tool(program), f"--root={machine}", *options, "chainchat.conf"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    [user] = (machine / "etc/passwd").read_text().splitlines()
    name, _, uid, _, _, home, shell = user.split(":")
    assert (name, home, shell) == ("chainchat", "/var/lib/chainchat", "/usr/sbin/nologin")
    modes = {"var/lib/chainchat": 0o700, "var/log/chainchat": 0o750, "run/chainchat": 0o755}
    for folder, mode in modes.items():
        found = (machine / folder).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (int(uid), mode), folder


def test_the_unit_uses_the_user_and_the_folders_that_are_made():
    unit = UNIT.read_text()
    assert "User=chainchat\nGroup=chainchat\n" in unit
    [home] = re.findall(r"^WorkingDirectory=(.*)", unit, re.M)
    assert f"d {home} 0700 chainchat chainchat -" in (SYSTEMD / "tmpfiles.conf").read_text()


def test_the_image_is_made_of_what_the_wheel_needs():
    """No machine builds the image in tests: its lines are held against the tree."""
    lines = re.findall(r"^([A-Z]+) (.*)", CONTAINERFILE.read_text(), re.M)
    copied = [words.split()[:-1] for instruction, words in lines if instruction == "COPY"]
    paths = [ROOT / path for group in copied for path in group]
    assert all(path.exists() for path in paths)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
    }
    assert {path.name for path in paths} == needed
