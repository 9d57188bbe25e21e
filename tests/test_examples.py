"""The example runs, says what happens, and needs neither Twisted nor the chat."""

import subprocess
import sys
from pathlib import Path

COUNTER = Path(__file__).parent.parent / "examples" / "counter.py"

RUN = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
foreign = [m for m in sys.modules if m.split(".")[0] == "twisted" or m == "chainchat.chat"]
assert not foreign, foreign
"""


def test_three_nodes_count_and_two_go_on_when_the_head_is_killed():
    run = subprocess.run(
        (sys.executable, "-c", RUN, COUNTER), capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    told = [line for line in run.stdout.splitlines() if " has " in line]
    assert told == [
        "Each has added 1 ten times: head has 30, middle has 30, tail has 30",
        "The chain goes on without the head, and has lost nothing: middle has 31, tail has 31",
        "Each has added 1 more: middle has 33, tail has 33",
    ]
    assert "epoch 1 (head -> middle -> tail): founded" in run.stdout
    assert "epoch 2 (middle -> tail): without head: its process is dead" in run.stdout
