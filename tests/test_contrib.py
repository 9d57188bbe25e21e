"""What packages install beside the programs: the unit is hardened, and names what exists."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "contrib" / "systemd" / "chainchat@.service"
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
