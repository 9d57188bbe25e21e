"""What an operator runs beside the nodes: chainchatctl, and other programs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster import Cluster, environment
from talking import DEADLINE

CTL = [sys.executable, "-m", "chainchat.ctl"]


def ctl(cluster: Cluster, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run chainchatctl to its end, in the folder of chain.ini."""
    return run(cluster.folder, *CTL, *words)


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def told(cluster: Cluster, *words: str | Path) -> list[dict[str, Any]]:
    """The lines of JSON that a command answers."""
    done = ctl(cluster, "--json", *words)
    assert done.stdout, done
    return [json.loads(line) for line in done.stdout.splitlines()]
