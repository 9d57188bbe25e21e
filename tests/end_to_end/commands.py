"""Programs that tests run to their end: twistd, chainchatctl, the client, and others."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster import Cluster, environment, twistd
from talking import DEADLINE

CTL = [sys.executable, "-m", "chainchat.ctl"]
CLIENT = [sys.executable, "-m", "chainchat.client"]

Ended = subprocess.CompletedProcess[str]


def run(
    *command: str | Path,
    folder: Path | None = None,
    typed: str = "",
    within: float = DEADLINE,
    **variables: str,
) -> Ended:
    """Run a program to its end.

    Args:
        typed: its input.
        within: seconds.
        variables: of its environment.
    """
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment(**variables),
        input=typed,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=within,
        check=False,
    )


def run_twistd(folder: Path, *arguments: str, typed: str = "", within: float = DEADLINE) -> Ended:
    """Run twistd to its end, or until the daemon is on its own."""
    return run(*twistd(), *arguments, folder=folder, typed=typed, within=within)


def ctl(cluster: Cluster, *words: str | Path) -> Ended:
    """Run chainchatctl in the folder of chain.ini."""
    return run(*CTL, *words, folder=cluster.folder)


def told(cluster: Cluster, *words: str | Path) -> list[dict[str, Any]]:
    """The lines of JSON that a command answers."""
    done = ctl(cluster, "--json", *words)
    assert done.stdout, done
    return [json.loads(line) for line in done.stdout.splitlines()]
